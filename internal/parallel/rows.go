// Package parallel shares loops among the threads that computations may use.
package parallel

import (
	"context"
	"sync"
	"sync/atomic"

	"psld/tensor/cpu"
)

// serialWork is the number of multiply-adds below which goroutines cost more than they save.
const serialWork = 1 << 17

// Rows runs f(i) for i in [0,n), in parallel when work (multiply-adds in all) is worth it. Each row must write its own
// output only; then the result does not depend on how rows fall on threads.
func Rows(n, work int, f func(i int)) { _ = RowsUntil(context.Background(), n, work, f) }

// RowsUntil is Rows that ends early when ctx does, and then returns its error: some rows were not run.
func RowsUntil(ctx context.Context, n, work int, f func(i int)) error {
	workers := min(cpu.Threads(), n)
	if work < serialWork {
		workers = 1
	}
	if workers < 2 {
		const block = 1 << 10
		for i := range n {
			if i%block == 0 && ctx.Err() != nil {
				break
			}
			f(i)
		}
		return ctx.Err()
	}
	block := max(8, n/(64*workers)) // rows may be single pixels
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				hi := int(next.Add(int64(block)))
				if hi-block >= n || ctx.Err() != nil {
					return
				}
				for i := hi - block; i < min(hi, n); i++ {
					f(i)
				}
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}
