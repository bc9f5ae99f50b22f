//go:build linux && amd64 && !noasm

package asm

import "syscall"

// permitTiles asks the system for the use of tile registers, for the whole process: arch_prctl(ARCH_REQ_XCOMP_PERM,
// XFEATURE_XTILEDATA). Without it the first instruction on tiles kills.
func permitTiles() bool {
	_, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, 0x1023, 18, 0)
	return errno == 0
}
