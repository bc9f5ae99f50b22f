package solver

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/memstat"
	"psld/psld/operator"
	"psld/psld/prior"
)

// TestMaxMemory: a limit changes no bit, and one that is too low is an error that says both numbers.
func TestMaxMemory(t *testing.T) {
	m := prior.RandomTiny(1)
	a, err := operator.NewSR(16, 24, 3, 4)
	require.NoError(t, err)
	p := Problem{A: a, Y: noise(1, a.Out().Len(), 0.5)}
	o := Options{Steps: 4, Gamma: 0.1, Omega: 1}
	want, err := Solve(context.Background(), m, p, o)
	require.NoError(t, err)
	_, peak := memstat.Process()
	for _, limit := range []int64{1 << 50, peak + 1<<28} {
		o.MaxMemory = limit
		got, err := Solve(context.Background(), m, p, o)
		require.NoError(t, err)
		require.Equal(t, want.X, got.X)
	}
	if peak == 0 {
		t.Skip("this system does not tell the memory of a process")
	}
	o.MaxMemory = 1 << 20
	_, err = Solve(context.Background(), m, p, o)
	require.ErrorContains(t, err, "GiB at the least, the limit is 0.0 GiB")
}
