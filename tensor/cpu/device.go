// Package cpu is the device of the host processor: the loops around the kernels of asm, and the memory behind them.
package cpu

import (
	"sync"

	"psld/asm"
	"psld/tensor"
)

// The devices of the host processor. They share memory, threads and the layouts of weights.
//
// F32 computes in float32.
//
// BF16 is the same, but rounds the factors of convolutions, linear layers and attention, forward and to the input, to
// bfloat16, and packs weights in half the memory. Sums, norms, softmax, gradients of weights and all that is stored
// between operations stay float32. So do the products of 3x3 convolutions where a transform saves more of them than
// bfloat16 does (winograd.go), with rounded weights. Where the tier has no bfloat16 products ([asm.HasPairs]) rounded
// numbers are multiplied in float32: the same errors, no gain.
//
// BF16Fast is BF16, but the transformed factors of 3x3 convolutions are rounded to bfloat16 in their turn, so that
// their products are bfloat16 as well where the tier has no tiles: four times fewer at twice the rate, with 1.6 times
// the error of a UNet's noise estimate and 1.8 times that of its gradient, 2.5 and 3 times those of an autoencoder's
// pictures and gradients. On tiles it is BF16.
//
// F32X3 multiplies float32 numbers in convolutions and linear layers, forward and to the input, as sums of three
// products of bfloat16 halves where the processor has a fast unit for these (Intel's AMX, [asm.HasSplit]), with a
// relative error of 4e-6 in place of 1e-7, since both factors keep 17 bits. Everything else, and everything on other
// processors, is as on F32.
//
// Int8 holds the weights of convolutions and linear layers as integers of 8 bits, with a scale of each output (its
// largest weight over 127), and makes numbers of them where they are multiplied: a quarter of the memory of F32, to
// save memory and not time. Products are those of BF16 where the tier has them, with the weights rounded once more,
// else float32. For frozen weights: one that is trained is rounded at each use.
var (
	F32      tensor.Device = &device{Pool: &pool}
	BF16     tensor.Device = &device{Pool: &pool, bf16: true}
	BF16Fast tensor.Device = &device{Pool: &pool, bf16: true, fast: true}
	F32X3    tensor.Device = &device{Pool: &pool, x3: true}
	Int8     tensor.Device = &device{Pool: &pool, int8: true}
)

var pool Pool

type device struct {
	*Pool
	bf16, fast, x3, int8 bool
}

// Memory is the pool behind these devices, for measurements.
func Memory() *Pool { return &pool }

// Name implements [tensor.Device].
func (d *device) Name() string {
	name := "cpu/" + asm.Active().String()
	switch {
	case d.fast:
		name += "/bf16fast"
	case d.bf16:
		name += "/bf16"
	}
	if d.x3 {
		name += "/f32x3"
	}
	if d.int8 {
		name += "/int8"
	}
	return name
}

// format is that of matrix products with weights.
func (d *device) format() format {
	switch {
	case d.x3 && asm.HasSplit():
		return split
	case d.int8 && asm.HasPairs():
		return pairs
	case !d.bf16:
		return single
	case asm.HasPairs():
		return pairs
	}
	return rounded
}

// weights is the format of packed weights.
func (d *device) weights() format {
	switch {
	case d.int8:
		return bytes
	case d.bf16: // half the memory wherever they are multiplied
		return pairs
	}
	return d.format()
}

// Pack implements [tensor.Device].
func (d *device) Pack(w *tensor.Tensor) {
	pack(w, d.weights())
	w.Keep(&pool, func(kept any) any {
		w.Data = nil
		return kept
	})
}

// PackRows implements [tensor.RowPacker].
func (d *device) PackRows(w *tensor.Tensor, read func(dst []float32, from int) error) error {
	return packRows(w, d.weights(), read)
}

// Host implements [tensor.Device].
func (d *device) Host(t *tensor.Tensor) (data []float32) {
	t.Keep(&pool, func(kept any) any {
		if data = t.Data; data == nil && kept != nil {
			data = make([]float32, t.Len())
			unpack(t, kept.(layouts), data)
		}
		return kept
	})
	return data
}

// Place implements [tensor.Device]: all memory is the host's.
func (d *device) Place(*tensor.Tensor) {}

// Sync implements [tensor.Device]: nothing is queued.
func (d *device) Sync() {}

// Upload implements [tensor.Device].
func (d *device) Upload(t *tensor.Tensor, data []float32) {
	copy(t.Data, data)
	t.Changed()
}

