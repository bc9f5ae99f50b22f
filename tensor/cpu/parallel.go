package cpu

import (
	"reflect"
	"sync"
	"sync/atomic"
	"time"

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

// loop is one call of parallelWith, shared by the goroutines that work on it.
type loop[T any] struct {
	shared     T
	fn         func(t *T, lo, hi int, s *scratch)
	n, size    int
	tasks      int64
	threads    int64         // that may compute, as many as [Threads] said
	next, left atomic.Int64  // the next task, and how many are not done
	done       chan struct{} // receives when left is 0
	users      atomic.Int32
	pool       *sync.Pool // where it goes
}

// loopPools has the pool of loops of each type.
var loopPools sync.Map // of *sync.Pool, by reflect.Type

func lendLoop[T any]() *loop[T] {
	key := reflect.TypeFor[T]()
	p, ok := loopPools.Load(key)
	if !ok {
		p, _ = loopPools.LoadOrStore(key, &sync.Pool{New: func() any { return &loop[T]{done: make(chan struct{}, 1)} }})
	}
	l := p.(*sync.Pool).Get().(*loop[T])
	l.pool = p.(*sync.Pool)
	return l
}

// patience is for how long helpers stay awake for the next loop, and a loop for its helpers, before they sleep: to
// wake one up takes the scheduler and the system up to a hundred microseconds, as long as a small operation.
const patience = 100 * time.Microsecond

// helper is a loop of any type.
type helper interface{ help() }

// helpers are goroutines that live as long as the program and wait for loops to help with.
var helpers struct {
	queue chan helper
	mu    sync.Mutex
	count atomic.Int64
}

func init() { helpers.queue = make(chan helper, 256) }

// parallelWith calls fn on the parts [lo, hi) of [0, n), of size each, on up to [Threads] goroutines. The size is
// the caller's and must depend on shapes only; since every part writes its own part of the output, results do not
// depend on the thread count. t is what the parts know. They get it in memory of a pool, and fn is to be a plain
// function, one that captures nothing: then a loop leaves nothing to the garbage collector. fn may call
// parallelWith.
func parallelWith[T any](n, size int, t T, fn func(t *T, lo, hi int, s *scratch)) {
	if n <= 0 {
		return
	}
	l := lendLoop[T]()
	l.shared, l.fn, l.n, l.size = t, fn, n, size
	l.tasks = int64((n + size - 1) / size)
	l.next.Store(0)
	l.left.Store(l.tasks)
	l.threads = int64(Threads())
	workers := int(min(l.tasks, l.threads))
	threads.callers.Add(1)
	defer threads.callers.Add(-1)
	l.users.Store(int32(workers))
	startHelpers(int64(workers - 1))
	for range workers - 1 {
		select {
		case helpers.queue <- l:
		default: // all helpers are busy for long
			l.users.Add(-1)
		}
	}
	l.work(false)
	for start := time.Now(); len(l.done) == 0 && time.Since(start) < patience; {
		asm.Pause()
	}
	<-l.done
	l.release()
}

// parallel calls fn(i) for i in [0, n) in the same way. What fn captures is left to the collector: it is for what
// is done once.
func parallel(n int, fn func(i int, s *scratch)) {
	parallelWith(n, 1, fn, func(fn *func(int, *scratch), i, _ int, s *scratch) { (*fn)(i, s) })
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
			for {
				nextLoop().help()
			}
		}()
	}
}

// nextLoop waits for a loop to help with.
func nextLoop() helper {
	start := time.Now()
	for {
		select {
		case l := <-helpers.queue:
			return l
		default:
			if time.Since(start) >= patience {
				return <-helpers.queue
			}
			asm.Pause()
		}
	}
}

// help works and is done with the loop. Nothing is left when the loop ended before a helper was free.
func (l *loop[T]) help() {
	if threads.join(l.threads) {
		l.work(true)
		threads.leave()
	}
	l.release()
}

// work does tasks until there are no more, or, for a helper, until there are more threads at work than may be.
func (l *loop[T]) work(helper bool) {
	if l.next.Load() >= l.tasks {
		return
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	for !helper || !threads.over(l.threads) {
		i := l.next.Add(1) - 1
		if i >= l.tasks {
			return
		}
		lo := int(i) * l.size
		l.fn(&l.shared, lo, min(l.n, lo+l.size), s)
		if l.left.Add(-1) == 0 {
			l.done <- struct{}{}
		}
	}
}

func (l *loop[T]) release() {
	if l.users.Add(-1) == 0 {
		var none T
		l.shared, l.fn = none, nil
		l.pool.Put(l)
	}
}

// grain is the number of elements of one task of an element-wise loop: it fits
// in L1 with its inputs, and is long against the cost of a task.
const grain = 1 << 14

// large is the number of elements from which on a tensor is as good as out of the caches when
// it is needed again. It is worked on in long tasks, since reading ahead starts anew in each, and the
// kernels store long results past the caches.
const (
	large     = 1 << 22
	longGrain = 1 << 16
)

// grainOf is the number of elements of a task for a result of n elements.
func grainOf(n int) int {
	if n >= large {
		return longGrain
	}
	return grain
}

// rowGrain is the same in rows of c elements.
func rowGrain(rows, c int) int { return (grainOf(rows*c) + c - 1) / c }

// args are what the parts of simple operations know; each uses some.
type args struct {
	y, a, b []float32
	sums    []float64
	w, c    int // of a picture: pixels of a row, and channels
	blocks  blocks
	u, v    float32
	f       func(dst, x []float32)
	grad    func(dst, x, dy []float32)
}
