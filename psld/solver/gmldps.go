package solver

import (
	"errors"

	"psld/autograd"
	"psld/tensor"
)

// GMLDPS is GML-DPS (Rout et al. 2023): LDPS with one more term, that the clean state be one that the autoencoder
// leaves as it is:
//
//	omega |A D(z0) - y| + gamma |E(D(z0)) - z0|
type GMLDPS struct {
	DDIM
	Fit
	Gluing
}

// Bind implements [Method].
func (o *GMLDPS) Bind(r *Run) (Stepper, error) {
	if err := o.Gluing.check(r); err != nil {
		return nil, err
	}
	return GuidedDDIM(r, o.DDIM, o.Guidance, func(e *Estimate) *autograd.Value {
		loss := o.fit(e)
		if o.due(e.Step) {
			loss = e.G.Add(loss, o.glue(e, e.X, &o.Fit))
		}
		return loss
	})
}

// Gluing are the parameters of the term that encodes a picture and wants the clean state back.
type Gluing struct {
	Gamma float64 `json:"gamma" range:"0.." default:"0.1" scale:"side" help:"weight of the gluing"`
	// A gluing is as many times as strong. The steps between need no encoder, a quarter of the work.
	GluingEvery int `json:"gluing_every" range:"1..1000" default:"1" help:"steps from gluing to gluing"`
	// The published code does.
	SampleEncoder bool `json:"sample_encoder" help:"draw from the encoder's posterior in place of its mean"`
}

func (o *Gluing) check(r *Run) error {
	if o.Gamma > 0 && !r.CanEncode() {
		return errors.New("the light autoencoder has no encoder, which a gamma above 0 needs")
	}
	return nil
}

// due tells whether a step, counted from 0, has the term.
func (o *Gluing) due(step int) bool { return o.Gamma > 0 && step%o.GluingEvery == 0 }

// glue is gamma |E(x) - z0| for a padded picture x.
func (o *Gluing) glue(e *Estimate, x *autograd.Value, norms *Fit) *autograd.Value {
	var eps *tensor.Tensor
	if o.SampleEncoder {
		eps = tensor.From(e.Noise("encoder", e.Step, e.Z0.T.Len()), e.Z0.T.Shape...)
	}
	n, value := norms.norm(e.G, e.G.Sub(e.Encode(e.G, x, eps), e.Z0))
	e.Report.Terms = append(e.Report.Terms, Term{"gluing", value})
	return e.G.Scale(n, float32(o.Gamma*float64(o.GluingEvery)))
}
