// Package vae is the autoencoder of Stable Diffusion (diffusers'
// AutoencoderKL): pictures [N, H, W, 3] in [-1, 1] to latents [N, H/8, W/8, 4]
// and back.
//
// With a codebook (Config.NumEmbeddings) it is the VQ autoencoder of the latent
// diffusion models (VQModel). Its latents have no distribution: where a VAE has
// moments, it has the latent itself, and Decode rounds each pixel to the nearest code.
package vae

import (
	"fmt"

	"psld/autograd"
	"psld/nn"
	"psld/tensor"
)

const normEps = 1e-6

// Model is an autoencoder with its parameters.
type Model struct {
	Config
	Params *nn.Params

	encIn, decIn     *nn.Conv2d
	down, up         []level
	encMid, decMid   mid
	encHead, decHead *nn.Head
	quant, postQuant *nn.Conv2d      // 1x1
	codebook         *autograd.Value // [NumEmbeddings, LatentChannels], nil for a VAE
}

// level is the work at one resolution: ResBlocks, then a change of size.
type level struct {
	name   string // of the level in traces
	blocks []*nn.ResBlock
	resize *nn.Conv2d // nil at the last level
}

// mid is the middle block of encoder and decoder.
type mid struct {
	name           string
	block1, block2 *nn.ResBlock
	attn           *nn.AttnBlock // nil for none
}

// New builds the model with zero weights; fill it with Params.Load or
// Params.Init. It panics where cfg is not valid (see Config.Validate).
func New(cfg Config) *Model {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	p := nn.NewParams()
	m := &Model{Config: cfg, Params: p}
	ch, last, groups := cfg.BlockOutChannels, len(cfg.BlockOutChannels)-1, cfg.NormNumGroups
	latent := cfg.LatentChannels
	moments := 2 * latent
	if cfg.NumEmbeddings > 0 {
		moments = latent
	}
	newLevel := func(p *nn.Params, name string, in, out, blocks int) level {
		l := level{name: name}
		for j := range blocks {
			l.blocks = append(l.blocks, nn.NewResBlock(p.Sub("resnets.%d", j), in, out, 0, groups, normEps))
			in = out
		}
		return l
	}
	newMid := func(p *nn.Params, name string, c int) mid {
		b := mid{name: name, block1: nn.NewResBlock(p.Sub("resnets.0"), c, c, 0, groups, normEps)}
		if cfg.MidAttention {
			b.attn = nn.NewAttnBlock(p.Sub("attentions.0"), c, groups, normEps)
		}
		b.block2 = nn.NewResBlock(p.Sub("resnets.1"), c, c, 0, groups, normEps)
		return b
	}

	e := p.Sub("encoder")
	pixels := cfg.InChannels * cfg.patch() * cfg.patch()
	m.encIn = nn.NewConv2d(e.Sub("conv_in"), pixels, ch[0], tensor.SameConv(3))
	for i, c := range ch {
		q := e.Sub("down_blocks.%d", i)
		l := newLevel(q, fmt.Sprintf("encoder.down.%d", i), ch[max(i-1, 0)], c, cfg.LayersPerBlock)
		if i < last {
			l.resize = nn.NewDownsample(q.Sub("downsamplers.0"), c, false)
		}
		m.down = append(m.down, l)
	}
	m.encMid = newMid(e.Sub("mid_block"), "encoder.mid", ch[last])
	m.encHead = nn.NewHead(e, ch[last], moments, groups, normEps)
	m.encHead.Name = "encoder."

	d := p.Sub("decoder")
	m.decIn = nn.NewConv2d(d.Sub("conv_in"), latent, ch[last], tensor.SameConv(3))
	m.decMid = newMid(d.Sub("mid_block"), "decoder.mid", ch[last])
	for i := range ch {
		k := last - i // resolution, 0 is the finest
		q := d.Sub("up_blocks.%d", i)
		l := newLevel(q, fmt.Sprintf("decoder.up.%d", k), ch[min(k+1, last)], ch[k], cfg.LayersPerBlock+1)
		if k > 0 {
			l.resize = nn.NewUpsample(q.Sub("upsamplers.0"), ch[k])
		}
		m.up = append(m.up, l)
	}
	m.decHead = nn.NewHead(d, ch[0], pixels, groups, normEps)
	m.decHead.Name = "decoder."

	m.quant = nn.NewConv2d(p.Sub("quant_conv"), moments, moments, tensor.SameConv(1))
	if cfg.NumEmbeddings > 0 {
		m.codebook = p.Sub("quantize.embedding").New("weight", cfg.NumEmbeddings, latent)
	}
	m.postQuant = nn.NewConv2d(p.Sub("post_quant_conv"), latent, latent, tensor.SameConv(1))
	return m
}

