//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package atomicfile

import "os"

// renameOpen tells that an open file can be renamed.
const renameOpen = false

// Lock has nothing to do: a file that is open cannot be removed here.
func Lock(*os.File) bool { return true }

// SyncDir has nothing to do.
func SyncDir(string) error { return nil }