// elements calls fn on parts of all elements of t.y in parallel.
func elements(t args, fn func(t *args, lo, hi int, _ *scratch)) {
	parallelWith(len(t.y), grainOf(len(t.y)), t, fn)
}

// rowParts calls fn on parts of rows of t.c elements in parallel.
func rowParts(rows int, t args, fn func(t *args, lo, hi int, s *scratch)) {
	parallelWith(rows, rowGrain(rows, t.c), t, fn)
}

var unary = [...]func(dst, x []float32){tensor.Identity: func(dst, x []float32) { copy(dst, x) },
	tensor.SiLU: asm.SiLU, tensor.GELU: asm.GELU,
	tensor.QuickGELU: asm.QuickGELU, tensor.Exp: asm.Exp, tensor.Abs: asm.Abs,
	tensor.ReLU: asm.ReLU, tensor.Tanh: asm.Tanh}

// Unary implements [tensor.Device].
func (d *device) Unary(f tensor.Func, y, x *tensor.Tensor) {
	elements(args{y: y.Data, a: x.Data, f: unary[f]}, func(t *args, lo, hi int, _ *scratch) {
		t.f(t.y[lo:hi], t.a[lo:hi])
	})
}

var unaryGrad = [...]func(dst, x, dy []float32){tensor.Identity: func(dst, _, dy []float32) { copy(dst, dy) },
	tensor.SiLU: asm.SiLUGrad, tensor.GELU: asm.GELUGrad,
	tensor.QuickGELU: asm.QuickGELUGrad, tensor.Exp: asm.ExpGrad, tensor.Abs: asm.AbsGrad,
	tensor.ReLU: asm.ReLUGrad, tensor.Tanh: asm.TanhGrad}

// UnaryGrad implements [tensor.Device].
func (d *device) UnaryGrad(f tensor.Func, dx, dy, x *tensor.Tensor) {
	elements(args{y: dx.Data, a: x.Data, b: dy.Data, grad: unaryGrad[f]}, func(t *args, lo, hi int, _ *scratch) {
		t.grad(t.y[lo:hi], t.a[lo:hi], t.b[lo:hi])
	})
}

// GEGLU implements [tensor.Device].
func (d *device) GEGLU(y, x *tensor.Tensor) {
	rowParts(y.Rows(), args{y: y.Data, a: x.Data, c: y.Dim(-1)}, func(t *args, lo, hi int, _ *scratch) {
		asm.GEGLURows(t.y[lo*t.c:hi*t.c], t.a[2*lo*t.c:2*hi*t.c], t.c)
	})
}

// GEGLUGrad implements [tensor.Device].
func (d *device) GEGLUGrad(dx, dy, x *tensor.Tensor) {
	rowParts(dy.Rows(), args{y: dx.Data, a: dy.Data, b: x.Data, c: dy.Dim(-1)}, func(t *args, lo, hi int, _ *scratch) {
		asm.GEGLUGradRows(t.y[2*lo*t.c:2*hi*t.c], t.a[lo*t.c:hi*t.c], t.b[2*lo*t.c:2*hi*t.c], t.c)
	})
}

// Add implements [tensor.Device].
func (d *device) Add(y, a, b *tensor.Tensor) { addTo(y.Data, a.Data, b.Data) }

func addTo(y, a, b []float32) {
	elements(args{y: y, a: a, b: b}, func(t *args, lo, hi int, _ *scratch) {
		asm.Add(t.y[lo:hi], t.a[lo:hi], t.b[lo:hi])
	})
}

// Mul implements [tensor.Device].
func (d *device) Mul(y, a, b *tensor.Tensor) {
	elements(args{y: y.Data, a: a.Data, b: b.Data}, func(t *args, lo, hi int, _ *scratch) {
		asm.Mul(t.y[lo:hi], t.a[lo:hi], t.b[lo:hi])
	})
}

// Axpy implements [tensor.Device].
func (d *device) Axpy(y *tensor.Tensor, alpha float32, x *tensor.Tensor) {
	elements(args{y: y.Data, a: x.Data, u: alpha}, func(t *args, lo, hi int, _ *scratch) {
		asm.Axpy(t.y[lo:hi], t.u, t.a[lo:hi])
	})
}

// Scale implements [tensor.Device].
func (d *device) Scale(y *tensor.Tensor, alpha float32, x *tensor.Tensor) {
	elements(args{y: y.Data, a: x.Data, u: alpha}, func(t *args, lo, hi int, _ *scratch) {
		asm.Scale(t.y[lo:hi], t.u, t.a[lo:hi])
	})
}

