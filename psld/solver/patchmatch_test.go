package solver

import (
	"context"
	"image"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
)

// patterned is a picture that repeats itself every rows rows and 8 columns, and the problem of its hole.
func patterned(t *testing.T, h, w, rows int, hole image.Rectangle) (truth []float32, keep []bool, p Problem) {
	truth, keep = make([]float32, h*w*3), make([]bool, h*w)
	for i := range keep {
		y, x := i/w, i%w
		keep[i] = !image.Pt(x, y).In(hole)
		for c := range 3 {
			truth[3*i+c] = float32(0.7 * math.Sin(float64(y%rows)+2*float64(x%8)+float64(c)))
		}
	}
	mask, err := operator.NewMask(h, w, 3, keep)
	require.NoError(t, err)
	p = Problem{A: mask, Y: make([]float32, len(truth))}
	mask.Apply(p.Y, truth)
	return truth, keep, p
}

// TestPatchMatch: what is known stays, the hole has the picture's pattern, and what it cannot do is refused before the
// first step.
func TestPatchMatch(t *testing.T) {
	const h, w = 48, 40
	truth, _, p := patterned(t, h, w, 6, image.Rect(10, 16, 30, 28))
	mask, y := p.A, p.Y
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
	all, err := operator.NewMask(h, w, 3, slices.Repeat([]bool{true}, h*w))
	require.NoError(t, err)
	_, err = Solve(context.Background(), nil, Problem{A: all, Y: y}, method(t, "patchmatch", 1), Options{})
	require.ErrorAs(t, err, &refused)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = Solve(ctx, nil, Problem{A: mask, Y: y}, method(t, "patchmatch", 1), Options{})
	require.ErrorIs(t, err, context.Canceled)
}

// TestPatchMatchSteps: a run that is stopped has the pattern in its hole already, goes on to the same bits, and says
// how much of the work each step is.
func TestPatchMatchSteps(t *testing.T) {
	const h, w = 96, 88
	truth, keep, p := patterned(t, h, w, 8, image.Rect(25, 30, 55, 60))
	run := func(o Options, end int) (*Result, error) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		share := 0.0
		o.Seed, o.Progress = 3, func(s Progress) {
			require.Greater(t, s.Share, share)
			share = s.Share
			if require.Zero(t, s.RMS); s.Step == end {
				cancel()
			}
		}
		r, err := Solve(ctx, nil, p, method(t, "patchmatch", 1), o)
		if err == nil {
			require.Equal(t, 1.0, share)
		}
		return r, err
	}
	whole, err := run(Options{}, -1)
	require.NoError(t, err)
	require.Equal(t, 6+4+2+1, whole.Steps, "three scales")
	for _, end := range []int{1, 8, 12} {
		o := Options{Keep: Keep{File: filepath.Join(t.TempDir(), "state")}}
		stopped, err := run(o, end)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, end, stopped.Steps)
		square := 0.0
		for i, v := range stopped.X {
			if keep[i/3] {
				require.Equal(t, p.Y[i], v)
			}
			square += float64(v-truth[i]) * float64(v-truth[i])
		}
		require.Less(t, math.Sqrt(square/(30*30*3)), 0.25, "of 0.5")
		o.Keep.Resume = true
		r, err := run(o, -1)
		require.NoError(t, err)
		require.Equal(t, whole.X, r.X)
	}
}
