package solver

import (
	"math"

	"psld/psld/operator"
	"psld/psld/schedule"
)

// ScoreSDE is the conditional sampling of Song et al. 2021 ("Score-based generative modeling through stochastic
// differential equations", section 5) for a linear measurement, as the tables of DPS and PSLD have it: an ancestral
// step without a measurement, then a projection onto a measurement that has as much noise as the state,
//
//	y_t = sqrt(a) y + sqrt(1-a) A e
//	x   = argmin |A x - y_t|^2 + ridge |x - x'|^2
//
// which for ridge to 0 is x' + A^+ (y_t - A x'). a is the share of signal after the step; e is noise of the picture's
// size. It needs no gradient, but Proximal.
type ScoreSDE struct {
	DDPM
	Projection
}

// Bind implements [Method].
func (o *ScoreSDE) Bind(r *Run) (Stepper, error) {
	m, err := newAncestral(r, o.DDPM)
	if err != nil {
		return nil, err
	}
	m.change = o.onto(r, m.d)
	return m, nil
}

// Projection are the parameters of the projection onto the measurement.
type Projection struct {
	Ridge float64 `json:"ridge" range:">0.." default:"0.01" help:"weight of the state against the measurement"`
	// The published code (DPS, measurements.py) has y_t of the time before the step, with noise of the measurement's
	// size, and with T for A' (see operator.PublishedTranspose):
	//
	//	x = y_t - T A y_t - A x'       where A keeps the size: arguments swapped, sign wrong
	//	x = x' - T A x' + T y_t        for super-resolution
	Published bool `json:"published" help:"as the published code computes it, its mistakes included"`
}

// onto is the change of a state after the step of index i.
func (o *Projection) onto(r *Run, d *schedule.DDPM) func(x []float32, step, i int) error {
	if o.Published {
		return o.published(r, d)
	}
	prox := operator.ProxOf(r.A)
	return func(x []float32, step, i int) error {
		a := d.AlphasPrev[i]
		y, e := make([]float32, len(r.Y)), r.Noise("projection", step, len(x))
		r.A.Apply(y, e)
		mix(y, r.Y, y, a)
		from := append([]float32(nil), x...)
		return prox.Prox(r.context(), x, from, y, o.Ridge)
	}
}

func (o *Projection) published(r *Run, d *schedule.DDPM) func(x []float32, step, i int) error {
	back := operator.PublishedTranspose(r.A)
	return func(x []float32, step, i int) error {
		y, ax, t := make([]float32, len(r.Y)), make([]float32, len(r.Y)), make([]float32, len(x))
		mix(y, r.Y, r.Noise("projection", step, len(y)), d.Alphas[i])
		r.A.Apply(ax, x)
		if r.A.In() != r.A.Out() {
			for k, v := range ax {
				ax[k] = y[k] - v
			}
			back.Apply(t, ax)
			for k, v := range t {
				x[k] += v
			}
			return nil
		}
		r.A.Apply(t, y)
		for k := range x {
			x[k] = y[k] - t[k] - ax[k]
		}
		return nil
	}
}

// mix is dst = sqrt(a) x + sqrt(1-a) noise.
func mix(dst, x, noise []float32, a float64) {
	signal, rest := float32(math.Sqrt(a)), float32(math.Sqrt(1-a))
	for k := range dst {
		dst[k] = signal*x[k] + rest*noise[k]
	}
}
