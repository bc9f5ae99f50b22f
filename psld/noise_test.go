package psld

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/task"
)

func TestEstimateNoise(t *testing.T) {
	for _, sigma := range []float64{0.01, 0.05, 0.2} {
		x := waves(64, 64)
		operator.AddGaussian(x.Pix, sigma, 3)
		got, ok := EstimateNoise(x.Pix, 64, 64, nil)
		require.True(t, ok)
		require.InEpsilon(t, sigma, got, 0.15)
		keep, err := operator.RandomMask(64, 64, 0.4, 1)
		require.NoError(t, err)
		got, ok = EstimateNoise(x.Pix, 64, 64, keep)
		require.True(t, ok)
		require.InEpsilon(t, sigma, got, 0.25)
	}
	_, ok := EstimateNoise(make([]float32, 3*9), 3, 3, nil)
	require.False(t, ok)
}

// TestEstimateNoiseBesideTexture: texture in two thirds of a picture is not taken for noise.
func TestEstimateNoiseBesideTexture(t *testing.T) {
	for _, sigma := range []float64{0, 0.02, 0.1} {
		x := waves(96, 96)
		for i := range x.Pix {
			if row := i / (3 * 96); row < 64 && (i/3+row)%2 == 0 {
				x.Pix[i] += 0.3
			}
		}
		operator.AddGaussian(x.Pix, sigma, 3)
		got, ok := EstimateNoise(x.Pix, 96, 96, nil)
		require.True(t, ok)
		require.InDelta(t, sigma, got, 0.005+0.1*sigma)
	}
}

// TestEstimateNoiseInTexture: texture everywhere, of one hue as in photographs, is not taken for noise that is
// independent in the colours.
func TestEstimateNoiseInTexture(t *testing.T) {
	for _, sigma := range []float64{0.02, 0.05, 0.1} {
		const n = 96
		x, texture := waves(n, n), make([]float32, n*n)
		operator.AddGaussian(texture, 0.1, 4)
		for i := range x.Pix {
			x.Pix[i] = 0.7*x.Pix[i] + []float32{1, 0.8, 0.6}[i%3]*texture[i/3]
		}
		operator.AddGaussian(x.Pix, sigma, 3)
		got, ok := EstimateNoise(x.Pix, n, n, nil)
		require.True(t, ok)
		require.InEpsilon(t, sigma, got, 0.06)
		flat, ok := smoothest(x.Pix, n, n, nil)
		require.True(t, ok)
		require.Greater(t, flat, sigma+0.01)
	}
}

// TestNoiseThroughJPEG: what JPEG has left of the noise is not taken for white noise of its least direction, and what
// it has taken away of the finest is made up for.
func TestNoiseThroughJPEG(t *testing.T) {
	const n, sigma = 96, 0.15
	x := waves(n, n)
	operator.AddGaussian(x.Pix, sigma, 3)
	var b bytes.Buffer
	require.NoError(t, picture.EncodeJPEG(&b, x))
	y, err := picture.Decode(&b)
	require.NoError(t, err)
	for _, lossy := range []bool{true, false} { // as read, and after it was saved as PNG
		y.Lossy = lossy
		got, _, ok := NoiseOf(task.Must(Denoise), y, nil)
		require.True(t, ok)
		require.InEpsilon(t, sigma, got, 0.25)
	}
	_, ok := whiteNoise(y.Pix, n, n, nil)
	require.False(t, ok)
}

// TestEstimateNoiseOfOneColour: noise that is the same in the three colours, as film and JPEG leave it, counts as
// well.
func TestEstimateNoiseOfOneColour(t *testing.T) {
	const n, sigma = 96, 0.05
	x, noise := waves(n, n), make([]float32, n*n)
	operator.AddGaussian(noise, sigma, 4)
	for i := range x.Pix {
		x.Pix[i] = 0.7*x.Pix[i] + noise[i/3]
	}
	got, ok := EstimateNoise(x.Pix, n, n, nil)
	require.True(t, ok)
	require.InEpsilon(t, sigma, got, 0.1)
}

// TestNoiseOfSmaller: of what is to be enlarged white noise counts as it is, and where there is none a quarter of the
// texture.
func TestNoiseOfSmaller(t *testing.T) {
	const n, sigma = 64, 0.05
	x, texture := waves(n, n), make([]float32, n*n)
	operator.AddGaussian(texture, 0.1, 4)
	for i := range x.Pix {
		x.Pix[i] = 0.1*x.Pix[i] + []float32{1, 0.8, 0.6}[i%3]*texture[i/3]
	}
	for _, name := range []Task{SR4, Denoise} {
		y := &picture.Picture{W: n, H: n, Pix: append([]float32(nil), x.Pix...)}
		got, _, ok := NoiseOf(task.Must(name), y, nil)
		require.True(t, ok)
		scale := map[Task]float64{SR4: 0.25, Denoise: 1}[name]
		require.InEpsilon(t, 0.08*scale, got, 0.3, "the mean of the colours' texture")
		operator.AddGaussian(y.Pix, sigma, 3)
		got, _, ok = NoiseOf(task.Must(name), y, nil)
		require.True(t, ok)
		require.InEpsilon(t, sigma, got, 0.06)
	}
}
