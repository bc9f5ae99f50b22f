package tensor

import "golang.org/x/sys/unix"

// adviseHuge asks for huge pages: far fewer page faults and misses of the address cache. Only a hint.
func adviseHuge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
