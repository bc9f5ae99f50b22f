package patchmatch

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBlendSolves: also where patches agree on nothing, in noise, the colours are those of the equations, whose matrix
// is symmetric: without that over-relaxation diverges.
func TestBlendSolves(t *testing.T) {
	const h, w = 72, 64
	rng := rand.New(rand.NewPCG(1, 2))
	pix, keep := make([]float32, h*w*3), make([]bool, h*w)
	for i := range pix {
		pix[i] = float32(2*rng.IntN(2) - 1)
	}
	pix[0], pix[1], pix[2], pix[3], pix[4], pix[5] = 50, 50, 50, -50, -50, -50 // the range that results are held to
	for p := range keep {
		keep[p] = p/w < 16 || p/w >= 56 || p%w < 12 || p%w >= 52
	}
	f, err := New(pix, keep, h, w, 0)
	require.NoError(t, err)
	l := f.levels[0]
	matches, err := l.search(t.Context(), l.random(3), 3, 1)
	require.NoError(t, err)
	b, err := l.equations(t.Context(), matches)
	require.NoError(t, err)
	for _, r := range b.rows {
		for k, n := range r.neighbour {
			if n >= 0 {
				require.Equal(t, r.weight[k], b.rows[n].weight[(k+2)%4])
			}
		}
	}
	require.NoError(t, l.blend(t.Context(), matches))
	worst := 0.0
	for i, r := range b.rows {
		for c := range 3 {
			v := l.colour(int(b.pixels[i]))[c]
			sum := r.right[c]
			for k, n := range r.neighbour {
				if n >= 0 {
					sum += r.weight[k] * l.colour(int(b.pixels[n]))[c]
				}
			}
			worst = max(worst, math.Abs(float64(sum/r.total-v)))
		}
	}
	require.Less(t, worst, 0.01, "%d equations", len(b.rows))
}
