package tensor

import (
	"sync"

	"psld/asm"
)

// CPU is the device of the host processor. CPUBF16 is the same, but rounds the factors of
// convolutions, linear layers and attention, forward and to the input, to bfloat16, and packs weights in half
// the memory. Sums, norms, softmax, gradients of weights and all that is stored between operations stay float32. So do
// the products of 3x3 convolutions where a transform saves more of them than bfloat16 does (cpu_winograd.go), with rounded
// weights. Where the tier has no bfloat16 products ([asm.HasPairs]) rounded numbers are multiplied in float32: the same
// errors, no gain.
//
// CPUF32X3 multiplies float32 numbers in convolutions and linear layers, forward and to the input, as sums of three products of
// bfloat16 halves where the processor has a fast unit for these (Intel's AMX, [asm.HasSplit]), with a relative
// error of 4e-6 in place of 1e-7, since both factors keep 17 bits. Everything else, and everything on other processors, is as on CPU.
var (
	CPU      Device = &cpu{Pool: &pool}
	CPUBF16  Device = &cpu{Pool: &pool, bf16: true}
	CPUF32X3 Device = &cpu{Pool: &pool, x3: true}
)

var pool Pool

type cpu struct {
	*Pool
	bf16, x3 bool
}

// CPUPool is the memory behind these devices, for measurements.
func CPUPool() *Pool { return &pool }

// Name implements [Device].
func (d *cpu) Name() string {
	name := "cpu/" + asm.Active().String()
	if d.bf16 {
		name += "/bf16"
	}
	if d.x3 {
		name += "/f32x3"
	}
	return name
}

// format is that of matrix products with weights.
func (d *cpu) format() format {
	switch {
	case d.x3 && asm.HasSplit():
		return split
	case !d.bf16:
		return single
	case asm.HasPairs():
		return pairs
	}
	return rounded
}

// Pack implements [Device].
func (d *cpu) Pack(w *Tensor) {
	w.pack(d.format())
	w.mu.Lock()
	w.Data = nil
	w.mu.Unlock()
}

// Host implements [Device].
func (d *cpu) Host(t *Tensor) []float32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Data == nil && t.packed != nil {
		out := make([]float32, t.Len())
		t.unpack(out)
		return out
	}
	return t.Data
}

// Upload implements [Device].
func (d *cpu) Upload(t *Tensor, data []float32) { copy(t.Data, data) }

// large is the number of elements from which on a tensor is as good as out of the caches when
// it is needed again. It is worked on in long tasks, since reading ahead starts anew in each, and the
// kernels store long results past the caches.
const (
	large     = 1 << 22
	longGrain = 1 << 16
)

// grainOf is the number of elements of a task for a result of n elements.
func grainOf(n int) int {
	if n >= large {
		return longGrain
	}
	return grain
}

// elements calls fn on parts [lo, hi) of n elements in parallel.
func elements(n int, fn func(lo, hi int)) { chunks(n, grainOf(n), fn) }

// rowParts calls fn on parts [lo, hi) of rows of c elements in parallel.
func rowParts(rows, c int, fn func(lo, hi int, s *scratch)) {
	size := (grainOf(rows*c) + c - 1) / c
	parallel((rows+size-1)/size, func(i int, s *scratch) { fn(i*size, min(rows, (i+1)*size), s) })
}

var unary = [...]func(dst, x []float32){Identity: func(dst, x []float32) { copy(dst, x) }, SiLU: asm.SiLU, GELU: asm.GELU,
	QuickGELU: asm.QuickGELU, Exp: asm.Exp, Abs: asm.Abs, ReLU: asm.ReLU, Tanh: asm.Tanh}

// Unary implements [Device].
func (d *cpu) Unary(f Func, y, x *Tensor) {
	kernel := unary[f]
	elements(x.Len(), func(lo, hi int) { kernel(y.Data[lo:hi], x.Data[lo:hi]) })
}

