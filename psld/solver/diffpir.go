package solver

import (
	"context"
	"fmt"
	"math"
	"slices"

	"psld/psld/operator"
	"psld/tensor"
)

// DiffPIR is denoising diffusion for plug-and-play restoration (Zhu et al. 2023): half-quadratic splitting whose
// denoiser is the prior, without a gradient through its networks. From the state x + s e, of noise s beside the
// picture, each step
//
//	denoises      x0 = D(state, s)
//	fits          x  = argmin |A x - y|^2 + rho |x - x0|^2,  rho = Lambda sigma^2 / s^2
//	adds noise    state = x + s' (sqrt(1-Zeta) (state - x)/s + sqrt(Zeta) n)
//
// with s falling geometrically from From to To; sigma is the measurement's noise. The result is the last x. On a
// latent prior a picture is decoded before the fit and encoded behind it. Fits are exact where the operator has a
// closed form ([operator.ProxOf]).
type DiffPIR struct {
	Steps int `json:"steps" range:"1..1000" default:"20" help:"evaluations of the denoiser"`
	// From 0 is the noise of the measurement, which the start picture has already.
	From   float64 `json:"from" range:"0.." default:"1" help:"noise of the first step; 0 is that of the measurement"`
	To     float64 `json:"to" range:"0.." default:"0.02" help:"noise of the last step; 0 is that of the measurement"`
	Lambda float64 `json:"lambda" range:">0.." default:"1" help:"weight of the prior against the measurement"`
	// Zeta 0 gives one estimate, more gives a sample.
	Zeta float64 `json:"zeta" range:"0..1" default:"0.3" help:"share of fresh noise in each step"`
}

// leastNoise is what a measurement without noise is taken to have, about that of its 8 bits.
const leastNoise = 0.004

// Bind implements [Method].
func (o *DiffPIR) Bind(r *Run) (Stepper, error) {
	m := &diffPIR{r: r, o: *o, prox: operator.ProxOf(r.A), sigma: max(r.Sigma, leastNoise)}
	from, to := o.From, o.To
	if from == 0 {
		from = m.sigma
	}
	if to == 0 {
		to = m.sigma
	}
	if from < to {
		return nil, fmt.Errorf("from %g is less than to %g: the noise must fall", from, to)
	}
	n := r.Prior.Schedule()
	if lo, hi := n.Sigma(0), n.Sigma(math.Inf(1)); from < lo || to < lo {
		from, to = max(from, lo), max(to, lo)
	} else if from > hi {
		from = hi
	}
	for i := range o.Steps {
		share := 0.0
		if o.Steps > 1 {
			share = float64(i) / float64(o.Steps-1)
		}
		m.levels = append(m.levels, from*math.Pow(to/from, share))
	}
	return m, nil
}

type diffPIR struct {
	r      *Run
	o      DiffPIR
	prox   operator.Proximal
	sigma  float64   // of the measurement
	levels []float64 // of the noise, falling
}

func (m *diffPIR) Len() int { return len(m.levels) }

// Start is the rough picture, or where there is none a regularised inverse, with the noise of the first step. The
// state is x + s e, without the factor that keeps its variance.
func (m *diffPIR) Start(s *State) error {
	shape := m.r.Shape()
	z := make([]float32, tensor.Len(shape))
	if m.o.From > 0 {
		copy(z, m.r.Noise("start", 0, len(z)))
	}
	x := m.r.Start
	if x == nil {
		x = inverse(m.prox, m.r.Y)
	}
	for i, v := range m.r.EncodePicture(x) {
		z[i] = float32(m.levels[0])*z[i] + v
	}
	s.Set("z", z, shape...)
	s.Vars["x"] = tensor.From(slices.Clone(x), 1, m.r.A.In().H, m.r.A.In().W, m.r.A.In().C)
	return nil
}

// inverse is the picture near the measurement's mean that fits it, but for what it says little of.
func inverse(prox operator.Proximal, y []float32) []float32 {
	const rho = 0.02
	flat, x := make([]float32, prox.In().Len()), make([]float32, prox.In().Len())
	var mean float64
	for _, v := range y {
		mean += float64(v) / float64(len(y))
	}
	for i := range flat {
		flat[i] = float32(mean)
	}
	prox.Prox(x, flat, y, rho)
	return x
}

func (m *diffPIR) Step(_ context.Context, s *State) (Report, error) {
	r, z, level := m.r, s.Vars["z"], m.levels[s.Step]
	t := r.Prior.Schedule().Time(level)
	report := Report{At: fmt.Sprintf("t=%.1f", t)}

	g := r.NoGrad()
	defer g.Release()
	dev := g.Device()
	unit := float32(1 / math.Sqrt(1+level*level)) // the state of the prior has variance 1
	e := r.Eps(g, g.Scale(g.Const(z), unit), float32(t))
	x := r.Crop(g, r.Decode(g, g.Sub(g.Const(z), g.Scale(e, float32(level)))))
	x0 := slices.Clone(dev.Host(x.T))
	for i, v := range x0 {
		x0[i] = min(max(v, -1), 1)
	}
	rho := m.o.Lambda * m.sigma * m.sigma / (level * level)
	fit := make([]float32, len(x0))
	m.prox.Prox(fit, x0, r.Y, rho)
	report.Measurement = r.residual(fit)
	report.Loss = report.Measurement * report.Measurement
	if s.Step == len(m.levels)-1 {
		s.Vars["x"] = tensor.From(fit, 1, r.A.In().H, r.A.In().W, r.A.In().C)
		return report, nil
	}
	next := slices.Clone(dev.Host(r.Encode(g, g.Const(r.PadPicture(fit)), nil).T))
	noise := r.Noise("diffpir", s.Step, len(next))
	to := m.levels[s.Step+1]
	keep, fresh := float32(to/level*math.Sqrt(1-m.o.Zeta)), float32(to*math.Sqrt(m.o.Zeta))
	for i, v := range next {
		next[i] = v + keep*(z.Data[i]-v) + fresh*noise[i]
	}
	s.Set("z", next, z.Shape...)
	s.Vars["x"] = tensor.From(fit, 1, r.A.In().H, r.A.In().W, r.A.In().C)
	return report, nil
}

// Picture is the last fit.
func (m *diffPIR) Picture(s *State) ([]float32, error) { return slices.Clone(s.Vars["x"].Data), nil }
