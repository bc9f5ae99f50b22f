package operator

import (
	"context"
	"fmt"
	"math"

	"psld/tensor"
)

// Luma are the weights of red, green and blue in the grey of television (ITU-R BT.601) and of most programs.
var Luma = []float64{0.299, 0.587, 0.114}

// NewGrey returns the operator of colourisation: each pixel becomes one number, the sum of its channels times the
// weights, of which there is one a channel and not all 0.
func NewGrey(h, w int, weights []float64) (Linear, error) {
	in := Shape{h, w, len(weights)}
	if err := checkShape(in); err != nil {
		return nil, err
	}
	g := &grey{in: in, w: append([]float64(nil), weights...)}
	for _, v := range weights {
		g.squares += v * v
	}
	if !(g.squares > 0) || math.IsInf(g.squares, 0) {
		return nil, fmt.Errorf("operator: weights %v of grey, want finite numbers that are not all 0", weights)
	}
	sum := newTable(1, in.C, func(int) (idx []int, w []float64) {
		for c, v := range g.w {
			idx, w = append(idx, c), append(w, v)
		}
		return idx, w
	})
	g.forward = []*tensor.Sparse{sum.along(h*w, 1)}
	g.adjoint = []*tensor.Sparse{sum.transpose().along(h*w, 1)}
	return g, nil
}

// grey is A = w' at each pixel.
type grey struct {
	in      Shape
	w       []float64
	squares float64 // |w|^2

	forward, adjoint []*tensor.Sparse
}

func (g *grey) In() Shape  { return g.in }
func (g *grey) Out() Shape { return Shape{g.in.H, g.in.W, 1} }

func (g *grey) Apply(dst, x []float32) {
	check(dst, x, g.Out(), g.in)
	for i := range dst {
		var sum float64
		for c, w := range g.w {
			sum += w * float64(x[i*len(g.w)+c])
		}
		dst[i] = float32(sum)
	}
}

func (g *grey) Adjoint(dst, y []float32) {
	check(dst, y, g.in, g.Out())
	for i := range dst {
		dst[i] = float32(g.w[i%len(g.w)] * float64(y[i/len(g.w)]))
	}
}

// Prox implements Proximal: z + w (y - w'z)/(|w|^2 + rho) at each pixel.
func (g *grey) Prox(_ context.Context, dst, z, y []float32, rho float64) error {
	checkProx(g, dst, z, y, rho)
	at := make([]float32, len(y))
	g.Apply(at, z)
	for i, v := range z {
		p := i / len(g.w)
		dst[i] = float32(float64(v) + g.w[i%len(g.w)]*(float64(y[p])-float64(at[p]))/(g.squares+rho))
	}
	return nil
}

// SVD implements Decomposed: at each pixel V is the reflection that swaps the first axis and w/|w|.
func (g *grey) SVD() *SVD {
	s := make([]float32, g.in.Len())
	for i := 0; i < len(s); i += len(g.w) {
		s[i] = float32(math.Sqrt(g.squares))
	}
	return &SVD{U: Identity(g.Out()), V: newReflection(g.in, g.w, math.Sqrt(g.squares)), S: s}
}

// reflection is I - 2 v v'/|v|^2 at each pixel, which is its own transpose and inverse.
type reflection struct {
	shape Shape
	v     []float64 // of length 1, or 0 for the identity
}

func newReflection(s Shape, w []float64, length float64) reflection {
	r := reflection{s, make([]float64, len(w))}
	var sq float64
	for c, x := range w {
		r.v[c] = x / length
		if c == 0 {
			r.v[c]--
		}
		sq += r.v[c] * r.v[c]
	}
	for c := range r.v {
		if sq > 0 {
			r.v[c] /= math.Sqrt(sq)
		}
	}
	return r
}

func (r reflection) In() Shape                { return r.shape }
func (r reflection) Out() Shape               { return r.shape }
func (r reflection) Adjoint(dst, y []float32) { r.Apply(dst, y) }

func (r reflection) Apply(dst, x []float32) {
	check(dst, x, r.shape, r.shape)
	n := len(r.v)
	for i := 0; i < len(x); i += n {
		var along float64
		for c, v := range r.v {
			along += v * float64(x[i+c])
		}
		for c, v := range r.v {
			dst[i+c] = float32(float64(x[i+c]) - 2*v*along)
		}
	}
}
