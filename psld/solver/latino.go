package solver

import "psld/psld/schedule"

// LATINO is the loop of Spagnoletti et al. (2025, "LATINO-PRO: latent consistency inverse solver with prompt
// optimization"), without the optimisation of the prompt: at the times of a latent consistency model, each hop fits
// the picture that the prior expects to the measurement by one exact proximal step of
//
//	rho = Lambda sigma^2 / (1 - a),  a the share of signal
//
// encodes it, and adds wholly fresh noise of the next time. Their delta is 1/Lambda, which they let depend on task,
// time and size of the picture. It wants the weights of a consistency model, or such a LoRA merged into those of
// Stable Diffusion: other models expect something grey at the first times, and need a Strength below 1 or more steps.
// It starts from the rough picture, or a regularised inverse, in place of A'y. Its samples spread less than the
// posterior: see docs/closed-form.md.
type LATINO struct {
	Steps int `json:"steps" range:"1..50" default:"8" help:"times of a consistency model; a short strength has fewer"`
	// Below 1 the run leaves the first times out.
	Strength float64 `json:"strength" range:">0..1" default:"1" help:"share of diffusion time; 1 starts from noise"`
	Lambda   float64 `json:"lambda" range:">0.." default:"1" help:"weight of the prior against the measurement"`
}

// Bind implements [Method].
func (o *LATINO) Bind(r *Run) (Stepper, error) {
	lcm, err := r.Prior.Schedule().Sampler("lcm", o.Steps, schedule.SamplerOptions{})
	if err != nil {
		return nil, err
	}
	first, err := schedule.StartStep(o.Steps, o.Strength)
	if err != nil {
		return nil, err
	}
	var hops []hop
	for i := first; i < o.Steps; i++ {
		s := r.level(int(lcm.Time(i)))
		hops = append(hops, hop{level: s, rho: o.Lambda * r.variance() / (1 - signal(s)), blend: 1, zeta: 1})
	}
	return newProximal(r, "latino", hops)
}
