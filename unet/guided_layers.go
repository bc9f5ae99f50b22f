package unet

import (
	"psld/autograd"
	"psld/nn"
	"psld/tensor"
)

// sizing is what a layer does to height and width.
type sizing int

const (
	keepSize sizing = iota
	halve
	double
)

// resize is the part without weights: means of 2x2 pixels, or nearest neighbours.
func (s sizing) resize(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	switch s {
	case halve:
		return g.Mean2x2(x)
	case double:
		return g.Enlarge2x(x)
	}
	return x
}

func (s sizing) size(h, w int) (oh, ow int) {
	switch s {
	case halve:
		return h / 2, w / 2
	case double:
		return 2 * h, 2 * w
	}
	return h, w
}

// guidedRes is the residual block of guided diffusion. With e the embedding of the time:
//
//	h = in_layers.2(resize(silu(in_layers.0(x))))
//
// h = out_layers.3(silu(out_layers.0(h) * (1 + scale(e)) + shift(e))) or, without ScaleShift, of out_layers.0(h + e)
//
//	y = skip_connection(resize(x)) + h
type guidedRes struct {
	inNorm, outNorm *nn.GroupNorm
	inConv, outConv *nn.Conv2d
	emb             *nn.Linear // to scale and shift
	scaleShift      bool
	shortcut        *nn.Conv2d // 1x1, nil where in == out
	size            sizing
}

func (m *Guided) newRes(p *nn.Params, in, out int, size sizing) *guidedRes {
	l := &guidedRes{scaleShift: m.ScaleShift, size: size}
	l.inNorm = nn.NewGroupNorm(p.Sub("in_layers.0"), in, m.NormGroups, guidedEps)
	l.inConv = nn.NewConv2d(p.Sub("in_layers.2"), in, out, tensor.SameConv(3))
	width := out
	if l.scaleShift {
		width = 2 * out
	}
	l.emb = nn.NewLinear(p.Sub("emb_layers.1"), 4*m.NumChannels, width)
	l.outNorm = nn.NewGroupNorm(p.Sub("out_layers.0"), out, m.NormGroups, guidedEps)
	l.outConv = nn.NewConv2d(p.Sub("out_layers.3"), out, out, tensor.SameConv(3))
	if in != out {
		l.shortcut = nn.NewConv2d(p.Sub("skip_connection"), in, out, tensor.SameConv(1))
	}
	return l
}

func (l *guidedRes) forward(g *autograd.Graph, x, skip, emb *autograd.Value) *autograd.Value {
	in := []*autograd.Value{x, emb}
	if skip != nil {
		in = append(in, skip)
	}
	return g.Block(func(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
		x, emb := in[0], in[1]
		if len(in) > 2 {
			x = g.Concat(x, in[2])
		}
		h := l.inConv.Forward(g, l.size.resize(g, l.inNorm.SiLU(g, x)))
		h = l.timed(g, h, l.emb.Forward(g, emb))
		x = l.size.resize(g, x)
		if l.shortcut != nil {
			x = l.shortcut.Forward(g, x)
		}
		return l.outConv.Then(g, h, autograd.Epilogue{Add: x})
	}, in...)
}

// timed is the second norm of h [N, H, W, C] with its SiLU and what the time does to it.
func (l *guidedRes) timed(g *autograd.Graph, h, e *autograd.Value) *autograd.Value {
	n, c := h.T.Dim(0), h.T.Dim(3)
	if !l.scaleShift {
		return l.outNorm.SiLU(g, g.AddChannels(h, e))
	}
	// (x gamma + beta)(1 + s) + t is a norm too, whose scale and shift are those of the item.
	scale, shift := g.Slice(e, 0, c), g.Slice(e, c, 2*c)
	gamma := g.Repeat(g.Reshape(l.outNorm.Gamma, 1, c), n)
	beta := g.Repeat(g.Reshape(l.outNorm.Beta, 1, c), n)
	gamma = g.Add(gamma, g.Mul(gamma, scale))
	beta = g.Add(g.Add(beta, g.Mul(beta, scale)), shift)
	return g.GroupNormSiLU(h, gamma, beta, l.outNorm.Groups, l.outNorm.Eps)
}

