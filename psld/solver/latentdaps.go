package solver

import (
	"context"
	"fmt"
	"math"
	"slices"

	"psld/psld/operator"
	"psld/tensor"
)

// LatentDAPS is decoupled annealing posterior sampling in latents (Zhang et al. 2025, as their code computes it). The
// state is z + s e. At each of Steps levels s, which fall from From to To by the seventh root, Flow Euler steps of the
// probability flow lead from the state to a clean one, a. From there Langevin steps with momentum draw z from
//
//	exp(-|A D(z) - y|^2 / Tau^2 - |z - a|^2 / 2 (Spread s)^2)
//
// by v = m v + sqrt(lr) g + sqrt(2(1-m)) Heat n, z += sqrt(lr) v with g the gradient of the exponent's logarithm, that
// of its first part clipped to [-1,1] value by value before the division by Tau^2, without which it diverges at their
// lengths. Noise of the next level is added; the last level adds none. The prior is never differentiated, the decoder
// is: the work is nearly all there, and a light one (--guide-vae) saves the most of it.
//
// Their code has Flow 2, Spread 1, Heat 1 and a start from noise. Two Euler steps end at about the mean of what the
// state may be, without texture; and what Langevin steps put in its place is white noise of the latents, which no step
// shapes. A longer flow and a lower Heat give sharp pictures (see docs/methods/decoupled.md).
type LatentDAPS struct {
	Steps    int     `json:"steps" range:"1..1000" default:"50" help:"levels of noise"`
	Inner    int     `json:"inner" range:"1..1000" default:"30" help:"Langevin steps at each level"`
	Flow     int     `json:"flow" range:"1..1000" default:"2" help:"steps of the probability flow at each level"`
	Rate     float64 `json:"rate" range:">0.." default:"1e-4" help:"length of a Langevin step"`
	LastRate float64 `json:"last_rate" range:">0..1" default:"1" help:"length at the last level over that at the first"`
	Momentum float64 `json:"momentum" range:"0..1" default:"0.45" help:"momentum of the Langevin steps"`
	Heat     float64 `json:"heat" range:"0..1" default:"1" help:"noise of the Langevin steps; 0: they only descend"`
	Spread   float64 `json:"spread" range:">0.." default:"1" help:"of the clean state around the flow's, over the noise"`
	Tau      float64 `json:"tau" range:"0.." default:"0.01" help:"deviation taken for the measurement; 0: its own"`
	From     float64 `json:"from" range:">0.." default:"10" help:"noise of the first level"`
	To       float64 `json:"to" range:">0.." default:"0.1" help:"noise that the levels fall to"`
	// Below 1 the first level is at most that of the share, and the rough picture has its noise.
	Strength float64 `json:"strength" range:">0..1" default:"1" help:"share of diffusion time; 1 starts from noise"`
}

// leastPull is the least noise that Tau 0 takes a measurement to have: Langevin steps of the usual lengths diverge
// where they are pulled harder.
const leastPull = 0.05

// Bind implements [Method].
func (o *LatentDAPS) Bind(r *Run) (Stepper, error) {
	m, n := &latentDAPS{r, *o}, r.Prior.Schedule()
	if r.Start != nil && o.Strength < 1 {
		m.o.From = min(o.From, n.Sigma(timeOf(n, o.Strength)))
		if m.o.From <= o.To {
			return nil, fmt.Errorf("strength %g starts at noise %.2g, which is not more than to %g: the noise must fall",
				o.Strength, m.o.From, o.To)
		}
	}
	if o.Tau == 0 {
		m.o.Tau = math.Sqrt2 * max(r.Sigma, leastPull) // |A D(z) - y|^2 / 2 sigma^2
	}
	return m, n.CheckSignal()
}

type latentDAPS struct {
	r *Run
	o LatentDAPS
}

// rooted is the level i of n between from and to, even in the seventh root.
func rooted(from, to float64, i, n int) float64 {
	a, b := math.Pow(from, 1./7), math.Pow(to, 1./7)
	return math.Pow(a+(b-a)*float64(i)/float64(n), 7)
}

func (m *latentDAPS) Len() int { return m.o.Steps }