// UnaryGrad implements [Device].
func (d *cpu) UnaryGrad(f Func, dx, dy, x *Tensor) {
	kernel := [...]func(dst, x, dy []float32){Identity: func(dst, _, dy []float32) { copy(dst, dy) }, SiLU: asm.SiLUGrad, GELU: asm.GELUGrad, QuickGELU: asm.QuickGELUGrad,
		Exp: asm.ExpGrad, Abs: asm.AbsGrad, ReLU: asm.ReLUGrad, Tanh: asm.TanhGrad}[f]
	elements(x.Len(), func(lo, hi int) { kernel(dx.Data[lo:hi], x.Data[lo:hi], dy.Data[lo:hi]) })
}

// GEGLU implements [Device].
func (d *cpu) GEGLU(y, x *Tensor) {
	c := y.Dim(-1)
	rowParts(y.Rows(), c, func(lo, hi int, _ *scratch) { asm.GEGLURows(y.Data[lo*c:hi*c], x.Data[2*lo*c:2*hi*c], c) })
}

// GEGLUGrad implements [Device].
func (d *cpu) GEGLUGrad(dx, dy, x *Tensor) {
	c := dy.Dim(-1)
	rowParts(dy.Rows(), c, func(lo, hi int, _ *scratch) {
		asm.GEGLUGradRows(dx.Data[2*lo*c:2*hi*c], dy.Data[lo*c:hi*c], x.Data[2*lo*c:2*hi*c], c)
	})
}

// Add implements [Device].
func (d *cpu) Add(y, a, b *Tensor) {
	elements(y.Len(), func(lo, hi int) { asm.Add(y.Data[lo:hi], a.Data[lo:hi], b.Data[lo:hi]) })
}

// Mul implements [Device].
func (d *cpu) Mul(y, a, b *Tensor) {
	elements(y.Len(), func(lo, hi int) { asm.Mul(y.Data[lo:hi], a.Data[lo:hi], b.Data[lo:hi]) })
}

// Axpy implements [Device].
func (d *cpu) Axpy(y *Tensor, alpha float32, x *Tensor) {
	elements(y.Len(), func(lo, hi int) { asm.Axpy(y.Data[lo:hi], alpha, x.Data[lo:hi]) })
}

// Scale implements [Device].
func (d *cpu) Scale(y *Tensor, alpha float32, x *Tensor) {
	elements(y.Len(), func(lo, hi int) { asm.Scale(y.Data[lo:hi], alpha, x.Data[lo:hi]) })
}

// Clamp implements [Device].
func (d *cpu) Clamp(y, x *Tensor, lo, hi float32) {
	elements(x.Len(), func(i, j int) { asm.Clamp(y.Data[i:j], x.Data[i:j], lo, hi) })
}

// ClampGrad implements [Device].
func (d *cpu) ClampGrad(dx, dy, x *Tensor, lo, hi float32) {
	elements(x.Len(), func(i, j int) { asm.ClampGrad(dx.Data[i:j], x.Data[i:j], dy.Data[i:j], lo, hi) })
}

// Fill implements [Device].
func (d *cpu) Fill(y *Tensor, v float32) {
	for i := range y.Data {
		y.Data[i] = v
	}
}

// pixels reads x[N,...,C] as N pictures of px pixels with c channels.
func pixels(x *Tensor) (n, px, c int) {
	n, c = x.Dim(0), x.Dim(-1)
	return n, x.Len() / max(1, n*c), c
}

// AddChannels implements [Device].
func (d *cpu) AddChannels(y, x, e *Tensor) {
	n, px, c := pixels(x)
	forRows(n, px, (grainOf(x.Len())+c-1)/c, func(i, _, lo, hi int, _ *scratch) {
		from, to := (i*px+lo)*c, (i*px+hi)*c
		asm.AddRows(y.Data[from:to], x.Data[from:to], e.Data[i*c:][:c], c)
	})
}

// forRows calls fn in parallel on blocks of the px rows of each of n pictures: block b of
// picture i covers rows [lo, hi). It returns the number of blocks of a picture.
func forRows(n, px, block int, fn func(i, b, lo, hi int, s *scratch)) {
	blocks := (px + block - 1) / block
	parallel(n*blocks, func(task int, s *scratch) {
		i, b := task/blocks, task%blocks
		fn(i, b, b*block, min(px, (b+1)*block), s)
	})
}

