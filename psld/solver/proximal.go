package solver

import (
	"context"
	"fmt"
	"math"
	"slices"

	"psld/psld/operator"
	"psld/psld/schedule"
	"psld/tensor"
)

// A hop is a step of the loop without gradients that DiffPIR, LATINO, TReg, DCDP and Guess & Guide share. From the
// state z + s e, of noise s beside the clean one, it
//
//	denoises      z0 = the clean state that the prior expects
//	fits          x  = argmin 1/2 |A x - y|^2 + rho/2 |x - D(z0)|^2
//	blends        c  = z0 + b (E(x) - z0)
//	adds noise    state = c + s' (sqrt(1-zeta) e + sqrt(zeta) n)
//
// with the level s' of the next hop, fresh noise n, and for e the noise that the state and c imply, (state - c)/s, or
// the noise that the network saw. A method is a list of hops. A hop without a fit has c = z0, and needs neither
// decoder nor encoder. The result is the last x, or where the last hop has no fit its D(z0).
type hop struct {
	level float64 // s
	rho   float64 // 0: no fit
	blend float64 // b
	zeta  float64
	seen  bool // e is what the network saw
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
	return &proximal{r: r, name: name, prox: operator.ProxOf(r.A), hops: hops, clip: true}, nil
}

// variance is that of the measurement's noise.
func (r *Run) variance() float64 {
	s := max(r.Sigma, leastNoise)
	return s * s
}

// level is the noise beside the clean state at diffusion time t.
func (r *Run) level(t int) float64 { return r.Prior.Schedule().Sigma(float64(t)) }

// signal is the share of signal in the variance of a state with noise s beside the clean one.
func signal(s float64) float64 { return 1 / (1 + s*s) }

func (m *proximal) Len() int { return len(m.hops) }

// Start is the rough picture, or where there is none a regularised inverse, with the noise of the first hop. The state
// is z + s e, without the factor that keeps its variance.
func (m *proximal) Start(s *State) error {
	shape := m.r.Shape()
	z := make([]float32, tensor.Len(shape))
	if !m.cold {
		copy(z, m.r.Noise("start", 0, len(z)))
	}
	x := m.r.Start
	if x == nil {
		x = inverse(m.prox, m.r.Y)
	}
	for i, v := range m.r.EncodePicture(x) {
		z[i] = float32(m.hops[0].level)*z[i] + v
	}
	s.Set("z", z, shape...)
	m.setPicture(s, slices.Clone(x))
	return nil
}

func (m *proximal) setPicture(s *State, x []float32) {
	in := m.r.A.In()
	s.Set("x", x, 1, in.H, in.W, in.C)
	delete(s.Vars, "z0")
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

func (m *proximal) Step(_ context.Context, s *State) (Report, error) {
	r, z, h := m.r, s.Vars["z"], m.hops[s.Step]
	last := s.Step == len(m.hops)-1
	t := r.Prior.Schedule().Time(h.level)
	report := Report{At: fmt.Sprintf("t=%.1f", t)}
	g := r.NoGrad()
	defer g.Release()
	dev := g.Device()
	unit := float32(1 / math.Sqrt(1+h.level*h.level)) // the state of the prior has variance 1
	e := r.Eps(g, g.Scale(g.Const(z), unit), float32(t))
	z0 := g.Sub(g.Const(z), g.Scale(e, float32(h.level)))
	clean := slices.Clone(dev.Host(z0.T))
	switch {
	case last: // by the full codec
		x := r.DecodePicture(z0.T)
		if h.rho > 0 {
			x = m.fit(x, h.rho)
		}
		m.setPicture(s, x)
		report.Measurement = r.residual(x)
	case h.rho > 0:
		x := m.fit(dev.Host(r.Crop(g, r.Decode(g, z0)).T), h.rho)
		report.Measurement = r.residual(x)
		m.setPicture(s, x)
		encoded := dev.Host(r.Encode(g, g.Const(r.PadPicture(x)), nil).T)
		for i, v := range encoded {
			if h.blend == 1 {
				clean[i] = v // to the bit
			} else {
				clean[i] += float32(h.blend) * (v - clean[i])
			}
		}
	default:
		delete(s.Vars, "x")
		s.Set("z0", clean, z.Shape...)
		report.Measurement = s.RMS * math.Sqrt(float64(max(1, r.Measured()))) // as after the last fit
	}
	report.Loss = report.Measurement * report.Measurement
	if !last {
		s.Set("z", m.noised(s.Step, z.Data, clean, dev.Host(e.T)), z.Shape...)
	}
	return report, nil
}

// fit is the proximal step from a decoded picture.
func (m *proximal) fit(x0 []float32, rho float64) []float32 {
	from, x := clamped(slices.Clone(x0)), make([]float32, len(x0))
	m.prox.Prox(x, from, m.r.Y, rho)
	if m.clip {
		clamped(x)
	}
	return x
}

// clamped moves the values of x into [-1,1], in place.
func clamped(x []float32) []float32 {
	for i, v := range x {
		x[i] = min(max(v, -1), 1)
	}
	return x
}

// noised is the state after hop i: the clean one with noise of the next level.
func (m *proximal) noised(i int, z, clean, eps []float32) []float32 {
	h, to := m.hops[i], m.hops[i+1].level
	noise := m.r.Noise(m.name, i, len(z))
	keep, fresh := float32(to/h.level*math.Sqrt(1-h.zeta)), float32(to*math.Sqrt(h.zeta))
	if h.seen {
		keep = float32(to * math.Sqrt(1-h.zeta))
	}
	next := make([]float32, len(z))
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
	return m.r.DecodePicture(s.Vars["z0"]), nil
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
