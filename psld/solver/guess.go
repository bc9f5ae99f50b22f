package solver

// Guess is Guess & Guide (2026, arXiv 2603.07860), whose authors tell the idea but neither numbers nor code. It
// guesses: at the one noise level of the share Strength of the diffusion time, Guesses times, the picture that the
// prior expects is fitted to the measurement, encoded, and given fresh noise of the same level. Then it guides: down
// from there by Steps even times, of which every FitEvery-th does the same and the others are DDIM steps. The fit is
// one exact proximal step of rho = Lambda sigma^2 / (1 - a), a the share of signal, in place of gradient descent.
type Guess struct {
	Guesses  int     `json:"guesses" range:"0..1000" default:"4" help:"fits at the first noise level"`
	Steps    int     `json:"steps" range:"1..1000" default:"12" help:"steps down from there"`
	FitEvery int     `json:"fit_every" range:"1..1000" default:"3" help:"steps from fit to fit"`
	Strength float64 `json:"strength" range:">0..1" default:"0.5" help:"share of diffusion time of the guesses"`
	Lambda   float64 `json:"lambda" range:">0.." default:"1" help:"weight of the prior against the measurement"`
}

// Bind implements [Method].
func (o *Guess) Bind(r *Run) (Stepper, error) {
	n := r.Prior.Schedule()
	top := timeOf(n, o.Strength)
	var hops []hop
	for i := range o.Guesses + o.Steps {
		down := max(0, i-o.Guesses)
		s := n.Sigma(top * (1 - float64(down)/float64(o.Steps)))
		h := hop{level: s, seen: true}
		if i < o.Guesses || down%max(1, o.FitEvery) == 0 {
			h.rho, h.blend, h.zeta = o.Lambda*r.variance()/(1-signal(s)), 1, 1
		}
		hops = append(hops, h)
	}
	return newProximal(r, "guess", hops)
}
