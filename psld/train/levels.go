package train

import (
	"math"
	"math/rand/v2"

	"psld/psld/schedule"
	"psld/tensor"
)

// noiseLevels draws n deviations of the noise, on the scale of the states: a share low of them log-uniformly from
// least to 2, where restoration works, the others from there to most, from where pictures are made of nothing.
func noiseLevels(r *rand.Rand, n int, low, least, most float64) []float64 {
	const middle = 2
	sigmas := make([]float64, n)
	for i := range sigmas { // one draw in each n-th of the range: the same mean, less variance
		u := (float64(i) + r.Float64()) / float64(n)
		if u < low {
			sigmas[i] = least * math.Pow(middle/least, u/low)
		} else {
			sigmas[i] = middle * math.Pow(most/middle, (u-low)/(1-low))
		}
	}
	return sigmas
}

// noisy gives sqrt(a) x + sqrt(1-a) eps with sqrt((1-a)/a) = sigma for each item, and the times of that.
func noisy(noise schedule.Noise, x, eps *tensor.Tensor, sigmas []float64) (*tensor.Tensor, []float32) {
	out, times := tensor.New(x.Shape...), make([]float32, len(sigmas))
	per := x.Len() / len(sigmas)
	for i, s := range sigmas {
		times[i] = float32(noise.Time(s))
		signal := float32(1 / math.Sqrt(1+s*s))
		sigma := float32(s) * signal
		for k := i * per; k < (i+1)*per; k++ {
			out.Data[k] = signal*x.Data[k] + sigma*eps.Data[k]
		}
	}
	return out, times
}
