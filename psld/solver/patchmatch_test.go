package solver

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
)

// TestPatchMatch: what is known stays, the hole has the picture's pattern, and what it cannot do is refused before the
// first step.
func TestPatchMatch(t *testing.T) {
	const h, w = 48, 40
	truth, keep := make([]float32, h*w*3), make([]bool, h*w)
	for p := range keep {
		y, x := p/w, p%w
		keep[p] = y < 16 || y >= 28 || x < 10 || x >= 30
		for c := range 3 {
			truth[3*p+c] = float32(0.7 * math.Sin(float64(y%6)+2*float64(x%8)+float64(c)))
		}
	}
	mask, err := operator.NewMask(h, w, 3, keep)
	require.NoError(t, err)
	y := make([]float32, len(truth))
	mask.Apply(y, truth)
	res, err := Solve(context.Background(), nil, Problem{A: mask, Y: y}, method(t, "patchmatch", 1), Options{Seed: 1})
	require.NoError(t, err)
	require.Zero(t, res.RMS)
	require.InDeltaSlice(t, truth, res.X, 0.05)

	var refused *Refused
	_, err = Solve(context.Background(), nil, blurProblem(t, 16, 16), method(t, "patchmatch", 1), Options{})
	require.ErrorAs(t, err, &refused)
	nothing, err := operator.NewMask(h, w, 3, make([]bool, h*w))
	require.NoError(t, err)
	_, err = Solve(context.Background(), nil, Problem{A: nothing, Y: make([]float32, h*w*3)},
		method(t, "patchmatch", 1), Options{})
	require.ErrorAs(t, err, &refused)
	require.ErrorContains(t, err, "too few patches")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = Solve(ctx, nil, Problem{A: mask, Y: y}, method(t, "patchmatch", 1), Options{})
	require.ErrorIs(t, err, context.Canceled)
}
