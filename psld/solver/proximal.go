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

// A hop is a step of the loop without gradients that DiffPIR, LATINO, TReg, DCDP, Guess & Guide and DPM share. From
// the state z + s e, of noise s beside the clean one, it
//
//	denoises      z0 = the clean state that the prior expects
//	fits          x  = argmin 1/2 |A x - y|^2 + rho/2 |x - D(z0)|^2
//	blends        c  = z0 + b (E(x) - z0)
//	adds noise    state = c + s' (sqrt(1-zeta) e + sqrt(zeta) n)
//
// with the level s' of the next hop, fresh noise n, and for e the noise that the state and c imply, (state - c)/s, or
// the noise that the network saw. A method is a list of hops. A hop without a fit has c = z0, and needs neither
// decoder nor encoder. The result is the last x, or where the last hop has no fit its D(z0).
//
// Hops may have states of half the picture's resolution, or of a quarter and so on, each a quarter of the work: their
// pictures are enlarged for the fit, and averaged before the encoder. Where the next hop is of a finer resolution, the
// picture is encoded there, with fresh noise.
type hop struct {
	level  float64 // s
	rho    float64 // 0: no fit
	blend  float64 // b
	zeta   float64
	seen   bool // e is what the network saw
	coarse int  // how often the resolution of the state is halved
}

// proximal is the stepper of a list of hops. Its variables are the state "z", and the clean picture so far: "x" after
// a fit, else "z0" in latents.
type proximal struct {
	r    *Run
	name string // of its stream of random numbers
	prox operator.Proximal
	hops []hop
	clip bool // the fits to [-1,1]
	cold bool // it starts without noise: the start picture has that of the first level

	second bool // steps of second order: the state has the clean one before as "c"
	// excess is the noise that is added over what the network is told; 1 but for a method that asks for another one.
	excess float64
}

// leastNoise is what a measurement without noise is taken to have, about that of its 8 bits.
const leastNoise = 0.004

func newProximal(r *Run, name string, hops []hop) (*proximal, error) {
	if err := r.Prior.Schedule().CheckSignal(); err != nil {
		return nil, err
	}
	if !r.CanEncode() {
		return nil, fmt.Errorf("the light autoencoder has no encoder, which method %s needs", name)
	}
	return &proximal{r: r, name: name, prox: operator.ProxOf(r.A), hops: hops, clip: true, excess: 1}, nil
}

// variance is that of the measurement's noise.
func (r *Run) variance() float64 {
	s := max(r.Sigma, leastNoise)
	return s * s
}

// level is the noise beside the clean state at diffusion time t.
func (r *Run) level(t int) float64 { return r.Prior.Schedule().Sigma(float64(t)) }

// timeOf is the diffusion time that a share of it ends at.
func timeOf(n schedule.Noise, share float64) float64 { return share * float64(len(n.AlphasCumprod)-1) }

// signal is the share of signal in the variance of a state with noise s beside the clean one.
func signal(s float64) float64 { return 1 / (1 + s*s) }

func (m *proximal) Len() int { return len(m.hops) }

// Start is the rough picture, or where there is none a regularised inverse, with the noise of the first hop. The state
// is z + s e, without the factor that keeps its variance.
func (m *proximal) Start(s *State) error {
	x := m.r.Start
	if x == nil {
		var err error
		if x, err = m.r.inverse(m.prox); err != nil {
			return err
		}
	}
	g := m.r.NoGrad()
	defer g.Release()
	clean := m.encode(g, m.r.codec.Encode, x, m.hops[0].coarse)
	z, shape := slices.Clone(clean.Host()), clean.T.Shape
	if !m.cold {
		for i, n := range m.r.Noise("start", 0, len(z)) {
			z[i] += float32(m.deviation(0)) * n
		}
	}
	s.Set("z", z, shape...)
	m.setPicture(s, slices.Clone(x))
	return nil
}

// encode is the state of a picture by a codec, at a resolution that is halved so often.
func (m *proximal) encode(g *autograd.Graph, by func(*autograd.Graph, *autograd.Value, *tensor.Tensor) *autograd.Value,
	x []float32, coarse int) *autograd.Value {
	v := g.Const(m.r.PadPicture(x))
	for range coarse {
		v = g.Mean2x2(v)
	}
	return by(g, v, nil)
}

// decode is the picture, of shape A.In(), of a state of any resolution.
func (m *proximal) decode(g *autograd.Graph, by func(*autograd.Graph, *autograd.Value) *autograd.Value,
	z *autograd.Value) []float32 {
	x := by(g, z)
	for x.T.Dim(1) < m.r.H {
		x = g.Enlarge2x(x)
	}
	return m.r.Crop(g, x).Host()
}

func (m *proximal) setPicture(s *State, x []float32) {
	in := m.r.A.In()
	s.Set("x", x, 1, in.H, in.W, in.C)
	delete(s.Vars, "z0")
}

// inverse is the picture near the measurement's mean that fits it, but for what it says little of.
func (r *Run) inverse(prox operator.Proximal) ([]float32, error) {
	const rho = 0.02
	flat, x := make([]float32, prox.In().Len()), make([]float32, prox.In().Len())
	var mean float64
	for _, v := range r.Y {
		mean += float64(v) / float64(len(r.Y))
	}
	for i := range flat {
		flat[i] = float32(mean)
	}
	err := prox.Prox(r.context(), x, flat, r.Y, rho)
	return x, err
}

