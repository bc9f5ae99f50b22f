package solver

import (
	"math"

	"psld/psld/schedule"
)

// DPM goes down few levels of noise by the second-order steps of DPM-Solver++(2M) (Lu et al. 2022), and fits the
// picture to the measurement in the first of them. At levels s from that of the share Strength of the diffusion time
// to To, even in the cube root, with z0 the clean state that the prior expects of the state z + s e,
//
//	c  = E(x) in the first Fits steps, else z0,  x = argmin |A x - y|^2 / 2 + rho |x - D(z0)|^2 / 2
//	c' = c + h/2g (c - the c before)             h = ln(s / s'), g the same of the step before
//	z' = c' + s'/s (state - c')
//
// with rho = Lambda sigma^2 / (1 - a), a the share of signal. No noise is added after the start: what was drawn there
// becomes the texture of the picture. The last step ends in a fit, at a level so low that what the prior expects is
// sharp.
type DPM struct {
	Steps    int     `json:"steps" range:"1..1000" default:"8" help:"levels of noise"`
	Fits     int     `json:"fits" range:"0..1000" default:"4" help:"first steps that fit; the last one does in any case"`
	Strength float64 `json:"strength" range:">0..1" default:"1" help:"share of diffusion time; 1 starts from noise"`
	To       float64 `json:"to" range:">0.." default:"0.05" help:"noise of the last step"`
	Lambda   float64 `json:"lambda" range:">0.." default:"1" help:"weight of the prior against the measurement"`
}

// Bind implements [Method].
func (o *DPM) Bind(r *Run) (Stepper, error) {
	from, to := o.levels(r.Prior.Schedule())
	hops := make([]hop, o.Steps)
	for i := range hops {
		share := float64(i) / float64(max(1, o.Steps-1))
		s := math.Pow(math.Cbrt(from)+share*(math.Cbrt(to)-math.Cbrt(from)), 3)
		hops[i] = hop{level: s}
		if i < o.Fits || i == o.Steps-1 {
			hops[i].rho, hops[i].blend = o.Lambda*r.variance()/(1-signal(s)), 1
		}
	}
	m, err := newProximal(r, "dpm", hops)
	if err == nil {
		m.second = true
	}
	return m, err
}

// levels are the noise of the first step and of the last one.
func (o *DPM) levels(n schedule.Noise) (from, to float64) {
	return n.Sigma(timeOf(n, o.Strength)), max(o.To, n.Sigma(0))
}
