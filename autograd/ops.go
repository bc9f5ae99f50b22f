package autograd

import (
	"math"

	"psld/tensor"
)

// view returns t's data in another shape.
func view(t *tensor.Tensor, shape ...int) *tensor.Tensor { return t.Reshaped(shape...) }

// Conv2d convolves x[N,H,W,I] with w[O,I,KH,KW] and adds b[O] (nil: none): [N,OH,OW,O].
func (g *Graph) Conv2d(x, w, b *Value, p tensor.Conv) *Value {
	check(len(x.T.Shape) == 4 && x.T.Dim(3) == w.T.Dim(1), "Conv2d", "x", x.T.Shape, []any{"N", "H", "W", w.T.Dim(1)})
	check(w.T.Dim(2) == p.KH && w.T.Dim(3) == p.KW, "Conv2d", "w", w.T.Shape, p)
	oh, ow := p.Out(x.T.Dim(1), x.T.Dim(2))
	check(oh > 0 && ow > 0, "Conv2d", "output", []int{oh, ow}, "at least one pixel")
	y := g.alloc(x.T.Dim(0), oh, ow, w.T.Dim(0))
	g.dev.Conv2d(y, x.T, w.T, tensorOf(b), p)
	return g.result(y, g.wants(x, w, b), func(dy *tensor.Tensor) bool {
		if x.requires {
			dx := g.dev.Get(x.T.Shape...)
			g.dev.Conv2dGradInput(dx, dy, w.T, p)
			g.add(x, dx)
		}
		if w.requires {
			dw := g.dev.Get(w.T.Shape...)
			var db *tensor.Tensor
			if b != nil && b.requires {
				db = g.dev.Get(b.T.Shape...)
			}
			g.dev.Conv2dGradWeight(dw, db, x.T, dy, p)
			g.add(w, dw)
			if db != nil {
				g.add(b, db)
			}
		}
		return false
	})
}

func tensorOf(v *Value) *tensor.Tensor {
	if v == nil {
		return nil
	}
	return v.T
}

// Linear is x[...,I] w[O,I]' + b[O] (nil: none): [...,O].
func (g *Graph) Linear(x, w, b *Value) *Value {
	i, o := w.T.Dim(1), w.T.Dim(0)
	check(x.T.Dim(-1) == i, "Linear", "x", x.T.Shape, []any{"...", i})
	rows := x.T.Rows()
	shape := append(append([]int{}, x.T.Shape[:len(x.T.Shape)-1]...), o)
	y := g.alloc(shape...)
	p := tensor.Conv{KH: 1, KW: 1, Stride: 1}
	xv := view(x.T, 1, 1, rows, i)
	g.dev.Conv2d(view(y, 1, 1, rows, o), xv, w.T, tensorOf(b), p)
	return g.result(y, g.wants(x, w, b), func(dy *tensor.Tensor) bool {
		dyv := view(dy, 1, 1, rows, o)
		if x.requires {
			dx := g.dev.Get(x.T.Shape...)
			g.dev.Conv2dGradInput(view(dx, 1, 1, rows, i), dyv, w.T, p)
			g.add(x, dx)
		}
		if w.requires {
			dw := g.dev.Get(w.T.Shape...)
			var db *tensor.Tensor
			if b != nil && b.requires {
				db = g.dev.Get(b.T.Shape...)
			}
			g.dev.Conv2dGradWeight(dw, db, xv, dyv, p)
			g.add(w, dw)
			if db != nil {
				g.add(b, db)
			}
		}
		return false
	})
}

// GroupNorm normalises x[N,...,C] over each group of channels of each item, then
// scales by gamma[C] and shifts by beta[C].
func (g *Graph) GroupNorm(x, gamma, beta *Value, groups int, eps float32) *Value {
	return g.groupNorm(x, gamma, beta, groups, eps, false)
}

// GroupNormSiLU is SiLU(GroupNorm(x)) in one pass.
func (g *Graph) GroupNormSiLU(x, gamma, beta *Value, groups int, eps float32) *Value {
	return g.groupNorm(x, gamma, beta, groups, eps, true)
}

