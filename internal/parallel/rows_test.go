package parallel

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestThreads: the result does not depend on how the rows are shared out.
func TestThreads(t *testing.T) {
	var got [2][]float32
	for i, work := range []int{0, serialWork} {
		got[i] = make([]float32, 100)
		Rows(100, work, func(r int) { got[i][r] = float32(r) })
	}
	require.Equal(t, got[0], got[1])
}

// TestEachOnce: every row is done, and once, however many there are.
func TestEachOnce(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 9, 1000, 123457} {
		done := make([]int, n)
		Rows(n, serialWork, func(r int) { done[r]++ })
		for r, times := range done {
			require.Equal(t, 1, times, "row %d of %d", r, n)
		}
	}
}

// TestRowsUntil: rows are left out once the context has ended, on one thread and on several, and an error says so.
func TestRowsUntil(t *testing.T) {
	const n = 1 << 20
	for _, work := range []int{0, serialWork} {
		ctx, cancel := context.WithCancel(t.Context())
		var done atomic.Int64
		err := RowsUntil(ctx, n, work, func(int) {
			if done.Add(1) == n/4 {
				cancel()
			}
		})
		require.ErrorIs(t, err, context.Canceled)
		require.Less(t, done.Load(), int64(n/2), "work %d", work)
		require.NoError(t, RowsUntil(t.Context(), 10, work, func(int) {}))
	}
}
