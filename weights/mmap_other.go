//go:build !unix

package weights

import "os"

// mapFile reads the whole file: there is no portable mapping here.
func mapFile(path string) (data []byte, unmap func() error, err error) {
	data, err = os.ReadFile(path)
	return data, func() error { return nil }, err
}

// dropPages has nothing to give back.
func dropPages(mapping, part []byte) {}