// Encode maps pictures x [N, H, W, 3] to the moments [N, H/f, W/f, 8] of the
// latent's distribution: mean, then log variance (not clamped). With a codebook
// it is the latent itself [N, H/f, W/f, 3], not rounded to a code. H and W are
// multiples of f = Factor().
func (m *Model) Encode(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	if f := m.Factor(); x.T.Dim(1)%f != 0 || x.T.Dim(2)%f != 0 {
		panic(fmt.Sprintf("vae: picture %v is no multiple of %d pixels", x.T.Shape, f))
	}
	return m.EncodeCoarse(g, m.EncodeFine(g, x))
}

// Decode maps latents z [N, h, w, 4], as Sample gives them (not scaled), to
// pictures [N, h*f, w*f, 3], about [-1, 1] but not clamped. With a codebook z is
// rounded to codes first (see Quantize).
func (m *Model) Decode(g *autograd.Graph, z *autograd.Value) *autograd.Value {
	return m.DecodeFine(g, m.DecodeCoarse(g, z))
}

// Encoder and decoder have two parts each: what works at the resolution of the latents, where all
// attention is, and the rest, which takes nearly all memory and sees a neighbourhood only, but for its
// group norms. Who works in tiles cuts the second.

// EncodeFine is the first part of Encode: pictures x [N, H, W, 3] to features
// [N, H/f, W/f, C], which enter the coarsest resolution.
func (m *Model) EncodeFine(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	h := m.encIn.Forward(g, fold(g, x, m.patch()))
	g.Trace("encoder.conv_in", h)
	for _, l := range m.down[:len(m.down)-1] {
		h = l.forward(g, h, ".downsample")
	}
	return h
}

// EncodeCoarse is the rest of Encode: features [N, h, w, C] to moments [N, h, w, 8].
func (m *Model) EncodeCoarse(g *autograd.Graph, h *autograd.Value) *autograd.Value {
	h = m.down[len(m.down)-1].forward(g, h, "")
	h = m.encMid.forward(g, h)
	h = m.encHead.Forward(g, h)
	g.Trace("encoder.conv_out", h)
	h = m.quant.Forward(g, h)
	g.Trace("quant_conv", h)
	return h
}

// DecodeCoarse is the first part of Decode: latents z [N, h, w, 4] (not scaled) to features
// [N, h, w, C], before the first change of size.
func (m *Model) DecodeCoarse(g *autograd.Graph, z *autograd.Value) *autograd.Value {
	if m.codebook != nil {
		z = m.Quantize(g, z)
		g.Trace("quantize", z)
	}
	h := m.postQuant.Forward(g, z)
	g.Trace("post_quant_conv", h)
	h = m.decIn.Forward(g, h)
	g.Trace("decoder.conv_in", h)
	h = m.decMid.forward(g, h)
	first := level{name: m.up[0].name, blocks: m.up[0].blocks}
	return first.forward(g, h, "")
}

// DecodeFine is the rest of Decode: features [N, h, w, C] to pictures [N, h*f, w*f, 3].
func (m *Model) DecodeFine(g *autograd.Graph, h *autograd.Value) *autograd.Value {
	first := level{name: m.up[0].name, resize: m.up[0].resize}
	h = first.forward(g, h, ".upsample")
	for _, l := range m.up[1:] {
		h = l.forward(g, h, ".upsample")
	}
	h = m.decHead.Forward(g, h)
	g.Trace("decoder.conv_out", h)
	return unfold(g, h, m.patch())
}

