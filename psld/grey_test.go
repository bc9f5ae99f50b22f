package psld

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/task"
)

// TestWhitened: the noise of a grey picture and what is put into its colours are white together, and the mean of the
// channels stays.
func TestWhitened(t *testing.T) {
	const n, sigma = 1 << 16, 0.1
	y, noise := make([]float32, 3*n), make([]float32, n)
	operator.AddGaussian(noise, sigma, 7)
	for i := range y {
		y[i] = noise[i/3]
	}
	w := whitened(y, sigma, 1)
	var cov [3][3]float64
	for i := range n {
		px := w[3*i : 3*i+3]
		require.InDelta(t, noise[i], (px[0]+px[1]+px[2])/3, 1e-6)
		for a := range 3 {
			for b := range 3 {
				cov[a][b] += float64(px[a]) * float64(px[b]) / n
			}
		}
	}
	for a := range 3 {
		for b := range 3 {
			want := 0.0
			if a == b {
				want = 3 * sigma * sigma
			}
			require.InDelta(t, want, cov[a][b], 0.03*3*sigma*sigma, "%d %d", a, b)
		}
	}
}

// TestGreyIsDenoised: a grey picture with edges, at noise 25 of 255, comes out 6 dB better at least. Taken for a
// picture of colours with noise of that deviation, it gained 1.
func TestGreyIsDenoised(t *testing.T) {
	m, err := prior.DefaultPixel()
	require.NoError(t, err)
	x := picture.New(64, 64)
	x.Grey = true
	for i := range x.Pix {
		at := i / 3
		x.Pix[i] = float32(0.5 * math.Tanh(4*math.Sin(float64(at%64)/9)*math.Cos(float64(at/64)/7)))
	}
	d, sigma := Damage{Task: task.Denoise}, 25/127.5
	y, err := Measure(x, d, sigma, 1)
	require.NoError(t, err)
	require.True(t, y.Grey)
	res, err := Solve(t.Context(), m, Problem{d, y}, Options{Method: Auto, Sigma: &sigma})
	require.NoError(t, err)
	require.True(t, res.Picture.Grey)
	require.InDelta(t, sigma, res.RMS, 0.1*sigma) // what was taken out is the noise, and nothing in the colours
	square := func(a []float32) (s float64) {
		for i, v := range a {
			s += float64(v-x.Pix[i]) * float64(v-x.Pix[i])
		}
		return s
	}
	require.Less(t, square(res.Picture.Pix), square(y.Pix)/4)
}
