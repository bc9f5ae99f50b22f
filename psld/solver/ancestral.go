package solver

import (
	"context"
	"fmt"
	"math"
	"slices"

	"psld/autograd"
	"psld/psld/operator"
	"psld/psld/schedule"
	"psld/tensor"
)

// DDPM are the parameters of methods that go down the diffusion times by ancestral steps (Ho et al. 2020), as guided
// diffusion's code does: with the variance that the prior has learnt, else with that of the posterior.
type DDPM struct {
	Steps int  `json:"steps" range:"2..1000" default:"1000" help:"ancestral steps"`
	Clip  bool `json:"clip" default:"true" help:"clip the picture that the prior expects to [-1,1] in each step"`
	Equivariant
}

// Guide are the parameters of the gradient of pixel methods.
type Guide struct {
	// The published code has 0.5 for inpainting, else 0.3.
	Omega   float64 `json:"omega" range:"0.." default:"0.3" scale:"side" help:"weight of the measurement"`
	Squared bool    `json:"squared" help:"squared norms in place of norms; weights must then be much smaller"`
	Guidance
}

// loss is omega |A x - y|.
func (o *Guide) loss() func(e *Estimate) *autograd.Value {
	fit := &Fit{Omega: o.Omega, Squared: o.Squared}
	return fit.fit
}

// ancestral goes down by ancestral steps. A step may be followed by -gradient of a loss of the picture that the state
// before it stands for, and by a change of the picture that holds the noise of the schedule's index i.
type ancestral struct {
	r        *Run
	d        *schedule.DDPM
	clip     bool
	guidance Guidance
	loss     func(e *Estimate) *autograd.Value    // nil for none
	change   func(x []float32, step, i int) error // of a picture of shape A.In(), in place; nil for none
}

func newAncestral(r *Run, o DDPM) (*ancestral, error) {
	o.bind(r)
	d, err := r.Prior.Schedule().DDPM(o.Steps)
	return &ancestral{r: r, d: d, clip: o.Clip}, err
}

func (m *ancestral) Len() int { return m.d.Len() }

// Start is noise.
func (m *ancestral) Start(s *State) error {
	shape := m.r.Shape()
	s.Set("z", m.r.Noise("start", 0, tensor.Len(shape)), shape...)
	s.Vars["z0"] = s.Vars["z"]
	return nil
}

func (m *ancestral) Step(_ context.Context, s *State) (Report, error) {
	i, g := m.d.Len()-1-s.Step, m.r.Graph()
	if m.loss == nil {
		g = m.r.NoGrad()
	}
	defer g.Release()
	zt := m.guidance.enter(g, s.Vars["z"])
	eps, v := m.r.EpsVariance(g, zt, float32(m.d.Timesteps[i]))
	a := m.d.Alphas[i]
	z0 := g.Scale(g.Sub(zt, g.Scale(eps, float32(math.Sqrt(1-a)))), float32(1/math.Sqrt(a)))
	if m.clip {
		z0 = g.Clamp(z0, -1, 1)
	}
	leaf, from := m.guidance.leaf(g, zt, z0)
	e := &Estimate{Run: m.r, G: g, Step: s.Step, Z0: from, X: m.r.Decode(g, from), Y: m.r.measurement(g)}
	e.Report.At = fmt.Sprintf("t=%d", m.d.Timesteps[i])
	e.AX = operator.Lower(g, m.r.Crop(g, e.X), m.r.A)

	u := autograd.NoGrad(g.Device()) // of the update, apart from the loss
	defer u.Release()
	next := m.step(u, zt, z0, v, s.Step, i)
	m.r.inner(&e.Report, "sample", next.T)
	s.Take("z0", g, z0)
	if m.loss != nil {
		e.Report.Loss = m.r.Backward(g, m.loss(e))
		next = u.Sub(next, m.guidance.of(u, leaf.Grad(), s.Vars["z"], m.d.AlphasPrev[i]))
	} else {
		e.Report.Measurement = g.Norm2(g.Sub(e.AX, e.Y)).Item()
		e.Report.Loss = e.Report.Measurement
	}
	if m.change == nil {
		s.Take("z", u, next)
		return e.Report, nil
	}
	changed := slices.Clone(next.Host())
	if err := m.inPicture(changed, func(x []float32) error { return m.change(x, s.Step, i) }); err != nil {
		return e.Report, err
	}
	s.Set("z", changed, next.T.Shape...)
	return e.Report, nil
}

// step is the mean of the state before x, plus noise of the variance that share tells, which may be nil.
func (m *ancestral) step(u *autograd.Graph, x, x0, share *autograd.Value, step, i int) *autograd.Value {
	mean := m.d.Mean(u, u.Const(x0.T), u.Const(x.T), i)
	if i == 0 {
		return mean
	}
	if share != nil {
		share = u.Const(share.T)
	}
	return u.Add(mean, m.d.Noise(u, m.r.fresh(u, "ddpm", step, x.T.Shape), share, i))
}

// inPicture lets f change the picture's part of a padded state of pixels.
func (m *ancestral) inPicture(state []float32, f func(x []float32) error) error {
	in := m.r.A.In()
	x, row := make([]float32, 0, in.Len()), m.r.W*in.C
	for y := range in.H {
		x = append(x, state[y*row:y*row+in.W*in.C]...)
	}
	if err := f(x); err != nil {
		return err
	}
	for y := range in.H {
		copy(state[y*row:], x[y*in.W*in.C:(y+1)*in.W*in.C])
	}
	return nil
}

// Picture is the state, or where the run is cut short the picture that its last step expected.
func (m *ancestral) Picture(s *State) ([]float32, error) {
	if s.Step < s.Steps {
		return m.r.DecodePicture(s.Vars["z0"]), nil
	}
	return m.r.DecodePicture(s.Vars["z"]), nil
}
