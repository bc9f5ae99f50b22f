package cpu_test

import (
	"fmt"

	"psld/tensor/cpu"
)

// A pool reuses buffers and knows the most that was in use.
func ExamplePool() {
	var p cpu.Pool
	for range 3 {
		x := p.Get(1000, 1000)
		p.Put(x)
	}
	fmt.Println(p.Peak()>>20, "MiB,", p.Live(), "bytes in use")
	// Output: 3 MiB, 0 bytes in use
}
