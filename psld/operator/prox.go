package operator

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"psld/autograd"
	"psld/tensor"
	"psld/tensor/cpu"
)

// Proximal is an operator that has its proximal step in closed form; see ProxOf.
type Proximal interface {
	Linear
	// Prox computes the picture x that minimises 1/2 |A x - y|^2 + rho/2 |x - z|^2,
	//
	//	dst = z + A'(A A' + rho I)^-1 (y - A z)
	//
	// with z and dst of shape In() and y of shape Out(). In this form the error does not grow as rho falls. dst is
	// overwritten and must not overlap the arguments. Where A is Measured, what y holds in its holes does not count.
	// rho must be positive; that, and wrong lengths, are a programmer's mistake and panic. A step that takes long
	// looks at ctx and returns its error, as its only one; dst is of no use then.
	Prox(ctx context.Context, dst, z, y []float32, rho float64) error
}

// Where there is no closed form, the step is solved by conjugate gradients up to this relative residual,
// in at most this many steps.
const (
	ProxTolerance = 1e-3
	proxSteps     = 2000
)

// ProxOf returns a with a proximal step: a itself where it is Proximal, else with one by conjugate gradients up to
// ProxTolerance. Their number of steps grows with |A|/sqrt(rho).
func ProxOf(a Linear) Proximal { return ProxWithin(a, ProxTolerance) }

// ProxWithin is ProxOf with another tolerance.
func ProxWithin(a Linear, tolerance float64) Proximal {
	if p, ok := a.(Proximal); ok {
		return p
	}
	return proxCG{a, tolerance}
}

// checkProx panics on arguments that no proximal step can have.
func checkProx(a Linear, dst, z, y []float32, rho float64) {
	check(dst, z, a.In(), a.In())
	if len(y) != a.Out().Len() {
		panic(fmt.Sprintf("operator: measurement of length %d, want %v", len(y), a.Out()))
	}
	if !(rho > 0) || math.IsInf(rho, 0) {
		panic(fmt.Sprintf("operator: weight %g of a proximal step, want a positive number", rho))
	}
}

// blend moves z towards y by share.
func blend(z, y float32, share float64) float32 {
	return float32(float64(z) + share*(float64(y)-float64(z)))
}

// proxCG gives any operator a proximal step.
type proxCG struct {
	Linear
	tolerance float64
}

// Prox implements Proximal.
func (p proxCG) Prox(ctx context.Context, dst, z, y []float32, rho float64) error {
	checkProx(p, dst, z, y, rho)
	return proxByCG(ctx, p.Linear, dst, proxProblem{z, y, rho}, p.tolerance)
}

// proxProblem is what a proximal step is given.
type proxProblem struct {
	z, y []float32
	rho  float64
}

// proxByCG solves in the space of the measurement or of the picture, whichever is smaller:
// A'(A A' + rho I)^-1 = (A'A + rho I)^-1 A'.
func proxByCG(ctx context.Context, a Linear, dst []float32, of proxProblem, tolerance float64) (err error) {
	defer tensor.Catch(&err)
	z, y, rho := of.z, of.y, of.rho
	if f, ok := a.(interface{ quick() Linear }); ok {
		a = f.quick()
	}
	a = Stoppable(ctx, a)
	r := residual(a, z, y)
	if len(y) <= len(z) {
		u, t := make([]float32, len(y)), make([]float32, len(z))
		vector.cg(new(Space), func(q, p []float32) {
			a.Adjoint(t, p)
			a.Apply(q, t)
			vector.axpy(float32(rho), p, q)
		}, u, r, proxSteps, tolerance)
		a.Adjoint(dst, u)
	} else {
		b, t := make([]float32, len(z)), make([]float32, len(y))
		a.Adjoint(b, r)
		clear(dst)
		vector.cg(new(Space), func(q, p []float32) {
			a.Apply(t, p)
			a.Adjoint(q, t)
			vector.axpy(float32(rho), p, q)
		}, dst, b, proxSteps, tolerance)
	}
	axpy(1, z, dst)
	return nil
}

// Stoppable is a, for work within tensor.Catch that takes long: once ctx has ended it panics with *tensor.Stopped.
func Stoppable(ctx context.Context, a Linear) Linear { return stoppable{a, ctx} }

type stoppable struct {
	Linear
	ctx context.Context
}

func (s stoppable) look() {
	if err := s.ctx.Err(); err != nil {
		panic(&tensor.Stopped{Err: err})
	}
}

func (s stoppable) Apply(dst, x []float32) {
	s.look()
	s.Linear.Apply(dst, x)
}

func (s stoppable) Adjoint(dst, y []float32) {
	s.look()
	s.Linear.Adjoint(dst, y)
}

