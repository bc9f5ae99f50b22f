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

// DDIM are the parameters of methods that go down the diffusion times as DDIM does.
type DDIM struct {
	Steps int     `json:"steps" range:"1..1000" default:"200" help:"DDIM steps; a short strength has fewer"`
	Eta   float64 `json:"eta" range:"0..1" help:"share of fresh noise in each step"`
	// Below 1 the run starts from a rough restoration ("come closer, diffuse faster", Chung et al. 2022).
	Strength float64 `json:"strength" range:">0..1" default:"1" help:"share of diffusion time; 1 starts from noise"`
	// FromDiffPIR: a run of package psld then starts from what DiffPIR makes on the embedded pixel model, in place of
	// the task's rough restoration. One of this package has its [Options].Start.
	FromDiffPIR bool `json:"from_diffpir" help:"start a strength below 1 from the picture of method diffpir"`
}

// Schedule is the times of the run. With a picture to start from all steps lie in the share Strength of the diffusion
// time; without one Strength has no effect.
func (o DDIM) Schedule(r *Run) (*schedule.DDIM, error) {
	if r.Start == nil {
		return r.Prior.Schedule().DDIM(o.Steps, o.Eta)
	}
	return r.Prior.Schedule().DDIMUntil(o.Steps, o.Strength, o.Eta)
}

// Estimate is what a loss is made of: step Step of a run in the graph G.
type Estimate struct {
	*Run
	G    *autograd.Graph
	Step int             // counted from 0
	Z0   *autograd.Value // the clean state that the prior expects
	X    *autograd.Value // the picture that it stands for, padded: [1,H,W,3]
	AX   *autograd.Value // A of the picture, of shape A.Out()
	Y    *autograd.Value // the measurement
	// Report goes to the caller; a loss sets its Measurement and Terms.
	Report Report
}

// GuidedDDIM steps down the diffusion times by DDIM, and from each state z subtracts the gradient, with respect to
// the one before, of a loss of the picture that z stands for (Chung et al. 2023): through UNet, decoder and whatever
// the loss takes, or what guidance makes of that.
func GuidedDDIM(r *Run, o DDIM, guidance Guidance, loss func(e *Estimate) *autograd.Value) (Stepper, error) {
	d, err := o.Schedule(r)
	return &guidedDDIM{r: r, d: d, guidance: guidance, loss: loss}, err
}

type guidedDDIM struct {
	r        *Run
	d        *schedule.DDIM
	guidance Guidance
	loss     func(e *Estimate) *autograd.Value

	// After so many steps Run.seen is the picture of the clean state, which a step decodes in any case: who stops a run
	// on a large picture need not wait for it. 0 for never.
	after int
}

func (m *guidedDDIM) Len() int { return m.d.Len() }

// Start is noise, or the start picture's state with as much noise as the first step expects.
func (m *guidedDDIM) Start(s *State) error {
	shape := m.r.Shape()
	z := slices.Clone(m.r.Noise("start", 0, tensor.Len(shape)))
	if m.r.Start != nil {
		a := float64(m.d.Alphas[m.d.Len()-1])
		signal, noise := float32(math.Sqrt(a)), float32(math.Sqrt(1-a))
		for i, v := range m.r.EncodePicture(m.r.Start) {
			z[i] = signal*v + noise*z[i]
		}
	}
	s.Set("z", z, shape...)
	s.Vars["z0"] = s.Vars["z"]
	return nil
}

func (m *guidedDDIM) Step(_ context.Context, s *State) (Report, error) {
	i, g := m.d.Len()-1-s.Step, m.r.Graph()
	defer g.Release()
	zt := m.guidance.enter(g, s.Vars["z"])
	eps := m.r.Eps(g, zt, float32(m.d.Timesteps[i]))
	z0 := m.d.Z0(g, zt, eps, i)
	leaf, from := m.guidance.leaf(g, zt, z0)
	e := &Estimate{Run: m.r, G: g, Step: s.Step, Z0: from}
	e.Report.At = fmt.Sprintf("t=%d", m.d.Timesteps[i])
	e.X = m.r.Decode(g, e.Z0)
	x := m.r.Crop(g, e.X)
	e.AX = operator.Lower(g, x, m.r.A)
	e.Y = m.r.measurement(g)
	loss := m.loss(e)

	u := autograd.NoGrad(g.Device()) // of the update, apart from the loss
	defer u.Release()
	var seen *autograd.Value
	if from == z0 && !m.r.o.LightCodec {
		seen = u.Scale(u.Const(x.T), 1)
	}
	var fresh *autograd.Value
	if m.d.Sigmas[i] != 0 {
		fresh = m.r.fresh(u, "ddim", s.Step, zt.T.Shape)
	}
	next := m.d.Step(u, u.Const(z0.T), u.Const(eps.T), fresh, i)
	m.r.inner(&e.Report, "eps", eps.T)
	s.Take("z0", g, z0)
	e.Report.Loss = m.r.Backward(g, loss)
	grad := m.guidance.of(u, leaf.Grad(), s.Vars["z"], float64(m.d.AlphasPrev[i]))
	m.r.inner(&e.Report, "grad", grad.T)
	s.Take("z", u, u.Sub(next, grad))
	if m.after = 0; seen != nil {
		m.r.see(u.Detach(seen))
		m.after = s.Step + 1
	}
	return e.Report, nil
}

// Picture decodes the state, or where the run is cut short the clean one that its last step expected.
func (m *guidedDDIM) Picture(s *State) ([]float32, error) {
	switch {
	case s.Step > 0 && s.Step < s.Steps && m.after == s.Step:
		return slices.Clone(m.r.Device().Host(m.r.seen)), nil
	case s.Step < s.Steps:
		return m.r.DecodePicture(s.Vars["z0"]), nil
	}
	return m.r.DecodePicture(s.Vars["z"]), nil
}
