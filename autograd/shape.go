package autograd

import (
	"psld/tensor"
)

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
			da := g.temp(a.T.Shape...)
			g.dev.CopyCols(da, 0, dy, 0, ca)
			g.add(a, da)
		}
		if b.requires {
			db := g.temp(b.T.Shape...)
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
		dx := g.temp(x.T.Shape...)
		g.dev.Fill(dx, 0)
		g.dev.CopyCols(dx, from, dy, 0, to-from)
		g.add(x, dx)
		return false
	})
}

// Reshape gives x another shape; no data moves.
func (g *Graph) Reshape(x *Value, shape ...int) *Value {
	return g.result(x.T.Reshaped(shape...), g.wants(x), func(dy *tensor.Tensor) bool {
		g.add(x, dy.Reshaped(x.T.Shape...))
		return true
	})
}

// Watch gives x. When Backward has come to its gradient, and the device has computed it, it calls fn.
func (g *Graph) Watch(x *Value, fn func()) *Value {
	wanted := g.wants(x)
	if !wanted {
		return x
	}
	return g.result(x.T.Reshaped(x.T.Shape...), wanted, func(dy *tensor.Tensor) bool {
		g.dev.Sync()
		fn()
		g.add(x, dy)
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
		g.dev.CopyCols(y.Reshaped(1, n*row), i*row, x.T.Reshaped(1, row), 0, row)
	}
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.temp(1, row)
		g.dev.SumPixels(dx, dy.Reshaped(1, n, row))
		g.add(x, dx.Reshaped(x.T.Shape...))
		return false
	})
}

// Windows cuts the h x w window at each offset {row, column} out of x[1,H,W,C]: [len(at),h,w,C].
func (g *Graph) Windows(x *Value, h, w int, at [][2]int) *Value {
	check(x.T.Dim(0) == 1, "Windows", "x", x.T.Shape, "one picture")
	checkOffsets("Windows", at, h, w, x.T.Dim(1), x.T.Dim(2))
	y := g.alloc(len(at), h, w, x.T.Dim(3))
	g.dev.Windows(y, x.T, at)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.temp(x.T.Shape...)
		g.dev.Fill(dx, 0)
		g.dev.AddWindows(dx, dy, at)
		g.add(x, dx)
		return false
	})
}

// AddWindows is the transpose of Windows: it adds x[len(at),h,w,C] into a zero picture [1,H,W,C].
func (g *Graph) AddWindows(x *Value, h, w int, at [][2]int) *Value {
	check(len(at) == x.T.Dim(0), "AddWindows", "number of offsets", len(at), x.T.Dim(0))
	checkOffsets("AddWindows", at, x.T.Dim(1), x.T.Dim(2), h, w)
	y := g.alloc(1, h, w, x.T.Dim(3))
	g.dev.Fill(y, 0)
	g.dev.AddWindows(y, x.T, at)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.temp(x.T.Shape...)
		g.dev.Windows(dx, dy, at)
		g.add(x, dx)
		return false
	})
}

// checkOffsets checks that windows of h x w at these offsets lie inside a picture.
func checkOffsets(op string, at [][2]int, h, w, pictureH, pictureW int) {
	for _, o := range at {
		check(o[0] >= 0 && o[1] >= 0 && o[0]+h <= pictureH && o[1]+w <= pictureW, op, "offset", o,
			[]any{"inside", pictureH, pictureW, "for a window of", h, w})
	}
}

// Enlarge2x doubles height and width of x[N,H,W,C] by nearest neighbours: [N,2H,2W,C].
func (g *Graph) Enlarge2x(x *Value) *Value {
	check(len(x.T.Shape) == 4, "Enlarge2x", "x", x.T.Shape, "[N H W C]")
	y := g.alloc(x.T.Dim(0), 2*x.T.Dim(1), 2*x.T.Dim(2), x.T.Dim(3))
	g.dev.Enlarge2x(y, x.T)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.temp(x.T.Shape...)
		g.dev.Mean2x2(dx, dy)
		g.dev.Scale(dx, 4, dx)
		g.add(x, dx)
		return false
	})
}

// Mean2x2 halves height and width of x[N,H,W,C], both even, by means: [N,H/2,W/2,C].
func (g *Graph) Mean2x2(x *Value) *Value {
	check(len(x.T.Shape) == 4 && x.T.Dim(1)%2 == 0 && x.T.Dim(2)%2 == 0, "Mean2x2", "x", x.T.Shape,
		"[N H W C], H and W even")
	y := g.alloc(x.T.Dim(0), x.T.Dim(1)/2, x.T.Dim(2)/2, x.T.Dim(3))
	g.dev.Mean2x2(y, x.T)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.temp(x.T.Shape...)
		g.dev.Enlarge2x(dx, dy)
		g.dev.Scale(dx, 0.25, dx)
		g.add(x, dx)
		return false
	})
}

// Embedding looks up rows of w[V,C]: [shape...,C], with len(ids) the product of shape.
func (g *Graph) Embedding(w *Value, ids []int, shape ...int) *Value {
	check(len(ids) == tensor.Len(shape), "Embedding", "ids", len(ids), shape)
	for _, id := range ids {
		check(0 <= id && id < w.T.Dim(0), "Embedding", "id", id, []any{"below", w.T.Dim(0)})
	}
	y := g.alloc(append(append([]int{}, shape...), w.T.Dim(1))...)
	g.dev.Embedding(y, w.T, ids)
	return g.result(y, g.wants(w), func(dy *tensor.Tensor) bool {
		dw := g.temp(w.T.Shape...)
		g.dev.EmbeddingGrad(dw, dy, ids)
		g.add(w, dw)
		return false
	})
}

// Sparse applies the matrices of forward to x, one after the other: a value of shape outShape. Those of adjoint are
// the transpose of them all, and give its gradient.
func (g *Graph) Sparse(x *Value, outShape []int, forward, adjoint []*tensor.Sparse) *Value {
	y := g.alloc(outShape...)
	g.products(y, x.T, forward)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.temp(x.T.Shape...)
		g.products(dx, dy, adjoint)
		g.add(x, dx)
		return false
	})
}

func (g *Graph) products(y, x *tensor.Tensor, chain []*tensor.Sparse) {
	check(len(chain) > 0, "Sparse", "number of matrices", len(chain), "at least one")
	in := x
	for i, m := range chain {
		check(x.Len() == m.Outer*m.In, "Sparse", "x", x.Shape, []int{m.Outer, m.In})
		out := y
		if i < len(chain)-1 {
			out = g.temp(m.Outer, m.Rows(), m.Inner)
		}
		check(out.Len() == m.Outer*m.Rows()*m.Inner, "Sparse", "y", out.Shape, []int{m.Outer, m.Rows(), m.Inner})
		g.dev.Sparse(out, x, m)
		if x != in {
			g.drop(x)
		}
		x = out
	}
}

// Map applies a linear map from outside the engine: y = forward(x) of shape
// outShape, with gradient adjoint(dy). Both write all of dst.
func (g *Graph) Map(x *Value, outShape []int, forward, adjoint func(dst, src []float32)) *Value {
	y := g.alloc(outShape...)
	g.mapInto(y, x.T, forward)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		dx := g.temp(x.T.Shape...)
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