// Known implements Measured.
func (s stoppable) Known() []bool { return KnownOf(s.Linear) }

// residual is y - A z, zero in the holes of the measurement.
func residual(a Linear, z, y []float32) []float32 {
	r := make([]float32, len(y))
	a.Apply(r, z)
	known, c := KnownOf(a), a.Out().C
	for i, v := range r {
		if known == nil || known[i/c] {
			r[i] = y[i] - v
		} else {
			r[i] = 0
		}
	}
	return r
}

// gram is the eigendecomposition U (values) U' of A A' of a separable operator, in the form that keeps all digits
// where values are small: A'U has its columns as short as the singular values, so that a division by rho is never
// undone by a sum.
type gram struct {
	ut, atu matrices  // U' and A'U
	values  []float64 // of the pixels of A.Out()
}

// matrices is a separable map: v [H', H] along y and h [W', W] along x, multiplied by the engine.
type matrices struct{ v, h *autograd.Value }

// newGram returns nil where a side of the measurement is over maxSVD.
func newGram(s *separable) *gram {
	if max(s.out.H, s.out.W) > maxSVD {
		return nil
	}
	uv, av, ev, ok1 := eigenAxis(s.v)
	uh, ah, eh, ok2 := eigenAxis(s.h)
	if !ok1 || !ok2 {
		return nil
	}
	g := &gram{matrices{uv, uh}, matrices{av, ah}, make([]float64, s.out.H*s.out.W)}
	for i := range g.values {
		g.values[i] = ev[i/s.out.W] * eh[i%s.out.W]
	}
	return g
}

// eigenAxis decomposes T T' = U (values) U' for the matrix T [out,in] of an axis: U' [out,out] and T'U [in,out].
func eigenAxis(t table) (ut, tu *autograd.Value, values []float64, ok bool) {
	var d mat.EigenSym
	m, sym := mat.NewDense(t.out, t.in, t.dense()), mat.NewSymDense(t.out, nil)
	sym.SymOuterK(1, m)
	if !d.Factorize(sym, true) {
		return ut, tu, nil, false
	}
	var u, adjoint mat.Dense
	d.VectorsTo(&u)
	adjoint.Mul(m.T(), &u)
	values = d.Values(nil)
	for i, v := range values {
		values[i] = max(v, 0) // rounding
	}
	return weight(mat.DenseCopyOf(u.T())), weight(&adjoint), values, true
}

func weight(m *mat.Dense) *autograd.Value {
	r, c := m.Dims()
	return autograd.NewParam(tensor.From(narrow(m.RawMatrix().Data), r, c))
}

// apply maps x [H, W, c] to dst [H', W', c], plane by plane.
func (m matrices) apply(dst, x []float32, c int) {
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	ih, iw := m.v.T.Dim(1), m.h.T.Dim(1)
	planes := make([]float32, len(x))
	for i := range ih * iw {
		for ch := range c {
			planes[ch*ih*iw+i] = x[i*c+ch]
		}
	}
	ow := m.h.T.Dim(0)
	wide := cpu.F32.Host(g.Linear(g.Const(tensor.From(planes, c*ih, iw)), m.h, nil).T) // [c, H, W']
	turned := make([]float32, c*ow*ih)                                                 // [c, W', H]
	for ch := range c {
		for y := range ih {
			for x, v := range wide[(ch*ih+y)*ow : (ch*ih+y+1)*ow] {
				turned[(ch*ow+x)*ih+y] = v
			}
		}
	}
	oh := m.v.T.Dim(0)
	tall := cpu.F32.Host(g.Linear(g.Const(tensor.From(turned, c*ow, ih)), m.v, nil).T) // [c, W', H']
	for ch := range c {
		for x := range ow {
			for y, v := range tall[(ch*ow+x)*oh : (ch*ow+x+1)*oh] {
				dst[(y*ow+x)*c+ch] = v
			}
		}
	}
}

// Prox implements Proximal, exactly with the operator's own borders: A A' = U (values) U', found once in
// O(H^3 + W^3) of the measurement's sides. Measurements with a side over 512 pixels take conjugate gradients.
func (s *separable) Prox(ctx context.Context, dst, z, y []float32, rho float64) error {
	checkProx(s, dst, z, y, rho)
	s.proxOnce.Do(func() { s.prox = newGram(s) })
	if s.prox == nil {
		return proxByCG(ctx, s, dst, proxProblem{z, y, rho}, ProxTolerance)
	}
	r, t := residual(s, z, y), make([]float32, len(y))
	s.prox.ut.apply(t, r, s.out.C)
	for i, v := range t {
		t[i] = float32(float64(v) / (s.prox.values[i/s.out.C] + rho))
	}
	s.prox.atu.apply(dst, t, s.out.C)
	axpy(1, z, dst)
	return nil
}
