package solver

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/prior"
)

// boxProblem is a picture of stripes, some of them known to n x n pixels each, with a square hole of side pixels.
func boxProblem(t *testing.T, h, w, side int) (p Problem, keep []bool) {
	keep = make([]bool, h*w)
	y, rng := make([]float32, h*w*3), rand.New(rand.NewPCG(1, 2))
	for i := range keep {
		row, column := i/w, i%w
		keep[i] = row < 20 || row >= 20+side || column < 18 || column >= 18+side
		for c := range 3 {
			y[3*i+c] = 0.3*float32((row+2*column)%5)/4 + 0.1*float32(rng.NormFloat64())
		}
	}
	mask, err := operator.NewMask(h, w, 3, keep)
	require.NoError(t, err)
	p = Problem{A: mask, Y: make([]float32, len(y))}
	mask.Apply(p.Y, y)
	return p, keep
}

// halved are the means of 2 x 2 pixels.
func halved(x []float32, h, w int) []float32 {
	out := make([]float32, h/2*(w/2)*3)
	for i := range out {
		row, column, c := i/3/(w/2), i/3%(w/2), i%3
		for k := range 4 {
			out[i] += x[3*((2*row+k/2)*w+2*column+k%2)+c] / 4
		}
	}
	return out
}

// TestPSLDPatchMatch: up to its last step PSLD's part is PSLD on the picture of half the sides, put together by hand;
// after it every missing pixel is of the picture's own colours, and known ones stay.
func TestPSLDPatchMatch(t *testing.T) {
	const h, w, side = 80, 72, 36
	m := prior.RandomTiny(3)
	p, keep := boxProblem(t, h, w, side)
	rough := slices.Clone(p.Y)
	for i, k := range keep {
		if !k {
			rough[3*i], rough[3*i+1], rough[3*i+2] = 0.1, 0.2, 0.3
		}
	}
	o := &PSLDPatchMatch{HoleDepth: 8, PSLD: PSLD{DDIM: DDIM{Steps: 3, Eta: 0.5, Strength: 0.6}, Back: "adjoint",
		Fit: Fit{Omega: 0.4}, Gluing: Gluing{Gamma: 0.2, GluingEvery: 1}}}

	small := make([]bool, h/2*(w/2))
	for i := range small {
		at := i/(w/2)*2*w + i%(w/2)*2
		small[i] = keep[at] && keep[at+1] && keep[at+w] && keep[at+w+1]
	}
	mask, err := operator.NewMask(h/2, w/2, 3, small)
	require.NoError(t, err)
	y := halved(p.Y, h, w)
	ys := make([]float32, len(y))
	mask.Apply(ys, y)
	half := o.PSLD
	half.Omega, half.Gamma = o.Omega/2, o.Gamma/2
	by, err := Solve(t.Context(), m, Problem{A: mask, Y: ys}, &half, Options{Seed: 4, Start: halved(rough, h, w)})
	require.NoError(t, err)
	up, err := operator.NewResize(h/2, w/2, 3, h, w, operator.Bicubic)
	require.NoError(t, err)
	want := make([]float32, len(p.Y))
	up.Apply(want, by.X)

	var at []float32
	share := 0.0
	res, err := Solve(t.Context(), m, p, o, Options{Seed: 4, Start: rough, Progress: func(s Progress) {
		require.Greater(t, s.Share, share)
		share = s.Share
		if s.Step == 3 {
			at, err = s.Picture()
			require.NoError(t, err)
		}
	}})
	require.NoError(t, err)
	require.Equal(t, 1.0, share)
	low, high := slices.Min(p.Y), slices.Max(p.Y)
	for i, k := range keep {
		for c := 3 * i; c < 3*i+3; c++ {
			if k {
				require.Equal(t, p.Y[c], at[c])
				require.Equal(t, p.Y[c], res.X[c])
				continue
			}
			require.InDelta(t, want[c], at[c], 1e-4)
			require.GreaterOrEqual(t, res.X[c], low)
			require.LessOrEqual(t, res.X[c], high)
		}
	}
	require.NotEqual(t, at, res.X)

	for _, end := range []int{1, 3, 4} { // within PSLD, between the two, within PatchMatch
		keep := Keep{File: filepath.Join(t.TempDir(), "state")}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Solve(ctx, m, p, o, Options{Seed: 4, Start: rough, Keep: keep, Progress: func(s Progress) {
			if s.Step == end {
				cancel()
			}
		}})
		require.ErrorIs(t, err, context.Canceled)
		keep.Resume = true
		again, err := Solve(t.Context(), m, p, o, Options{Seed: 4, Start: rough, Keep: keep})
		require.NoError(t, err)
		require.Equal(t, res.X, again.X, "stopped after step %d", end)
	}
}

// TestPSLDPatchMatchAlone: where no hole is deep, and where next to nothing is known, the method is PSLD.
func TestPSLDPatchMatchAlone(t *testing.T) {
	const h, w = 80, 72
	m := prior.RandomTiny(3)
	shallow, _ := boxProblem(t, h, w, 20)
	rim := slices.Repeat([]bool{true}, h*w)
	for i := range rim {
		rim[i] = i < 3*w || i%w < 3
	}
	mask, err := operator.NewMask(h, w, 3, rim)
	require.NoError(t, err)
	o := &PSLDPatchMatch{HoleDepth: 8, PSLD: *glued(2, 0.5, 1)}
	for name, p := range map[string]Problem{"shallow": shallow, "rim": {A: mask, Y: make([]float32, h*w*3)}} {
		got, err := Solve(t.Context(), m, p, o, Options{Seed: 1})
		require.NoError(t, err, name)
		want, err := Solve(t.Context(), m, p, &o.PSLD, Options{Seed: 1})
		require.NoError(t, err)
		require.Equal(t, want.X, got.X, name)
	}
}
