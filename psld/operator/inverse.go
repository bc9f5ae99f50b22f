package operator

import (
	"context"
	"fmt"
	"math"

	"psld/tensor"
)

// NewPseudoInverse returns the regularised inverse B = (A'A + lambda I)^-1 A', the back-projection that agrees with
// the measurement up to lambda; its adjoint is A (A'A + lambda I)^-1. See NewNormalInverse for lambda and iters.
func NewPseudoInverse(a Linear, lambda float64, iters int) (Linear, error) {
	n, err := NewNormalInverse(a, lambda, iters)
	if err != nil {
		return nil, err
	}
	return Compose(n, Transposed(a))
}

// NewNormalInverse returns (A'A + lambda I)^-1, which is its own adjoint. It is exact where the singular values of A
// are known (see SVDOf). Else it runs iters steps of CG from zero, and is then linear and symmetric only as far as CG
// has converged. lambda must be positive.
func NewNormalInverse(a Linear, lambda float64, iters int) (Linear, error) {
	if err := checkOperator("a", a); err != nil {
		return nil, err
	}
	if !(lambda > 0) || math.IsInf(lambda, 0) {
		return nil, fmt.Errorf("operator: regularisation %g must be positive", lambda)
	}
	if iters < 1 {
		return nil, fmt.Errorf("operator: %d CG steps, want at least 1", iters)
	}
	if d := SVDOf(a); d != nil {
		inv := make([]float32, len(d.S))
		for i, s := range d.S {
			inv[i] = float32(1 / (float64(s)*float64(s) + lambda))
		}
		return &normalSVD{a.In(), d, inv}, nil
	}
	return &normalCG{a, float32(lambda), iters}, nil
}

// normalSVD is V diag(inv) V'.
type normalSVD struct {
	shape Shape
	svd   *SVD
	inv   []float32
}

func (n *normalSVD) In() Shape  { return n.shape }
func (n *normalSVD) Out() Shape { return n.shape }

func (n *normalSVD) Apply(dst, x []float32) {
	check(dst, x, n.shape, n.shape)
	t := make([]float32, len(x))
	n.svd.V.Adjoint(t, x)
	for i := range t {
		t[i] *= n.inv[i]
	}
	n.svd.V.Apply(dst, t)
}

func (n *normalSVD) Adjoint(dst, y []float32) { n.Apply(dst, y) }

// normalCG solves by conjugate gradients.
type normalCG struct {
	a      Linear
	lambda float32
	iters  int
}

func (n *normalCG) In() Shape  { return n.a.In() }
func (n *normalCG) Out() Shape { return n.a.In() }

func (n *normalCG) Apply(dst, x []float32) {
	check(dst, x, n.In(), n.In())
	a, y := n.a, make([]float32, n.a.Out().Len())
	clear(dst)
	CG(func(q, p []float32) {
		a.Apply(y, p)
		a.Adjoint(q, y)
		axpy(n.lambda, p, q)
	}, dst, x, n.iters, 1e-7)
}

// within implements what ApplyWithin looks for.
func (n *normalCG) within(ctx context.Context) Linear {
	return &normalCG{Stoppable(ctx, n.a), n.lambda, n.iters}
}

// ApplyWithin is a.Apply for an inverse of NewNormalInverse: where that runs conjugate gradients, which take long on a
// large picture, it ends early with ctx's error. dst is of no use then.
func ApplyWithin(ctx context.Context, a Linear, dst, x []float32) (err error) {
	defer tensor.Catch(&err)
	if n, ok := a.(interface{ within(context.Context) Linear }); ok {
		a = n.within(ctx)
	}
	a.Apply(dst, x)
	return nil
}

func (n *normalCG) Adjoint(dst, y []float32) { n.Apply(dst, y) }
