//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package atomicfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameOpen tells that an open file can be renamed and removed.
const renameOpen = true

// Lock locks f until it is closed, also by the end of the program; false where another program has it locked. A file
// system without locks counts as locked by nobody.
func Lock(f *os.File) bool {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	return !errors.Is(err, unix.EWOULDBLOCK)
}

// SyncDir brings the names in a folder to the disk, where its file system can.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil { // a folder that may be written but not read
		return nil
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EACCES) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
