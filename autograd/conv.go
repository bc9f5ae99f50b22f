package autograd

import (
	"psld/tensor"
)

// Conv2d convolves x[N,H,W,I] with w[O,I,KH,KW] and adds b[O] (nil: none): [N,OH,OW,O].
func (g *Graph) Conv2d(x, w, b *Value, p tensor.Conv) *Value {
	check(len(x.T.Shape) == 4 && x.T.Dim(3) == w.T.Dim(1), "Conv2d", "x", x.T.Shape, []any{"N", "H", "W", w.T.Dim(1)})
	check(w.T.Dim(2) == p.KH && w.T.Dim(3) == p.KW, "Conv2d", "w", w.T.Shape, p)
	check(b == nil || b.T.Len() == w.T.Dim(0), "Conv2d", "b", shapeOf(b), w.T.Dim(0))
	oh, ow := p.Out(x.T.Dim(1), x.T.Dim(2))
	check(oh > 0 && ow > 0, "Conv2d", "output", []int{oh, ow}, "at least one pixel")
	y := g.alloc(x.T.Dim(0), oh, ow, w.T.Dim(0))
	g.dev.Conv2d(y, x.T, w.T, tensorOf(b), p)
	return g.result(y, g.wants(x, w, b), func(dy *tensor.Tensor) bool {
		g.convGrads(x, w, b, x.T, dy, p)
		return false
	}, savedByConv(x, w)...)
}

// Linear is x[...,I] w[O,I]' + b[O] (nil: none): [...,O]. It is a convolution of one
// row of pixels with a window of one.
func (g *Graph) Linear(x, w, b *Value) *Value {
	i, o := w.T.Dim(1), w.T.Dim(0)
	check(x.T.Dim(-1) == i, "Linear", "x", x.T.Shape, []any{"...", i})
	check(b == nil || b.T.Len() == o, "Linear", "b", shapeOf(b), o)
	rows := x.T.Rows()
	shape := append(append([]int{}, x.T.Shape[:len(x.T.Shape)-1]...), o)
	y := g.alloc(shape...)
	p := tensor.Conv{KH: 1, KW: 1, Stride: 1}
	xv := view(x.T, 1, 1, rows, i)
	g.dev.Conv2d(view(y, 1, 1, rows, o), xv, w.T, tensorOf(b), p)
	return g.result(y, g.wants(x, w, b), func(dy *tensor.Tensor) bool {
		g.convGrads(x, w, b, xv, view(dy, 1, 1, rows, o), p)
		return false
	}, savedByConv(x, w)...)
}

// savedByConv: the gradient to the input needs the weight alone.
func savedByConv(x, w *Value) []*tensor.Tensor {
	if w.requires {
		return []*tensor.Tensor{x.T}
	}
	return nil
}

// convGrads adds the gradients of a convolution of xv, which is x in the shape of pictures.
func (g *Graph) convGrads(x, w, b *Value, xv, dy *tensor.Tensor, p tensor.Conv) {
	if x.requires {
		dx := g.dev.Get(x.T.Shape...)
		g.dev.Conv2dGradInput(view(dx, xv.Shape...), dy, w.T, p)
		g.add(x, dx)
	}
	var db *tensor.Tensor
	if b != nil && b.requires {
		db = g.dev.Get(b.T.Shape...)
	}
	if w.requires {
		dw := g.dev.Get(w.T.Shape...)
		g.dev.Conv2dGradWeight(dw, db, xv, dy, p)
		g.add(w, dw)
	} else if db != nil {
		g.dev.SumPixels(view(db, 1, db.Len()), view(dy, 1, dy.Rows(), db.Len()))
	}
	if db != nil {
		g.add(b, db)
	}
}

func tensorOf(v *Value) *tensor.Tensor {
	if v == nil {
		return nil
	}
	return v.T
}

func shapeOf(v *Value) []int {
	if v == nil {
		return nil
	}
	return v.T.Shape
}