// level is that of a step; after the last one it is 0.
func (m *latentDAPS) level(step int) float64 {
	if step == m.o.Steps {
		return 0
	}
	return rooted(m.o.From, m.o.To, step, m.o.Steps)
}

// Start is noise, about the rough picture where the run begins from one.
func (m *latentDAPS) Start(s *State) error {
	shape := m.r.Shape()
	z := slices.Clone(m.r.Noise("start", 0, tensor.Len(shape)))
	for i := range z {
		z[i] *= float32(m.level(0))
	}
	if m.r.Start != nil && m.o.Strength < 1 {
		for i, v := range m.r.EncodePicture(m.r.Start) {
			z[i] += v
		}
	}
	s.Set("z", z, shape...)
	s.Set("clean", make([]float32, len(z)), shape...)
	return nil
}

func (m *latentDAPS) Step(_ context.Context, s *State) (Report, error) {
	level := m.level(s.Step)
	report := Report{At: fmt.Sprintf("s=%.3g", level)}
	anchor := m.flow(s.Vars["z"], level)
	z, v := slices.Clone(anchor.Data), slices.Clone(m.r.Noise("velocity", s.Step, anchor.Len()))
	rate := m.o.Rate * (1 + float64(s.Step)/float64(m.o.Steps+1)*(m.o.LastRate-1))
	length, kick := float32(math.Sqrt(rate)), float32(m.o.Heat*math.Sqrt(2*(1-m.o.Momentum)))
	for k := range v {
		v[k] *= float32(m.o.Heat)
	}
	for j := range m.o.Inner {
		noise := m.r.Noise("langevin", s.Step*m.o.Inner+j, len(z))
		grad, fit := m.misfit(tensor.From(z, anchor.Shape...))
		report.Measurement, report.Loss = math.Sqrt(fit), fit
		for k, g := range clamped(grad) {
			pull := float64(anchor.Data[k]-z[k]) / (m.o.Spread * m.o.Spread * level * level)
			score := float32(-float64(g)/(m.o.Tau*m.o.Tau) + pull)
			v[k] = float32(m.o.Momentum)*v[k] + length*score + kick*noise[k]
			z[k] += length * v[k]
		}
	}
	next, noise := slices.Clone(z), m.r.Noise("level", s.Step, len(z))
	for k := range next {
		next[k] += float32(m.level(s.Step+1)) * noise[k]
	}
	s.Set("z", next, anchor.Shape...)
	s.Set("clean", z, anchor.Shape...)
	return report, nil
}

// flow goes from a state of the noise level to the clean one of the probability flow, in Euler steps to 0.001.
func (m *latentDAPS) flow(z *tensor.Tensor, level float64) *tensor.Tensor {
	const end = 0.001
	steps := m.o.Flow
	now := slices.Clone(z.Data)
	for i := range steps {
		from, to := rooted(level, end, i, steps), rooted(level, end, i+1, steps)
		g := m.r.NoGrad()
		unit := float32(1 / math.Sqrt(1+from*from))
		e := m.r.Eps(g, g.Scale(g.Const(tensor.From(now, z.Shape...)), unit), float32(m.r.Prior.Schedule().Time(from)))
		next := slices.Clone(now)
		for k, v := range g.Device().Host(e.T) {
			next[k] += float32(to-from) * v
		}
		g.Release()
		now = next
	}
	return tensor.From(now, z.Shape...)
}

// misfit is the gradient of |A D(z) - y|^2, and its value.
func (m *latentDAPS) misfit(z *tensor.Tensor) (grad []float32, value float64) {
	g := m.r.Graph()
	defer g.Release()
	zt := g.Input(z)
	ax := operator.Lower(g, m.r.Crop(g, m.r.Decode(g, zt)), m.r.A)
	value = m.r.Backward(g, g.SumSquares(g.Sub(ax, m.r.measurement(g))))
	return slices.Clone(g.Device().Host(zt.Grad())), value
}

// Picture decodes the last clean state.
func (m *latentDAPS) Picture(s *State) ([]float32, error) {
	return m.r.DecodePicture(s.Vars["clean"]), nil
}
