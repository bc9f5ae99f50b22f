package operator

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/mat"
)

// Dot returns the inner product of a and b, summed in float64.
func Dot(a, b []float32) float64 {
	var s float64
	b = b[:len(a)]
	for i, v := range a {
		s += float64(v) * float64(b[i])
	}
	return s
}

// CG solves M x = b for a symmetric positive (semi)definite M by conjugate gradients, starting from the given x and
// overwriting it. apply computes dst = M x. It stops after iters steps or when |b - M x| <= tol*|b|, and returns the
// number of steps taken and the relative residual. Inner products are summed in float64.
func CG(apply func(dst, x []float32), x, b []float32, iters int, tol float64) (steps int, residual float64) {
	n := len(x)
	r, p, q := make([]float32, n), make([]float32, n), make([]float32, n)
	apply(q, x)
	for i := range r {
		r[i] = b[i] - q[i]
	}
	copy(p, r)
	bb, rr := Dot(b, b), Dot(r, r)
	if bb == 0 {
		clear(x)
		return 0, 0
	}
	for steps < iters && rr > tol*tol*bb {
		apply(q, p)
		pq := Dot(p, q)
		if pq <= 0 { // the residual lies in the null space, or rounding has the last word
			break
		}
		alpha := float32(rr / pq)
		axpy(alpha, p, x)
		axpy(-alpha, q, r)
		next := Dot(r, r)
		beta := float32(next / rr)
		for i := range p {
			p[i] = r[i] + beta*p[i]
		}
		rr = next
		steps++
	}
	return steps, math.Sqrt(rr / bb)
}

// OpNorm estimates the spectral norm |A| (the largest singular value) by iters steps of power iteration on A'A from a
// seeded random start; the estimate comes from below.
func OpNorm(a Linear, iters int) float64 {
	x, y := make([]float32, a.In().Len()), make([]float32, a.Out().Len())
	rng := newRand(0, streamNorm)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	norm := 0.0
	for range iters {
		n := math.Sqrt(Dot(x, x))
		if n == 0 {
			return 0
		}
		for i := range x {
			x[i] = float32(float64(x[i]) / n)
		}
		a.Apply(y, x)
		norm = math.Sqrt(Dot(y, y))
		a.Adjoint(x, y)
	}
	return norm
}

// NewPseudoInverse returns the regularised inverse B = (A'A + lambda I)^-1 A', the back-projection that agrees with the
// measurement up to lambda; its adjoint is A (A'A + lambda I)^-1. See NewNormalInverse for lambda and iters.
func NewPseudoInverse(a Linear, lambda float64, iters int) (Linear, error) {
	n, err := NewNormalInverse(a, lambda, iters)
	if err != nil {
		return nil, err
	}
	return Compose(n, Transposed(a))
}

// maxSVD is the longest side that NewSVD decomposes: 512 pixels take about a second, and the time grows with the third
// power.
const maxSVD = 512

