package schedule

import (
	"fmt"
	"math"

	"psld/autograd"
)

// DDPM holds the numbers of ancestral sampling (Ho et al. 2020) through some times of a schedule, by step index in
// order of rising time; sampling runs from the last index to 0. From the state x and the clean picture x0 that is
// expected, the state before it is
//
//	FromX0 x0 + FromX x + exp(LogVariance/2) noise
//
// where the variance is that of the posterior of a known x0 (LogSmall), that of the step (LogLarge), or between them;
// the step of index 0 ends at x0, without noise.
type DDPM struct {
	Timesteps          []int     // diffusion time that the network is given
	Alphas, AlphasPrev []float64 // share of signal at the step and after it; the last step ends at 1
	FromX0, FromX      []float64
	LogSmall, LogLarge []float64
}

// DDPM selects times evenly from the first to the last one, rounded to even as guided diffusion's respacing does.
// steps is 2 to the number of times.
func (n Noise) DDPM(steps int) (*DDPM, error) {
	if err := n.Check(); err != nil {
		return nil, err
	}
	if steps < 2 || steps > n.times() {
		return nil, fmt.Errorf("DDPM steps: %d, want 2 to %d", steps, n.times())
	}
	d := &DDPM{}
	prev, stride := 1.0, float64(n.times()-1)/float64(steps-1)
	for i := range steps {
		t := int(math.RoundToEven(float64(i) * stride))
		a := float64(n.AlphasCumprod[t])
		beta := 1 - a/prev
		small := beta * (1 - prev) / (1 - a)
		d.Timesteps = append(d.Timesteps, t)
		d.Alphas, d.AlphasPrev = append(d.Alphas, a), append(d.AlphasPrev, prev)
		d.FromX0 = append(d.FromX0, beta*math.Sqrt(prev)/(1-a))
		d.FromX = append(d.FromX, (1-prev)*math.Sqrt(a/prev)/(1-a))
		d.LogSmall, d.LogLarge = append(d.LogSmall, math.Log(small)), append(d.LogLarge, math.Log(beta))
		prev = a
	}
	d.LogSmall[0] = d.LogSmall[1] // in place of the logarithm of 0
	return d, nil
}

// Len returns the number of steps.
func (d *DDPM) Len() int { return len(d.Timesteps) }

// Mean returns the mean of the state before x at step i, for the clean picture x0.
func (d *DDPM) Mean(g *autograd.Graph, x0, x *autograd.Value, i int) *autograd.Value {
	return g.Add(g.Scale(x0, float32(d.FromX0[i])), g.Scale(x, float32(d.FromX[i])))
}

// Noise scales standard normal noise to the variance of step i: that of the posterior where share is nil, else between
// that, at -1, and that of the step, at 1, by logarithms.
func (d *DDPM) Noise(g *autograd.Graph, normal, share *autograd.Value, i int) *autograd.Value {
	small, large := d.LogSmall[i], d.LogLarge[i]
	if share == nil {
		return g.Scale(normal, float32(math.Exp(small/2)))
	}
	middle, half := math.Exp((small+large)/4), (large-small)/4 // of the deviation, and of its logarithm
	return g.Mul(normal, g.Scale(g.Exp(g.Scale(share, float32(half))), float32(middle)))
}