// Mean returns the mean [N, h, w, 4] of the latent; with a codebook the moments
// are the latent.
func (m *Model) Mean(g *autograd.Graph, moments *autograd.Value) *autograd.Value {
	if m.codebook != nil {
		return moments
	}
	return g.Slice(moments, 0, m.LatentChannels)
}

// LogVar returns the latent's log variance [N, h, w, 4], clamped to [-30, 20].
// It panics with a codebook: such a latent has no variance.
func (m *Model) LogVar(g *autograd.Graph, moments *autograd.Value) *autograd.Value {
	if m.codebook != nil {
		panic("vae: LogVar of a model with a codebook")
	}
	return g.Clamp(g.Slice(moments, m.LatentChannels, 2*m.LatentChannels), -30, 20)
}

// Sample returns mean + exp(logvar/2) * eps for standard normal noise eps
// [N, h, w, 4], or the mean alone where eps is nil or there is a codebook.
func (m *Model) Sample(g *autograd.Graph, moments *autograd.Value, eps *tensor.Tensor) *autograd.Value {
	mean := m.Mean(g, moments)
	if eps == nil || m.codebook != nil {
		return mean
	}
	std := g.Exp(g.Scale(m.LogVar(g, moments), 0.5))
	return g.Add(mean, g.Mul(std, g.Const(eps)))
}

// EncodeScaled returns the latent the UNet works on: a sample of Encode(x) for
// noise eps (the mean where eps is nil), times ScalingFactor.
func (m *Model) EncodeScaled(g *autograd.Graph, x *autograd.Value, eps *tensor.Tensor) *autograd.Value {
	return g.Scale(m.Sample(g, m.Encode(g, x), eps), m.ScalingFactor)
}

// DecodeScaled decodes a latent as the UNet works on it.
func (m *Model) DecodeScaled(g *autograd.Graph, z *autograd.Value) *autograd.Value {
	return m.Decode(g, g.Scale(z, float32(1/float64(m.ScalingFactor))))
}

func (l *level) forward(g *autograd.Graph, h *autograd.Value, resize string) *autograd.Value {
	for j, b := range l.blocks {
		h = b.Forward(g, h, nil)
		if g.OnTrace != nil {
			g.Trace(fmt.Sprintf("%s.block.%d", l.name, j), h)
		}
	}
	if l.resize != nil {
		h = l.resize.Forward(g, h)
		g.Trace(l.name+resize, h)
	}
	return h
}

func (b *mid) forward(g *autograd.Graph, h *autograd.Value) *autograd.Value {
	h = b.block1.Forward(g, h, nil)
	g.Trace(b.name+".block_1", h)
	if b.attn != nil {
		h = b.attn.Forward(g, h)
		g.Trace(b.name+".attn_1", h)
	}
	h = b.block2.Forward(g, h, nil)
	g.Trace(b.name+".block_2", h)
	return h
}

// EncodeMACs returns the multiply-adds of Encode for one picture of h x w.
func (m *Model) EncodeMACs(h, w int) int64 {
	h, w = h/m.patch(), w/m.patch()
	n := m.encIn.MACs(h, w)
	for _, l := range m.down {
		for _, b := range l.blocks {
			n += b.MACs(h, w)
		}
		if l.resize != nil {
			n += l.resize.MACs(h, w)
			h, w = h/2, w/2
		}
	}
	return n + m.encMid.macs(h, w) + m.encHead.Conv.MACs(h, w) + m.quant.MACs(h, w)
}

// DecodeMACs returns the multiply-adds of Decode for one latent of h x w.
func (m *Model) DecodeMACs(h, w int) int64 {
	n := int64(h*w*m.NumEmbeddings*m.LatentChannels) + m.postQuant.MACs(h, w)
	n += m.decIn.MACs(h, w) + m.decMid.macs(h, w)
	for _, l := range m.up {
		for _, b := range l.blocks {
			n += b.MACs(h, w)
		}
		if l.resize != nil {
			n += l.resize.MACs(h, w)
			h, w = 2*h, 2*w
		}
	}
	return n + m.decHead.Conv.MACs(h, w)
}

func (b *mid) macs(h, w int) int64 {
	n := b.block1.MACs(h, w) + b.block2.MACs(h, w)
	if b.attn != nil {
		n += b.attn.MACs(h, w)
	}
	return n
}
