package solver

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"psld/psld/operator"
	"psld/psld/param"
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
	m := &admmTV{TV: *o, p: r.Problem}
	m.Rho = o.penalty()
	return m, nil
}

// penalty is that of the splitting.
func (o *TV) penalty() float64 {
	if o.Rho == 0 {
		return 10 * o.Lambda
	}
	return o.Rho
}

// admmTV has the variables x and v, a dual. A step keeps its memory for the next one: on a large picture it is most of
// what the program takes.
type admmTV struct {
	TV
	p     Problem
	rhs   []float32 // of the x step, then room for the residuals
	ax    []float32 // of the measurement's shape
	old   []float32 // the x that the last step was given
	space operator.Space
}

func (m *admmTV) Len() int { return m.Iterations }

func (m *admmTV) Start(s *State) error {
	shape := m.p.A.In()
	x, v := make([]float32, shape.Len()), newField(shape.Len())
	m.p.A.Adjoint(x, m.p.Y)
	gradient(v, x, shape)
	m.setX(s, x)
	for i, name := range dualNames {
		s.Set(name, v[i], shape.H, shape.W, shape.C)
	}
	return nil
}

var dualNames = [2]string{"v.right", "v.down"}

func (m *admmTV) setX(s *State, x []float32) {
	in := m.p.A.In()
	s.Set("x", x, in.H, in.W, in.C)
}

// dual is that of a state. It begins with u = 0, where nothing is thresholded.
func (m *admmTV) dual(s *State) (d dual, err error) {
	for i, name := range dualNames {
		if s.Vars[name] == nil {
			return d, fmt.Errorf("the state has no %s: it is of an older version", name)
		}
		d.v[i] = s.Vars[name].Data
	}
	if s.Step > 0 {
		d.t = m.Lambda / m.Rho
	}
	return d, nil
}

// Step writes to the dual of the state that it is given, which saves memory, but not before all that can fail or be
// stopped is done.
func (m *admmTV) Step(ctx context.Context, s *State) (Report, error) {
	shape, rho := m.p.A.In(), float32(m.Rho)
	d, err := m.dual(s)
	if err != nil {
		return Report{}, err
	}
	given, x := s.Vars["x"].Data, m.old
	if x == nil || &x[0] == &given[0] { // the last step was given up, and is done again
		x = make([]float32, len(given))
	}
	copy(x, given)
	if m.rhs == nil {
		m.rhs, m.ax = make([]float32, len(x)), make([]float32, len(m.p.Y))
	}
	a := operator.Stoppable(ctx, m.p.A) // a step on a large picture takes many seconds
	normal := func(q, p []float32) {    // q = (A'A + rho D'D) p
		a.Apply(m.ax, p)
		a.Adjoint(q, m.ax)
		addLaplacian(q, p, shape, rho)
	}
	// x step: (A'A + rho D'D) x = A'y + rho D'(z - u).
	m.p.A.Adjoint(m.rhs, m.p.Y)
	d.addAdjoint(m.rhs, shape, rho)
	m.space.CG(normal, x, m.rhs, m.CGSteps, m.Tol/10)
	// z step on the over-relaxed Dx, then the dual update.
	fit, variation := m.objective(x)
	m.setX(s, x)
	report := Report{AtMost: true, Measurement: math.Sqrt(fit), Loss: fit/2 + m.Lambda*variation}
	if math.IsNaN(report.Loss) || math.IsInf(report.Loss, 0) {
		return report, nil // the loop looks for where it is from, in the state before the step
	}
	m.old = given
	primal, change := d.update(x, shape, m.Lambda/m.Rho, m.rhs)
	report.Done = primal < m.Tol && change < m.Tol
	report.Terms = []Term{{"primal", primal}, {"dual", change}}
	if report.Done || s.Step == m.Len()-1 {
		m.end(len(x))
	}
	return report, nil
}

// end lets go what the steps kept for each other, and of a large picture gives it back before more is taken to make
// the result.
func (m *admmTV) end(values int) {
	const large = 1 << 23
	m.rhs, m.ax, m.old, m.space = nil, nil, nil, operator.Space{}
	if values > large {
		runtime.GC()
	}
}

// objective returns |A x - y|^2 and the total variation of a picture x.
func (m *admmTV) objective(x []float32) (fit, variation float64) {
	m.p.A.Apply(m.ax, x)
	for i, v := range m.ax {
		fit += float64(v-m.p.Y[i]) * float64(v-m.p.Y[i])
	}
	shape := m.p.A.In()
	for p := 0; p < len(x); p += shape.C {
		var sq float64
		for i := p; i < p+shape.C; i++ {
			right, down := float64(difference(x, shape, 0, i)), float64(difference(x, shape, 1, i))
			sq += right*right + down*down
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
