package schedule_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/schedule"
)

// TestTimeAndSigma: at whole times sigma is that of the list; between them it lies between; Time is the inverse.
func TestTimeAndSigma(t *testing.T) {
	for _, n := range []schedule.Noise{schedule.StableDiffusion(), schedule.Linear(1e-4, 0.02, 1000)} {
		for i, a := range n.AlphasCumprod {
			s := math.Sqrt((1 - float64(a)) / float64(a))
			require.InEpsilon(t, s, n.Sigma(float64(i)), 1e-12)
			require.InDelta(t, i, n.Time(s), 1e-6)
		}
		for at := 0.25; at < 999; at += 7.3 {
			s := n.Sigma(at)
			require.Greater(t, s, n.Sigma(math.Floor(at)))
			require.Less(t, s, n.Sigma(math.Ceil(at)))
			require.InDelta(t, at, n.Time(s), 1e-6)
		}
		require.Zero(t, n.Time(1e-9))
		require.Equal(t, 999.0, n.Time(1e9))
		require.Equal(t, n.Sigma(0), n.Sigma(-3))
		require.Equal(t, n.Sigma(999), n.Sigma(5000))
	}
}
