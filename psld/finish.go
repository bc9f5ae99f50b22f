package psld

import (
	"context"

	"psld/psld/operator"
	"psld/psld/solver"
)

// finish moves the decoded picture x towards the measurement in pixel space, where the
// autoencoder's bottleneck does not limit it:
//
//	x + (A'A + lambda I)^-1 A' (y - A x),  lambda = sigma^2 / tau^2,
//
// the least-squares estimate when y has noise of deviation sigma and x an error of tau. What the
// residual y - A x has over the noise tells tau: tau^2 = mean square - sigma^2.
// Where the picture fits the measurement up to its noise, nothing is left to do. Unknown
// values must be zero in y. Where ctx ends x stays as it is, and the error is ctx's.
func finish(ctx context.Context, x []float32, p solver.Problem, sigma float64) error {
	r, square := residual(x, p)
	tau2 := square - sigma*sigma
	if tau2 <= 1e-6 {
		return nil
	}
	inverse, err := operator.NewNormalInverse(p.A, max(1e-3, sigma*sigma/tau2), 30)
	if err != nil {
		return err
	}
	back, dx := make([]float32, len(x)), make([]float32, len(x))
	p.A.Adjoint(back, r)
	if err := operator.ApplyWithin(ctx, inverse, dx, back); err != nil {
		return err
	}
	for i, v := range dx {
		x[i] += v
	}
	return nil
}

// residual is y - A x, and its mean square over the measured values. Unknown values must be zero in y.
func residual(x []float32, p solver.Problem) (r []float32, square float64) {
	r = make([]float32, len(p.Y))
	p.A.Apply(r, x)
	for i, v := range p.Y {
		r[i] = v - r[i]
		square += float64(r[i]) * float64(r[i])
	}
	return r, square / float64(max(1, p.Measured()))
}
