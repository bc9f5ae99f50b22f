//go:build vulkan

package vulkan

import (
	"math"

	"psld/tensor"
)

// lines is the number of groups for n elements, in two dimensions.
func lines(n int) [3]int { return square((n + 255) / 256) }

// square spreads groups over two dimensions, since one takes 65535 at most; there may be some more.
func square(groups int) [3]int {
	if groups <= 32768 {
		return [3]int{groups, 1, 1}
	}
	return [3]int{32768, (groups + 32767) / 32768, 1}
}

// The operations of elementwise.comp.
const (
	opUnary = iota
	opUnaryGrad
	opAdd
	opMul
	opAxpy
	opScale
	opClamp
	opClampGrad
	opFill
)

func (d *Device) elementwise(op uint32, fn tensor.Func, y, a, b *piece, n int, constants ...float32) {
	push := []uint32{u(n), 0, 0}
	for i, v := range constants {
		push[1+i] = f(v)
	}
	d.launch(launch{kernel: "elementwise", spec: []uint32{op, uint32(fn)}, out: []*piece{y}, in: []*piece{a, b},
		push: push, groups: lines(n)})
}

// Unary implements [tensor.Device].
func (d *Device) Unary(f tensor.Func, y, x *tensor.Tensor) {
	defer d.lock()()
	d.elementwise(opUnary, f, d.out(y), d.in(x), nil, y.Len())
}

// UnaryGrad implements [tensor.Device].
func (d *Device) UnaryGrad(f tensor.Func, dx, dy, x *tensor.Tensor) {
	defer d.lock()()
	d.elementwise(opUnaryGrad, f, d.out(dx), d.in(dy), d.in(x), dx.Len())
}

// Add implements [tensor.Device].
func (d *Device) Add(y, a, b *tensor.Tensor) {
	defer d.lock()()
	d.elementwise(opAdd, 0, d.out(y), d.in(a), d.in(b), y.Len())
}

// Mul implements [tensor.Device].
func (d *Device) Mul(y, a, b *tensor.Tensor) {
	defer d.lock()()
	d.elementwise(opMul, 0, d.out(y), d.in(a), d.in(b), y.Len())
}

// Axpy implements [tensor.Device].
func (d *Device) Axpy(y *tensor.Tensor, alpha float32, x *tensor.Tensor) {
	defer d.lock()()
	p := d.out(y)
	d.elementwise(opAxpy, 0, p, p, d.in(x), y.Len(), alpha)
}

// Scale implements [tensor.Device].
func (d *Device) Scale(y *tensor.Tensor, alpha float32, x *tensor.Tensor) {
	defer d.lock()()
	d.elementwise(opScale, 0, d.out(y), d.in(x), nil, y.Len(), alpha)
}

// Clamp implements [tensor.Device].
func (d *Device) Clamp(y, x *tensor.Tensor, lo, hi float32) {
	defer d.lock()()
	d.elementwise(opClamp, 0, d.out(y), d.in(x), nil, y.Len(), lo, hi)
}

// ClampGrad implements [tensor.Device].
func (d *Device) ClampGrad(dx, dy, x *tensor.Tensor, lo, hi float32) {
	defer d.lock()()
	d.elementwise(opClampGrad, 0, d.out(dx), d.in(dy), d.in(x), dx.Len(), lo, hi)
}

// Fill implements [tensor.Device].
func (d *Device) Fill(y *tensor.Tensor, v float32) {
	defer d.lock()()
	d.fill(d.out(y), y.Len(), v)
}

func (d *Device) fill(y *piece, n int, v float32) { d.elementwise(opFill, 0, y, nil, nil, n, v) }

// GEGLU implements [tensor.Device].
func (d *Device) GEGLU(y, x *tensor.Tensor) {
	defer d.lock()()
	d.geglu(d.out(y), d.in(x), y)
}

func (d *Device) geglu(out, x *piece, y *tensor.Tensor) {
	d.launch(launch{kernel: "geglu", out: []*piece{out}, in: []*piece{x, nil}, push: []uint32{u(y.Len()), u(y.Dim(-1))},
		groups: lines(y.Len())})
}

// GEGLUGrad implements [tensor.Device].
func (d *Device) GEGLUGrad(dx, dy, x *tensor.Tensor) {
	defer d.lock()()
	d.launch(launch{kernel: "geglu", spec: []uint32{1}, out: []*piece{d.out(dx)}, in: []*piece{d.in(x), d.in(dy)},
		push: []uint32{u(dy.Len()), u(dy.Dim(-1))}, groups: lines(dy.Len())})
}

