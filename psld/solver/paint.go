package solver

import (
	"fmt"

	"psld/psld/operator"
	"psld/psld/prior"
)

// paints tells whether a prior has to be shown the known part of the picture.
func paints(m prior.Prior) bool {
	p, ok := m.(prior.Painter)
	return ok && p.Paints()
}

// refusePainter is a [*Refused] for a damage of which an inpainting model cannot be shown what is known.
func refusePainter(m prior.Prior, a operator.Linear) error {
	if !paints(m) || operator.MaskOf(a) != nil {
		return nil
	}
	return &Refused{fmt.Sprintf("the model %q paints holes (its UNet takes a mask and the picture around it), and this "+
		"damage is none: take task inpaint, inpaint-box or inpaint-random, or a model that is not made for inpainting",
		m.Info().Name)}
}

// show gives a model that paints the measurement, padded with what is to be painted.
func show(m prior.Prior, p Problem) (prior.Prior, error) {
	if !paints(m) {
		return m, nil
	}
	in, k, known := p.A.In(), m.Multiple(), operator.MaskOf(p.A)
	h, w := (in.H+k-1)/k*k, (in.W+k-1)/k*k
	x, keep := make([]float32, 3*h*w), make([]bool, h*w)
	for y := range in.H {
		copy(x[3*y*w:], p.Y[3*y*in.W:3*(y+1)*in.W])
		copy(keep[y*w:], known[y*in.W:(y+1)*in.W])
	}
	return m.(prior.Painter).Show(x, keep, h, w)
}
