package prior

import (
	"psld/autograd"
	"psld/tensor"
)

// Variances is implemented by priors that may have learnt the variance of ancestral steps (Nichol and Dhariwal 2021).
type Variances interface {
	// EpsVariance is Eps, and v of its shape, which tells where between that of the posterior (-1) and that of the step
	// (1) the logarithm of the variance lies. v is nil where it was not learnt.
	EpsVariance(g *autograd.Graph, z *autograd.Value, t float32, context *tensor.Tensor) (eps, v *autograd.Value)
}

// EpsVarianceOf is Eps of p without a prompt, and the variance that it has learnt, nil for none.
func EpsVarianceOf(g *autograd.Graph, p Prior, z *autograd.Value, t float32) (eps, v *autograd.Value) {
	if l, ok := p.(Variances); ok {
		return l.EpsVariance(g, z, t, p.Unconditional())
	}
	return p.Eps(g, z, t, p.Unconditional()), nil
}
