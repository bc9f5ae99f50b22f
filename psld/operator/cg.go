package operator

import (
	"math"
	"slices"

	"psld/asm"
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
	return plain.cg(new(Space), apply, x, slices.Clone(b), iters, tol)
}

// Space is memory of CG that is kept from one solution to the next, two vectors. The zero value is ready.
type Space struct{ p, q []float32 }

// CG is the function of that name in the memory of s and of b, which it overwrites.
func (s *Space) CG(apply func(dst, x []float32), x, b []float32, iters int, tol float64) (steps int,
	residual float64) {
	return plain.cg(s, apply, x, b, iters, tol)
}

// kernels are the loops of an operator and of CG. Both sets compute the same but for rounding: plain is what the
// published results were made with, vector the engine's, several times as fast.
type kernels struct {
	axpy func(a float32, x, y []float32) // y += a x
	dot  func(a, b []float32) float64
}

var (
	plain  = kernels{axpy, Dot}
	vector = kernels{func(a float32, x, y []float32) { asm.Axpy(y[:len(x)], a, x) }, asm.Dot}
)

// cg overwrites b with the residual.
func (k kernels) cg(s *Space, apply func(dst, x []float32), x, b []float32, iters int, tol float64) (steps int,
	residual float64) {
	n := len(x)
	if len(s.p) != n {
		s.p, s.q = make([]float32, n), make([]float32, n)
	}
	r, p, q := b, s.p, s.q
	bb := k.dot(b, b)
	apply(q, x)
	for i, v := range q {
		r[i] -= v
	}
	copy(p, r)
	rr := k.dot(r, r)
	if bb == 0 {
		clear(x)
		return 0, 0
	}
	for steps < iters && rr > tol*tol*bb {
		apply(q, p)
		pq := k.dot(p, q)
		if pq <= 0 { // the residual lies in the null space, or rounding has the last word
			break
		}
		alpha := float32(rr / pq)
		k.axpy(alpha, p, x)
		k.axpy(-alpha, q, r)
		next := k.dot(r, r)
		beta := float32(next / rr)
		for i := range p {
			p[i] = r[i] + beta*p[i]
		}
		rr = next
		steps++
	}
	return steps, math.Sqrt(rr / bb)
}
