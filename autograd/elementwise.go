package autograd

import (
	"psld/tensor"
)

func (g *Graph) unary(f tensor.Func, x *Value) *Value {
	y := g.alloc(x.T.Shape...)
	g.dev.Unary(f, y, x.T)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		g.dev.UnaryGrad(f, dy, dy, x.T)
		g.add(x, dy)
		return true
	}, x.T)
}

// SiLU is x*sigmoid(x).
func (g *Graph) SiLU(x *Value) *Value { return g.unary(tensor.SiLU, x) }

// GELU is x*Phi(x), the exact form.
func (g *Graph) GELU(x *Value) *Value { return g.unary(tensor.GELU, x) }

// QuickGELU is x*sigmoid(1.702x).
func (g *Graph) QuickGELU(x *Value) *Value { return g.unary(tensor.QuickGELU, x) }

// Exp is e^x.
func (g *Graph) Exp(x *Value) *Value { return g.unary(tensor.Exp, x) }

// Abs is |x|, with gradient 0 at 0.
func (g *Graph) Abs(x *Value) *Value { return g.unary(tensor.Abs, x) }

// ReLU is max(x, 0), with gradient 0 at 0.
func (g *Graph) ReLU(x *Value) *Value { return g.unary(tensor.ReLU, x) }

// Tanh is the hyperbolic tangent.
func (g *Graph) Tanh(x *Value) *Value { return g.unary(tensor.Tanh, x) }

// GEGLU halves the last axis: first half times GELU of the second.
func (g *Graph) GEGLU(x *Value) *Value {
	shape := append([]int{}, x.T.Shape...)
	check(shape[len(shape)-1]%2 == 0, "GEGLU", "last side", shape, "even")
	shape[len(shape)-1] /= 2
	y := g.alloc(shape...)
	g.dev.GEGLU(y, x.T)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.temp(x.T.Shape...)
		g.dev.GEGLUGrad(dx, dy, x.T)
		g.add(x, dx)
		return false
	}, x.T)
}

// Add is a+b, of equal shapes.
func (g *Graph) Add(a, b *Value) *Value { return g.sum(a, 1, b, "Add") }

// Sub is a-b, of equal shapes.
func (g *Graph) Sub(a, b *Value) *Value { return g.sum(a, -1, b, "Sub") }

func (g *Graph) sum(a *Value, sign float32, b *Value, op string) *Value {
	check(tensor.Same(a.T.Shape, b.T.Shape), op, "second operand", b.T.Shape, a.T.Shape)
	y := g.alloc(a.T.Shape...)
	if sign == 1 {
		g.dev.Add(y, a.T, b.T)
	} else {
		g.dev.Scale(y, sign, b.T)
		g.dev.Add(y, y, a.T)
	}
	return g.result(y, g.wants(a, b), g.sumGrad(a, sign, b))
}

func (g *Graph) sumGrad(a *Value, sign float32, b *Value) func(dy *tensor.Tensor) bool {
	return func(dy *tensor.Tensor) bool {
		if b.requires {
			db := g.temp(dy.Shape...)
			g.dev.Scale(db, sign, dy)
			g.add(b, db)
		}
		if a.requires {
			g.add(a, dy)
		}
		return a.requires
	}
}

// Mul is the element-wise product of equal shapes.
func (g *Graph) Mul(a, b *Value) *Value {
	check(tensor.Same(a.T.Shape, b.T.Shape), "Mul", "second operand", b.T.Shape, a.T.Shape)
	y := g.alloc(a.T.Shape...)
	g.dev.Mul(y, a.T, b.T)
	return g.result(y, g.wants(a, b), func(dy *tensor.Tensor) bool {
		if b.requires {
			db := g.temp(b.T.Shape...)
			g.dev.Mul(db, dy, a.T)
			g.add(b, db)
		}
		if a.requires {
			g.dev.Mul(dy, dy, b.T)
			g.add(a, dy)
		}
		return a.requires
	}, a.T, b.T)
}

// Scale is s*x.
func (g *Graph) Scale(x *Value, s float32) *Value {
	y := g.alloc(x.T.Shape...)
	g.dev.Scale(y, s, x.T)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		g.dev.Scale(dy, s, dy)
		g.add(x, dy)
		return true
	})
}

// Clamp limits x to [lo, hi]; outside, its gradient is 0.
func (g *Graph) Clamp(x *Value, lo, hi float32) *Value {
	y := g.alloc(x.T.Shape...)
	g.dev.Clamp(y, x.T, lo, hi)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		g.dev.ClampGrad(dy, dy, x.T, lo, hi)
		g.add(x, dy)
		return true
	}, x.T)
}

// AddChannels adds e[N,C] to every pixel of x[N,...,C].
func (g *Graph) AddChannels(x, e *Value) *Value {
	n, c := x.T.Dim(0), x.T.Dim(-1)
	check(tensor.Same(e.T.Shape, []int{n, c}), "AddChannels", "e", e.T.Shape, []int{n, c})
	y := g.alloc(x.T.Shape...)
	g.dev.AddChannels(y, x.T, e.T)
	return g.result(y, g.wants(x, e), func(dy *tensor.Tensor) bool {
		if e.requires {
			de := g.temp(n, c)
			g.dev.SumPixels(de, dy)
			g.add(e, de)
		}
		if x.requires {
			g.add(x, dy)
		}
		return x.requires
	})
}
