package schedule

import (
	"fmt"
	"math"

	"psld/autograd"
)

// DDIM holds the numbers of a DDIM sampler, by step index in order of rising
// time; sampling runs from the last index to 0.
type DDIM struct {
	Timesteps         []int     // diffusion time that the UNet is given
	Alphas            []float32 // share of signal at the step
	AlphasPrev        []float32 // share of signal after the step
	SqrtOneMinusAlpha []float32
	Sigmas            []float32 // deviation of the fresh noise, all 0 for eta 0
}

// DDIM selects times for the given number of steps, 1 to the number of times;
// eta 0 is deterministic DDIM, eta 1 is DDPM-like. It reproduces the reference
// (CompVis, PSLD), here for 1000 times:
//
//   - times are 1, 1+c, 1+2c, ... with c = 1000/steps rounded down, so that a
//     number that does not divide 1000 gives more steps than asked for (see Len);
//   - the alpha of time t has index t (time 0 is the first of the schedule), and
//     index t-1 where the times reach 1000;
//   - the last step ends at the schedule's first alpha, not at 1.
//
// With 251 to 333 or 501 to 999 steps the times reach 1000 too; the reference
// fails there, this function takes index t-1.
func (n Noise) DDIM(steps int, eta float64) (*DDIM, error) {
	if err := n.checkDDIM(steps, eta); err != nil {
		return nil, err
	}
	var times []int
	stride := n.times() / steps
	for t := 0; t < n.times(); t += stride {
		times = append(times, t+1)
	}
	return n.newDDIM(times, eta), nil
}

// DDIMUntil spreads steps evenly over the times from 1 to the given share of the
// schedule, 0 < share <= 1: for a run that starts from a picture with that
// much noise. There are fewer steps where the share has fewer times.
func (n Noise) DDIMUntil(steps int, share, eta float64) (*DDIM, error) {
	if err := n.checkDDIM(steps, eta); err != nil {
		return nil, err
	}
	if !(share > 0 && share <= 1) {
		return nil, fmt.Errorf("share of the diffusion time: %v, want more than 0 and at most 1", share)
	}
	last := max(1, min(n.times()-1, int(math.Round(share*float64(n.times())))))
	steps = min(steps, last)
	times := []int{last}
	if steps > 1 {
		times = times[:0]
		for i := range steps {
			times = append(times, 1+i*(last-1)/(steps-1))
		}
	}
	return n.newDDIM(times, eta), nil
}

func (n Noise) checkDDIM(steps int, eta float64) error {
	if err := n.Check(); err != nil {
		return err
	}
	if steps < 1 || steps > n.times() {
		return fmt.Errorf("DDIM steps: %d, want 1 to %d", steps, n.times())
	}
	if !(eta >= 0 && eta <= 1) {
		return fmt.Errorf("DDIM eta: %v, want 0 to 1", eta)
	}
	return nil
}

// newDDIM fills in the numbers of rising times.
func (n Noise) newDDIM(times []int, eta float64) *DDIM {
	alphas := n.AlphasCumprod
	d := &DDIM{Timesteps: times}
	shift := 0
	if times[len(times)-1] == n.times() {
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

// Step returns the latent after step i:
//
//	sqrt(a_prev) z0 + sqrt(1 - a_prev - sigma^2) e + sigma noise
//
// for the clean latent z0 (see Z0), the predicted noise e and fresh standard normal noise, which may be nil where
// sigma is 0.
func (d *DDIM) Step(g *autograd.Graph, z0, e, noise *autograd.Value, i int) *autograd.Value {
	prev, sigma := d.AlphasPrev[i], d.Sigmas[i]
	next := g.Add(g.Scale(z0, float32(math.Sqrt(float64(prev)))),
		g.Scale(e, float32(math.Sqrt(float64(1-prev-sigma*sigma)))))
	if sigma != 0 {
		next = g.Add(next, g.Scale(noise, sigma))
	}
	return next
}
