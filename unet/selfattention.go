package unet

import (
	"psld/autograd"
	"psld/nn"
)

// selfAttention lets the pixels of a map attend to each other: group norm,
// several heads, biases everywhere, a residual around it. It is the attention
// of guided diffusion and of the unconditional models of the LDM repository,
// with that file's fused qkv split into to_q, to_k and to_v.
type selfAttention struct {
	*nn.AttnBlock
	heads int // head h owns channels h*w to (h+1)*w, w = C/heads
}

// Forward maps x [N, H, W, C] to the same shape; there is no context.
func (l *selfAttention) Forward(g *autograd.Graph, x, _ *autograd.Value) *autograd.Value {
	return g.Block(func(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
		x := in[0]
		s := x.T.Shape
		h := g.Reshape(l.Norm.Forward(g, x), s[0], s[1]*s[2], s[3])
		h = g.Attention(l.ToQ.Forward(g, h), l.ToK.Forward(g, h), l.ToV.Forward(g, h), l.heads, false)
		return g.Reshape(l.ToOut.Then(g, h, autograd.Epilogue{Add: g.Reshape(x, h.T.Shape...)}), s...)
	}, x)
}

// MACs returns the multiply-adds for one map of h x w pixels.
func (l *selfAttention) MACs(h, w, _ int) int64 { return l.AttnBlock.MACs(h, w) }
