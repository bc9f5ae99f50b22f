package nn

import (
	"psld/autograd"
	"psld/tensor"
)

// CrossAttention is multi-head attention of x to a context; to_q, to_k and
// to_v have no bias.
type CrossAttention struct {
	ToQ, ToK, ToV, ToOut *Linear
	Heads                int
}

// NewCrossAttention registers to_q, to_k, to_v and to_out.0 below p, for rows
// x of width dim and context rows of width ctx.
func NewCrossAttention(p *Params, dim, ctx, heads int) *CrossAttention {
	return &CrossAttention{
		ToQ:   NewLinearNoBias(p.Sub("to_q"), dim, dim),
		ToK:   NewLinearNoBias(p.Sub("to_k"), ctx, dim),
		ToV:   NewLinearNoBias(p.Sub("to_v"), ctx, dim),
		ToOut: NewLinear(p.Sub("to_out.0"), dim, dim),
		Heads: heads,
	}
}

// Forward maps x [N, L, dim] and context [N, M, ctx] to [N, L, dim]. With
// context == x it is self-attention. The residual, which may be nil, is added to the result.
func (l *CrossAttention) Forward(g *autograd.Graph, x, context, residual *autograd.Value) *autograd.Value {
	q, k, v := l.ToQ.Forward(g, x), l.ToK.Forward(g, context), l.ToV.Forward(g, context)
	return l.ToOut.Then(g, g.Attention(q, k, v, l.Heads, false), autograd.Epilogue{Add: residual})
}

// MACs returns the multiply-adds for one item of rows x and ctxRows context rows.
func (l *CrossAttention) MACs(rows, ctxRows int) int64 {
	dim := l.ToQ.Weight.T.Dim(0)
	return l.ToQ.MACs(rows) + l.ToK.MACs(ctxRows) + l.ToV.MACs(ctxRows) + l.ToOut.MACs(rows) +
		2*int64(rows)*int64(ctxRows)*int64(dim)
}

// FeedForward is the transformer's two-layer network with a GEGLU inside.
type FeedForward struct {
	Proj *Linear // net.0.proj: dim -> 2*4*dim, values then gates
	Out  *Linear // net.2: 4*dim -> dim
}

// NewFeedForward registers net.0.proj and net.2 below p.
func NewFeedForward(p *Params, dim int) *FeedForward {
	return &FeedForward{
		Proj: NewLinear(p.Sub("net.0.proj"), dim, 8*dim),
		Out:  NewLinear(p.Sub("net.2"), 4*dim, dim),
	}
}

// Forward maps x [..., dim] to the same shape. The residual, which may be nil, is added to the result.
func (l *FeedForward) Forward(g *autograd.Graph, x, residual *autograd.Value) *autograd.Value {
	return l.Out.Then(g, l.Proj.Then(g, x, autograd.Epilogue{GEGLU: true}), autograd.Epilogue{Add: residual})
}

// BasicTransformerBlock is self-attention, cross-attention and feed-forward,
// each with a layer norm in front and a residual around.
type BasicTransformerBlock struct {
	Name                string // for traces, "" for none
	Norm1, Norm2, Norm3 *LayerNorm
	Attn1, Attn2        *CrossAttention // self, cross
	FF                  *FeedForward
}

// NewBasicTransformerBlock registers the block below p.
func NewBasicTransformerBlock(p *Params, dim, ctx, heads int) *BasicTransformerBlock {
	const eps = 1e-5
	return &BasicTransformerBlock{
		Norm1: NewLayerNorm(p.Sub("norm1"), dim, eps),
		Attn1: NewCrossAttention(p.Sub("attn1"), dim, dim, heads),
		Norm2: NewLayerNorm(p.Sub("norm2"), dim, eps),
		Attn2: NewCrossAttention(p.Sub("attn2"), dim, ctx, heads),
		Norm3: NewLayerNorm(p.Sub("norm3"), dim, eps),
		FF:    NewFeedForward(p.Sub("ff"), dim),
	}
}

// Forward maps x [N, L, dim] and context [N, M, ctx] to [N, L, dim].
func (l *BasicTransformerBlock) Forward(g *autograd.Graph, x, context *autograd.Value) *autograd.Value {
	n := l.Norm1.Forward(g, x)
	trace(g, l.Name, ".norm1", n)
	if g.OnTrace != nil { // the fused ops below never form these without x
		trace(g, l.Name, ".attn1", l.Attn1.Forward(g, n, n, nil))
	}
	x = l.Attn1.Forward(g, n, n, x)
	n = l.Norm2.Forward(g, x)
	if g.OnTrace != nil {
		trace(g, l.Name, ".attn2", l.Attn2.Forward(g, n, context, nil))
	}
	x = l.Attn2.Forward(g, n, context, x)
	n = l.Norm3.Forward(g, x)
	if g.OnTrace != nil {
		trace(g, l.Name, ".ff", l.FF.Forward(g, n, nil))
	}
	return l.FF.Forward(g, n, x)
}