func (l *guidedRes) macs(h, w int) (n int64, oh, ow int) {
	h, w = l.size.size(h, w)
	n = l.inConv.MACs(h, w) + l.outConv.MACs(h, w) + l.emb.MACs(1)
	if l.shortcut != nil {
		n += l.shortcut.MACs(h, w)
	}
	return n, h, w
}

// guidedConv changes the size by a convolution: of stride 2, or behind nearest neighbours.
type guidedConv struct {
	conv *nn.Conv2d
	size sizing
}

// newResize makes the layer that changes the size.
func (m *Guided) newResize(p *nn.Params, ch int, size sizing) guidedLayer {
	switch {
	case m.ResBlockUpDown:
		return m.newRes(p, ch, ch, size)
	case size == double:
		return &guidedConv{nn.NewUpsample(p, ch), size}
	}
	return &guidedConv{nn.NewConv2d(p.Sub("op"), ch, ch,
		tensor.Conv{KH: 3, KW: 3, Stride: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1}), size}
}

func (l *guidedConv) forward(g *autograd.Graph, x, _, _ *autograd.Value) *autograd.Value {
	return l.conv.Forward(g, x)
}

func (l *guidedConv) macs(h, w int) (n int64, oh, ow int) {
	oh, ow = l.size.size(h, w)
	return l.conv.MACs(h, w), oh, ow
}

// guidedAttention is self-attention over the pixels, with a residual around it.
type guidedAttention struct {
	norm     *nn.GroupNorm
	qkv, out *autograd.Value // weights [3C, C, 1] and [C, C, 1]: the original's are convolutions in one dimension
	qkvBias  *autograd.Value
	outBias  *autograd.Value
	heads    int
	newOrder bool
}

func (m *Guided) newAttention(p *nn.Params, ch int) *guidedAttention {
	l := &guidedAttention{heads: m.heads(ch), newOrder: m.NewOrder}
	l.norm = nn.NewGroupNorm(p.Sub("norm"), ch, m.NormGroups, guidedEps)
	l.qkv, l.qkvBias = p.NewMatrix("qkv.weight", 3*ch, ch, 1), p.New("qkv.bias", 3*ch)
	l.out, l.outBias = p.NewMatrix("proj_out.weight", ch, ch, 1), p.New("proj_out.bias", ch)
	return l
}

func (l *guidedAttention) forward(g *autograd.Graph, x, _, _ *autograd.Value) *autograd.Value {
	return g.Block(func(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
		x := in[0]
		n, h, w, c := x.T.Dim(0), x.T.Dim(1), x.T.Dim(2), x.T.Dim(3)
		rows := g.Reshape(l.norm.Forward(g, x), n, h*w, c)
		q, k, v := l.split(g, g.Linear(rows, l.qkv, l.qkvBias), c)
		y := g.LinearEpilogue(g.Attention(q, k, v, l.heads, false), l.out, l.outBias,
			autograd.Epilogue{Add: g.Reshape(x, n, h*w, c)})
		return g.Reshape(y, n, h, w, c)
	}, x)
}

// split takes q, k and v [N, L, C] out of qkv [N, L, 3C]: they lie one behind the other in the new order, and in the
// old one so for each head.
func (l *guidedAttention) split(g *autograd.Graph, qkv *autograd.Value, c int) (q, k, v *autograd.Value) {
	if l.newOrder {
		return g.Slice(qkv, 0, c), g.Slice(qkv, c, 2*c), g.Slice(qkv, 2*c, 3*c)
	}
	d := c / l.heads
	var parts [3]*autograd.Value
	for head := range l.heads {
		for i := range parts {
			part := g.Slice(qkv, (3*head+i)*d, (3*head+i+1)*d)
			if head > 0 {
				part = g.Concat(parts[i], part)
			}
			parts[i] = part
		}
	}
	return parts[0], parts[1], parts[2]
}

func (l *guidedAttention) macs(h, w int) (n int64, oh, ow int) {
	rows, c := int64(h*w), int64(l.outBias.T.Len())
	return 4*rows*c*c + 2*rows*rows*c, h, w
}
