//go:build !linux

package memstat

// AddressSpace is the limit of this process's address space in bytes (ulimit -v), 0 for none.
func AddressSpace() int64 { return 0 }
