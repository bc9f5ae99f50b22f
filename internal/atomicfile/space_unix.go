//go:build linux || darwin || freebsd

package atomicfile

import "golang.org/x/sys/unix"

// Free is the number of bytes that the file system of a folder has left for this user; ok is false where it does not
// tell.
func Free(dir string) (n int64, ok bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Blocks == 0 { // 0: none that counts, such as /proc
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}
