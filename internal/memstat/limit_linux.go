package memstat

import (
	"math"

	"golang.org/x/sys/unix"
)

// AddressSpace is the limit of this process's address space in bytes (ulimit -v), 0 for none.
func AddressSpace() int64 {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &r); err != nil || r.Cur > math.MaxInt64 {
		return 0
	}
	return int64(r.Cur)
}
