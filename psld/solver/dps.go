package solver

// DPS is diffusion posterior sampling (Chung et al. 2023, "Diffusion posterior sampling for general noisy inverse
// problems", algorithm 1) on a pixel prior: ancestral steps, each followed by
//
//	x -= gradient of omega |A x0 - y|
//
// with respect to the state before the step, through the prior; x0 is the clean picture that the prior expects of that
// state, clipped to [-1,1] as in the published code. Both codes take the norm where the paper writes its square
// (Squared): the length of the gradient then does not fall with the residual. It is LDPS on the state of a pixel prior
// with DDPM in place of DDIM steps, and needs a gradient through the prior, but neither Proximal nor SVD.
type DPS struct {
	DDPM
	Guide
}

// Bind implements [Method].
func (o *DPS) Bind(r *Run) (Stepper, error) {
	m, err := newAncestral(r, o.DDPM)
	if err != nil {
		return nil, err
	}
	m.loss, m.guidance = o.loss(), o.Guidance
	return m, nil
}
