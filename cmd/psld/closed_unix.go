//go:build linux || darwin || freebsd

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// isClosed tells whether f was closed when the program began: the runtime of Go then opens the null device in its
// place, for reading and writing. Whoever did so on purpose, as some parents of programs do, looks the same.
func isClosed(f *os.File) bool {
	info, err := f.Stat()
	null, e := os.Stat(os.DevNull)
	if err != nil || e != nil || !os.SameFile(info, null) {
		return false
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_ACCMODE == unix.O_RDWR
}
