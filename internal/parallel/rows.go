// Package parallel shares loops among the threads that computations may use.
package parallel

import (
	"sync"
	"sync/atomic"

	"psld/tensor/cpu"
)

// serialWork is the number of multiply-adds below which goroutines cost more than they save.
const serialWork = 1 << 17

// Rows runs f(i) for i in [0,n), in parallel when work (multiply-adds in all) is worth it. Each row must write its own
// output only; then the result does not depend on how rows fall on threads.
func Rows(n, work int, f func(i int)) {
	workers := min(cpu.Threads(), n)
	if workers < 2 || work < serialWork {
		for i := range n {
			f(i)
		}
		return
	}
	block := max(8, n/(64*workers)) // rows may be single pixels
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				hi := int(next.Add(int64(block)))
				if hi-block >= n {
					return
				}
				for i := hi - block; i < min(hi, n); i++ {
					f(i)
				}
			}
		})
	}
	wg.Wait()
}
