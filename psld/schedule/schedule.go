// Package schedule holds the noise schedule of Stable Diffusion and the DDIM
// sampler's steps through it.
package schedule

import (
	"fmt"
	"math"

	"psld/autograd"
)

// TrainSteps is the number of diffusion times the schedule has.
const TrainSteps = 1000

// Betas returns the noise added at each diffusion time: "scaled_linear" (the
// CompVis code calls it "linear"), equal steps in sqrt(beta) from 0.00085 to
// 0.012.
func Betas() []float64 {
	lo, hi := math.Sqrt(0.00085), math.Sqrt(0.012)
	step := (hi - lo) / (TrainSteps - 1)
	betas := make([]float64, TrainSteps)
	for i := range betas {
		root := lo + step*float64(i)
		if i >= TrainSteps/2 { // from the upper end, as torch.linspace does
			root = hi - step*float64(TrainSteps-1-i)
		}
		betas[i] = root * root
	}
	return betas
}

// AlphasCumprod returns the share of signal in the variance at each diffusion
// time, the product of 1 - beta up to it. Formed in float64 and rounded.
func AlphasCumprod() []float32 {
	alphas := make([]float32, TrainSteps)
	prod := 1.0
	for i, b := range Betas() {
		prod *= 1 - b
		alphas[i] = float32(prod)
	}
	return alphas
}

// DDIM holds the numbers of a DDIM sampler, by step index in order of rising
// time; sampling runs from the last index to 0.
type DDIM struct {
	Timesteps         []int     // diffusion time that the UNet is given
	Alphas            []float32 // share of signal at the step
	AlphasPrev        []float32 // share of signal after the step
	SqrtOneMinusAlpha []float32
	Sigmas            []float32 // deviation of the fresh noise, all 0 for eta 0
}

// NewDDIM selects times for the given number of steps, 1 to TrainSteps; eta 0
// is deterministic DDIM, eta 1 is DDPM-like. It reproduces the reference
// (CompVis, PSLD):
//
//   - times are 1, 1+c, 1+2c, ... with c = 1000/steps rounded down, so that a
//     number that does not divide 1000 gives more steps than asked for (see Len);
//   - the alpha of time t has index t (time 0 is the first of the schedule), and
//     index t-1 where the times reach 1000;
//   - the last step ends at the schedule's first alpha, not at 1.
//
// With 251 to 333 or 501 to 999 steps the times reach 1000 too; the reference
// fails there, this function takes index t-1.
func NewDDIM(steps int, eta float64) (*DDIM, error) {
	if steps < 1 || steps > TrainSteps {
		return nil, fmt.Errorf("DDIM steps: %d, want 1 to %d", steps, TrainSteps)
	}
	if !(eta >= 0 && eta <= 1) {
		return nil, fmt.Errorf("DDIM eta: %v, want 0 to 1", eta)
	}
	var times []int
	stride := TrainSteps / steps
	for t := 0; t < TrainSteps; t += stride {
		times = append(times, t+1)
	}
	return newDDIM(times, eta), nil
}

// NewDDIMUntil spreads steps evenly over the times from 1 to the given share of the
// schedule, 0 < share <= 1: for a run that starts from a picture with that
// much noise. There are fewer steps where the share has fewer times.
func NewDDIMUntil(steps int, share, eta float64) (*DDIM, error) {
	if _, err := NewDDIM(steps, eta); err != nil {
		return nil, err
	}
	if !(share > 0 && share <= 1) {
		return nil, fmt.Errorf("share of the diffusion time: %v, want more than 0 and at most 1", share)
	}
	last := max(1, min(TrainSteps-1, int(math.Round(share*TrainSteps))))
	steps = min(steps, last)
	times := []int{last}
	if steps > 1 {
		times = times[:0]
		for i := range steps {
			times = append(times, 1+i*(last-1)/(steps-1))
		}
	}
	return newDDIM(times, eta), nil
}

// newDDIM fills in the numbers of rising times.
func newDDIM(times []int, eta float64) *DDIM {
	alphas := AlphasCumprod()
	d := &DDIM{Timesteps: times}
	shift := 0
	if times[len(times)-1] == TrainSteps {
		shift = 1
	}
	prev := alphas[0]
	for _, t := range times {
		a := alphas[t-shift]
		// As the reference: 1-a and its reciprocal in float32, the rest in float64.
		a64, p64 := float64(a), float64(prev)
		sigma := eta * math.Sqrt((1-p64)*float64(1/(1-a))*(1-a64/p64))
		d.Alphas = append(d.Alphas, a)
		d.AlphasPrev = append(d.AlphasPrev, prev)
		d.SqrtOneMinusAlpha = append(d.SqrtOneMinusAlpha, float32(math.Sqrt(float64(1-a))))
		d.Sigmas = append(d.Sigmas, float32(sigma))
		prev = a
	}
	return d
}

// Len returns the number of steps.
func (d *DDIM) Len() int { return len(d.Timesteps) }

// Z0 returns the clean latent that noise e in z at step i means, of their
// shape: (z - sqrt(1-a) e) / sqrt(a).
func (d *DDIM) Z0(g *autograd.Graph, z, e *autograd.Value, i int) *autograd.Value {
	return g.Scale(g.Sub(z, g.Scale(e, d.SqrtOneMinusAlpha[i])), float32(1/math.Sqrt(float64(d.Alphas[i]))))
}

// Step writes the latent after step i to dst:
//
//	sqrt(a_prev) z0 + sqrt(1 - a_prev - sigma^2) e + sigma noise
//
// for the clean latent z0 (see Z0), the predicted noise e and fresh standard
// normal noise, which may be nil where sigma is 0. dst may be any of them.
func (d *DDIM) Step(dst, z0, e, noise []float32, i int) {
	prev, sigma := d.AlphasPrev[i], d.Sigmas[i]
	keep := float32(math.Sqrt(float64(prev)))
	dir := float32(math.Sqrt(float64(1 - prev - sigma*sigma)))
	for j := range dst {
		v := keep*z0[j] + dir*e[j]
		if sigma != 0 {
			v += sigma * noise[j]
		}
		dst[j] = v
	}
}