// SumPixels implements [Device].
func (d *cpu) SumPixels(de, dy *Tensor) {
	n, px, c := pixels(dy)
	for i := range n {
		sumRows(de.Data[i*c:][:c], dy.Data[i*px*c:][:px*c], c)
	}
}

// sumRows adds the rows of x[rows][c]: float32 inside blocks, float64 between.
func sumRows(dst, x []float32, c int) {
	rows := len(x) / c
	block := max(8, grain/c)
	blocks := (rows + block - 1) / block
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	part := s.floats(0, blocks*c)
	clear(part)
	parallel(blocks, func(i int, _ *scratch) {
		asm.ColSum(part[i*c:][:c], x[i*block*c:min(rows, (i+1)*block)*c], c)
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

// CopyCols implements [Device].
func (d *cpu) CopyCols(dst *Tensor, dCol int, src *Tensor, sCol, n int) {
	dc, sc := dst.Dim(-1), src.Dim(-1)
	if n == dc && n == sc { // all; copy stores the longest past the caches
		size := grain
		if len(src.Data) >= large {
			size = 1 << 19
		}
		chunks(len(src.Data), size, func(lo, hi int) { copy(dst.Data[lo:hi], src.Data[lo:hi]) })
		return
	}
	chunks(dst.Rows(), max(1, grain/max(1, n)), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			copy(dst.Data[r*dc+dCol:][:n], src.Data[r*sc+sCol:][:n])
		}
	})
}

// Windows implements [Device].
func (d *cpu) Windows(y, x *Tensor, at [][2]int) {
	h, row := y.Dim(1), y.Dim(2)*y.Dim(3)
	xw, c := x.Dim(2), x.Dim(3)
	parallel(len(at), func(i int, _ *scratch) {
		for r := range h {
			copy(y.Data[(i*h+r)*row:][:row], x.Data[((at[i][0]+r)*xw+at[i][1])*c:])
		}
	})
}

// AddWindows implements [Device].
func (d *cpu) AddWindows(y, x *Tensor, at [][2]int) {
	h, row := x.Dim(1), x.Dim(2)*x.Dim(3)
	yw, c := y.Dim(2), y.Dim(3)
	for i, o := range at {
		for r := range h {
			out := y.Data[((o[0]+r)*yw+o[1])*c:][:row]
			asm.Add(out, out, x.Data[(i*h+r)*row:][:row])
		}
	}
}

// Embedding implements [Device].
func (d *cpu) Embedding(y, w *Tensor, ids []int) {
	c := w.Dim(-1)
	for i, id := range ids {
		copy(y.Data[i*c:][:c], w.Data[id*c:])
	}
}

// EmbeddingGrad implements [Device].
func (d *cpu) EmbeddingGrad(dw, dy *Tensor, ids []int) {
	c := dw.Dim(-1)
	clear(dw.Data)
	for i, id := range ids {
		out := dw.Data[id*c:][:c]
		asm.Add(out, out, dy.Data[i*c:][:c])
	}
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

// reduce adds f over fixed blocks of n elements, in order.
func reduce(n int, f func(lo, hi int) float64) float64 {
	part := lendDoubles((n + grain - 1) / grain)
	defer doubles.Put(part)
	parallel(len(*part), func(i int, _ *scratch) { (*part)[i] = f(i*grain, min(n, (i+1)*grain)) })
	var sum float64
	for _, v := range *part {
		sum += v
	}
	return sum
}

// Sum implements [Device].
func (d *cpu) Sum(x *Tensor) float64 {
	return reduce(x.Len(), func(lo, hi int) float64 { return asm.Sum(x.Data[lo:hi]) })
}

// SumSquares implements [Device].
func (d *cpu) SumSquares(x *Tensor) float64 {
	return reduce(x.Len(), func(lo, hi int) float64 { return asm.SumSq(x.Data[lo:hi]) })
}

// Dot implements [Device].
func (d *cpu) Dot(a, b *Tensor) float64 {
	return reduce(a.Len(), func(lo, hi int) float64 { return asm.Dot(a.Data[lo:hi], b.Data[lo:hi]) })
}
