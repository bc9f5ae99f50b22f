package operator

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"
)

// TestNoiseKinds: each kind has the mean and deviation that its level says, and tells both ranges; what is out of
// range is refused.
func TestNoiseKinds(t *testing.T) {
	const n = 30000
	for _, c := range []struct {
		noise         Noise
		at, mean, dev float64
		words         string
	}{
		{Noise{GaussianNoise, 0.05}, 0.2, 0.2, 0.05, "noise of deviation 0.05 on [-1,1] (0.025 on [0,1])"},
		{Noise{PoissonNoise, 100}, 1, 1, 0.2, "Poisson noise of 100 photons at white (deviation 0.2 on [-1,1] there)"},
		{Noise{SaltPepper, 0.1}, 0, 0, 0.3162, "salt and pepper on 10 % of the pixels"},
	} {
		require.NoError(t, c.noise.Check())
		require.Equal(t, c.words, c.noise.String())
		y, values := make([]float32, n), make([]float64, n)
		for i := range y {
			y[i] = float32(c.at)
		}
		c.noise.Add(y, 1, 3)
		for i, v := range y {
			values[i] = float64(v)
		}
		mean, dev := stat.MeanStdDev(values, nil)
		require.InDelta(t, c.mean, mean, 0.01, c.noise.Kind)
		require.InEpsilon(t, c.dev, dev, 0.03, c.noise.Kind)
	}
	for _, bad := range []Noise{{"rain", 1}, {GaussianNoise, -1}, {PoissonNoise, 0}, {SaltPepper, 1.5}} {
		require.Error(t, bad.Check())
		require.Panics(t, func() { bad.Add(nil, 1, 1) })
	}
}