// Clamp implements [tensor.Device].
func (d *device) Clamp(y, x *tensor.Tensor, lo, hi float32) {
	elements(args{y: y.Data, a: x.Data, u: lo, v: hi}, func(t *args, lo, hi int, _ *scratch) {
		asm.Clamp(t.y[lo:hi], t.a[lo:hi], t.u, t.v)
	})
}

// ClampGrad implements [tensor.Device].
func (d *device) ClampGrad(dx, dy, x *tensor.Tensor, lo, hi float32) {
	elements(args{y: dx.Data, a: x.Data, b: dy.Data, u: lo, v: hi}, func(t *args, lo, hi int, _ *scratch) {
		asm.ClampGrad(t.y[lo:hi], t.a[lo:hi], t.b[lo:hi], t.u, t.v)
	})
}

// Fill implements [tensor.Device].
func (d *device) Fill(y *tensor.Tensor, v float32) {
	for i := range y.Data {
		y.Data[i] = v
	}
}

// pixels reads x[N,...,C] as N pictures of px pixels with c channels.
func pixels(x *tensor.Tensor) (n, px, c int) {
	n, c = x.Dim(0), x.Dim(-1)
	return n, x.Len() / max(1, n*c), c
}

// AddChannels implements [tensor.Device].
func (d *device) AddChannels(y, x, e *tensor.Tensor) {
	n, px, c := pixels(x)
	blocks, t := blocksOf(px, rowGrain(n*px, c)), args{y: y.Data, a: x.Data, b: e.Data, c: c}
	t.blocks = blocks
	parallelWith(n*blocks.count, 1, t, func(t *args, task, _ int, _ *scratch) {
		i, lo, hi := t.blocks.of(task)
		from, to := (i*t.blocks.px+lo)*t.c, (i*t.blocks.px+hi)*t.c
		asm.AddRows(t.y[from:to], t.a[from:to], t.b[i*t.c:][:t.c], t.c)
	})
}

// blocks are parts of the px pixels of pictures, of size each; count are those of one.
type blocks struct{ px, size, count int }

func blocksOf(px, size int) blocks { return blocks{px, size, (px + size - 1) / size} }

// of gives the picture of a task and its pixels [lo, hi).
func (b blocks) of(task int) (picture, lo, hi int) {
	lo = task % b.count * b.size
	return task / b.count, lo, min(b.px, lo+b.size)
}

// SumPixels implements [tensor.Device].
func (d *device) SumPixels(de, dy *tensor.Tensor) {
	n, px, c := pixels(dy)
	for i := range n {
		sumRows(de.Data[i*c:][:c], dy.Data[i*px*c:][:px*c], c)
	}
}

// sumRows adds the rows of x[rows][c]: float32 inside blocks, float64 between.
func sumRows(dst, x []float32, c int) {
	rows, size := len(x)/c, max(8, grain/c)
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	part := s.floats(0, (rows+size-1)/size*c)
	clear(part)
	parallelWith(rows, size, args{y: part, a: x, c: c}, func(t *args, lo, hi int, _ *scratch) {
		asm.ColSum(t.y[lo/max(8, grain/t.c)*t.c:][:t.c], t.a[lo*t.c:hi*t.c], t.c)
	})
	addBlocks(dst, part)
}

// addBlocks adds up the rows of part[blocks][len(dst)] in float64.
func addBlocks(dst, part []float32) {
	c := len(dst)
	for j := range c {
		var sum float64
		for i := j; i < len(part); i += c {
			sum += float64(part[i])
		}
		dst[j] = float32(sum)
	}
}

// CopyCols implements [tensor.Device].
func (d *device) CopyCols(dst *tensor.Tensor, dCol int, src *tensor.Tensor, sCol, n int) {
	dc, sc := dst.Dim(-1), src.Dim(-1)
	if n == dc && n == sc { // all; copy stores the longest past the caches
		size := grain
		if len(src.Data) >= large {
			size = 1 << 19
		}
		parallelWith(len(src.Data), size, args{y: dst.Data, a: src.Data},
			func(t *args, lo, hi int, _ *scratch) { copy(t.y[lo:hi], t.a[lo:hi]) })
		return
	}
	if len(dst.Data) == 0 {
		return
	}
	type columns struct {
		dst, src  []float32
		dc, sc, n int
	}
	parallelWith(dst.Rows(), max(1, grain/max(1, n)), columns{dst.Data[dCol:], src.Data[sCol:], dc, sc, n},
		func(t *columns, lo, hi int, _ *scratch) {
			for r := lo; r < hi; r++ {
				copy(t.dst[r*t.dc:][:t.n], t.src[r*t.sc:])
			}
		})
}

