package nn

import (
	"psld/autograd"
	"psld/tensor"
)

// ResBlock is the residual block of UNet and VAE:
//
//	h = conv1(silu(norm1(x))); h += time_emb_proj(silu(emb)); h = conv2(silu(norm2(h)))
//	y = conv_shortcut(x) + h
type ResBlock struct {
	Name         string // for traces, "" for none
	Norm1, Norm2 *GroupNorm
	Conv1, Conv2 *Conv2d
	TimeEmb      *Linear // nil without a time embedding
	Shortcut     *Conv2d // 1x1, nil where in == out
}

// NewResBlock registers a residual block below p. emb is the width of the time
// embedding, 0 for none.
func NewResBlock(p *Params, in, out, emb, groups int, eps float32) *ResBlock {
	l := &ResBlock{
		Norm1: NewGroupNorm(p.Sub("norm1"), in, groups, eps),
		Conv1: NewConv2d(p.Sub("conv1"), in, out, tensor.SameConv(3)),
	}
	if emb > 0 {
		l.TimeEmb = NewLinear(p.Sub("time_emb_proj"), emb, out)
	}
	l.Norm2 = NewGroupNorm(p.Sub("norm2"), out, groups, eps)
	l.Conv2 = NewConv2d(p.Sub("conv2"), out, out, tensor.SameConv(3))
	if in != out {
		l.Shortcut = NewConv2d(p.Sub("conv_shortcut"), in, out, tensor.SameConv(1))
	}
	return l
}

// Forward maps x [N, H, W, in] and emb [N, E] (nil for a block without time
// embedding) to [N, H, W, out].
func (l *ResBlock) Forward(g *autograd.Graph, x, emb *autograd.Value) *autograd.Value {
	return block(g, func(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
		return l.body(g, in[0], in[1:])
	}, x, emb)
}

// ForwardSkip is Forward of [x, skip] concatenated on the channels. The
// concatenation lives inside the block only.
func (l *ResBlock) ForwardSkip(g *autograd.Graph, x, skip, emb *autograd.Value) *autograd.Value {
	return block(g, func(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
		return l.body(g, g.Concat(in[0], in[1]), in[2:])
	}, x, skip, emb)
}

// body computes the block; emb holds one value or none.
func (l *ResBlock) body(g *autograd.Graph, x *autograd.Value, emb []*autograd.Value) *autograd.Value {
	h := l.Conv1.Forward(g, l.Norm1.SiLU(g, x))
	trace(g, l.Name, ".in_layers", h)
	if l.TimeEmb != nil {
		e := l.TimeEmb.Forward(g, g.SiLU(emb[0]))
		trace(g, l.Name, ".emb_layers", e)
		h = g.AddChannels(h, e)
	}
	h = l.Norm2.SiLU(g, h)
	if l.Shortcut != nil {
		x = l.Shortcut.Forward(g, x)
	}
	if g.OnTrace != nil { // the fused op below never forms the sum without x
		trace(g, l.Name, ".out_layers", l.Conv2.Forward(g, h))
	}
	return l.Conv2.Then(g, h, autograd.Epilogue{Add: x})
}

// MACs returns the multiply-adds for one input of h x w pixels.
func (l *ResBlock) MACs(h, w int) int64 {
	n := l.Conv1.MACs(h, w) + l.Conv2.MACs(h, w)
	if l.TimeEmb != nil {
		n += l.TimeEmb.MACs(1)
	}
	if l.Shortcut != nil {
		n += l.Shortcut.MACs(h, w)
	}
	return n
}
