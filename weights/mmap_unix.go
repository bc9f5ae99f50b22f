//go:build unix

package weights

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapFile gives the contents of a file as a read-only mapping.
func mapFile(path string) (data []byte, unmap func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: not a regular file", path)
	}
	size := int(st.Size())
	if size == 0 { // mmap refuses length 0
		return nil, func() error { return nil }, nil
	}
	data, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: mmap: %w", path, err)
	}
	return data, func() error { return unix.Munmap(data) }, nil
}

// dropPages takes the whole pages within part, a piece of a mapping of
// [mapFile], out of this process's memory. They stay in the system's cache and
// come back by themselves when they are read again.
func dropPages(mapping, part []byte) {
	from, ok := offsetIn(mapping, part)
	if !ok {
		return
	}
	page := os.Getpagesize()
	begin := (from + page - 1) / page * page
	end := (from + len(part)) / page * page
	if begin < end {
		_ = unix.Madvise(mapping[begin:end], unix.MADV_DONTNEED) // only a hint
	}
}

// offsetIn is where part begins in mapping; ok is false when it lies elsewhere.
func offsetIn(mapping, part []byte) (offset int, ok bool) {
	if len(part) == 0 || len(mapping) == 0 {
		return 0, false
	}
	base, at := uintptr(unsafe.Pointer(&mapping[0])), uintptr(unsafe.Pointer(&part[0]))
	if at < base || at+uintptr(len(part)) > base+uintptr(len(mapping)) {
		return 0, false
	}
	return int(at - base), true
}