// NewNormalInverse returns (A'A + lambda I)^-1, which is its own adjoint. It is exact where the singular values of A are
// known (see NewSVD). Else it runs iters steps of CG from zero, and is then linear and symmetric only as far as CG has
// converged. lambda must be positive.
func NewNormalInverse(a Linear, lambda float64, iters int) (Linear, error) {
	if !(lambda > 0) || math.IsInf(lambda, 0) {
		return nil, fmt.Errorf("operator: regularisation %g must be positive", lambda)
	}
	if iters < 1 {
		return nil, fmt.Errorf("operator: %d CG steps, want at least 1", iters)
	}
	if d := NewSVD(a); d != nil {
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
	y := make([]float32, n.a.Out().Len())
	clear(dst)
	CG(func(q, p []float32) {
		n.a.Apply(y, p)
		n.a.Adjoint(q, y)
		axpy(n.lambda, p, q)
	}, dst, x, n.iters, 1e-7)
}

func (n *normalCG) Adjoint(dst, y []float32) { n.Apply(dst, y) }

// SVD is the singular value decomposition A = U diag(S) V' of an operator, with U and V orthogonal: V maps spectral
// coefficients to pictures of shape A.In(), U to measurements of shape A.Out(). S has one value (>= 0, in no order) for
// each coefficient of V, laid out as A.In(); zero means that A does not see it. Coefficient (i, j, channel) of V belongs
// to coefficient (i, j, channel) of U; those outside the shape of A.Out() have S = 0.
type SVD struct {
	U, V Linear
	S    []float32
}

// NewSVD returns the decomposition of operators whose singular vectors are known: identity, masks, and all that is
// separable (resizes, blurs with a kernel of rank one). For other operators it returns nil. A separable operator takes
// O(H^3 + W^3) once, and then O(H W (H + W)) for each product; with a side over 512 pixels the answer is nil as well.
func NewSVD(a Linear) *SVD {
	switch a := a.(type) {
	case identity:
		s := make([]float32, a.shape.Len())
		for i := range s {
			s[i] = 1
		}
		return &SVD{a, a, s}
	case *Mask:
		s := make([]float32, a.shape.Len())
		for i := range s {
			if a.keep[i/a.shape.C] {
				s[i] = 1
			}
		}
		return &SVD{Identity(a.shape), Identity(a.shape), s}
	case *separable:
		if max(a.in.H, a.in.W) > maxSVD {
			return nil
		}
		uv, sv, vv, ok1 := svdAxis(a.v)
		uh, sh, vh, ok2 := svdAxis(a.h)
		if !ok1 || !ok2 {
			return nil
		}
		d := &SVD{U: &dense{a.out, uv, uh}, V: &dense{a.in, vv, vh}, S: make([]float32, a.in.Len())}
		for i := range d.S {
			y, x := i/a.in.C/a.in.W, i/a.in.C%a.in.W
			if y < len(sv) && x < len(sh) {
				d.S[i] = float32(sv[y] * sh[x])
			}
		}
		return d
	}
	return nil
}

// svdAxis decomposes the matrix of one axis: u [out,out], s (min(out,in) values), v [in,in], both orthogonal.
func svdAxis(t table) (u []float32, s []float64, v []float32, ok bool) {
	var d mat.SVD
	if !d.Factorize(mat.NewDense(t.out, t.in, t.dense()), mat.SVDFull) {
		return nil, nil, nil, false
	}
	var mu, mv mat.Dense
	d.UTo(&mu)
	d.VTo(&mv)
	return narrow(mu.RawMatrix().Data), d.Values(nil), narrow(mv.RawMatrix().Data), true
}

func narrow(a []float64) []float32 {
	r := make([]float32, len(a))
	for i, v := range a {
		r[i] = float32(v)
	}
	return r
}

// dense is an orthogonal separable map: square matrices v [H,H] along y and h [W,W] along x.
type dense struct {
	shape Shape
	v, h  []float32
}

func (d *dense) In() Shape                { return d.shape }
func (d *dense) Out() Shape               { return d.shape }
func (d *dense) Apply(dst, x []float32)   { d.product(dst, x, blas.NoTrans) }
func (d *dense) Adjoint(dst, y []float32) { d.product(dst, y, blas.Trans) }

func (d *dense) product(dst, x []float32, tr blas.Transpose) {
	check(dst, x, d.shape, d.shape)
	h, w, c := d.shape.H, d.shape.W, d.shape.C
	t, s := make([]float32, len(x)), make([]float32, len(x))
	gemm(tr, d.v, x, t, h, w*c)
	swapXY(s, t, h, w, c)
	gemm(tr, d.h, s, t, w, h*c)
	swapXY(dst, t, w, h, c)
}

// gemm: out [n,m] = a x or a' x with a [n,n], x [n,m].
func gemm(tr blas.Transpose, a, x, out []float32, n, m int) {
	blas32.Gemm(tr, blas.NoTrans, 1, blas32.General{Rows: n, Cols: n, Stride: n, Data: a},
		blas32.General{Rows: n, Cols: m, Stride: m, Data: x}, 0, blas32.General{Rows: n, Cols: m, Stride: m, Data: out})
}

// swapXY turns [h, w, c] into [w, h, c].
func swapXY(dst, src []float32, h, w, c int) {
	for y := range h {
		for x := range w {
			copy(dst[(x*h+y)*c:(x*h+y+1)*c], src[(y*w+x)*c:])
		}
	}
}