// pixels reads x[N,...,C] as N pictures of px pixels with c channels.
func pixels(x *tensor.Tensor) (n, px, c int) {
	n, c = x.Dim(0), x.Dim(-1)
	return n, x.Len() / max(1, n*c), c
}

// AddChannels implements [tensor.Device].
func (d *Device) AddChannels(y, x, e *tensor.Tensor) {
	defer d.lock()()
	_, px, c := pixels(x)
	d.launch(launch{kernel: "channels", out: []*piece{d.out(y)}, in: []*piece{d.in(x), d.in(e)},
		push: []uint32{u(y.Len()), u(px), u(c)}, groups: lines(y.Len())})
}

// SumPixels implements [tensor.Device].
func (d *Device) SumPixels(de, dy *tensor.Tensor) {
	defer d.lock()()
	n, px, c := pixels(dy)
	d.sumColumns(d.out(de), d.in(dy), n, px, c)
}

// partRows is how many rows a member of columns.comp adds up: few enough that there is work for all, and that float32
// is exact enough.
func partRows(rows int) int { return max(32, int(math.Ceil(math.Sqrt(float64(rows))))) }

// sumColumns: y[n,c] = the sums of x[n,rows,c] over rows.
func (d *Device) sumColumns(y, x *piece, n, rows, c int) {
	if rows == 0 {
		d.fill(y, n*c, 0)
		return
	}
	size := partRows(rows)
	parts := (rows + size - 1) / size
	part := d.scratch(n * parts * c)
	d.launch(launch{kernel: "columns", out: []*piece{part}, in: []*piece{x, nil, nil, nil, nil},
		push: []uint32{u(rows), u(c), u(size), 1, 0}, groups: [3]int{(c + 255) / 256, parts, n}})
	d.combine(y, part, n, parts, c, c, 0)
}

// combine: y[outer,c] = sums over parts of columns col to col+c of part[outer,parts,stride].
func (d *Device) combine(y, part *piece, outer, parts, c, stride, col int) {
	d.launch(launch{kernel: "combine", out: []*piece{y}, in: []*piece{part},
		push: []uint32{u(outer * c), u(parts), u(c), u(stride), u(col)}, groups: lines(outer * c)})
}

// Enlarge2x implements [tensor.Device].
func (d *Device) Enlarge2x(y, x *tensor.Tensor) {
	defer d.lock()()
	d.launch(launch{kernel: "resize2x", spec: []uint32{1}, out: []*piece{d.out(y)}, in: []*piece{d.in(x)},
		push: []uint32{u(y.Len()), u(x.Dim(2)), u(x.Dim(3)), 0}, groups: lines(y.Len())})
}

// Mean2x2 implements [tensor.Device].
func (d *Device) Mean2x2(y, x *tensor.Tensor) {
	defer d.lock()()
	d.squares(d.out(y), d.in(x), y, 0.25)
}

// squares: y's memory out[N,H,W,C] = factor times the sums of two by two pixels of x[N,2H,2W,C].
func (d *Device) squares(out, x *piece, y *tensor.Tensor, factor float32) {
	d.launch(launch{kernel: "resize2x", out: []*piece{out}, in: []*piece{x},
		push: []uint32{u(y.Len()), u(y.Dim(2)), u(y.Dim(3)), f(factor)}, groups: lines(y.Len())})
}

// CopyCols implements [tensor.Device].
func (d *Device) CopyCols(dst *tensor.Tensor, dCol int, src *tensor.Tensor, sCol, n int) {
	if n == 0 || dst.Len() == 0 {
		return
	}
	defer d.lock()()
	count := dst.Rows() * n
	d.launch(launch{kernel: "copycols", out: []*piece{d.out(dst)}, in: []*piece{d.in(src)},
		push: []uint32{u(count), u(n), u(dst.Dim(-1)), u(dCol), u(src.Dim(-1)), u(sCol)}, groups: lines(count)})
}

// indices is a copy of whole numbers on the device, until the end of the operation.
func (d *Device) indices(list []uint32) *piece {
	p := d.scratch(len(list))
	d.upload(*p, floatBytes(list))
	return p
}

// offsets is the list of the windows' offsets.
func (d *Device) offsets(at [][2]int) *piece {
	list := make([]uint32, 0, 2*len(at))
	for _, o := range at {
		list = append(list, u(o[0]), u(o[1]))
	}
	return d.indices(list)
}

