package unet

import (
	"fmt"

	"psld/autograd"
	"psld/nn"
	"psld/tensor"
)

const guidedEps = 1e-5 // of the norms

// Guided is the noise predictor in pixels of the guided-diffusion code (UNetModel of Dhariwal and Nichol, "Diffusion
// models beat GANs on image synthesis", 2021), without classes. Parameters have the names of its checkpoints.
type Guided struct {
	GuidedConfig
	Params *nn.Params

	time1, time2  *nn.Linear
	convIn        *nn.Conv2d
	down, mid, up []guidedBlock
	norm          *nn.GroupNorm
	convOut       *nn.Conv2d
}

// guidedBlock is an entry of input_blocks, output_blocks or middle_block.
type guidedBlock struct {
	layers []guidedLayer
	skip   bool // on the way up: its first layer takes a map of the way down
}

// guidedLayer maps [N, H, W, C] and the time's embedding [N, E] to another map.
type guidedLayer interface {
	forward(g *autograd.Graph, x, skip, emb *autograd.Value) *autograd.Value
	macs(h, w int) (n int64, oh, ow int)
}

// NewGuided builds the network with zero weights; fill it with Params.Load or Params.Init. It panics where cfg is not
// valid (see GuidedConfig.Validate).
func NewGuided(cfg GuidedConfig) *Guided {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	p := nn.NewParams()
	m := &Guided{GuidedConfig: cfg, Params: p}
	emb := 4 * cfg.NumChannels
	m.time1 = nn.NewLinear(p.Sub("time_embed.0"), cfg.NumChannels, emb)
	m.time2 = nn.NewLinear(p.Sub("time_embed.2"), emb, emb)

	ch := cfg.ChannelMult[0] * cfg.NumChannels
	m.convIn = nn.NewConv2d(p.Sub("input_blocks.0.0"), 3, ch, tensor.SameConv(3))
	skips := []int{ch} // channels of the maps that the way up takes back
	ds := 1
	for level, mult := range cfg.ChannelMult {
		for range cfg.NumResBlocks {
			q := p.Sub("input_blocks.%d", len(skips))
			b := guidedBlock{layers: []guidedLayer{m.newRes(q.Sub("0"), ch, mult*cfg.NumChannels, keepSize)}}
			ch = mult * cfg.NumChannels
			if cfg.attends(ds) {
				b.layers = append(b.layers, m.newAttention(q.Sub("1"), ch))
			}
			m.down, skips = append(m.down, b), append(skips, ch)
		}
		if level < len(cfg.ChannelMult)-1 {
			q := p.Sub("input_blocks.%d.0", len(skips))
			m.down, skips = append(m.down, guidedBlock{layers: []guidedLayer{m.newResize(q, ch, halve)}}), append(skips, ch)
			ds *= 2
		}
	}
	middle := guidedBlock{layers: []guidedLayer{m.newRes(p.Sub("middle_block.0"), ch, ch, keepSize)}}
	if cfg.heads(ch) > 0 {
		middle.layers = append(middle.layers, m.newAttention(p.Sub("middle_block.1"), ch))
	}
	middle.layers = append(middle.layers, m.newRes(p.Sub("middle_block.2"), ch, ch, keepSize))
	m.mid = []guidedBlock{middle}
	for level := len(cfg.ChannelMult) - 1; level >= 0; level-- {
		out := cfg.ChannelMult[level] * cfg.NumChannels
		for i := range cfg.NumResBlocks + 1 {
			q, skip := p.Sub("output_blocks.%d", len(m.up)), skips[len(skips)-1]
			skips = skips[:len(skips)-1]
			b := guidedBlock{layers: []guidedLayer{m.newRes(q.Sub("0"), ch+skip, out, keepSize)}, skip: true}
			ch = out
			if cfg.attends(ds) {
				b.layers = append(b.layers, m.newAttention(q.Sub("1"), ch))
			}
			if level > 0 && i == cfg.NumResBlocks {
				b.layers = append(b.layers, m.newResize(q.Sub("%d", len(b.layers)), ch, double))
				ds /= 2
			}
			m.up = append(m.up, b)
		}
	}
	m.norm = nn.NewGroupNorm(p.Sub("out.0"), ch, cfg.NormGroups, guidedEps)
	m.convOut = nn.NewConv2d(p.Sub("out.2"), ch, cfg.OutChannels(), tensor.SameConv(3))
	return m
}

// OutChannels is 3, or 6 with a learnt variance.
func (c GuidedConfig) OutChannels() int {
	if c.LearnSigma {
		return 6
	}
	return 3
}

// Forward predicts the noise [N, H, W, 3] in pictures x [N, H, W, 3] of diffusion times t, one per item (0 to 999, and
// numbers between), and behind it, with LearnSigma, three channels for the variance. H and W are multiples of
// Factor().
func (m *Guided) Forward(g *autograd.Graph, x *autograd.Value, t []float32) *autograd.Value {
	if f := m.Factor(); x.T.Dim(1)%f != 0 || x.T.Dim(2)%f != 0 {
		panic(fmt.Sprintf("unet: picture %v is no multiple of %d pixels", x.T.Shape, f))
	}
	if len(t) != x.T.Dim(0) {
		panic(fmt.Sprintf("unet: %d times for %d pictures", len(t), x.T.Dim(0)))
	}
	e := g.Const(nn.Sinusoids(t, m.NumChannels, true, 0))
	e = m.time2.Forward(g, m.time1.Then(g, e, autograd.Epilogue{Func: tensor.SiLU}))
	e = g.SiLU(e) // every block begins with it
	h := m.convIn.Forward(g, x)
	skips := []*autograd.Value{h}
	for _, b := range m.down {
		h = b.forward(g, h, nil, e)
		skips = append(skips, h)
	}
	h = m.mid[0].forward(g, h, nil, e)
	for _, b := range m.up {
		h = b.forward(g, h, skips[len(skips)-1], e)
		skips = skips[:len(skips)-1]
	}
	return g.Block(func(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
		return m.convOut.Forward(g, m.norm.SiLU(g, in[0]))
	}, h)
}

// Eps is Forward without the channels for the variance.
func (m *Guided) Eps(g *autograd.Graph, x *autograd.Value, t []float32) *autograd.Value {
	out := m.Forward(g, x, t)
	if m.LearnSigma {
		out = g.Slice(out, 0, 3)
	}
	return out
}

func (b *guidedBlock) forward(g *autograd.Graph, h, skip, emb *autograd.Value) *autograd.Value {
	for _, l := range b.layers {
		h = l.forward(g, h, skip, emb)
		skip = nil
	}
	return h
}

// MACs returns the multiply-adds of Forward for one picture of h x w.
func (m *Guided) MACs(h, w int) int64 {
	n := m.time1.MACs(1) + m.time2.MACs(1) + m.convIn.MACs(h, w)
	for _, list := range [][]guidedBlock{m.down, m.mid, m.up} {
		for _, b := range list {
			for _, l := range b.layers {
				var k int64
				k, h, w = l.macs(h, w)
				n += k
			}
		}
	}
	return n + m.convOut.MACs(h, w)
}
