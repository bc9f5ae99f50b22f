package autograd

import (
	"math"

	"psld/tensor"
)

// scalar makes a [1] value.
func (g *Graph) scalar(x *Value, v float64, backward func(dy float32, dx *tensor.Tensor),
	saved ...*tensor.Tensor) *Value {
	y := g.alloc(1)
	g.dev.Upload(y, []float32{float32(v)})
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.temp(x.T.Shape...)
		backward(g.dev.Host(dy)[0], dx)
		g.add(x, dx)
		return false
	}, saved...)
}

// Sum adds all elements: [1].
func (g *Graph) Sum(x *Value) *Value {
	return g.scalar(x, g.dev.Sum(x.T), func(dy float32, dx *tensor.Tensor) { g.dev.Fill(dx, dy) })
}

// Mean is the mean of all elements: [1].
func (g *Graph) Mean(x *Value) *Value { return g.Scale(g.Sum(x), 1/float32(x.T.Len())) }

// Norm2 is the Frobenius norm over all elements: [1]. Its gradient at zero is zero.
func (g *Graph) Norm2(x *Value) *Value {
	norm := math.Sqrt(g.dev.SumSquares(x.T))
	return g.scalar(x, norm, func(dy float32, dx *tensor.Tensor) {
		if norm == 0 {
			g.dev.Fill(dx, 0)
			return
		}
		g.dev.Scale(dx, float32(float64(dy)/norm), x.T)
	}, x.T)
}

// SumSquares is the sum of squares of all elements: [1].
func (g *Graph) SumSquares(x *Value) *Value {
	return g.scalar(x, g.dev.SumSquares(x.T), func(dy float32, dx *tensor.Tensor) { g.dev.Scale(dx, 2*dy, x.T) }, x.T)
}