func (m *proximal) Step(ctx context.Context, s *State) (Report, error) {
	r, z, h := m.r, s.Vars["z"], m.hops[s.Step]
	last := s.Step == len(m.hops)-1
	t := r.Prior.Schedule().Time(h.level)
	report := Report{At: fmt.Sprintf("t=%.1f", t)}
	g := r.NoGrad()
	defer g.Release()
	unit := float32(1 / math.Sqrt(1+h.level*h.level)) // the state of the prior has variance 1
	e := r.Eps(g, g.Scale(g.Const(z), unit), float32(t))
	z0 := g.Sub(g.Const(z), g.Scale(e, float32(h.level)))
	clean, shape := slices.Clone(z0.Host()), z.Shape
	next := h.coarse
	if !last {
		next = m.hops[s.Step+1].coarse
	}
	switch {
	case last: // by the full codec
		x := slices.Clone(m.decode(g, r.codec.Decode, z0))
		if h.rho > 0 {
			var err error
			if x, err = m.fit(ctx, x, h.rho); err != nil {
				return report, err
			}
		}
		m.setPicture(s, x)
		report.Measurement = r.residual(x)
	case h.rho > 0 || next != h.coarse:
		x, err := m.fit(ctx, m.decode(g, r.Decode, z0), h.rho)
		if err != nil {
			return report, err
		}
		report.Measurement = r.residual(x)
		m.setPicture(s, x)
		encoded := m.encode(g, r.Encode, x, next)
		clean, shape = blended(clean, encoded.Host(), h.blend), encoded.T.Shape
	default:
		delete(s.Vars, "x")
		s.Set("z0", clean, z.Shape...)
		report.Measurement = s.RMS * math.Sqrt(float64(max(1, r.Measured()))) // as after the last fit
	}
	report.Loss = report.Measurement * report.Measurement
	if !last {
		if m.second {
			before := s.Vars["c"]
			s.Set("c", clean, shape...)
			clean = m.ahead(s.Step, clean, before)
		}
		s.Set("z", m.noised(s.Step, z.Data, clean, e.Host()), shape...)
	}
	return report, nil
}

// ahead is the clean state of hop i moved on along the line through it and the one before, nil in the first hop, as
// far as DPM-Solver++(2M) goes.
func (m *proximal) ahead(i int, clean []float32, before *tensor.Tensor) []float32 {
	if before == nil {
		return clean
	}
	length := func(i int) float64 { return math.Log(m.hops[i].level / m.hops[i+1].level) }
	share := float32(length(i) / (2 * length(i-1)))
	next := slices.Clone(clean)
	for k, v := range before.Data {
		next[k] += share * (clean[k] - v)
	}
	return next
}

// blended moves a clean state to that of a fit by the share b. Where they are not of one size it is that of the fit.
func blended(clean, fit []float32, b float64) []float32 {
	if b == 1 || len(clean) != len(fit) {
		return slices.Clone(fit)
	}
	for i, v := range fit {
		clean[i] += float32(b) * (v - clean[i])
	}
	return clean
}

// fit is the proximal step from a decoded picture; with rho 0 there is none.
func (m *proximal) fit(ctx context.Context, x0 []float32, rho float64) ([]float32, error) {
	from, x := clamped(slices.Clone(x0)), make([]float32, len(x0))
	if rho == 0 {
		return from, nil
	}
	if err := m.prox.Prox(ctx, x, from, m.r.Y, rho); err != nil {
		return nil, err
	}
	if m.clip {
		clamped(x)
	}
	return x, nil
}

// clamped moves the values of x into [-1,1], in place.
func clamped(x []float32) []float32 {
	for i, v := range x {
		x[i] = min(max(v, -1), 1)
	}
	return x
}

// deviation is that of the noise in the state of hop i.
func (m *proximal) deviation(i int) float64 {
	if i == 0 && m.cold {
		return m.hops[i].level
	}
	return m.excess * m.hops[i].level
}

// noised is the state after hop i: the clean one with noise of the next level, all of it fresh where its size is
// another one.
func (m *proximal) noised(i int, z, clean, eps []float32) []float32 {
	h, to := m.hops[i], m.deviation(i+1)
	noise := m.r.Noise(m.name, i, len(clean))
	if len(z) != len(clean) {
		h.zeta, z = 1, clean
		h.seen = false
	}
	keep, fresh := float32(to/m.deviation(i)*math.Sqrt(1-h.zeta)), float32(to*math.Sqrt(h.zeta))
	if h.seen {
		keep = float32(to * math.Sqrt(1-h.zeta))
	}
	next := make([]float32, len(clean))
	for k, v := range clean {
		e := z[k] - v
		if h.seen {
			e = eps[k]
		}
		next[k] = v + keep*e + fresh*noise[k]
	}
	return next
}

// Picture is the last fit, or what the clean state of a hop without one stands for.
func (m *proximal) Picture(s *State) ([]float32, error) {
	if x := s.Vars["x"]; x != nil {
		return slices.Clone(x.Data), nil
	}
	g := m.r.NoGrad()
	defer g.Release()
	z0 := g.Const(s.Vars["z0"])
	for least := m.r.Shape()[1] >> m.r.coarse; z0.T.Dim(1) > least; { // a state of half the sides may be small enough
		z0 = g.Mean2x2(z0) // decode enlarges it
	}
	return slices.Clone(m.decode(g, m.r.codec.Decode, z0)), nil
}

// levels fall geometrically from one level to another one, both within those of the schedule.
func levels(n schedule.Noise, from, to float64, steps int) []float64 {
	lo, hi := n.Sigma(0), n.Sigma(math.Inf(1))
	from, to = min(max(from, lo), hi), max(to, lo)
	list := make([]float64, steps)
	for i := range list {
		share := 0.0
		if steps > 1 {
			share = float64(i) / float64(steps-1)
		}
		list[i] = from * math.Pow(to/from, share)
	}
	return list
}
