package solver

import (
	"errors"
	"fmt"

	"psld/autograd"
	"psld/psld/operator"
)

// PSLD is posterior sampling with latent diffusion (Rout et al. 2023, algorithm 2): DDIM steps, each followed by
// z -= gradient of
//
//	omega |A D(z0) - y| + gamma |E(x + B (y - A x)) - z0|,  x = D(z0)
//
// with respect to the state before the step. B glues a picture to its measurement; see [BackProjection].
type PSLD struct {
	DDIM
	Fit
	Gluing
	Back string `json:"back" choices:"adjoint|pinv|reference" default:"adjoint" help:"how PSLD glues"`
}

// Bind implements [Method].
func (o *PSLD) Bind(r *Run) (Stepper, error) {
	if err := o.Gluing.check(r); err != nil {
		return nil, err
	}
	var back operator.Linear
	if o.Gamma > 0 {
		var err error
		if back, err = BackProjection(o.Back, r.A); err != nil {
			return nil, err
		}
	}
	return GuidedDDIM(r, o.DDIM, o.Guidance, func(e *Estimate) *autograd.Value {
		loss := o.fit(e)
		if o.due(e.Step) {
			x := e.G.Add(e.X, e.Pad(e.G, operator.Lower(e.G, e.G.Sub(e.Y, e.AX), back)))
			loss = e.G.Add(loss, o.glue(e, x, &o.Fit))
		}
		return loss
	})
}

// BackProjection is the map B of the gluing x + B (y - A x):
//
//	"adjoint"    A', as the paper has it
//	"pinv"       (A'A + 0.01)^-1 A', which agrees with the measurement up to its noise
//	"reference"  what the published code uses: the identity, or nearest enlargement
func BackProjection(name string, a operator.Linear) (operator.Linear, error) {
	if isNil(a) {
		return nil, errors.New("a is nil, want an operator")
	}
	switch name {
	case "adjoint":
		return operator.Transposed(a), nil
	case "pinv":
		return operator.NewPseudoInverse(a, 0.01, 20)
	case "reference":
		return operator.PublishedTranspose(a), nil
	}
	return nil, fmt.Errorf("unknown back-projection %q, want adjoint, pinv or reference", name)
}
