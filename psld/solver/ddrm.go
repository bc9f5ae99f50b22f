package solver

import (
	"context"
	"fmt"
	"math"
	"slices"

	"psld/psld/operator"
)

// DDRM is denoising diffusion restoration (Kawar et al. 2022, equations 4 to 8). With A = U S V' the state is looked
// at in V's coefficients, scaled so that it is the picture plus noise of deviation t. From t to t' < t each
// coefficient, of singular value s, becomes
//
//	x0 + sqrt(1-Eta^2) t' e + Eta t' n                       where s = 0
//	x0 + sqrt(1-Eta^2) t' (y - s x0)/sigma + Eta t' n        where s t' < sigma: y has more noise than the state
//	(1-EtaB) x0 + EtaB y/s + sqrt(t'^2 - EtaB^2 sigma^2/s^2) n   elsewhere
//
// where x0 and e are the clean picture and the noise that the prior expects, y = U'y, sigma is the measurement's noise
// and n is fresh. It starts from y/s, or from 0 where y has more noise than the first state, with noise up to t. It
// needs the SVD of A and a pixel prior, but no gradient.
type DDRM struct {
	Steps int     `json:"steps" range:"1..1000" default:"20" help:"evaluations of the prior, at even times"`
	Eta   float64 `json:"eta" range:"0..1" default:"0.85" help:"share of fresh noise in each step"`
	EtaB  float64 `json:"eta_b" range:"0..1" default:"1" help:"weight of y where it is better than the state"`
	// The published code (denoising.py) takes singular values of 0 that belong to a measured value for small ones, and
	// scales its start to deviation 1 in place of that of the first state.
	Published bool `json:"published" help:"as the published code computes it, its mistakes included"`
	Equivariant
}

// Bind implements [Method].
func (o *DDRM) Bind(r *Run) (Stepper, error) {
	o.bind(r)
	noise := r.Prior.Schedule()
	if err := noise.Check(); err != nil {
		return nil, err
	}
	m := &ddrm{r: r, o: *o, svd: operator.SVDOf(r.A), uy: make([]float32, r.A.In().Len()),
		measured: make([]bool, r.A.In().Len())}
	for t := 0; t < len(noise.AlphasCumprod) && o.Steps > 0; t += max(1, len(noise.AlphasCumprod)/o.Steps) {
		m.times, m.alphas = append(m.times, t), append(m.alphas, float64(noise.AlphasCumprod[t]))
	}
	in, out := r.A.In(), r.A.Out()
	coef := make([]float32, out.Len())
	m.svd.U.Adjoint(coef, r.Y)
	known := operator.KnownOf(r.A)
	for i, v := range coef { // in the places of V's coefficients
		at := (i/out.C/out.W*in.W+i/out.C%out.W)*in.C + i%out.C
		m.uy[at], m.measured[at] = v, known == nil || known[i/out.C]
	}
	return m, nil
}

type ddrm struct {
	r        *Run
	o        DDRM
	svd      *operator.SVD
	uy       []float32 // U'y, in the places of V's coefficients
	measured []bool    // whether such a place has a value of y
	times    []int     // rising
	alphas   []float64
}

func (m *ddrm) Len() int { return len(m.times) }

// level is the deviation of the noise at a share of signal.
func level(a float64) float64 { return math.Sqrt((1 - a) / a) }

func (m *ddrm) Start(s *State) error {
	in := m.r.A.In()
	a := m.alphas[len(m.alphas)-1]
	t := level(a)
	c := slices.Clone(m.r.Noise("start", 0, in.Len()))
	scale := math.Sqrt(a)
	if m.o.Published {
		scale = 1 / t
	}
	for k, n := range c {
		seen, variance := 0.0, t*t
		if sv := float64(m.svd.S[k]); sv*t > m.r.Sigma {
			seen = float64(m.uy[k]) / sv
			variance -= m.r.Sigma * m.r.Sigma / (sv * sv)
		}
		c[k] = float32(scale * (seen + math.Sqrt(max(variance, 0))*float64(n)))
	}
	x := make([]float32, len(c))
	m.svd.V.Apply(x, c)
	s.Set("x", x, 1, in.H, in.W, in.C)
	s.Vars["x0"] = s.Vars["x"]
	return nil
}

func (m *ddrm) Step(_ context.Context, s *State) (Report, error) {
	i, x := len(m.times)-1-s.Step, s.Vars["x"]
	x0, eps := m.r.expect(x.Data, float64(m.times[i]), m.alphas[i])
	report := Report{At: fmt.Sprintf("t=%d", m.times[i]), Measurement: m.r.residual(x0)}
	report.Loss = report.Measurement
	after := 1.0
	if i > 0 {
		after = m.alphas[i-1]
	}
	c0, ce := make([]float32, len(x0)), make([]float32, len(x0))
	m.svd.V.Adjoint(c0, x0)
	m.svd.V.Adjoint(ce, eps)
	next := m.coefficients(c0, ce, m.r.Noise("ddrm", s.Step, len(x0)), level(after))
	out := make([]float32, len(x0))
	m.svd.V.Apply(out, next)
	for k := range out {
		out[k] *= float32(math.Sqrt(after))
	}
	s.Set("x", out, x.Shape...)
	s.Set("x0", x0, x.Shape...)
	return report, nil
}

// coefficients are those of the state with noise t.
func (m *ddrm) coefficients(x0, eps, noise []float32, t float64) []float32 {
	next, sigma := make([]float32, len(x0)), m.r.Sigma
	keep, fresh := math.Sqrt(1-m.o.Eta*m.o.Eta)*t, m.o.Eta*t
	for k := range next {
		x, e, n, s := float64(x0[k]), float64(eps[k]), float64(noise[k]), float64(m.svd.S[k])
		y := float64(m.uy[k])
		v := x + keep*e + fresh*n
		switch seen := s > 0 || m.o.Published && m.measured[k]; {
		case !seen || t == 0:
		case s*t > sigma:
			b := m.o.EtaB
			v = (1-b)*x + b*y/s + math.Sqrt(t*t-b*b*sigma*sigma/(s*s))*n
		case sigma > 0:
			v = x + keep*(y-s*x)/sigma + fresh*n
		}
		next[k] = float32(v)
	}
	return next
}

// Picture is the state, or where the run is cut short the picture that its last step expected.
func (m *ddrm) Picture(s *State) ([]float32, error) {
	if s.Step < s.Steps {
		return slices.Clone(s.Vars["x0"].Data), nil
	}
	return slices.Clone(s.Vars["x"].Data), nil
}
