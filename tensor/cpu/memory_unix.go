//go:build unix

package cpu

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// largeWords is the size from which memory is taken from the system: below, a page table entry does
// not matter.
const largeWords = 1 << 18

// allocLarge returns n zeroed words outside of Go's heap, in huge pages where the system has them, and what frees
// them; free is nil for ordinary memory. Packed weights are gigabytes that live as long as the model: on the heap
// they would let the collector put up with as much garbage again. Where the system refuses, words are nil.
func allocLarge(n int) (words []float32, free func()) {
	if n < largeWords {
		return make([]float32, n), nil
	}
	b, err := unix.Mmap(-1, 0, 4*n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil
	}
	adviseHuge(b)
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), n), func() { _ = unix.Munmap(b) }
}
