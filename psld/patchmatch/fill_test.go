package patchmatch

import (
	"context"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// board is a picture of h x w with a pattern of the given period in both directions.
func board(h, w, period int) []float32 {
	pix := make([]float32, h*w*3)
	for p := range h * w {
		y, x := p/w%period, p%w%period
		for c := range 3 {
			pix[3*p+c] = float32(math.Sin(float64(7*y+3*x+5*c))) * 0.8
		}
	}
	return pix
}

// hole is a mask with a missing rectangle.
func hole(h, w, top, left, rows, cols int) []bool {
	keep := make([]bool, h*w)
	for p := range keep {
		y, x := p/w-top, p%w-left
		keep[p] = y < 0 || y >= rows || x < 0 || x >= cols
	}
	return keep
}

func filled(t *testing.T, pix []float32, keep []bool, h, w int, seed uint64) []float32 {
	out := append([]float32(nil), pix...)
	for p, k := range keep {
		if !k {
			copy(out[3*p:], []float32{9, 9, 9})
		}
	}
	f, err := New(out, keep, h, w, 50)
	require.NoError(t, err)
	require.NoError(t, f.Fill(context.Background(), out, seed))
	return out
}

// A pattern that repeats goes on into the hole, and what is known stays as it is.
func TestPatternGoesOn(t *testing.T) {
	const h, w = 64, 80
	pix := board(h, w, 8)
	keep := hole(h, w, 20, 30, 16, 18)
	out := filled(t, pix, keep, h, w, 1)
	var sum float64
	for p, k := range keep {
		for c := range 3 {
			if k {
				require.Equal(t, pix[3*p+c], out[3*p+c])
			}
			sum += math.Pow(float64(out[3*p+c]-pix[3*p+c]), 2)
		}
	}
	require.Less(t, math.Sqrt(sum/(3*16*18)), 0.02, "the pattern itself has 0.57")
}

// An edge goes on: left of it dark, right of it bright.
func TestEdgeGoesOn(t *testing.T) {
	const h, w = 60, 60
	pix := make([]float32, h*w*3)
	for p := range h * w {
		v := float32(-0.7)
		if p%w >= 31 {
			v = 0.6
		}
		for c := range 3 {
			pix[3*p+c] = v
		}
	}
	out := filled(t, pix, hole(h, w, 15, 12, 30, 36), h, w, 1)
	var wrong int
	for i, v := range out {
		if math.Abs(float64(v-pix[i])) > 0.3 {
			wrong++
		}
	}
	require.Less(t, wrong, 3*60, "a tenth of the pixels of a smooth fill would be wrong, all about the edge")
}

// The bits depend on the seed, and not on the number of threads; a hole may reach over corners and borders.
func TestFillThreads(t *testing.T) {
	const h, w = 48, 50
	pix := board(h, w, 11)
	keep := hole(h, w, -1, 20, 30, 40)
	want := filled(t, pix, keep, h, w, 3)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(7))
	require.Equal(t, want, filled(t, pix, keep, h, w, 3))
	require.NotEqual(t, want, filled(t, pix, keep, h, w, 4))
	for _, v := range want {
		require.LessOrEqual(t, math.Abs(float64(v)), 0.8, "no colour that the picture has not")
	}
}

// The search finds what looking at all sources finds, for nearly all targets.
func TestSearchFindsNearest(t *testing.T) {
	const h, w = 40, 40
	pix := make([]float32, h*w*3)
	for i := range pix {
		p := i / 3
		pix[i] = float32(math.Sin(float64(p%w)/5)*math.Cos(float64(p/w)/7)) + float32(chance(1, i, 2))/(1<<36)
	}
	known := hole(h, w, 12, 12, 10, 10)
	l := &level{h: h, w: w, pix: withTexture(pix, known, h, w, 50), known: known}
	l.prepare()
	f, err := l.search(context.Background(), l.random(1), 1, 20)
	require.NoError(t, err)
	var best, found float64
	for i, p := range l.targets {
		least := float32(math.Inf(1))
		for _, q := range l.sources {
			least = min(least, l.distance(int(p), int(q), least))
		}
		require.GreaterOrEqual(t, f[i].d, least)
		best, found = best+float64(least), found+float64(f[i].d)
	}
	require.Less(t, found, 1.1*best+1e-9)
}

func TestFillErrors(t *testing.T) {
	_, err := New(make([]float32, 3*100), make([]bool, 100), 10, 10, 50)
	require.ErrorIs(t, err, ErrNoSource)
	_, err = New(make([]float32, 3), make([]bool, 100), 10, 10, 50)
	require.ErrorContains(t, err, "a picture of 10x10")

	pix := board(40, 40, 8)
	f, err := New(pix, hole(40, 40, 10, 10, 12, 12), 40, 40, 50)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	out := append([]float32(nil), pix...)
	require.ErrorIs(t, f.Fill(ctx, out, 1), context.Canceled)
	require.Equal(t, pix, out)

	// Each part ends in its middle, and says so.
	l := f.levels[0]
	_, err = l.search(ctx, l.random(1), 1, 2)
	require.ErrorIs(t, err, context.Canceled)
	_, err = l.equations(ctx, l.random(1))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, l.peel(ctx), context.Canceled)
	before := append([]float32(nil), l.pix...)
	require.ErrorIs(t, l.vote(ctx, l.random(1), 1), context.Canceled)
	require.Equal(t, before, l.pix)
}
