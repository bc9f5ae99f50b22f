// Package tv is the total-variation baseline: it restores a picture from y = A x + noise with the prior that pictures
// are piecewise smooth. It needs no trained weights, so it always runs and is the bar for everything that does.
package tv

import (
	"context"
	"fmt"
	"math"

	"psld/psld/operator"
)

// Options are the settings of Solve. The zero value of a field means its default.
type Options struct {
	// Lambda is the weight of the total variation. The default 0.03 suits denoising and box inpainting with noise of
	// std 0.05 on [-1,1]; 0.01 motion blur, 0.005 Gaussian blur and super-resolution, 0.003 random inpainting (best
	// means over 16 photos at 64x64, see TestSweep). It should grow with the noise.
	Lambda   float64
	Rho      float64    // penalty of the splitting, default 10*Lambda; it changes the speed, not the solution
	Iters    int        // largest number of ADMM steps, default 100
	CGIters  int        // largest number of CG steps in one ADMM step, default 10
	Tol      float64    // relative residual at which to stop, default 1e-3
	Progress func(Step) // called after every step when not nil
}

// Step reports on one ADMM step.
type Step struct {
	Iter   int       // from 1
	Primal float64   // |Dx - z| relative to the size of Dx and z
	Dual   float64   // rho |D'(z - z before)| relative to rho |D'u|
	X      []float32 // the picture so far; valid during the call only
}

// defaults fills in the zero fields and reports bad ones.
func (o *Options) defaults() error {
	set := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	set(&o.Lambda, 0.03)
	set(&o.Rho, 10*o.Lambda)
	set(&o.Tol, 1e-3)
	if o.Iters == 0 {
		o.Iters = 100
	}
	if o.CGIters == 0 {
		o.CGIters = 10
	}
	for _, f := range []struct { // in order: Rho may come from Lambda
		name string
		v    float64
	}{{"Lambda", o.Lambda}, {"Rho", o.Rho}, {"Tol", o.Tol}, {"Iters", float64(o.Iters)}, {"CGIters", float64(o.CGIters)}} {
		if !(f.v > 0) || math.IsInf(f.v, 0) {
			return fmt.Errorf("tv: %s is %g, want a positive number", f.name, f.v)
		}
	}
	return nil
}

// Solve returns the picture x, shape a.In() in HWC order, that minimises
//
//	1/2 |A x - y|^2 + Lambda sum over pixels of |(Dx)_p|,
//
// D being the forward differences to the right and down (zero at the last column and row) of all channels together, so
// that edges of the channels fall in the same place (isotropic, coupled channels). It runs ADMM (Boyd et al. 2011) from
// x = A'y: the x step is CG, warm-started, the z step a block soft threshold. The result is not clipped to [-1,1].
//
// When ctx ends, it returns the picture so far together with ctx.Err(). Options that are not positive, a y that does not
// fit a.Out() and values that are not finite are errors.
func Solve(ctx context.Context, a operator.Linear, y []float32, opts Options) ([]float32, error) {
	if err := opts.defaults(); err != nil {
		return nil, err
	}
	if len(y) != a.Out().Len() {
		return nil, fmt.Errorf("tv: measurement has %d values, the operator gives %v (%d)", len(y), a.Out(), a.Out().Len())
	}
	for i, v := range y {
		if v-v != 0 {
			return nil, fmt.Errorf("tv: measurement holds %v at %d, want finite values", v, i)
		}
	}
	shape := a.In()
	n, rho := shape.Len(), float32(opts.Rho)
	x, b, rhs, div := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
	dx, z, u := newField(n), newField(n), newField(n) // u is the scaled dual variable
	ax := make([]float32, len(y))
	normal := func(q, p []float32) { // q = (A'A + rho D'D) p
		a.Apply(ax, p)
		a.Adjoint(q, ax)
		addLaplacian(q, p, shape, rho)
	}
	a.Adjoint(b, y)
	copy(x, b)
	gradient(z, x, shape)
	for iter := 1; iter <= opts.Iters; iter++ {
		if err := ctx.Err(); err != nil {
			return x, err
		}
		// x step: (A'A + rho D'D) x = A'y + rho D'(z - u).
		for d := range z {
			for i, v := range z[d] {
				dx[d][i] = v - u[d][i]
			}
		}
		gradientAdjoint(div, dx, shape)
		for i, v := range b {
			rhs[i] = v + rho*div[i]
		}
		operator.CG(normal, x, rhs, opts.CGIters, opts.Tol/10)
		// z step on the over-relaxed Dx, then the dual update. old keeps z for the dual residual.
		gradient(dx, x, shape)
		s := Step{Iter: iter, X: x}
		s.Primal, s.Dual = shrink(dx, z, u, shape, opts.Lambda/opts.Rho, div)
		if math.IsNaN(s.Primal) || math.IsInf(s.Primal, 0) {
			return nil, fmt.Errorf("tv: the iteration broke down at step %d (values are not finite)", iter)
		}
		if opts.Progress != nil {
			opts.Progress(s)
		}
		if s.Primal < opts.Tol && s.Dual < opts.Tol {
			break
		}
	}
	return x, nil
}
