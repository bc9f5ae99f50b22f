package bench

import (
	"psld/autograd"
	"psld/psld/prior"
	"psld/tensor"
)

// Work is the floating-point operations of one PSLD step by its parts: those of products, which is all but
// a few parts in a thousand.
type Work struct{ UNet, Decoder, Encoder PartWork }

// PartWork is the operations of a network, forward and backward to its input.
type PartWork struct{ Forward, Backward float64 }

// Total is both.
func (w PartWork) Total() float64 { return w.Forward + w.Backward }

// Total is all of a step's.
func (w Work) Total() float64 { return w.UNet.Total() + w.Decoder.Total() + w.Encoder.Total() }

// StepWork counts the operations of a step on a picture of h x w pixels, multiples of m.Multiple(). Networks run
// forward and backward on a device that counts in place of computing; what the engine computes again
// to save memory does not count, but the overlaps of windows and tiles of pictures beyond 512x512 do.
func StepWork(m *prior.LatentDiffusion, h, w int) Work {
	c := &counter{Device: m.Device()}
	m = m.On(c)
	f, ch := m.VAE.Factor(), m.VAE.LatentChannels
	z, x := []int{1, h / f, w / f, ch}, []int{1, h, w, 3}
	count := func(shape []int, network func(g *autograd.Graph, x *autograd.Value) *autograd.Value) PartWork {
		g := autograd.NewGraph(c)
		g.Checkpoint = true
		defer g.Release()
		in := c.Get(shape...)
		defer c.Put(in)
		c.flop, c.backward = 0, false
		y := network(g, g.Input(in))
		forward := c.flop
		c.flop, c.backward = 0, true
		g.Backward(y, y.T)
		return PartWork{forward, c.flop}
	}
	return Work{
		UNet:    count(z, func(g *autograd.Graph, z *autograd.Value) *autograd.Value { return m.Eps(g, z, 500, m.Empty) }),
		Decoder: count(z, m.Decode),
		Encoder: count(x, func(g *autograd.Graph, x *autograd.Value) *autograd.Value { return m.Encode(g, x, nil) }),
	}
}

// counter is a device that computes nothing: its tensors hold whatever was there.
type counter struct {
	tensor.Device
	flop     float64
	backward bool // forward operations are repetitions
}

func (c *counter) add(flop float64, backward bool) {
	if backward == c.backward {
		c.flop += flop
	}
}

func convFLOP(y, w *tensor.Tensor) float64 {
	return 2 * float64(y.Rows()) * float64(w.Len())
}

func attentionFLOP(q, k *tensor.Tensor, products int) float64 {
	return 2 * float64(products) * float64(q.Len()) * float64(k.Dim(1))
}

func (c *counter) Conv2d(y, x, w, b *tensor.Tensor, p tensor.Conv, e tensor.Epilogue) {
	c.add(convFLOP(y, w), false)
}
func (c *counter) Conv2dGradInput(dx, dy, w *tensor.Tensor, p tensor.Conv) {
	c.add(convFLOP(dy, w), true)
}
func (c *counter) Attention(o, stats, q, k, v *tensor.Tensor, heads int, causal bool) {
	c.add(attentionFLOP(q, k, 2), false)
}

// The scores, which are made a second time, do not count.
func (c *counter) AttentionGrad(dq, dk, dv, do, o, stats, q, k, v *tensor.Tensor, heads int, causal bool) {
	c.add(attentionFLOP(q, k, 4), true)
}

func (c *counter) Pack(w *tensor.Tensor)                   {}
func (c *counter) Upload(t *tensor.Tensor, data []float32) {}
func (c *counter) GroupNorm(y, stats, x, gamma, beta *tensor.Tensor, groups int, eps float32, silu bool) {
}
func (c *counter) GroupNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma, beta *tensor.Tensor, groups int, silu bool) {
}
func (c *counter) LayerNorm(y, stats, x, gamma, beta *tensor.Tensor, eps float32)         {}
func (c *counter) LayerNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma *tensor.Tensor)    {}
func (c *counter) Softmax(y, x *tensor.Tensor)                                            {}
func (c *counter) SoftmaxGrad(dx, dy, y *tensor.Tensor)                                   {}
func (c *counter) Unary(f tensor.Func, y, x *tensor.Tensor)                               {}
func (c *counter) UnaryGrad(f tensor.Func, dx, dy, x *tensor.Tensor)                      {}
func (c *counter) GEGLU(y, x *tensor.Tensor)                                              {}
func (c *counter) GEGLUGrad(dx, dy, x *tensor.Tensor)                                     {}
func (c *counter) Add(y, a, b *tensor.Tensor)                                             {}
func (c *counter) Mul(y, a, b *tensor.Tensor)                                             {}
func (c *counter) Axpy(y *tensor.Tensor, alpha float32, x *tensor.Tensor)                 {}
func (c *counter) Scale(y *tensor.Tensor, alpha float32, x *tensor.Tensor)                {}
func (c *counter) Clamp(y, x *tensor.Tensor, lo, hi float32)                              {}
func (c *counter) ClampGrad(dx, dy, x *tensor.Tensor, lo, hi float32)                     {}
func (c *counter) Fill(y *tensor.Tensor, v float32)                                       {}
func (c *counter) AddChannels(y, x, e *tensor.Tensor)                                     {}
func (c *counter) SumPixels(de, dy *tensor.Tensor)                                        {}
func (c *counter) CopyCols(dst *tensor.Tensor, dCol int, src *tensor.Tensor, sCol, n int) {}
func (c *counter) Windows(y, x *tensor.Tensor, at [][2]int)                               {}
func (c *counter) AddWindows(y, x *tensor.Tensor, at [][2]int)                            {}
