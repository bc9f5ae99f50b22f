package nn

import (
	"psld/autograd"
	"psld/tensor"
)

// Conv2d is a convolution with bias over [N, H, W, in].
type Conv2d struct {
	Weight *autograd.Value // [out, in, KH, KW]
	Bias   *autograd.Value // [out]
	Conv   tensor.Conv
}

// NewConv2d registers weight and bias of a convolution below p.
func NewConv2d(p *Params, in, out int, c tensor.Conv) *Conv2d {
	return &Conv2d{p.NewMatrix("weight", out, in, c.KH, c.KW), p.New("bias", out), c}
}

// NewDownsample halves height and width: 3x3, stride 2, padded by one pixel on
// all sides (the UNet), or on the right and the bottom only (the VAE).
func NewDownsample(p *Params, channels int, allSides bool) *Conv2d {
	c := tensor.Conv{KH: 3, KW: 3, Stride: 2, PadBottom: 1, PadRight: 1}
	if allSides {
		c.PadTop, c.PadLeft = 1, 1
	}
	return NewConv2d(p.Sub("conv"), channels, channels, c)
}

// NewUpsample doubles height and width: nearest neighbour, then 3x3.
func NewUpsample(p *Params, channels int) *Conv2d {
	c := tensor.SameConv(3)
	c.Upsample = true
	return NewConv2d(p.Sub("conv"), channels, channels, c)
}

// Forward maps x [N, H, W, in] to [N, H', W', out].
func (l *Conv2d) Forward(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	return g.Conv2d(x, l.Weight, l.Bias, l.Conv)
}

// Then is Forward with what follows it in the same pass over memory.
func (l *Conv2d) Then(g *autograd.Graph, x *autograd.Value, e autograd.Epilogue) *autograd.Value {
	return g.Conv2dEpilogue(x, l.Weight, l.Bias, l.Conv, e)
}

// MACs returns the multiply-adds for one input of h x w pixels.
func (l *Conv2d) MACs(h, w int) int64 {
	oh, ow := l.Conv.Out(h, w)
	return int64(l.Weight.T.Len()) * int64(oh*ow)
}

// Linear is x W^T + b over the last dimension.
type Linear struct {
	Weight *autograd.Value // [out, in]
	Bias   *autograd.Value // [out], nil for none
}

// NewLinear registers a linear layer with bias below p.
func NewLinear(p *Params, in, out int) *Linear {
	return &Linear{p.NewMatrix("weight", out, in), p.New("bias", out)}
}

// NewLinearNoBias registers a linear layer without bias below p.
func NewLinearNoBias(p *Params, in, out int) *Linear {
	return &Linear{p.NewMatrix("weight", out, in), nil}
}

// Forward maps x [..., in] to [..., out].
func (l *Linear) Forward(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	return g.Linear(x, l.Weight, l.Bias)
}

// Then is Forward with what follows it in the same pass over memory.
func (l *Linear) Then(g *autograd.Graph, x *autograd.Value, e autograd.Epilogue) *autograd.Value {
	return g.LinearEpilogue(x, l.Weight, l.Bias, e)
}

// MACs returns the multiply-adds for the given number of rows.
func (l *Linear) MACs(rows int) int64 { return int64(l.Weight.T.Len()) * int64(rows) }

// GroupNorm normalises each group of channels over a whole picture. With 0 groups it leaves everything as it is, and
// has no parameters.
type GroupNorm struct {
	Gamma, Beta *autograd.Value // [C]
	Groups      int
	Eps         float32
}

// NewGroupNorm registers a group norm below p; groups must divide channels, or be 0.
func NewGroupNorm(p *Params, channels, groups int, eps float32) *GroupNorm {
	if groups == 0 {
		return &GroupNorm{}
	}
	return &GroupNorm{p.New("weight", channels), p.New("bias", channels), groups, eps}
}

// Forward maps x [N, H, W, C] to the same shape.
func (l *GroupNorm) Forward(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	if l.Groups == 0 {
		return x
	}
	return g.GroupNorm(x, l.Gamma, l.Beta, l.Groups, l.Eps)
}

// SiLU is Forward followed by SiLU in one pass over memory.
func (l *GroupNorm) SiLU(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	if l.Groups == 0 {
		return g.SiLU(x)
	}
	return g.GroupNormSiLU(x, l.Gamma, l.Beta, l.Groups, l.Eps)
}

// LayerNorm normalises the last dimension.
type LayerNorm struct {
	Gamma, Beta *autograd.Value // [C]
	Eps         float32
}

// NewLayerNorm registers a layer norm below p.
func NewLayerNorm(p *Params, channels int, eps float32) *LayerNorm {
	return &LayerNorm{p.New("weight", channels), p.New("bias", channels), eps}
}

// Forward maps x [..., C] to the same shape.
func (l *LayerNorm) Forward(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	return g.LayerNorm(x, l.Gamma, l.Beta, l.Eps)
}

// Head is the end of a network: group norm, SiLU, 3x3 convolution.
type Head struct {
	Name string // for traces, "" for none
	Norm *GroupNorm
	Conv *Conv2d
}

// NewHead registers conv_norm_out and conv_out below p.
func NewHead(p *Params, in, out, groups int, eps float32) *Head {
	return &Head{
		Norm: NewGroupNorm(p.Sub("conv_norm_out"), in, groups, eps),
		Conv: NewConv2d(p.Sub("conv_out"), in, out, tensor.SameConv(3)),
	}
}

// Forward maps x [N, H, W, in] to [N, H, W, out].
func (l *Head) Forward(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	return g.Block(func(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
		if g.OnTrace != nil { // the fused op below never forms the norm alone
			trace(g, l.Name, "norm_out", l.Norm.Forward(g, in[0]))
		}
		return l.Conv.Forward(g, l.Norm.SiLU(g, in[0]))
	}, x)
}
