package solver

// DCDP decouples data consistency and diffusion purification (Li et al. 2024, "Decoupled data consistency with
// diffusion purification for image restoration"): each round fits the picture to the measurement, encodes it, adds
// noise, less from round to round, and takes that out by Steps DDIM steps, after the last of which the next round
// fits. The noise of round k of K is that of the share Strength (1 - k/K) of the diffusion time. The fit is one exact
// proximal step, of rho = Lambda sigma^2 / (1 - a) for the round's share of signal a, in place of a number of gradient
// steps, which come to about that.
type DCDP struct {
	Rounds   int     `json:"rounds" range:"1..1000" default:"6" help:"times that the picture is fitted and purified"`
	Steps    int     `json:"steps" range:"1..1000" default:"4" help:"DDIM steps of a round"`
	Strength float64 `json:"strength" range:">0..1" default:"0.7" help:"share of diffusion time of the first round"`
	Lambda   float64 `json:"lambda" range:">0.." default:"1" help:"weight of the prior against the measurement"`
}

// Bind implements [Method].
func (o *DCDP) Bind(r *Run) (Stepper, error) {
	n := r.Prior.Schedule()
	var hops []hop
	for k := range o.Rounds {
		top := n.Sigma(timeOf(n, o.Strength*(1-float64(k)/float64(o.Rounds))))
		for i := range o.Steps {
			s := n.Sigma(n.Time(top) * (1 - float64(i)/float64(o.Steps)))
			h := hop{level: s, seen: true}
			if i == o.Steps-1 && k < o.Rounds-1 {
				h.rho, h.blend, h.zeta = o.Lambda*r.variance()/(1-signal(top)), 1, 1
			}
			hops = append(hops, h)
		}
	}
	return newProximal(r, "dcdp", hops)
}
