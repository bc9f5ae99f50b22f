package schedule

import (
	"math"
	"sort"
)

// Sigma is the deviation of the noise beside a signal of deviation 1 at diffusion time t, 0 to times-1 or between
// them: sqrt((1-a)/a), interpolated in its logarithm.
func (n Noise) Sigma(t float64) float64 {
	last := len(n.AlphasCumprod) - 1
	t = min(max(t, 0), float64(last))
	i := min(int(t), last-1)
	f := t - float64(i)
	return math.Exp((1-f)*n.logSigma(i) + f*n.logSigma(i+1))
}

// Time is the inverse of Sigma: where sigma is outside of what the schedule has, its first or last time.
func (n Noise) Time(sigma float64) float64 {
	want := math.Log(sigma)
	last := len(n.AlphasCumprod) - 1
	i := sort.Search(last+1, func(i int) bool { return n.logSigma(i) >= want }) // the first that is not below
	switch {
	case i == 0:
		return 0
	case i > last:
		return float64(last)
	}
	lo, hi := n.logSigma(i-1), n.logSigma(i)
	return float64(i-1) + (want-lo)/(hi-lo)
}

func (n Noise) logSigma(i int) float64 {
	a := max(float64(n.AlphasCumprod[i]), leastAlpha)
	return 0.5 * math.Log((1-a)/a)
}
