package solver

// DiffPIR is denoising diffusion for plug-and-play restoration (Zhu et al. 2023): half-quadratic splitting whose
// denoiser is the prior, without a gradient through its networks. From the state x + s e, of noise s beside the
// picture, each step
//
//	denoises      x0 = D(state, s)
//	fits          x  = argmin |A x - y|^2 + rho |x - x0|^2,  rho = Lambda sigma^2 / s^2
//	adds noise    state = x + s' (sqrt(1-Zeta) (state - x)/s + sqrt(Zeta) n)
//
// with s falling geometrically from From to To; sigma is the measurement's noise. The result is the last x. On a
// latent prior a picture is decoded before the fit and encoded behind it; a step between two fits (FitEvery) does
// neither. Fits are exact where the operator has a closed form ([operator.ProxOf]).
//
// With Coarse k all of that is done for states of 1/2^k of the sides first, then from Refine to To for those of twice
// the sides, which begin from that picture, and so on: large holes are composed where they are small.
type DiffPIR struct {
	Steps int `json:"steps" range:"1..1000" default:"20" help:"evaluations of the denoiser, at each resolution"`
	// From 0 is the noise of the measurement, which the start picture has already.
	From   float64 `json:"from" range:"0.." default:"1" help:"noise of the first step; 0 is that of the measurement"`
	To     float64 `json:"to" range:"0.." default:"0.02" help:"noise of the last step; 0 is that of the measurement"`
	Lambda float64 `json:"lambda" range:">0.." default:"1" help:"weight of the prior against the measurement"`
	// Zeta 0 gives one estimate, more gives a sample.
	Zeta     float64 `json:"zeta" range:"0..1" default:"0.3" help:"share of fresh noise in each step"`
	FitEvery int     `json:"fit_every" range:"1..1000" default:"1" help:"steps from fit to fit"`
	// SNoise more than 1 makes the network take noise that it is not told of for detail: sharper pictures, and more
	// error. Less than 1 makes it take detail out with the noise: smoother ones, and less error (S_noise of Karras et
	// al. 2022).
	SNoise float64 `json:"s_noise" range:">0..2" default:"1" help:"noise that is added over what the network is told"`
	Blend  float64 `json:"blend" range:">0..1" default:"1" help:"share of the fit, against the denoised state"`
	// What the network sees at once covers twice as much of the picture at each coarser resolution.
	Coarse int     `json:"coarse" range:"0..4" help:"coarser resolutions, each of half the sides, that come first"`
	Refine float64 `json:"refine" range:"0.." default:"1" help:"noise of the first step at each finer resolution"`
	Equivariant
}

// Bind implements [Method].
func (o *DiffPIR) Bind(r *Run) (Stepper, error) {
	o.bind(r)
	from, to := o.span(r.deviation())
	if o.Coarse > 0 {
		r.pad(r.Prior.Multiple() << o.Coarse)
	}
	var hops []hop
	for coarse := o.Coarse; coarse >= 0; coarse-- {
		for i, s := range levels(r.Prior.Schedule(), from, to, o.Steps) {
			h := hop{level: s, zeta: o.Zeta, coarse: coarse}
			if (o.Steps-1-i)%max(1, o.FitEvery) == 0 { // the last step has one
				h.rho, h.blend = o.Lambda*r.variance()/(s*s), o.Blend
			}
			hops = append(hops, h)
		}
		from = o.Refine
	}
	m, err := newProximal(r, "diffpir", hops)
	if err == nil {
		m.cold, m.clip, m.excess = o.From == 0, false, o.SNoise
	}
	return m, err
}

// span is the noise of the first step and of the last one, of which 0 stands for the measurement's.
func (o *DiffPIR) span(deviation float64) (from, to float64) {
	if from, to = o.From, o.To; from == 0 {
		from = deviation
	}
	if to == 0 {
		to = deviation
	}
	return from, to
}
