//go:build cuda

package cuda

import (
	"strings"

	"psld/tensor"
)

// geometry is struct Conv of product.cu.
type geometry struct {
	n, h, w, ci, oh, ow, co   int32
	kh, kw, stride, top, left int32
	up                        int32
	per                       int32
}

// finish is struct Finish of product.cu.
type finish struct {
	y, part, bias, add uint64
	scale              float32
	gated, f           int32
	_                  int32
}

// geometryOf reads the sides of a convolution from x[N,H,W,I], which may be dx, and y[N,OH,OW,O].
func geometryOf(x, y *tensor.Tensor, channels int, p tensor.Conv) *geometry {
	g := &geometry{n: int32(x.Dim(0)), h: int32(x.Dim(1)), w: int32(x.Dim(2)), ci: int32(x.Dim(3)),
		oh: int32(y.Dim(1)), ow: int32(y.Dim(2)), co: int32(channels), kh: int32(p.KH), kw: int32(p.KW),
		stride: int32(p.Stride), top: int32(p.PadTop), left: int32(p.PadLeft)}
	if p.Upsample {
		g.up = 1
	}
	return g
}

// sides are those of C[m,n] = A B, sums of k terms.
type sides struct{ m, n, k int }

// ending ends a product whose sums lie in parts.
type ending func(parts uint64, many int)

// product queues a product by the kernels of the given name, and ends with end where its sums are cut in parts.
func (d *device) product(name string, a, b uint64, s sides, g *geometry, e *finish, end ending) {
	m, n, k := s.m, s.n, s.k
	tile, tm, tn := tileOf(name, m, n, g)
	columns := (n + tn - 1) / tn
	if e.gated != 0 {
		columns = (n/2 + tn/2 - 1) / (tn / 2)
	}
	tiles := (m + tm - 1) / tm * columns
	parts := 1
	if tiles < 132 { // fewer than a large GPU has multiprocessors
		parts = max(1, min((264+tiles-1)/tiles, k/128, 64))
	}
	per := ((k+parts-1)/parts + depth - 1) / depth * depth
	parts = max(1, (k+per-1)/per)
	g.per = int32(per)
	if parts > 1 {
		e.part = d.scratch(4 * int64(parts) * int64(m) * int64(n))
	}
	d.launch(name+tile, grid{(m + tm - 1) / tm, columns, parts}, 256, at(a), at(b), structOf(g), structOf(e))
	if parts > 1 {
		end(e.part, parts)
	}
}

// depth is a multiple of what tiles take along k at a time: BK of product.cu and tensorcore.cuh.
const depth = 32

// tileOf chooses a kernel, by its name's end, and the size of its tiles, by the shape alone.
func tileOf(name string, m, n int, g *geometry) (tile string, tm, tn int) {
	onCores := !strings.HasPrefix(name, "conv")
	switch {
	case !onCores && (g.ci%4 != 0 || name != "convForward" && g.co%4 != 0):
		return "Odd", 64, 64
	case !onCores && n <= 32 && m >= 128:
		return "32", 128, 32
	case m < 256 || n < 96 || (m+127)/128*((n+127)/128) < 64:
		return "64", 64, 64
	}
	return "128", 128, 128
}

// kindOf is the kind of the factors of a product by a weight.
func (d *device) kindOf(w *tensor.Tensor) string {
	if d.onCores(w) {
		return d.kind
	}
	return "f32"
}

// kernelOf is the name of the kernels that multiply by a weight.
func (d *device) kernelOf(name string, w *tensor.Tensor) string {
	if d.onCores(w) {
		return d.kind + name
	}
	return "conv" + name
}

// pictureEnd is the end of a product whose result are pictures.
func (d *device) pictureEnd(n, all, count int, e *finish) ending {
	return func(parts uint64, many int) {
		d.each("convEnd", count, at(parts), i32(many), i32(n), i64(all), structOf(e))
	}
}

// Conv2d implements [tensor.Device].
func (d *device) Conv2d(y, x, w, b *tensor.Tensor, p tensor.Conv, e tensor.Epilogue) {
	if y.Len() == 0 {
		return
	}
	d.begin()
	defer d.leave()
	f := &finish{y: d.out(y), bias: d.in(b), add: d.in(e.Add), scale: e.Scale, f: int32(e.Func)}
	if f.scale == 0 {
		f.scale = 1
	}
	if e.GEGLU {
		f.gated = 1
	}
	co := w.Dim(0)
	g := geometryOf(x, y, co, p)
	from, weight, end := d.in(x), d.weight(w, d.formOf(w)), d.pictureEnd(co, y.Rows()*co, y.Len(), f)
	s := sides{y.Rows(), co, p.KH * p.KW * x.Dim(3)}
	if p.Pointwise() && d.multiply(from, weight, shape{sides: s, turnB: true, kind: d.kindOf(w)}, f, end) {
		return
	}
	d.product(d.kernelOf("Forward", w), from, weight, s, g, f, end)
}

// Conv2dGradInput implements [tensor.Device].
func (d *device) Conv2dGradInput(dx, dy, w *tensor.Tensor, p tensor.Conv) {
	if dx.Len() == 0 {
		return
	}
	d.begin()
	defer d.leave()
	f := &finish{y: d.out(dx), scale: 1}
	co := w.Dim(0)
	g := geometryOf(dx, dy, co, p)
	m, n, k := dx.Rows(), dx.Dim(3), p.KH*p.KW*co
	if p.Upsample {
		k *= 4
	}
	from, weight, end := d.in(dy), d.weight(w, d.formOf(w)), d.pictureEnd(n, m*n, m*n, f)
	s, kind := sides{m, n, k}, d.kindOf(w)
	if p.Pointwise() && kind != "f16" && d.multiply(from, weight, shape{sides: s, kind: kind}, f, end) {
		return
	}
	d.product(d.kernelOf("ToInput", w), from, weight, s, g, f, end)
}

// Conv2dGradWeight implements [tensor.Device].
func (d *device) Conv2dGradWeight(dw, db, x, dy *tensor.Tensor, p tensor.Conv) {
	d.begin()
	defer d.leave()
	grad, from := d.in(dy), d.in(x)
	if db != nil {
		d.columnSums(d.out(db), grad, 1, dy.Rows(), dy.Dim(3))
	}
	if dw.Len() == 0 {
		return
	}
	f := &finish{y: d.out(dw), scale: 1}
	g := geometryOf(x, dy, dw.Dim(0), p)
	taps := p.KH * p.KW
	s := sides{dw.Dim(0), taps * x.Dim(3), dy.Rows()}
	end := func(parts uint64, many int) {
		d.each("convWeightEnd", dw.Len(), at(f.y), at(parts), i32(many), i32(x.Dim(3)), i32(taps))
	}
	if p.Pointwise() && d.multiply(grad, from, shape{sides: s, turnA: true, kind: "f32"}, f, end) {
		return
	}
	d.product("convToWeight", grad, from, s, g, f, end)
}