// Windows implements [tensor.Device].
func (d *device) Windows(y, x *tensor.Tensor, at [][2]int) {
	type windows struct {
		y, x pictures
		at   [][2]int
	}
	parallelWith(len(at), 1, windows{picturesOf(y), picturesOf(x), at}, func(t *windows, i, _ int, _ *scratch) {
		h, c := t.y.h, t.x.c
		row := t.y.w * c
		for r := range h {
			copy(t.y.data[(i*h+r)*row:][:row], t.x.data[((t.at[i][0]+r)*t.x.w+t.at[i][1])*c:])
		}
	})
}

// AddWindows implements [tensor.Device].
func (d *device) AddWindows(y, x *tensor.Tensor, at [][2]int) {
	h, row := x.Dim(1), x.Dim(2)*x.Dim(3)
	yw, c := y.Dim(2), y.Dim(3)
	for i, o := range at {
		for r := range h {
			out := y.Data[((o[0]+r)*yw+o[1])*c:][:row]
			asm.Add(out, out, x.Data[(i*h+r)*row:][:row])
		}
	}
}

// Embedding implements [tensor.Device].
func (d *device) Embedding(y, w *tensor.Tensor, ids []int) {
	c := w.Dim(-1)
	for i, id := range ids {
		copy(y.Data[i*c:][:c], w.Data[id*c:])
	}
}

// EmbeddingGrad implements [tensor.Device].
func (d *device) EmbeddingGrad(dw, dy *tensor.Tensor, ids []int) {
	c := dw.Dim(-1)
	clear(dw.Data)
	for i, id := range ids {
		out := dw.Data[id*c:][:c]
		asm.Add(out, out, dy.Data[i*c:][:c])
	}
}

// AdamW implements [tensor.Device].
func (d *device) AdamW(w, m, v, average, g *tensor.Tensor, p tensor.AdamW) {
	type moments struct {
		w, m, v, average, g []float32
		p                   tensor.AdamW
	}
	parallelWith(len(w.Data), grain, moments{w.Data, m.Data, v.Data, average.Data, g.Data, p},
		func(t *moments, lo, hi int, _ *scratch) {
			asm.AdamW(t.w[lo:hi], t.m[lo:hi], t.v[lo:hi], t.g[lo:hi], t.p.Rate, t.p.Beta1, t.p.Beta2, t.p.Eps, t.p.Decay,
				t.p.Correct1, t.p.Correct2)
			asm.Lerp(t.average[lo:hi], t.w[lo:hi], t.p.Mix)
		})
	w.Changed()
	average.Changed()
}

// doubles lends memory for partial sums.
var doubles = sync.Pool{New: func() any { return new([]float64) }}

func lendDoubles(n int) *[]float64 {
	p := doubles.Get().(*[]float64)
	if cap(*p) < n {
		*p = make([]float64, n)
	}
	*p = (*p)[:n]
	return p
}

// reduce adds up what fn leaves in t.sums for each grain of t.a, in order.
func reduce(t args, fn func(t *args, lo, hi int, _ *scratch)) float64 {
	part := lendDoubles((len(t.a) + grain - 1) / grain)
	defer doubles.Put(part)
	t.sums = *part
	parallelWith(len(t.a), grain, t, fn)
	var sum float64
	for _, v := range t.sums {
		sum += v
	}
	return sum
}

// Sum implements [tensor.Device].
func (d *device) Sum(x *tensor.Tensor) float64 {
	return reduce(args{a: x.Data}, func(t *args, lo, hi int, _ *scratch) { t.sums[lo/grain] = asm.Sum(t.a[lo:hi]) })
}

// SumSquares implements [tensor.Device].
func (d *device) SumSquares(x *tensor.Tensor) float64 {
	return reduce(args{a: x.Data}, func(t *args, lo, hi int, _ *scratch) { t.sums[lo/grain] = asm.SumSq(t.a[lo:hi]) })
}

// Dot implements [tensor.Device].
func (d *device) Dot(a, b *tensor.Tensor) float64 {
	return reduce(args{a: a.Data, b: b.Data}, func(t *args, lo, hi int,
		_ *scratch) {
		t.sums[lo/grain] = asm.Dot(t.a[lo:hi], t.b[lo:hi])
	})
}
