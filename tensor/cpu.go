package tensor

import (
	"math"

	"psld/asm"
)

// CPU is the device of the host processor. CPUBF16 is the same, but rounds the
// factors of convolutions and linear layers, forward and to the input, to bfloat16, and
// packs weights in half the memory. Sums, norms, softmax, attention, gradients of weights and all that is
// stored between operations stay float32. Where the tier has no bfloat16 products ([asm.HasPairs])
// rounded numbers are multiplied in float32: the same errors, no gain.
var (
	CPU     Device = &cpu{Pool: &pool}
	CPUBF16 Device = &cpu{Pool: &pool, bf16: true}
)

var pool Pool

type cpu struct {
	*Pool
	bf16 bool
}

// CPUPool is the memory behind [CPU] and [CPUBF16], for measurements.
func CPUPool() *Pool { return &pool }

// Name implements [Device].
func (d *cpu) Name() string {
	name := "cpu/" + asm.Active().String()
	if d.bf16 {
		name += "/bf16"
	}
	return name
}

// format is that of matrix products with weights.
func (d *cpu) format() format {
	switch {
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

// Unary implements [Device].
func (d *cpu) Unary(f Func, y, x *Tensor) {
	chunks(x.Len(), grain, func(lo, hi int) {
		out, in := y.Data[lo:hi], x.Data[lo:hi]
		switch f {
		case SiLU:
			asm.SiLU(out, in)
		case GELU:
			asm.GELU(out, in)
		case QuickGELU:
			asm.QuickGELU(out, in)
		case Exp:
			asm.Exp(out, in)
		case Abs:
			for i, v := range in {
				out[i] = float32(math.Abs(float64(v)))
			}
		case ReLU:
			for i, v := range in {
				out[i] = max(v, 0)
			}
		case Tanh:
			for i, v := range in {
				out[i] = float32(math.Tanh(float64(v)))
			}
		}
	})
}

// UnaryGrad implements [Device].
func (d *cpu) UnaryGrad(f Func, dx, dy, x *Tensor) {
	chunks(x.Len(), grain, func(lo, hi int) {
		out, g, in := dx.Data[lo:hi], dy.Data[lo:hi], x.Data[lo:hi]
		switch f {
		case SiLU:
			asm.SiLUGrad(out, in, g)
		case GELU:
			asm.GELUGrad(out, in, g)
		case QuickGELU:
			asm.QuickGELUGrad(out, in, g)
		case Exp:
			for i := range out {
				out[i] = g[i] * float32(math.Exp(float64(in[i])))
			}
		case Abs:
			for i, v := range in {
				switch {
				case v > 0:
					out[i] = g[i]
				case v < 0:
					out[i] = -g[i]
				default:
					out[i] = 0
				}
			}
		case ReLU:
			for i, v := range in {
				if v > 0 {
					out[i] = g[i]
				} else {
					out[i] = 0
				}
			}
		case Tanh:
			for i, v := range in {
				t := math.Tanh(float64(v))
				out[i] = g[i] * float32(1-t*t)
			}
		}
	})
}

// GEGLU implements [Device].
func (d *cpu) GEGLU(y, x *Tensor) {
	c := y.Dim(-1)
	parallel(y.Rows(), func(r int, s *scratch) {
		out, in := y.Data[r*c:][:c], x.Data[2*r*c:][:2*c]
		gate := s.floats(0, c)
		asm.GELU(gate, in[c:])
		asm.Mul(out, in[:c], gate)
	})
}

// GEGLUGrad implements [Device].
func (d *cpu) GEGLUGrad(dx, dy, x *Tensor) {
	c := dy.Dim(-1)
	parallel(dy.Rows(), func(r int, s *scratch) {
		out, in, g := dx.Data[2*r*c:][:2*c], x.Data[2*r*c:][:2*c], dy.Data[r*c:][:c]
		tmp := s.floats(0, c)
		asm.GELU(tmp, in[c:])
		asm.Mul(out[:c], g, tmp)
		asm.Mul(tmp, g, in[:c])
		asm.GELUGrad(out[c:], in[c:], tmp)
	})
}

// Add implements [Device].
func (d *cpu) Add(y, a, b *Tensor) {
	chunks(y.Len(), grain, func(lo, hi int) { asm.Add(y.Data[lo:hi], a.Data[lo:hi], b.Data[lo:hi]) })
}

// Mul implements [Device].
func (d *cpu) Mul(y, a, b *Tensor) {
	chunks(y.Len(), grain, func(lo, hi int) { asm.Mul(y.Data[lo:hi], a.Data[lo:hi], b.Data[lo:hi]) })
}

// Axpy implements [Device].
func (d *cpu) Axpy(y *Tensor, alpha float32, x *Tensor) {
	chunks(y.Len(), grain, func(lo, hi int) { asm.Axpy(y.Data[lo:hi], alpha, x.Data[lo:hi]) })
}

// Scale implements [Device].
func (d *cpu) Scale(y *Tensor, alpha float32, x *Tensor) {
	chunks(y.Len(), grain, func(lo, hi int) { asm.Scale(y.Data[lo:hi], alpha, x.Data[lo:hi]) })
}

// Clamp implements [Device].
func (d *cpu) Clamp(y, x *Tensor, lo, hi float32) {
	for i, v := range x.Data {
		y.Data[i] = min(max(v, lo), hi)
	}
}

// ClampGrad implements [Device].
func (d *cpu) ClampGrad(dx, dy, x *Tensor, lo, hi float32) {
	for i, v := range x.Data {
		if v >= lo && v <= hi {
			dx.Data[i] = dy.Data[i]
		} else {
			dx.Data[i] = 0
		}
	}
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
	block := max(1, grain/c)
	blocks := (px + block - 1) / block
	parallel(n*blocks, func(i int, _ *scratch) {
		img, lo := i/blocks, i%blocks*block
		hi := min(px, lo+block)
		from, to := (img*px+lo)*c, (img*px+hi)*c
		asm.AddRows(y.Data[from:to], x.Data[from:to], e.Data[img*c:][:c], c)
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
	part := make([]float32, blocks*c)
	parallel(blocks, func(i int, _ *scratch) {
		asm.ColSum(part[i*c:][:c], x[i*block*c:min(rows, (i+1)*block)*c], c)
	})
	for j := range c {
		var sum float64
		for i := range blocks {
			sum += float64(part[i*c+j])
		}
		dst[j] = float32(sum)
	}
}

// CopyCols implements [Device].
func (d *cpu) CopyCols(dst *Tensor, dCol int, src *Tensor, sCol, n int) {
	dc, sc := dst.Dim(-1), src.Dim(-1)
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

// reduce adds f over fixed blocks of n elements, in order.
func reduce(n int, f func(lo, hi int) float64) float64 {
	blocks := (n + grain - 1) / grain
	part := make([]float64, blocks)
	parallel(blocks, func(i int, _ *scratch) { part[i] = f(i*grain, min(n, (i+1)*grain)) })
	var sum float64
	for _, v := range part {
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
