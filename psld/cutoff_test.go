package psld

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/param"
	"psld/psld/picture"
)

// The mean of cut-off noise is its integral, and its inverse gives the value back.
func TestCutOffMean(t *testing.T) {
	for _, sigma := range []float64{0.01, 0.1, 0.3, 1} {
		inverse := cutOffInverse(sigma)
		for _, x := range []float64{-1, -0.97, -0.5, 0, 0.3, 0.99, 1} {
			const n, reach = 50_000, 9.0
			sum, step := 0.0, 2*reach/n
			for i := range n { // midpoints
				z := -reach + (float64(i)+0.5)*step
				sum += min(max(x+sigma*z, -1), 1) * math.Exp(-z*z/2) / math.Sqrt(2*math.Pi) * step
			}
			require.InDelta(t, sum, cutOffMean(x, sigma), 1e-7)
			require.InDelta(t, x, inverse(sum), 1e-4)
		}
		require.Equal(t, []float64{-1, 1}, []float64{inverse(-1), inverse(1)})
	}
	require.InDelta(t, 1-0.3/math.Sqrt(2*math.Pi), cutOffMean(1, 0.3), 1e-10)
}

// The means of noise that was cut off become the values below it; what was not cut off stays as it is, to the bit.
func TestAllowForCutOff(t *testing.T) {
	const n, sigma = 40_000, 0.3
	rng := rand.New(rand.NewPCG(1, 2))
	measured := func(limit float64, truths ...float64) (x, y []float32) {
		for _, truth := range truths {
			mean := 0.0
			for range n {
				v := min(max(truth+sigma*rng.NormFloat64(), -limit), limit)
				y, mean = append(y, float32(v)), mean+v/n
			}
			x = append(x, slices.Repeat([]float32{float32(mean)}, n)...) // as a denoiser finds it
		}
		return x, y
	}
	truths := []float64{-1, -0.9, 0, 0.8, 1}
	x, y := measured(1, truths...)
	allowForCutOff(x, y, sigma)
	for i, truth := range truths {
		require.InDelta(t, truth, x[i*n], 0.01)
	}

	for name, limit := range map[string]float64{"never": 10, "at other values": 0.95} {
		x, y := measured(limit, truths...)
		before := slices.Clone(x)
		allowForCutOff(x, y, sigma)
		require.Equal(t, before, x, name)
	}
	x, y = measured(1, 0.8, 1) // at white alone: black is of a picture whose noise was not cut off there
	x, y = append(x, slices.Repeat([]float32{-0.95}, n)...), append(y, slices.Repeat([]float32{-0.95}, n)...)
	allowForCutOff(x, y, sigma)
	require.InDelta(t, 1, x[n], 0.01)
	require.EqualValues(t, float32(-0.95), x[2*n])
}

// A noisy picture of paper comes back white, unless that is left out.
func TestWhitePaper(t *testing.T) {
	paper := picture.New(64, 64)
	for i := range paper.Pix {
		paper.Pix[i] = 1
	}
	d, err := NewDamage(Denoise, 64, 64, 1)
	require.NoError(t, err)
	sigma := 0.3
	y, err := Measure(paper, d, sigma, 1)
	require.NoError(t, err)
	y = picture.FromImage(y.ToImage()) // bytes
	for raw, want := range map[bool]float64{true: 1 - sigma/math.Sqrt(2*math.Pi), false: 1} {
		res, err := Solve(t.Context(), nil, Problem{Damage: d, Measurement: y},
			Options{Method: "tv", Params: param.Values{"lambda": 1.0, "iterations": 20}, Sigma: &sigma, Raw: raw})
		require.NoError(t, err)
		mean := 0.0
		for _, v := range res.Picture.Pix {
			mean += float64(v) / float64(len(res.Picture.Pix))
		}
		require.InDelta(t, want, mean, 0.015, "raw %v", raw)
	}
}
