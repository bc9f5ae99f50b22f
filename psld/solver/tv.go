package solver

import (
	"context"
	"fmt"
	"math"
	"slices"

	"psld/psld/operator"
	"psld/psld/param"
	"psld/tensor"
)

// TV restores with the prior that pictures are piecewise smooth: it minimises over pictures x
//
//	1/2 |A x - y|^2 + Lambda sum over pixels of |(Dx)_p|,
//
// D being the forward differences to the right and down (zero at the last column and row) of all channels together, so
// that edges of the channels fall in the same place (isotropic, coupled channels; Rudin, Osher, Fatemi 1992). It
// needs no trained weights, so it always runs and is the bar for everything that does. It is an estimate, not a
// sample: every seed gives the same picture.
//
// ADMM (Boyd et al. 2011) starts at x = A'y: the x step is CG, warm-started, the z step a block soft threshold.
type TV struct {
	// Lambda should grow with the noise. 0.03 suits denoising and box inpainting with noise of deviation 0.05; 0.01
	// motion blur, 0.005 Gaussian blur and super-resolution, 0.003 random inpainting (best means over 16 photos at
	// 64x64, see TestTVSweep).
	Lambda float64 `json:"lambda" range:">0..1000" default:"0.03" help:"weight of the total variation"`
	// It changes the speed, not the solution.
	Rho        float64 `json:"rho" range:"0.." help:"penalty of the splitting; 0 is ten times lambda"`
	Iterations int     `json:"iterations" range:"1..10000" default:"100" help:"steps of ADMM at the most"`
	CGSteps    int     `json:"cg_steps" range:"1..1000" default:"10" help:"steps of CG in each of them at the most"`
	Tol        float64 `json:"tol" range:">0..1" default:"0.001" help:"relative residual at which to stop"`
}

// Bind implements [Method].
func (o *TV) Bind(r *Run) (Stepper, error) {
	m := &admmTV{TV: *o, p: r.Problem, b: make([]float32, r.A.In().Len())}
	if m.Rho == 0 {
		m.Rho = 10 * m.Lambda
	}
	if least, most := 1e-3*m.Lambda, 1e6*m.Lambda; m.Rho < least || m.Rho > most { // thousands of steps would not do
		return nil, fmt.Errorf("rho %v: want 0, or %.3g to %.3g with lambda %v", m.Rho, least, most, m.Lambda)
	}
	r.A.Adjoint(m.b, r.Y)
	return m, nil
}

// admmTV has the variables x, z (the differences of x, to the right and down) and u (the scaled dual variable).
type admmTV struct {
	TV
	p Problem
	b []float32 // A'y
}

func (m *admmTV) Len() int { return m.Iterations }

func (m *admmTV) Start(s *State) error {
	shape := m.p.A.In()
	z := newField(len(m.b))
	gradient(z, m.b, shape)
	m.set(s, slices.Clone(m.b), z, newField(len(m.b)))
	return nil
}

func (m *admmTV) set(s *State, x []float32, z, u field) {
	in := m.p.A.In()
	s.Set("x", x, in.H, in.W, in.C)
	for i, way := range []string{"right", "down"} {
		s.Set("z."+way, z[i], in.H, in.W, in.C)
		s.Set("u."+way, u[i], in.H, in.W, in.C)
	}
}

func (m *admmTV) Step(ctx context.Context, s *State) (Report, error) {
	shape, rho := m.p.A.In(), float32(m.Rho)
	clone := func(name string) []float32 { return slices.Clone(s.Vars[name].Data) }
	x, z, u := clone("x"), field{clone("z.right"), clone("z.down")}, field{clone("u.right"), clone("u.down")}
	n := len(x)
	dx, rhs, div, ax := newField(n), make([]float32, n), make([]float32, n), make([]float32, len(m.p.Y))
	normal := func(q, p []float32) { // q = (A'A + rho D'D) p
		if err := ctx.Err(); err != nil { // a step on a large picture takes many seconds
			panic(&tensor.Stopped{Err: err})
		}
		m.p.A.Apply(ax, p)
		m.p.A.Adjoint(q, ax)
		addLaplacian(q, p, shape, rho)
	}
	// x step: (A'A + rho D'D) x = A'y + rho D'(z - u).
	for d := range z {
		for i, v := range z[d] {
			dx[d][i] = v - u[d][i]
		}
	}
	gradientAdjoint(div, dx, shape)
	for i, v := range m.b {
		rhs[i] = v + rho*div[i]
	}
	operator.CG(normal, x, rhs, m.CGSteps, m.Tol/10)
	// z step on the over-relaxed Dx, then the dual update.
	gradient(dx, x, shape)
	fit, variation := m.objective(x, dx)
	primal, dual := shrink(dx, z, u, shape, m.Lambda/m.Rho, div)
	m.set(s, x, z, u)
	return Report{Measurement: math.Sqrt(fit), Loss: fit/2 + m.Lambda*variation, Done: primal < m.Tol && dual < m.Tol,
		Terms: []Term{{"primal", primal}, {"dual", dual}}}, nil
}

// objective returns |A x - y|^2 and the total variation of a picture x with the differences dx.
func (m *admmTV) objective(x []float32, dx field) (fit, variation float64) {
	ax := make([]float32, len(m.p.Y))
	m.p.A.Apply(ax, x)
	for i, v := range ax {
		fit += float64(v-m.p.Y[i]) * float64(v-m.p.Y[i])
	}
	c := m.p.A.In().C
	for p := 0; p < len(x); p += c {
		var sq float64
		for i := p; i < p+c; i++ {
			sq += float64(dx[0][i])*float64(dx[0][i]) + float64(dx[1][i])*float64(dx[1][i])
		}
		variation += math.Sqrt(sq)
	}
	return fit, variation
}

func (m *admmTV) Picture(s *State) ([]float32, error) { return slices.Clone(s.Vars["x"].Data), nil }

// RestoreTV restores a picture of shape a.In() by total variation of weight lambda in at most the given number of
// iterations, 0 for the usual 100. When ctx ends it returns the picture so far with an error that wraps ctx's.
func RestoreTV(ctx context.Context, a operator.Linear, y []float32, lambda float64, iterations int,
) ([]float32, error) {
	o := new(TV)
	param.SetDefaults(o)
	o.Lambda = lambda
	if iterations > 0 {
		o.Iterations = iterations
	}
	res, err := Solve(ctx, nil, Problem{A: a, Y: y}, o, Options{})
	if res == nil {
		return nil, err
	}
	return res.X, err
}
