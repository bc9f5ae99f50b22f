package solver

import "fmt"

// TReg is regularisation by text of Kim et al. (2025): DDIM steps, of which every FitEvery-th one, down to the share
// FitUntil of the diffusion time, goes from the clean latents z0 to
//
//	c  = a' E(x) + (1 - a') z0,  x = argmin |A x - y|^2 + rho |x - D(z0)|^2,  rho = Lambda sigma^2 / (1 - a)
//	z' = sqrt(a') c + (1 - a') e + sqrt((1 - a') a') n
//
// for the shares of signal a now and a' after the step, the noise e that the network saw, and fresh noise n. The text
// is the prompt of the run; the published code also tunes the negative one by CLIP, and stops conjugate gradients of
// rho 1e-4 after 5 steps, which comes to a fit of a larger rho.
type TReg struct {
	DDIM
	FitEvery int     `json:"fit_every" range:"1..1000" default:"3" help:"steps from fit to fit"`
	FitUntil float64 `json:"fit_until" range:"0..1" default:"0.15" help:"share of diffusion time at which fits end"`
	Lambda   float64 `json:"lambda" range:">0.." default:"1" help:"weight of the prior against the measurement"`
	// A quarter of the work each; the model must know pictures of that size.
	Half float64 `json:"half" range:"0..1" help:"share of the steps, the first ones, at half the resolution"`
}

// Bind implements [Method].
func (o *TReg) Bind(r *Run) (Stepper, error) {
	d, err := o.Schedule(r)
	if err != nil {
		return nil, err
	}
	n := d.Len()
	until := o.FitUntil * float64(len(r.Prior.Schedule().AlphasCumprod))
	if k := 2 * r.Prior.Multiple(); o.Half > 0 && (r.H%k != 0 || r.W%k != 0) {
		return nil, fmt.Errorf("half %g needs a picture whose sides are multiples of %d, or a little less, "+
			"this one has %dx%d", o.Half, k, r.A.In().W, r.A.In().H)
	}
	hops := make([]hop, n)
	for i := range hops {
		k := n - 1 - i // of the schedule, which rises
		a, prev, fresh := float64(d.Alphas[k]), float64(d.AlphasPrev[k]), float64(d.Sigmas[k])
		hops[i] = hop{level: level(a), zeta: fresh * fresh / (1 - prev), seen: true}
		if float64(i) < o.Half*float64(n) && i < n-1 {
			hops[i].coarse = 1
		}
		if i%max(1, o.FitEvery) == 0 && float64(d.Timesteps[k]) > until {
			hops[i].rho, hops[i].blend, hops[i].zeta = o.Lambda*r.variance()/(1-a), prev, prev
		}
	}
	return newProximal(r, "treg", hops)
}