func (g *Graph) groupNorm(x, gamma, beta *Value, groups int, eps float32, silu bool) *Value {
	c := x.T.Dim(-1)
	check(groups > 0 && c%groups == 0, "GroupNorm", "channels", c, []any{"a multiple of", groups})
	check(gamma.T.Len() == c && beta.T.Len() == c, "GroupNorm", "gamma", gamma.T.Shape, c)
	y := g.alloc(x.T.Shape...)
	stats := g.alloc(x.T.Dim(0), groups, 2)
	g.dev.GroupNorm(y, stats, x.T, gamma.T, beta.T, groups, eps, silu)
	return g.result(y, g.wants(x, gamma, beta), func(dy *tensor.Tensor) bool {
		dx := g.dev.Get(x.T.Shape...)
		dgamma, dbeta := g.paramGrads(gamma, beta)
		g.dev.GroupNormGrad(dx, dgamma, dbeta, dy, x.T, stats, gamma.T, beta.T, groups, silu)
		g.addOrDrop(x, dx)
		g.addParams(gamma, beta, dgamma, dbeta)
		return false
	})
}

func (g *Graph) paramGrads(gamma, beta *Value) (dgamma, dbeta *tensor.Tensor) {
	if gamma.requires || beta.requires {
		return g.dev.Get(gamma.T.Shape...), g.dev.Get(beta.T.Shape...)
	}
	return nil, nil
}

func (g *Graph) addParams(gamma, beta *Value, dgamma, dbeta *tensor.Tensor) {
	if dgamma != nil {
		g.addOrDrop(gamma, dgamma)
		g.addOrDrop(beta, dbeta)
	}
}

func (g *Graph) addOrDrop(v *Value, t *tensor.Tensor) {
	if v.requires {
		g.add(v, t)
	} else {
		g.dev.Put(t)
	}
}

// LayerNorm normalises over the last axis.
func (g *Graph) LayerNorm(x, gamma, beta *Value, eps float32) *Value {
	c := x.T.Dim(-1)
	check(gamma.T.Len() == c && beta.T.Len() == c, "LayerNorm", "gamma", gamma.T.Shape, c)
	y := g.alloc(x.T.Shape...)
	stats := g.alloc(x.T.Rows(), 2)
	g.dev.LayerNorm(y, stats, x.T, gamma.T, beta.T, eps)
	return g.result(y, g.wants(x, gamma, beta), func(dy *tensor.Tensor) bool {
		dx := g.dev.Get(x.T.Shape...)
		dgamma, dbeta := g.paramGrads(gamma, beta)
		g.dev.LayerNormGrad(dx, dgamma, dbeta, dy, x.T, stats, gamma.T)
		g.addOrDrop(x, dx)
		g.addParams(gamma, beta, dgamma, dbeta)
		return false
	})
}

// Softmax is over the last axis.
func (g *Graph) Softmax(x *Value) *Value {
	y := g.alloc(x.T.Shape...)
	g.dev.Softmax(y, x.T)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		g.dev.SoftmaxGrad(dy, dy, y)
		g.add(x, dy)
		return true
	})
}

// Attention is scaled dot-product attention of q[N,L,heads*d] on k and
// v[N,M,heads*d], scale 1/sqrt(d): [N,L,heads*d]. With causal, position i sees
// positions up to i.
func (g *Graph) Attention(q, k, v *Value, heads int, causal bool) *Value {
	c := q.T.Dim(2)
	check(c%heads == 0 && k.T.Dim(2) == c && k.T.Dim(0) == q.T.Dim(0), "Attention", "k", k.T.Shape, q.T.Shape)
	check(tensor.Same(k.T.Shape, v.T.Shape), "Attention", "v", v.T.Shape, k.T.Shape)
	o := g.alloc(q.T.Shape...)
	g.dev.Attention(o, q.T, k.T, v.T, heads, causal)
	return g.result(o, g.wants(q, k, v), func(do *tensor.Tensor) bool {
		dq, dk, dv := g.dev.Get(q.T.Shape...), g.dev.Get(k.T.Shape...), g.dev.Get(v.T.Shape...)
		g.dev.AttentionGrad(dq, dk, dv, do, o, q.T, k.T, v.T, heads, causal)
		g.addOrDrop(q, dq)
		g.addOrDrop(k, dk)
		g.addOrDrop(v, dv)
		return false
	})
}

