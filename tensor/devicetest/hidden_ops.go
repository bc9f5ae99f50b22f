package devicetest

import "psld/tensor"

// Conv2d implements [tensor.Device].
func (d *HiddenDevice) Conv2d(y, x, w, b *tensor.Tensor, p tensor.Conv, e tensor.Epilogue) {
	d.dev.Conv2d(d.out(y), d.in(x), d.weight(w), d.in(b), p, d.epilogue(e))
}

// Conv2dGradInput implements [tensor.Device].
func (d *HiddenDevice) Conv2dGradInput(dx, dy, w *tensor.Tensor, p tensor.Conv) {
	d.dev.Conv2dGradInput(d.out(dx), d.in(dy), d.weight(w), p)
}

// Conv2dGradWeight implements [tensor.Device].
func (d *HiddenDevice) Conv2dGradWeight(dw, db, x, dy *tensor.Tensor, p tensor.Conv) {
	d.dev.Conv2dGradWeight(d.out(dw), d.out(db), d.in(x), d.in(dy), p)
}

// Attention implements [tensor.Device].
func (d *HiddenDevice) Attention(o, stats, q, k, v *tensor.Tensor, heads int, causal bool) {
	d.dev.Attention(d.out(o), d.out(stats), d.in(q), d.in(k), d.in(v), heads, causal)
}

// AttentionGrad implements [tensor.Device].
func (d *HiddenDevice) AttentionGrad(dq, dk, dv, do, o, stats, q, k, v *tensor.Tensor, heads int, causal bool) {
	d.dev.AttentionGrad(d.out(dq), d.out(dk), d.out(dv), d.in(do), d.in(o), d.in(stats), d.in(q), d.in(k),
		d.in(v), heads, causal)
}

// GroupNorm implements [tensor.Device].
func (d *HiddenDevice) GroupNorm(y, stats, x, gamma, beta *tensor.Tensor, groups int, eps float32, silu bool) {
	d.dev.GroupNorm(d.out(y), d.out(stats), d.in(x), d.in(gamma), d.in(beta), groups, eps, silu)
}

// GroupNormGrad implements [tensor.Device].
func (d *HiddenDevice) GroupNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma, beta *tensor.Tensor, groups int,
	silu bool) {
	d.dev.GroupNormGrad(d.out(dx), d.out(dgamma), d.out(dbeta), d.in(dy), d.in(x), d.in(stats), d.in(gamma),
		d.in(beta), groups, silu)
}

// LayerNorm implements [tensor.Device].
func (d *HiddenDevice) LayerNorm(y, stats, x, gamma, beta *tensor.Tensor, eps float32) {
	d.dev.LayerNorm(d.out(y), d.out(stats), d.in(x), d.in(gamma), d.in(beta), eps)
}

// LayerNormGrad implements [tensor.Device].
func (d *HiddenDevice) LayerNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma *tensor.Tensor) {
	d.dev.LayerNormGrad(d.out(dx), d.out(dgamma), d.out(dbeta), d.in(dy), d.in(x), d.in(stats), d.in(gamma))
}

// Softmax implements [tensor.Device].
func (d *HiddenDevice) Softmax(y, x *tensor.Tensor) {
	d.dev.Softmax(d.out(y), d.in(x))
}

// SoftmaxGrad implements [tensor.Device].
func (d *HiddenDevice) SoftmaxGrad(dx, dy, y *tensor.Tensor) {
	d.dev.SoftmaxGrad(d.out(dx), d.in(dy), d.in(y))
}

// Unary implements [tensor.Device].
func (d *HiddenDevice) Unary(f tensor.Func, y, x *tensor.Tensor) {
	d.dev.Unary(f, d.out(y), d.in(x))
}

// UnaryGrad implements [tensor.Device].
func (d *HiddenDevice) UnaryGrad(f tensor.Func, dx, dy, x *tensor.Tensor) {
	d.dev.UnaryGrad(f, d.out(dx), d.in(dy), d.in(x))
}

// GEGLU implements [tensor.Device].
func (d *HiddenDevice) GEGLU(y, x *tensor.Tensor) {
	d.dev.GEGLU(d.out(y), d.in(x))
}

// GEGLUGrad implements [tensor.Device].
func (d *HiddenDevice) GEGLUGrad(dx, dy, x *tensor.Tensor) {
	d.dev.GEGLUGrad(d.out(dx), d.in(dy), d.in(x))
}

// Add implements [tensor.Device].
func (d *HiddenDevice) Add(y, a, b *tensor.Tensor) {
	d.dev.Add(d.out(y), d.in(a), d.in(b))
}