// Windows implements [tensor.Device].
func (d *Device) Windows(y, x *tensor.Tensor, at [][2]int) {
	defer d.lock()()
	d.launch(launch{kernel: "windows", out: []*piece{d.out(y)}, in: []*piece{d.in(x), d.offsets(at)},
		push:   []uint32{u(y.Len()), u(x.Dim(2)), u(x.Dim(3)), u(y.Dim(1)), u(y.Dim(2)), u(len(at))},
		groups: lines(y.Len())})
}

// AddWindows implements [tensor.Device].
func (d *Device) AddWindows(y, x *tensor.Tensor, at [][2]int) {
	defer d.lock()()
	d.launch(launch{kernel: "windows", spec: []uint32{1}, out: []*piece{d.out(y)}, in: []*piece{d.in(x), d.offsets(at)},
		push:   []uint32{u(y.Len()), u(y.Dim(2)), u(y.Dim(3)), u(x.Dim(1)), u(x.Dim(2)), u(len(at))},
		groups: lines(y.Len())})
}

// sparse is a copy of a sparse matrix on the device.
type sparse struct{ start, at, w *buffer }

// Sparse implements [tensor.Device].
func (d *Device) Sparse(y, x *tensor.Tensor, m *tensor.Sparse) {
	defer d.lock()()
	var s sparse
	m.Keep(d, func(kept any) any {
		if kept == nil {
			kept = sparse{keepList(d, m.Start), keepList(d, m.At), keepList(d, m.W)}
		}
		s = kept.(sparse)
		return kept
	})
	n := m.Outer * m.Rows() * m.Inner
	d.launch(launch{kernel: "sparse", out: []*piece{d.out(y)},
		in:   []*piece{d.in(x), s.start.memory, s.at.memory, s.w.memory},
		push: []uint32{u(n), u(m.Rows()), u(m.Inner), u(m.In)}, groups: lines(n)})
}

func keepList[T float32 | int32](d *Device, list []T) *buffer {
	b := d.newBuffer(len(list), false)
	d.upload(*b.memory, floatBytes(list))
	return b
}

// AdamW implements [tensor.Device].
func (d *Device) AdamW(w, m, v, average, g *tensor.Tensor, p tensor.AdamW) {
	defer d.lock()()
	d.launch(launch{kernel: "adamw", out: []*piece{d.out(w), d.out(m), d.out(v), d.out(average)}, in: []*piece{d.in(g)},
		push: []uint32{u(w.Len()), f(p.Rate), f(p.Beta1), f(p.Beta2), f(p.Eps), f(p.Decay), f(p.Correct1), f(p.Correct2),
			f(p.Mix)}, groups: lines(w.Len())})
	w.Changed()
	average.Changed()
}

// Embedding implements [tensor.Device].
func (d *Device) Embedding(y, w *tensor.Tensor, ids []int) { d.embedding(0, y, w, ids) }

// EmbeddingGrad implements [tensor.Device].
func (d *Device) EmbeddingGrad(dw, dy *tensor.Tensor, ids []int) {
	d.Fill(dw, 0)
	d.embedding(1, dw, dy, ids)
}

func (d *Device) embedding(grad uint32, y, x *tensor.Tensor, ids []int) {
	defer d.lock()()
	list := make([]uint32, len(ids))
	for i, id := range ids {
		list[i] = u(id)
	}
	c := x.Dim(-1)
	d.launch(launch{kernel: "embedding", spec: []uint32{grad}, out: []*piece{d.out(y)},
		in: []*piece{d.in(x), d.indices(list)}, push: []uint32{u(len(ids) * c), u(c), u(len(ids))},
		groups: lines(len(ids) * c)})
}

// Sum implements [tensor.Device].
func (d *Device) Sum(x *tensor.Tensor) float64 { return d.reduce(0, x, nil) }

// SumSquares implements [tensor.Device].
func (d *Device) SumSquares(x *tensor.Tensor) float64 { return d.reduce(1, x, nil) }

// Dot implements [tensor.Device].
func (d *Device) Dot(a, b *tensor.Tensor) float64 { return d.reduce(2, a, b) }

// reduce adds the sums of parts, which the device makes, in order.
func (d *Device) reduce(kind uint32, a, b *tensor.Tensor) (sum float64) {
	defer d.lock()()
	n := a.Len()
	part := make([]float32, (n+4095)/4096)
	p := d.scratch(len(part))
	d.launch(launch{kernel: "reduce", spec: []uint32{kind}, out: []*piece{p}, in: []*piece{d.in(a), d.in(b)},
		push: []uint32{u(n)}, groups: square(len(part))})
	d.download(floatBytes(part), *p)
	for _, v := range part {
		sum += float64(v)
	}
	return sum
}
