package patchmatch

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSpreadTexture: what is linear in rows and columns solves Laplace's equation.
func TestSpreadTexture(t *testing.T) {
	const h, w = 40, 50
	l := &level{h: h, w: w, pix: make([]float32, h*w*channels), known: make([]bool, h*w)}
	linear := func(p, c int) float32 { return 0.1*float32(p/w)*float32(c-2) - 0.05*float32(p%w) }
	for p := range l.known {
		l.known[p] = p/w < 8 || p/w >= 32 || p%w < 9 || p%w >= 44
		for c := 3; c < channels && l.known[p]; c++ {
			l.pix[channels*p+c] = linear(p, c)
		}
	}
	l.spreadTexture()
	for p := range l.known {
		for c := range channels {
			if want := float32(0); c < 3 {
				require.Equal(t, want, l.pix[channels*p+c])
			} else {
				require.InDelta(t, linear(p, c), l.pix[channels*p+c], 1e-3)
			}
		}
	}
}
