//go:build cuda

package cuda

import "psld/tensor"

// Unary implements [tensor.Device].
func (d *device) Unary(f tensor.Func, y, x *tensor.Tensor) {
	d.begin()
	defer d.leave()
	d.each("unary", y.Len(), i32(int(f)), at(d.out(y)), at(d.in(x)))
}

// UnaryGrad implements [tensor.Device].
func (d *device) UnaryGrad(f tensor.Func, dx, dy, x *tensor.Tensor) {
	d.begin()
	defer d.leave()
	d.each("unaryGrad", dx.Len(), i32(int(f)), at(d.out(dx)), at(d.in(dy)), at(d.in(x)))
}

// GEGLU implements [tensor.Device].
func (d *device) GEGLU(y, x *tensor.Tensor) {
	d.begin()
	defer d.leave()
	d.each("geglu", y.Len(), at(d.out(y)), at(d.in(x)), i32(y.Dim(-1)))
}

// GEGLUGrad implements [tensor.Device].
func (d *device) GEGLUGrad(dx, dy, x *tensor.Tensor) {
	d.begin()
	defer d.leave()
	d.each("gegluGrad", dy.Len(), at(d.out(dx)), at(d.in(dy)), at(d.in(x)), i32(dy.Dim(-1)))
}

// Add implements [tensor.Device].
func (d *device) Add(y, a, b *tensor.Tensor) {
	d.begin()
	defer d.leave()
	d.each("add", y.Len(), at(d.out(y)), at(d.in(a)), at(d.in(b)))
}

// Mul implements [tensor.Device].
func (d *device) Mul(y, a, b *tensor.Tensor) {
	d.begin()
	defer d.leave()
	d.each("mul", y.Len(), at(d.out(y)), at(d.in(a)), at(d.in(b)))
}

// Axpy implements [tensor.Device].
func (d *device) Axpy(y *tensor.Tensor, alpha float32, x *tensor.Tensor) {
	d.begin()
	defer d.leave()
	d.each("axpy", y.Len(), at(d.out(y)), f32(alpha), at(d.in(x)))
}

// Scale implements [tensor.Device].
func (d *device) Scale(y *tensor.Tensor, alpha float32, x *tensor.Tensor) {
	d.begin()
	defer d.leave()
	d.each("scale", y.Len(), at(d.out(y)), f32(alpha), at(d.in(x)))
}

// Clamp implements [tensor.Device].
func (d *device) Clamp(y, x *tensor.Tensor, lo, hi float32) {
	d.begin()
	defer d.leave()
	d.each("clamp", y.Len(), at(d.out(y)), at(d.in(x)), f32(lo), f32(hi))
}

// ClampGrad implements [tensor.Device].
func (d *device) ClampGrad(dx, dy, x *tensor.Tensor, lo, hi float32) {
	d.begin()
	defer d.leave()
	d.each("clampGrad", dx.Len(), at(d.out(dx)), at(d.in(dy)), at(d.in(x)), f32(lo), f32(hi))
}

// Fill implements [tensor.Device].
func (d *device) Fill(y *tensor.Tensor, v float32) {
	d.begin()
	defer d.leave()
	d.fill(d.out(y), v, y.Len())
}

func (d *device) fill(y uint64, v float32, n int) { d.each("fill", n, at(y), f32(v)) }

// AddChannels implements [tensor.Device].
func (d *device) AddChannels(y, x, e *tensor.Tensor) {
	d.begin()
	defer d.leave()
	_, px, c := pixels(x)
	d.each("addChannels", y.Len(), at(d.out(y)), at(d.in(x)), at(d.in(e)), i32(c), i64(px*c))
}

// pixels reads x[N,...,C] as N pictures of px pixels with c channels.
func pixels(x *tensor.Tensor) (n, px, c int) {
	n, c = x.Dim(0), x.Dim(-1)
	return n, x.Len() / max(1, n*c), c
}

// Enlarge2x implements [tensor.Device].
func (d *device) Enlarge2x(y, x *tensor.Tensor) {
	d.begin()
	defer d.leave()
	d.each("enlarge2x", y.Len(), at(d.out(y)), at(d.in(x)), i32(x.Dim(2)), i32(x.Dim(3)))
}

// Mean2x2 implements [tensor.Device].
func (d *device) Mean2x2(y, x *tensor.Tensor) {
	d.begin()
	defer d.leave()
	d.each("mean2x2", y.Len(), at(d.out(y)), at(d.in(x)), i32(y.Dim(2)), i32(y.Dim(3)))
}

// CopyCols implements [tensor.Device].
func (d *device) CopyCols(dst *tensor.Tensor, dCol int, src *tensor.Tensor, sCol, n int) {
	d.begin()
	defer d.leave()
	rows, dc, sc := dst.Rows(), dst.Dim(-1), src.Dim(-1)
	if rows*n == 0 {
		return
	}
	to, from := d.out(dst)+4*uint64(dCol), d.in(src)+4*uint64(sCol)
	if rows == 1 || n == dc && n == sc {
		d.copy(to, from, rows*n)
		return
	}
	d.each("copyCols", rows*n, at(to), i32(dc), at(from), i32(sc), i32(n))
}

// numbers copies integers for an operation.
func (d *device) numbers(list []int32) uint64 {
	addr := d.scratch(4 * int64(len(list)))
	upload(d.gpu, addr, list)
	return addr
}

// offsets flattens the offsets of windows.
func offsets(list [][2]int) []int32 {
	out := make([]int32, 0, 2*len(list))
	for _, o := range list {
		out = append(out, int32(o[0]), int32(o[1]))
	}
	return out
}

