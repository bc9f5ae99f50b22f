package solver

import (
	"context"
	"math"
	"slices"

	"psld/psld/operator"
)

// PnPADMM is plug-and-play ADMM (Venkatakrishnan et al. 2013; Chan et al. 2016) with a pixel prior as denoiser:
//
//	x  = argmin 1/2 |A x - y|^2 + Rho/2 |x - z + u|^2
//	z  = D(x + u), the picture that the prior expects where the noise has deviation Level
//	u += x - z
//
// Where D is the proximal step of the prior's negative logarithm, and Level is sigma/sqrt(Rho) for the measurement's
// noise sigma, its fixed point is the most probable picture. The tables of DPS and PSLD have Rho 0.2 and 12
// iterations, with a DnCNN for D. It needs Proximal, but no gradient. It is an estimate, not a sample.
type PnPADMM struct {
	Iterations int     `json:"iterations" range:"1..1000" default:"12" help:"evaluations of the denoiser"`
	Rho        float64 `json:"rho" range:">0.." default:"0.2" help:"penalty of the splitting"`
	Level      float64 `json:"level" range:"0.." help:"noise that the denoiser takes out; 0 is sigma over sqrt(rho)"`
	Equivariant
}

// Bind implements [Method].
func (o *PnPADMM) Bind(r *Run) (Stepper, error) {
	o.bind(r)
	m := &pnpADMM{r: r, o: *o, prox: operator.ProxOf(r.A), level: o.Level}
	if m.level == 0 {
		m.level = max(r.Sigma, leastNoise) / math.Sqrt(o.Rho)
	}
	return m, nil
}

// pnpADMM has the variables x, z and u.
type pnpADMM struct {
	r     *Run
	o     PnPADMM
	prox  operator.Proximal
	level float64
}

func (m *pnpADMM) Len() int { return m.o.Iterations }

// Start is z = the rough picture, or else a regularised inverse, and u = 0.
func (m *pnpADMM) Start(s *State) error {
	z := slices.Clone(m.r.Start)
	if z == nil {
		var err error
		if z, err = m.r.inverse(m.prox); err != nil {
			return err
		}
	}
	m.set(s, slices.Clone(z), z, make([]float32, len(z)))
	return nil
}

func (m *pnpADMM) set(s *State, x, z, u []float32) {
	in := m.r.A.In()
	s.Set("x", x, in.H, in.W, in.C)
	s.Set("z", z, in.H, in.W, in.C)
	s.Set("u", u, in.H, in.W, in.C)
}

func (m *pnpADMM) Step(ctx context.Context, s *State) (Report, error) {
	z, u := s.Vars["z"].Data, slices.Clone(s.Vars["u"].Data)
	x, v := make([]float32, len(z)), make([]float32, len(z))
	for k := range v {
		v[k] = z[k] - u[k]
	}
	if err := m.prox.Prox(ctx, x, v, m.r.Y, m.o.Rho); err != nil {
		return Report{}, err
	}
	a := 1 / (1 + m.level*m.level)
	for k := range v {
		v[k] = float32(math.Sqrt(a)) * (x[k] + u[k])
	}
	z, _ = m.r.expect(v, m.r.Prior.Schedule().Time(m.level), a)
	var gap float64
	for k := range u {
		d := x[k] - z[k]
		u[k] += d
		gap += float64(d) * float64(d)
	}
	m.set(s, x, z, u)
	fit := m.r.residual(x)
	return Report{Measurement: fit, Loss: fit, Terms: []Term{{"x - z", math.Sqrt(gap)}}}, nil
}

// Picture is x.
func (m *pnpADMM) Picture(s *State) ([]float32, error) { return slices.Clone(s.Vars["x"].Data), nil }
