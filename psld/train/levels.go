package train

import (
	"math"
	"math/rand/v2"

	"psld/autograd"
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

// noisy gives sqrt(a) x + sqrt(1-a) eps with sqrt((1-a)/a) = sigma for each item of x and eps [N,...], and the times
// of that.
func noisy(g *autograd.Graph, noise schedule.Noise, x, eps *autograd.Value, sigmas []float64) (*autograd.Value,
	[]float32) {
	n, times := len(sigmas), make([]float32, len(sigmas))
	signals, levels := tensor.New(n, 1), tensor.New(n, 1)
	for i, s := range sigmas {
		times[i] = float32(noise.Time(s))
		signals.Data[i] = float32(1 / math.Sqrt(1+s*s))
		levels.Data[i] = float32(s) * signals.Data[i]
	}
	// scaled is x[i] times by[i].
	scaled := func(x *autograd.Value, by *tensor.Tensor) *autograd.Value {
		zeros := g.Reshape(g.Scale(x, 0), n, x.T.Len()/n, 1)
		return g.Mul(x, g.Reshape(g.AddChannels(zeros, g.Const(by)), x.T.Shape...))
	}
	return g.Add(scaled(x, signals), scaled(eps, levels)), times
}