// Windows implements [tensor.Device].
func (d *device) Windows(y, x *tensor.Tensor, list [][2]int) {
	d.begin()
	defer d.leave()
	d.each("windows", y.Len(), at(d.out(y)), at(d.in(x)), at(d.numbers(offsets(list))), i32(y.Dim(1)), i32(y.Dim(2)),
		i32(y.Dim(3)), i32(x.Dim(2)))
}

// AddWindows implements [tensor.Device].
func (d *device) AddWindows(y, x *tensor.Tensor, list [][2]int) {
	d.begin()
	defer d.leave()
	d.each("addWindows", y.Len(), at(d.out(y)), at(d.in(x)), at(d.numbers(offsets(list))), i32(len(list)),
		i32(x.Dim(1)), i32(x.Dim(2)), i32(x.Dim(3)), i32(y.Dim(2)))
}

// Sparse implements [tensor.Device]. The copy of a matrix stays with it.
func (d *device) Sparse(y, x *tensor.Tensor, m *tensor.Sparse) {
	d.begin()
	defer d.leave()
	rows, entries := m.Rows(), len(m.W)
	var addr uint64
	m.Keep(d.gpu, func(kept any) any {
		if kept == nil {
			b := d.newBuffer(4 * int64(rows+1+2*entries))
			upload(d.gpu, b.addr(), m.Start)
			upload(d.gpu, b.addr()+4*uint64(rows+1), m.At)
			upload(d.gpu, b.addr()+4*uint64(rows+1+entries), m.W)
			kept = b
		}
		addr = kept.(*buffer).addr()
		return kept
	})
	d.each("sparse", y.Len(), at(d.out(y)), at(d.in(x)), at(addr), at(addr+4*uint64(rows+1)),
		at(addr+4*uint64(rows+1+entries)), i32(rows), i32(m.In), i32(m.Inner))
}

// AdamW implements [tensor.Device].
func (d *device) AdamW(w, m, v, average, g *tensor.Tensor, p tensor.AdamW) {
	d.begin()
	defer d.leave()
	numbers := p // struct AdamW of elementwise.cu
	d.each("adamW", w.Len(), at(d.out(w)), at(d.out(m)), at(d.out(v)), at(d.out(average)), at(d.in(g)),
		structOf(&numbers))
	w.Changed()
	average.Changed()
}

func rowNumbers(ids []int) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}

// Embedding implements [tensor.Device].
func (d *device) Embedding(y, w *tensor.Tensor, ids []int) {
	d.begin()
	defer d.leave()
	d.each("embedding", y.Len(), at(d.out(y)), at(d.weight(w, plain)), at(d.numbers(rowNumbers(ids))), i32(w.Dim(-1)))
}

// EmbeddingGrad implements [tensor.Device].
func (d *device) EmbeddingGrad(dw, dy *tensor.Tensor, ids []int) {
	d.begin()
	defer d.leave()
	d.fill(d.out(dw), 0, dw.Len())
	d.each("embeddingGrad", dy.Len(), at(d.out(dw)), at(d.in(dy)), at(d.numbers(rowNumbers(ids))), i32(len(ids)),
		i32(dw.Dim(-1)))
}

// The sizes of parts of sums depend on the shape alone.

// chunks cuts rows into parts for the sums of columns.
func chunks(rows int) (size, count int) {
	size = max(32, (rows+255)/256)
	return size, (rows + size - 1) / size
}

// SumPixels implements [tensor.Device].
func (d *device) SumPixels(de, dy *tensor.Tensor) {
	d.begin()
	defer d.leave()
	n, px, c := pixels(dy)
	d.columnSums(d.out(de), d.in(dy), n, px, c)
}

// columnSums: y[n,c] = sum over rows of x[n,rows,c].
func (d *device) columnSums(y, x uint64, n, rows, c int) {
	if n*c == 0 {
		return
	}
	if rows == 0 {
		d.fill(y, 0, n*c)
		return
	}
	size, count := chunks(rows)
	part := d.scratch(4 * int64(n*count*c))
	d.launch("columnSums", grid{(c + 31) / 32, count, n}, 256, at(part), at(x), i64(rows), i32(c), i32(size))
	d.each("columnSumsEnd", n*c, at(y), at(part), i32(count), i32(c))
}

// The kinds of sums.
const (
	ofElements = iota
	ofSquares
	ofProducts
)

func (d *device) total(kind int, x, y *tensor.Tensor) float64 {
	d.begin()
	defer d.leave()
	n := x.Len()
	if n == 0 {
		return 0
	}
	blocks := min(1024, (n+2047)/2048)
	part := d.scratch(8 * int64(blocks))
	d.launch("sums", grid{blocks, 1, 1}, 256, at(part), at(d.in(x)), at(d.in(y)), i32(kind), i64(n))
	d.launch("sumsEnd", grid{1, 1, 1}, 256, at(part), i32(blocks))
	var sum [1]float64
	download(d.gpu, sum[:], part)
	return sum[0]
}

// Sum implements [tensor.Device].
func (d *device) Sum(x *tensor.Tensor) float64 { return d.total(ofElements, x, nil) }

// SumSquares implements [tensor.Device].
func (d *device) SumSquares(x *tensor.Tensor) float64 { return d.total(ofSquares, x, nil) }

// Dot implements [tensor.Device].
func (d *device) Dot(a, b *tensor.Tensor) float64 { return d.total(ofProducts, a, b) }
