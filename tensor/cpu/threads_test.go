package cpu

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBudget(t *testing.T) {
	var b budget
	b.callers.Add(1)
	require.True(t, b.join(3))
	require.True(t, b.join(3))
	require.False(t, b.join(3), "one caller and two helpers are three")
	b.callers.Add(1) // a second run begins
	require.True(t, b.over(3), "a helper is to leave")
	b.leave()
	require.False(t, b.over(3))
	require.False(t, b.join(3))
	b.callers.Add(2)
	b.leave()
	require.True(t, b.over(3), "runs alone are more than may be")
	require.False(t, b.join(3), "and nobody helps")
}

// TestSetThreads: never more tasks of a loop at the same time than threads, whatever GOMAXPROCS is.
func TestSetThreads(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	defer SetThreads(SetThreads(0))
	require.Equal(t, 4, Threads())
	for _, n := range []int{1, 2, 3} {
		SetThreads(n)
		require.Equal(t, n, Threads())
		var now, most atomic.Int64
		for range 20 {
			parallel(50, func(int, *scratch) {
				k := now.Add(1)
				for old := most.Load(); k > old && !most.CompareAndSwap(old, k); old = most.Load() {
				}
				for range 100 {
					runtime.Gosched()
				}
				now.Add(-1)
			})
		}
		require.LessOrEqual(t, most.Load(), int64(n))
	}
	SetThreads(9)
	require.Equal(t, 4, Threads(), "more than GOMAXPROCS have no effect")
	require.Equal(t, 9, SetThreads(-1))
	require.Equal(t, 4, Threads())
}
