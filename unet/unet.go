// Package unet is the noise predictor of Stable Diffusion (diffusers'
// UNet2DConditionModel): from a noisy latent [N, h, w, 4], diffusion times and
// a text context to the noise in it. Without context it is that of the
// unconditional latent diffusion models (UNet2DModel).
package unet

import (
	"fmt"

	"psld/autograd"
	"psld/nn"
	"psld/tensor"
)

// Model is a UNet with its parameters.
type Model struct {
	Config
	Params *nn.Params

	convIn   *nn.Conv2d
	time     *nn.TimestepEmbedding
	down, up []stage
	mid      []layer
	head     *nn.Head
}

// stage is the work at one resolution: layers, then a change of size.
type stage struct {
	layers []layer
	resize *nn.Conv2d // nil at the last stage
}

// layer is a ResBlock and, where the stage has it, attention: a transformer or,
// in a network without context, self-attention.
type layer struct {
	res  *nn.ResBlock
	attn attention // nil for none
	name string    // of attn in traces
}

type attention interface {
	Forward(g *autograd.Graph, x, context *autograd.Value) *autograd.Value
	MACs(h, w, ctxRows int) int64
}

// New builds the model with zero weights; fill it with Params.Load or
// Params.Init. It panics where cfg is not valid (see Config.Validate).
func New(cfg Config) *Model {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	p := nn.NewParams()
	m := &Model{Config: cfg, Params: p}
	ch, last := cfg.BlockOutChannels, len(cfg.BlockOutChannels)-1
	emb := 4 * ch[0]

	// newLayer registers resnets.j and attentions.j below p. name is that of
	// the layer in the original code, used in traces.
	newLayer := func(p *nn.Params, j, in, out, heads int, attn bool, name string) layer {
		l := layer{res: nn.NewResBlock(p.Sub("resnets.%d", j), in, out, emb, cfg.NormNumGroups, cfg.NormEps),
			name: name + ".1"}
		l.res.Name = name + ".0"
		q := p.Sub("attentions.%d", j)
		switch {
		case attn && cfg.CrossAttentionDim == 0:
			l.attn = &selfAttention{nn.NewAttnBlock(q, out, cfg.NormNumGroups, cfg.NormEps), heads}
		case attn:
			t := nn.NewSpatialTransformer(q, out, cfg.CrossAttentionDim, heads, cfg.NormNumGroups)
			t.Name, t.Blocks[0].Name = l.name, l.name+".transformer_blocks.0"
			l.attn = t
		}
		return l
	}

	m.convIn = nn.NewConv2d(p.Sub("conv_in"), cfg.InChannels, ch[0], tensor.SameConv(3))
	m.time = nn.NewTimestepEmbedding(p.Sub("time_embedding"), ch[0], emb)

	skips := []int{ch[0]} // channels of the maps that the way up takes back
	in := ch[0]
	for i, out := range ch {
		q := p.Sub("down_blocks.%d", i)
		var s stage
		for j := range cfg.LayersPerBlock {
			name := fmt.Sprintf("input_blocks.%d", len(skips))
			s.layers = append(s.layers, newLayer(q, j, in, out, cfg.Heads.at(i), cfg.DownBlockTypes[i] != DownPlain, name))
			skips = append(skips, out)
			in = out
		}
		if i < last {
			s.resize = nn.NewDownsample(q.Sub("downsamplers.0"), out, true)
			skips = append(skips, out)
		}
		m.down = append(m.down, s)
	}

	q := p.Sub("mid_block")
	m.mid = []layer{
		newLayer(q, 0, in, in, cfg.Heads.at(last), !cfg.NoMidAttention, "middle_block"),
		newLayer(q, 1, in, in, 0, false, "middle_block"),
	}
	m.mid[1].res.Name = "middle_block.2"

	block := 0
	for i := range ch {
		k := last - i // resolution, 0 is the finest
		q, out := p.Sub("up_blocks.%d", i), ch[k]
		var s stage
		for j := range cfg.LayersPerBlock + 1 {
			skip := skips[len(skips)-1]
			skips = skips[:len(skips)-1]
			name := fmt.Sprintf("output_blocks.%d", block)
			s.layers = append(s.layers, newLayer(q, j, in+skip, out, cfg.Heads.at(k), cfg.UpBlockTypes[i] != UpPlain, name))
			in = out
			block++
		}
		if k > 0 {
			s.resize = nn.NewUpsample(q.Sub("upsamplers.0"), out)
		}
		m.up = append(m.up, s)
	}
	m.head = nn.NewHead(p, ch[0], cfg.OutChannels, cfg.NormNumGroups, cfg.NormEps)
	return m
}

