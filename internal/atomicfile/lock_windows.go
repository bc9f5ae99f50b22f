package atomicfile

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// renameOpen tells that an open file can be renamed and removed.
const renameOpen = false

// Lock locks f until it is closed, also by the end of the program; false where another program has it locked. A file
// system without locks counts as locked by nobody. Locks keep others from reading and writing here: the byte that is
// locked lies far behind the end of any file.
func Lock(f *os.File) bool {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30})
	return !errors.Is(err, windows.ERROR_LOCK_VIOLATION)
}

// SyncDir has nothing to do.
func SyncDir(string) error { return nil }
