package tensor

import (
	"runtime"
	"sync"
	"sync/atomic"

	"psld/asm"
)

// scratch is one worker's private memory for the time of a parallel loop.
type scratch struct {
	tile asm.Tile // here, so that calls through a kernel table allocate nothing
	grid asm.Grid
	buf  [6][]float32
}

// floats returns buffer i with at least n elements and undefined contents.
func (s *scratch) floats(i, n int) []float32 {
	if cap(s.buf[i]) < n {
		s.buf[i] = make([]float32, n+n/4+16)
	}
	return s.buf[i][:n]
}

// run computes m rows of the tile on factors of format f.
func (s *scratch) run(m int, f format) {
	if f == pairs {
		s.tile.RunPairs(m)
	} else {
		s.tile.Run(m)
	}
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// parallel calls fn(i) for i in [0, n) on up to GOMAXPROCS goroutines. The split
// into n tasks is the caller's and must depend on shapes only; since every task
// writes its own part of the output, results do not depend on the thread count.
func parallel(n int, fn func(i int, s *scratch)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	var next atomic.Int64
	work := func() {
		s := scratches.Get().(*scratch)
		defer scratches.Put(s)
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			fn(i, s)
		}
	}
	if workers <= 1 {
		if n > 0 {
			work()
		}
		return
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// grain is the number of elements of one task of an element-wise loop: it fits
// in L1 with its inputs, and is long against the cost of a task.
const grain = 1 << 14

// chunks calls fn on consecutive ranges [lo, hi) of [0, n) in parallel.
func chunks(n, size int, fn func(lo, hi int)) {
	if n <= size {
		if n > 0 {
			fn(0, n)
		}
		return
	}
	parallel((n+size-1)/size, func(i int, _ *scratch) {
		fn(i*size, min(n, (i+1)*size))
	})
}