func (g *Graph) unary(f tensor.Func, x *Value) *Value {
	y := g.alloc(x.T.Shape...)
	g.dev.Unary(f, y, x.T)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		g.dev.UnaryGrad(f, dy, dy, x.T)
		g.add(x, dy)
		return true
	})
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

// GEGLU halves the last axis: first half times GELU of the second.
func (g *Graph) GEGLU(x *Value) *Value {
	shape := append([]int{}, x.T.Shape...)
	check(shape[len(shape)-1]%2 == 0, "GEGLU", "last side", shape, "even")
	shape[len(shape)-1] /= 2
	y := g.alloc(shape...)
	g.dev.GEGLU(y, x.T)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.dev.Get(x.T.Shape...)
		g.dev.GEGLUGrad(dx, dy, x.T)
		g.add(x, dx)
		return false
	})
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
	return g.result(y, g.wants(a, b), func(dy *tensor.Tensor) bool {
		if b.requires {
			db := g.dev.Get(b.T.Shape...)
			g.dev.Scale(db, sign, dy)
			g.add(b, db)
		}
		if a.requires {
			g.add(a, dy)
		}
		return a.requires
	})
}

// Mul is the element-wise product of equal shapes.
func (g *Graph) Mul(a, b *Value) *Value {
	check(tensor.Same(a.T.Shape, b.T.Shape), "Mul", "second operand", b.T.Shape, a.T.Shape)
	y := g.alloc(a.T.Shape...)
	g.dev.Mul(y, a.T, b.T)
	return g.result(y, g.wants(a, b), func(dy *tensor.Tensor) bool {
		if b.requires {
			db := g.dev.Get(b.T.Shape...)
			g.dev.Mul(db, dy, a.T)
			g.add(b, db)
		}
		if a.requires {
			g.dev.Mul(dy, dy, b.T)
			g.add(a, dy)
		}
		return a.requires
	})
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
	})
}

// AddChannels adds e[N,C] to every pixel of x[N,...,C].
func (g *Graph) AddChannels(x, e *Value) *Value {
	n, c := x.T.Dim(0), x.T.Dim(-1)
	check(tensor.Same(e.T.Shape, []int{n, c}), "AddChannels", "e", e.T.Shape, []int{n, c})
	y := g.alloc(x.T.Shape...)
	g.dev.AddChannels(y, x.T, e.T)
	return g.result(y, g.wants(x, e), func(dy *tensor.Tensor) bool {
		if e.requires {
			de := g.dev.Get(n, c)
			g.dev.SumPixels(de, dy)
			g.add(e, de)
		}
		if x.requires {
			g.add(x, dy)
		}
		return x.requires
	})
}

// Concat joins a and b on the last axis.
func (g *Graph) Concat(a, b *Value) *Value {
	ca, cb := a.T.Dim(-1), b.T.Dim(-1)
	shape := append([]int{}, a.T.Shape...)
	check(a.T.Rows() == b.T.Rows(), "Concat", "second operand", b.T.Shape, a.T.Shape)
	shape[len(shape)-1] = ca + cb
	y := g.alloc(shape...)
	g.dev.CopyCols(y, 0, a.T, 0, ca)
	g.dev.CopyCols(y, ca, b.T, 0, cb)
	return g.result(y, g.wants(a, b), func(dy *tensor.Tensor) bool {
		if a.requires {
			da := g.dev.Get(a.T.Shape...)
			g.dev.CopyCols(da, 0, dy, 0, ca)
			g.add(a, da)
		}
		if b.requires {
			db := g.dev.Get(b.T.Shape...)
			g.dev.CopyCols(db, 0, dy, ca, cb)
			g.add(b, db)
		}
		return false
	})
}

// Slice takes columns [from, to) of the last axis.
func (g *Graph) Slice(x *Value, from, to int) *Value {
	shape := append([]int{}, x.T.Shape...)
	check(0 <= from && from < to && to <= x.T.Dim(-1), "Slice", "range", []int{from, to}, shape)
	shape[len(shape)-1] = to - from
	y := g.alloc(shape...)
	g.dev.CopyCols(y, 0, x.T, from, to-from)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.dev.Get(x.T.Shape...)
		g.dev.Fill(dx, 0)
		g.dev.CopyCols(dx, from, dy, 0, to-from)
		g.add(x, dx)
		return false
	})
}

