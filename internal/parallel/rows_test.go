package parallel

import (
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
