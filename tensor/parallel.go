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
	switch f {
	case pairs:
		s.tile.RunPairs(m)
	case split:
		s.tile.RunSplit(m)
	default:
		s.tile.Run(m)
	}
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// loop is one call of parallel, shared by the goroutines that work on it.
type loop struct {
	fn         func(i int, s *scratch)
	n          int64
	next, left atomic.Int64  // the next task, and how many are not done
	done       chan struct{} // receives when left is 0
	users      atomic.Int32
}

var loops = sync.Pool{New: func() any { return &loop{done: make(chan struct{}, 1)} }}

// helpers are goroutines that live as long as the program and wait for loops to help with.
var helpers struct {
	queue chan *loop
	mu    sync.Mutex
	count atomic.Int64
}

func init() { helpers.queue = make(chan *loop, 256) }

// parallel calls fn(i) for i in [0, n) on up to GOMAXPROCS goroutines. The split
// into n tasks is the caller's and must depend on shapes only; since every task
// writes its own part of the output, results do not depend on the thread count.
// fn may call parallel.
func parallel(n int, fn func(i int, s *scratch)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		if n > 0 {
			s := scratches.Get().(*scratch)
			for i := range n {
				fn(i, s)
			}
			scratches.Put(s)
		}
		return
	}
	startHelpers(int64(workers - 1))
	l := loops.Get().(*loop)
	l.fn, l.n = fn, int64(n)
	l.next.Store(0)
	l.left.Store(l.n)
	l.users.Store(int32(workers))
	for range workers - 1 {
		select {
		case helpers.queue <- l:
		default: // all helpers are busy for long
			l.users.Add(-1)
		}
	}
	l.work()
	<-l.done
	l.release()
}

// startHelpers sees to it that there are n helpers at least.
func startHelpers(n int64) {
	if helpers.count.Load() >= n {
		return
	}
	helpers.mu.Lock()
	defer helpers.mu.Unlock()
	for ; helpers.count.Load() < n; helpers.count.Add(1) {
		go func() {
			for l := range helpers.queue {
				l.work() // nothing is left when the loop ended before this helper was free
				l.release()
			}
		}()
	}
}

func (l *loop) work() {
	i := l.next.Add(1) - 1
	if i >= l.n {
		return
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	for ; i < l.n; i = l.next.Add(1) - 1 {
		l.fn(int(i), s)
		if l.left.Add(-1) == 0 {
			l.done <- struct{}{}
		}
	}
}

func (l *loop) release() {
	if l.users.Add(-1) == 0 {
		l.fn = nil
		loops.Put(l)
	}
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