// MACs returns the multiply-adds for one item of rows x and ctxRows context rows.
func (l *BasicTransformerBlock) MACs(rows, ctxRows int) int64 {
	return l.Attn1.MACs(rows, rows) + l.Attn2.MACs(rows, ctxRows) + l.FF.Proj.MACs(rows) + l.FF.Out.MACs(rows)
}

// SpatialTransformer runs transformer blocks over the pixels of a feature map
// (diffusers' Transformer2DModel), with a residual around all of it.
type SpatialTransformer struct {
	Name            string // for traces, "" for none
	Norm            *GroupNorm
	ProjIn, ProjOut *Conv2d // 1x1
	Blocks          []*BasicTransformerBlock
}

// NewSpatialTransformer registers norm, proj_in, one transformer block and
// proj_out below p.
func NewSpatialTransformer(p *Params, dim, ctx, heads, groups int) *SpatialTransformer {
	return &SpatialTransformer{
		Norm:    NewGroupNorm(p.Sub("norm"), dim, groups, 1e-6),
		ProjIn:  NewConv2d(p.Sub("proj_in"), dim, dim, tensor.SameConv(1)),
		Blocks:  []*BasicTransformerBlock{NewBasicTransformerBlock(p.Sub("transformer_blocks.0"), dim, ctx, heads)},
		ProjOut: NewConv2d(p.Sub("proj_out"), dim, dim, tensor.SameConv(1)),
	}
}

// Forward maps x [N, H, W, dim] and context [N, M, ctx] to [N, H, W, dim].
func (l *SpatialTransformer) Forward(g *autograd.Graph, x, context *autograd.Value) *autograd.Value {
	return g.Block(func(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
		x, context := in[0], in[1]
		h := l.Norm.Forward(g, x)
		trace(g, l.Name, ".norm", h)
		h = l.ProjIn.Forward(g, h)
		trace(g, l.Name, ".proj_in", h)
		h = rows(g, h)
		for _, b := range l.Blocks {
			h = b.Forward(g, h, context)
			trace(g, b.Name, "", h)
		}
		h = g.Reshape(h, x.T.Shape...)
		if g.OnTrace != nil {
			trace(g, l.Name, ".proj_out", l.ProjOut.Forward(g, h))
		}
		return l.ProjOut.Then(g, h, autograd.Epilogue{Add: x})
	}, x, context)
}

// MACs returns the multiply-adds for one map of h x w pixels and ctxRows
// context rows.
func (l *SpatialTransformer) MACs(h, w, ctxRows int) int64 {
	n := l.ProjIn.MACs(h, w) + l.ProjOut.MACs(h, w)
	for _, b := range l.Blocks {
		n += b.MACs(h*w, ctxRows)
	}
	return n
}

// AttnBlock is the VAE's self-attention over pixels: one head, biases
// everywhere, a residual around it.
type AttnBlock struct {
	Norm                 *GroupNorm
	ToQ, ToK, ToV, ToOut *Linear
}

// NewAttnBlock registers group_norm, to_q, to_k, to_v and to_out.0 below p.
func NewAttnBlock(p *Params, dim, groups int, eps float32) *AttnBlock {
	return &AttnBlock{
		Norm:  NewGroupNorm(p.Sub("group_norm"), dim, groups, eps),
		ToQ:   NewLinear(p.Sub("to_q"), dim, dim),
		ToK:   NewLinear(p.Sub("to_k"), dim, dim),
		ToV:   NewLinear(p.Sub("to_v"), dim, dim),
		ToOut: NewLinear(p.Sub("to_out.0"), dim, dim),
	}
}

// Forward maps x [N, H, W, dim] to the same shape.
func (l *AttnBlock) Forward(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	return g.Block(func(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
		x := in[0]
		h := rows(g, l.Norm.Forward(g, x))
		h = g.Attention(l.ToQ.Forward(g, h), l.ToK.Forward(g, h), l.ToV.Forward(g, h), 1, false)
		return g.Reshape(l.ToOut.Then(g, h, autograd.Epilogue{Add: rows(g, x)}), x.T.Shape...)
	}, x)
}

// MACs returns the multiply-adds for one map of h x w pixels.
func (l *AttnBlock) MACs(h, w int) int64 {
	n, dim := int64(h*w), int64(l.ToQ.Weight.T.Dim(0))
	return 4*l.ToQ.MACs(h*w) + 2*n*n*dim
}

// rows views a map [N, H, W, C] as token rows [N, H*W, C].
func rows(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	return g.Reshape(x, x.T.Dim(0), x.T.Dim(1)*x.T.Dim(2), x.T.Dim(3))
}
