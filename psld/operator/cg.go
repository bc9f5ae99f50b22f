package operator

import "math"

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