// Forward predicts the noise [N, h, w, 4] in latents z [N, h, w, 4], whose
// diffusion times are t, one per item (1..1000 in Stable Diffusion), given
// context rows [N, L, D]; a context [1, L, D] serves all items. An unconditional
// network does not look at context, which may be nil. h and w are multiples of Factor().
func (m *Model) Forward(g *autograd.Graph, z *autograd.Value, t []float32, context *autograd.Value) *autograd.Value {
	n := z.T.Dim(0)
	if f := m.Factor(); z.T.Dim(1)%f != 0 || z.T.Dim(2)%f != 0 {
		panic(fmt.Sprintf("unet: latent %v is no multiple of %d", z.T.Shape, f))
	}
	if len(t) != n {
		panic(fmt.Sprintf("unet: %d times for %d latents", len(t), n))
	}
	switch {
	case m.CrossAttentionDim == 0:
		context = nil
	case context == nil:
		panic("unet: no context for a network that wants one")
	case context.T.Dim(0) == 1:
		context = g.Repeat(context, n)
	}
	sinusoids := nn.Sinusoids(t, m.BlockOutChannels[0], m.FlipSinToCos, m.FreqShift)
	emb := m.time.Forward(g, g.Const(sinusoids))
	g.Trace("time_embed", emb)

	h := m.convIn.Forward(g, z)
	skips := []*autograd.Value{h}
	g.Trace("input_blocks.0", h)
	push := func() {
		traceBlock(g, "input_blocks", len(skips), h)
		skips = append(skips, h)
	}
	for _, s := range m.down {
		for _, l := range s.layers {
			h = l.res.Forward(g, h, emb)
			h = l.attend(g, h, context)
			push()
		}
		if s.resize != nil {
			h = s.resize.Forward(g, h)
			push()
		}
	}

	for _, l := range m.mid {
		h = l.res.Forward(g, h, emb)
		h = l.attend(g, h, context)
	}
	g.Trace("middle_block", h)

	block := 0
	for _, s := range m.up {
		for j, l := range s.layers {
			skip := skips[len(skips)-1]
			skips = skips[:len(skips)-1]
			h = l.res.ForwardSkip(g, h, skip, emb)
			h = l.attend(g, h, context)
			if j == len(s.layers)-1 && s.resize != nil {
				h = s.resize.Forward(g, h)
			}
			traceBlock(g, "output_blocks", block, h)
			block++
		}
	}
	h = m.head.Forward(g, h)
	g.Trace("eps", h)
	return h
}

// attend runs the layer's attention, if it has one, over its ResBlock's output.
func (l *layer) attend(g *autograd.Graph, h, context *autograd.Value) *autograd.Value {
	g.Trace(l.res.Name, h)
	if l.attn != nil {
		h = l.attn.Forward(g, h, context)
		g.Trace(l.name, h)
	}
	return h
}

func traceBlock(g *autograd.Graph, kind string, i int, h *autograd.Value) {
	if g.OnTrace != nil {
		g.Trace(fmt.Sprintf("%s.%d", kind, i), h)
	}
}

// MACs returns the multiply-adds of Forward for one latent of h x w and
// ctxRows context rows (77 for CLIP; no matter without context).
func (m *Model) MACs(h, w, ctxRows int) int64 {
	n := m.time.Linear1.MACs(1) + m.time.Linear2.MACs(1) + m.convIn.MACs(h, w) + m.head.Conv.MACs(h, w)
	add := func(l layer) {
		n += l.res.MACs(h, w)
		if l.attn != nil {
			n += l.attn.MACs(h, w, ctxRows)
		}
	}
	for _, s := range m.down {
		for _, l := range s.layers {
			add(l)
		}
		if s.resize != nil {
			n += s.resize.MACs(h, w)
			h, w = h/2, w/2
		}
	}
	for _, l := range m.mid {
		add(l)
	}
	for _, s := range m.up {
		for _, l := range s.layers {
			add(l)
		}
		if s.resize != nil {
			n += s.resize.MACs(h, w)
			h, w = 2*h, 2*w
		}
	}
	return n
}
