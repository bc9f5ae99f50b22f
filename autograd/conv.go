package autograd

import (
	"psld/tensor"
)

// Epilogue is what a convolution or a linear layer does to its sums s before they are stored: y = Func(Scale*s + Add).
// Next to operations of their own it saves passes over memory, and gives the same bits. The zero value does nothing.
type Epilogue struct {
	Scale float32 // 0 stands for 1
	// GEGLU halves the channels, as [Graph.GEGLU] does; it follows Scale.
	GEGLU bool
	Add   *Value // in the shape of the result; nil for nothing
	Func  tensor.Func
}

// Conv2d convolves x[N,H,W,I] with w[O,I,KH,KW] and adds b[O] (nil: none): [N,OH,OW,O].
func (g *Graph) Conv2d(x, w, b *Value, p tensor.Conv) *Value {
	return g.Conv2dEpilogue(x, w, b, p, Epilogue{})
}

// Conv2dEpilogue is Conv2d and then e.
func (g *Graph) Conv2dEpilogue(x, w, b *Value, p tensor.Conv, e Epilogue) *Value {
	check(len(x.T.Shape) == 4 && x.T.Dim(3) == w.T.Dim(1), "Conv2d", "x", x.T.Shape, []any{"N", "H", "W", w.T.Dim(1)})
	check(w.T.Dim(2) == p.KH && w.T.Dim(3) == p.KW, "Conv2d", "w", w.T.Shape, p)
	check(b == nil || b.T.Len() == w.T.Dim(0), "Conv2d", "b", shapeOf(b), w.T.Dim(0))
	oh, ow := p.Out(x.T.Dim(1), x.T.Dim(2))
	check(oh > 0 && ow > 0, "Conv2d", "output", []int{oh, ow}, "at least one pixel")
	return g.conv(x, w, b, p, e, x.T.Shape, []int{x.T.Dim(0), oh, ow, w.T.Dim(0)})
}

// Linear is x[...,I] w[O,I]' + b[O] (nil: none): [...,O]. It is a convolution of one
// row of pixels with a window of one.
func (g *Graph) Linear(x, w, b *Value) *Value { return g.LinearEpilogue(x, w, b, Epilogue{}) }

// LinearEpilogue is Linear and then e.
func (g *Graph) LinearEpilogue(x, w, b *Value, e Epilogue) *Value {
	i, o := w.T.Dim(1), w.T.Dim(0)
	check(x.T.Dim(-1) == i, "Linear", "x", x.T.Shape, []any{"...", i})
	check(b == nil || b.T.Len() == o, "Linear", "b", shapeOf(b), o)
	shape := append(append([]int{}, x.T.Shape[:len(x.T.Shape)-1]...), o)
	return g.conv(x, w, b, tensor.Conv{KH: 1, KW: 1, Stride: 1}, e, []int{1, 1, x.T.Rows(), i}, shape)
}

// conv is the convolution of x in the shape in; the result without e has the shape out.
func (g *Graph) conv(x, w, b *Value, p tensor.Conv, e Epilogue, in, out []int) *Value {
	wanted := g.wants(x, w, b, e.Add)
	if wanted && (e.GEGLU || e.Func != tensor.Identity && e.Func != tensor.ReLU) {
		return g.unfused(x, w, b, p, e, in, out) // the gradient needs what the function is taken of
	}
	if e.GEGLU {
		check(out[len(out)-1]%2 == 0, "Epilogue", "GEGLU of", out, "an even number of channels")
		out[len(out)-1] /= 2
	}
	check(e.Add == nil || tensor.Same(shapeOf(e.Add), out), "Epilogue", "Add", shapeOf(e.Add), out)
	y := g.alloc(out...)
	picture := func(y *tensor.Tensor) *tensor.Tensor { // y is in the shape out
		oh, ow := p.Out(in[1], in[2])
		return y.Reshaped(in[0], oh, ow, y.Dim(-1))
	}
	then := tensor.Epilogue{Scale: e.Scale, GEGLU: e.GEGLU, Add: tensorOf(e.Add), Func: e.Func}
	xv := x.T.Reshaped(in...)
	g.dev.Conv2d(picture(y), xv, w.T, tensorOf(b), p, then)
	saved := savedByConv(x, w)
	if e.Func == tensor.ReLU { // its slope shows in its results
		saved = append(saved, y)
	}
	return g.result(y, wanted, func(dy *tensor.Tensor) bool {
		if e.Func == tensor.ReLU {
			g.dev.UnaryGrad(tensor.ReLU, dy, dy, y)
		}
		ds := dy
		if e.Scale != 0 && e.Scale != 1 {
			ds = g.temp(dy.Shape...)
			defer g.drop(ds)
			g.dev.Scale(ds, e.Scale, dy)
		}
		g.convGrads(x, w, b, xv, picture(ds), p)
		if e.Add == nil || !e.Add.requires {
			return false
		}
		g.add(e.Add, dy)
		return true
	}, saved...)
}

// unfused is conv with its epilogue in operations of their own.
func (g *Graph) unfused(x, w, b *Value, p tensor.Conv, e Epilogue, in, out []int) *Value {
	if !e.GEGLU {
		return g.unary(e.Func, g.conv(x, w, b, p, Epilogue{Scale: e.Scale, Add: e.Add}, in, out))
	}
	y := g.GEGLU(g.conv(x, w, b, p, Epilogue{Scale: e.Scale}, in, out))
	if e.Add != nil {
		y = g.Add(y, e.Add)
	}
	if e.Func != tensor.Identity {
		y = g.unary(e.Func, y)
	}
	return y
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
		dx := g.temp(x.T.Shape...)
		g.dev.Conv2dGradInput(dx.Reshaped(xv.Shape...), dy, w.T, p)
		g.add(x, dx)
	}
	var db *tensor.Tensor
	if b != nil && b.requires {
		db = g.temp(b.T.Shape...)
	}
	if w.requires {
		dw := g.temp(w.T.Shape...)
		g.dev.Conv2dGradWeight(dw, db, xv, dy, p)
		g.add(w, dw)
	} else if db != nil {
		g.dev.SumPixels(db.Reshaped(1, db.Len()), dy.Reshaped(1, dy.Rows(), db.Len()))
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
