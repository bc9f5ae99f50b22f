//go:build !(linux || darwin || freebsd)

package atomicfile

// Free is the number of bytes that the file system of a folder has left for this user; ok is false where it does not
// tell.
func Free(string) (n int64, ok bool) { return 0, false }
