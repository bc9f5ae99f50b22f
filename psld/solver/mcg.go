package solver

// MCG is the manifold constrained gradient (Chung et al. 2022, "Improving diffusion models for inverse problems using
// manifold constraints", algorithm 1): the step of [DPS], then the projection of [ScoreSDE] onto the noisy
// measurement. It needs a gradient through the prior and Proximal. Its projection puts all of the measurement's noise
// into the picture.
type MCG struct {
	DDPM
	Guide
	Projection
}

// Bind implements [Method].
func (o *MCG) Bind(r *Run) (Stepper, error) {
	m, err := newAncestral(r, o.DDPM)
	if err != nil {
		return nil, err
	}
	m.loss, m.guidance, m.change = o.loss(), o.Guidance, o.onto(r, m.d)
	return m, nil
}
