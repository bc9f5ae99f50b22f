package cpu

import (
	"runtime"
	"sync/atomic"
)

// threads counts who computes: a loop's own goroutine always does, helpers join while there are fewer than may be. So
// loops of several runs at the same time share the threads.
var threads budget

type budget struct {
	limit            atomic.Int64 // 0: GOMAXPROCS
	callers, helping atomic.Int64
}

// SetThreads bounds the goroutines that compute at the same time in the loops of this package, over all devices and
// runs of the process: with n threads and k runs, n-k of them help, or none where k is larger. 0, with which a
// program begins, stands for GOMAXPROCS, beyond which n has no effect. It may be called at any time, and changes no
// result. It returns what was set before.
func SetThreads(n int) (before int) { return int(threads.limit.Swap(int64(max(0, n)))) }

// Threads is how many goroutines compute at the same time at the most, at least 1.
func Threads() int {
	most := runtime.GOMAXPROCS(0)
	if n := int(threads.limit.Load()); n > 0 {
		most = min(most, n)
	}
	return most
}

// join asks to help with a loop where most may be at work; who may leaves afterwards.
func (b *budget) join(most int64) bool {
	b.helping.Add(1)
	if b.over(most) {
		b.helping.Add(-1)
		return false
	}
	return true
}

func (b *budget) leave() { b.helping.Add(-1) }

// over tells whether there are more at work than may be, so that a helper is to leave.
func (b *budget) over(most int64) bool { return b.callers.Load()+b.helping.Load() > most }