// Reshape gives x another shape; no data moves.
func (g *Graph) Reshape(x *Value, shape ...int) *Value {
	return g.result(view(x.T, shape...), g.wants(x), func(dy *tensor.Tensor) bool {
		g.add(x, view(dy, x.T.Shape...))
		return true
	})
}

// Repeat copies x[1,...] n times along the first axis.
func (g *Graph) Repeat(x *Value, n int) *Value {
	check(x.T.Dim(0) == 1, "Repeat", "first side", x.T.Shape, 1)
	if n == 1 {
		return x
	}
	row := x.T.Len()
	shape := append([]int{n}, x.T.Shape[1:]...)
	y := g.alloc(shape...)
	for i := range n {
		g.dev.CopyCols(view(y, 1, n*row), i*row, view(x.T, 1, row), 0, row)
	}
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.dev.Get(1, row)
		g.dev.SumPixels(dx, view(dy, 1, n, row))
		g.add(x, view(dx, x.T.Shape...))
		return false
	})
}

// Windows cuts the h x w window at each offset {row, column} out of x[1,H,W,C]: [len(at),h,w,C].
func (g *Graph) Windows(x *Value, h, w int, at [][2]int) *Value {
	for _, o := range at {
		check(o[0] >= 0 && o[1] >= 0 && o[0]+h <= x.T.Dim(1) && o[1]+w <= x.T.Dim(2), "Windows", "offset", o, x.T.Shape)
	}
	y := g.alloc(len(at), h, w, x.T.Dim(3))
	g.dev.Windows(y, x.T, at)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.dev.Get(x.T.Shape...)
		g.dev.Fill(dx, 0)
		g.dev.AddWindows(dx, dy, at)
		g.add(x, dx)
		return false
	})
}

// AddWindows is the transpose of Windows: it adds x[len(at),h,w,C] into a zero picture [1,H,W,C].
func (g *Graph) AddWindows(x *Value, h, w int, at [][2]int) *Value {
	y := g.alloc(1, h, w, x.T.Dim(3))
	g.dev.Fill(y, 0)
	g.dev.AddWindows(y, x.T, at)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.dev.Get(x.T.Shape...)
		g.dev.Windows(dx, dy, at)
		g.add(x, dx)
		return false
	})
}

// Embedding looks up rows of w[V,C]: [shape...,C], with len(ids) the product of shape.
func (g *Graph) Embedding(w *Value, ids []int, shape ...int) *Value {
	check(len(ids) == tensor.Len(shape), "Embedding", "ids", len(ids), shape)
	y := g.alloc(append(append([]int{}, shape...), w.T.Dim(1))...)
	g.dev.Embedding(y, w.T, ids)
	return g.result(y, g.wants(w), func(dy *tensor.Tensor) bool {
		dw := g.dev.Get(w.T.Shape...)
		g.dev.EmbeddingGrad(dw, dy, ids)
		g.add(w, dw)
		return false
	})
}

// scalar makes a [1] value.
func (g *Graph) scalar(x *Value, v float64, backward func(dy float32, dx *tensor.Tensor)) *Value {
	y := g.alloc(1)
	g.dev.Upload(y, []float32{float32(v)})
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.dev.Get(x.T.Shape...)
		backward(g.dev.Host(dy)[0], dx)
		g.add(x, dx)
		return false
	})
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
	})
}

// SumSquares is the sum of squares of all elements: [1].
func (g *Graph) SumSquares(x *Value) *Value {
	return g.scalar(x, g.dev.SumSquares(x.T), func(dy float32, dx *tensor.Tensor) { g.dev.Scale(dx, 2*dy, x.T) })
}

// Map applies a linear map from outside the engine: y = forward(x) of shape
// outShape, with gradient adjoint(dy). Both write all of dst.
func (g *Graph) Map(x *Value, outShape []int, forward, adjoint func(dst, src []float32)) *Value {
	y := g.alloc(outShape...)
	g.mapInto(y, x.T, forward)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.dev.Get(x.T.Shape...)
		g.mapInto(dx, dy, adjoint)
		g.add(x, dx)
		return false
	})
}

func (g *Graph) mapInto(dst, src *tensor.Tensor, f func(dst, src []float32)) {
	out := make([]float32, dst.Len())
	f(out, g.dev.Host(src))
	g.dev.Upload(dst, out)
}
