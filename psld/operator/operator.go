// Package operator holds the linear measurement operators A of an inverse problem y = A x + noise: masks, blurs and
// resizes, with their exact transposes, plus the kernels, masks and noises that go with them.
//
// What only some operators can do is an interface beside Linear, asked for by a function that has an answer for every
// operator: Proximal (ProxOf), Decomposed (SVDOf), Measured (KnownOf, MeasuredOf), Factored (Lower).
//
// Pictures are []float32 in HWC order (a pixel's channels lie side by side), usually RGB in [-1,1]; sizes are given by
// a Shape. Operators are immutable and safe for concurrent use. Work is split by shape and never by thread count, and
// every output element is summed in one fixed order, so results do not depend on the number of threads.
package operator

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Shape is the size of a picture: height, width and channels.
type Shape struct{ H, W, C int }

// Len returns the number of float32 values of a picture of this shape.
func (s Shape) Len() int { return s.H * s.W * s.C }

// String returns the shape as "HxWxC".
func (s Shape) String() string { return fmt.Sprintf("%dx%dx%d", s.H, s.W, s.C) }

// Linear is a linear map between pictures. Apply computes dst = A x, Adjoint dst = A' y with the true transpose, so
// that <A x, y> = <x, A' y> up to rounding. dst is overwritten and must not overlap the argument; lengths that differ
// from In().Len() and Out().Len() are a programmer's mistake and panic.
type Linear interface {
	In() Shape
	Out() Shape
	Apply(dst, x []float32)
	Adjoint(dst, y []float32)
}

// check panics when dst and src do not have the shapes that an operator maps between.
func check(dst, src []float32, out, in Shape) {
	if len(src) != in.Len() || len(dst) != out.Len() {
		panic("operator: slice lengths " + fmt.Sprint(len(src), " -> ", len(dst)) +
			", want " + in.String() + " -> " + out.String())
	}
}

// maxValues is the number of values of the largest picture that operators take: 8 GiB.
const maxValues = math.MaxInt32

// checkShape reports a shape that no operator can have.
func checkShape(s Shape) error {
	if s.H < 1 || s.W < 1 || s.C < 1 {
		return fmt.Errorf("operator: picture size %v must be at least 1x1x1", s)
	}
	if s.W > maxValues/s.H || s.C > maxValues/(s.H*s.W) {
		return fmt.Errorf("operator: a picture of %v has more than %d values", s, maxValues)
	}
	return nil
}

// checkOperator reports an argument that is no operator.
func checkOperator(name string, a Linear) error {
	if m, ok := a.(*Mask); a == nil || ok && m == nil {
		return fmt.Errorf("operator: %s is nil, want an operator", name)
	}
	return nil
}

// identity is A = I, the operator of denoising.
type identity struct{ shape Shape }

// Identity returns A = I on pictures of the given shape: the operator of denoising.
func Identity(s Shape) Linear { return identity{s} }

func (a identity) In() Shape                { return a.shape }
func (a identity) Out() Shape               { return a.shape }
func (a identity) Apply(dst, x []float32)   { check(dst, x, a.shape, a.shape); copy(dst, x) }
func (a identity) Adjoint(dst, y []float32) { a.Apply(dst, y) }

// Prox implements Proximal: (y + rho z)/(1 + rho).
func (a identity) Prox(_ context.Context, dst, z, y []float32, rho float64) error {
	checkProx(a, dst, z, y, rho)
	for i, v := range z {
		dst[i] = blend(v, y[i], 1/(1+rho))
	}
	return nil
}

// transposed swaps the two directions of a.
type transposed struct{ a Linear }

// Transposed returns A' as an operator of its own.
func Transposed(a Linear) Linear { return transposed{a} }

func (t transposed) In() Shape                { return t.a.Out() }
func (t transposed) Out() Shape               { return t.a.In() }
func (t transposed) Apply(dst, x []float32)   { t.a.Adjoint(dst, x) }
func (t transposed) Adjoint(dst, y []float32) { t.a.Apply(dst, y) }

// composed is outer(inner(x)).
type composed struct{ outer, inner Linear }

// Compose returns x -> outer(inner(x)). It returns an error naming both shapes when they do not fit.
func Compose(outer, inner Linear) (Linear, error) {
	if err := errors.Join(checkOperator("outer", outer), checkOperator("inner", inner)); err != nil {
		return nil, err
	}
	if outer.In() != inner.Out() {
		return nil, fmt.Errorf("operator: cannot compose: the first gives %v, the second wants %v",
			inner.Out(), outer.In())
	}
	return composed{outer, inner}, nil
}

func (c composed) In() Shape  { return c.inner.In() }
func (c composed) Out() Shape { return c.outer.Out() }

// Known implements Measured.
func (c composed) Known() []bool { return KnownOf(c.outer) }

func (c composed) Apply(dst, x []float32) {
	t := make([]float32, c.inner.Out().Len())
	c.inner.Apply(t, x)
	c.outer.Apply(dst, t)
}

func (c composed) Adjoint(dst, y []float32) {
	t := make([]float32, c.inner.Out().Len())
	c.outer.Adjoint(t, y)
	c.inner.Adjoint(dst, t)
}

// PublishedTranspose returns what the published PSLD code uses in the place of A' when it glues a picture to its
// measurement, x + T(y - A x): the identity where A keeps the size (inpainting, blurs, denoising), nearest-neighbour
// up-sampling where it does not (super-resolution). It is not the adjoint; Transposed(a) is.
func PublishedTranspose(a Linear) Linear {
	in, out := a.In(), a.Out()
	if in == out {
		return Identity(in)
	}
	t, err := NewResize(out.H, out.W, out.C, in.H, in.W, Nearest)
	if err != nil {
		panic("operator: Transpose of an operator without a size")
	}
	return t
}