// Mul implements [tensor.Device].
func (d *HiddenDevice) Mul(y, a, b *tensor.Tensor) {
	d.dev.Mul(d.out(y), d.in(a), d.in(b))
}

// Axpy implements [tensor.Device].
func (d *HiddenDevice) Axpy(y *tensor.Tensor, alpha float32, x *tensor.Tensor) {
	d.dev.Axpy(d.out(y), alpha, d.in(x))
}

// Scale implements [tensor.Device].
func (d *HiddenDevice) Scale(y *tensor.Tensor, alpha float32, x *tensor.Tensor) {
	d.dev.Scale(d.out(y), alpha, d.in(x))
}

// Clamp implements [tensor.Device].
func (d *HiddenDevice) Clamp(y, x *tensor.Tensor, lo, hi float32) {
	d.dev.Clamp(d.out(y), d.in(x), lo, hi)
}

// ClampGrad implements [tensor.Device].
func (d *HiddenDevice) ClampGrad(dx, dy, x *tensor.Tensor, lo, hi float32) {
	d.dev.ClampGrad(d.out(dx), d.in(dy), d.in(x), lo, hi)
}

// Fill implements [tensor.Device].
func (d *HiddenDevice) Fill(y *tensor.Tensor, v float32) {
	d.dev.Fill(d.out(y), v)
}

// AddChannels implements [tensor.Device].
func (d *HiddenDevice) AddChannels(y, x, e *tensor.Tensor) {
	d.dev.AddChannels(d.out(y), d.in(x), d.in(e))
}

// SumPixels implements [tensor.Device].
func (d *HiddenDevice) SumPixels(de, dy *tensor.Tensor) {
	d.dev.SumPixels(d.out(de), d.in(dy))
}

// Enlarge2x implements [tensor.Device].
func (d *HiddenDevice) Enlarge2x(y, x *tensor.Tensor) {
	d.dev.Enlarge2x(d.out(y), d.in(x))
}

// Mean2x2 implements [tensor.Device].
func (d *HiddenDevice) Mean2x2(y, x *tensor.Tensor) {
	d.dev.Mean2x2(d.out(y), d.in(x))
}

// CopyCols implements [tensor.Device].
func (d *HiddenDevice) CopyCols(dst *tensor.Tensor, dCol int, src *tensor.Tensor, sCol, n int) {
	d.dev.CopyCols(d.out(dst), dCol, d.in(src), sCol, n)
}

// Windows implements [tensor.Device].
func (d *HiddenDevice) Windows(y, x *tensor.Tensor, at [][2]int) {
	d.dev.Windows(d.out(y), d.in(x), at)
}

// AddWindows implements [tensor.Device].
func (d *HiddenDevice) AddWindows(y, x *tensor.Tensor, at [][2]int) {
	d.dev.AddWindows(d.out(y), d.in(x), at)
}

// Sparse implements [tensor.Device].
func (d *HiddenDevice) Sparse(y, x *tensor.Tensor, m *tensor.Sparse) {
	m.Keep(d, func(kept any) any {
		if kept == nil {
			d.up(len(m.Start) + len(m.At) + len(m.W))
		}
		return true
	})
	d.dev.Sparse(d.out(y), d.in(x), m)
}

// AdamW implements [tensor.Device].
func (d *HiddenDevice) AdamW(w, m, v, average, g *tensor.Tensor, p tensor.AdamW) {
	d.dev.AdamW(d.out(w), d.out(m), d.out(v), d.out(average), d.in(g), p)
}

// Embedding implements [tensor.Device].
func (d *HiddenDevice) Embedding(y, w *tensor.Tensor, ids []int) {
	d.dev.Embedding(d.out(y), d.in(w), ids)
}

// EmbeddingGrad implements [tensor.Device].
func (d *HiddenDevice) EmbeddingGrad(dw, dy *tensor.Tensor, ids []int) {
	d.dev.EmbeddingGrad(d.out(dw), d.in(dy), ids)
}

// Sum implements [tensor.Device].
func (d *HiddenDevice) Sum(x *tensor.Tensor) float64 {
	return d.dev.Sum(d.in(x))
}

// SumSquares implements [tensor.Device].
func (d *HiddenDevice) SumSquares(x *tensor.Tensor) float64 {
	return d.dev.SumSquares(d.in(x))
}

// Dot implements [tensor.Device].
func (d *HiddenDevice) Dot(a, b *tensor.Tensor) float64 {
	return d.dev.Dot(d.in(a), d.in(b))
}
