package vae

import (
	"fmt"
	"slices"

	"psld/autograd"
	"psld/nn"
	"psld/tensor"
)

// TAESDConfig describes a tiny autoencoder of TAESD's architecture.
type TAESDConfig struct {
	InChannels     int // picture channels, 3
	LatentChannels int // 4 for Stable Diffusion 1.x
	Channels       int // of every inner layer
	// Residual blocks at each resolution, in the order in which they run: the encoder's from the
	// finest on, the decoder's from the coarsest on. EncoderBlocks is nil for a decoder alone.
	EncoderBlocks, DecoderBlocks []int
}

// PublishedTAESD returns the configuration of the published model (madebyollin/taesd).
func PublishedTAESD() TAESDConfig {
	return TAESDConfig{InChannels: 3, LatentChannels: 4, Channels: 64, EncoderBlocks: []int{1, 3, 3, 3},
		DecoderBlocks: []int{3, 3, 3, 1}}
}

// Validate returns an error that names the first field out of range.
func (c TAESDConfig) Validate() error {
	const maxChannels, maxLevels, maxBlocks = 1024, 8, 64
	inRange := func(field string, v, lo, hi int) error {
		if v < lo || v > hi {
			return fmt.Errorf("TAESD config: %s is %d, want %d to %d", field, v, lo, hi)
		}
		return nil
	}
	for _, err := range []error{
		inRange("InChannels", c.InChannels, 1, 64),
		inRange("LatentChannels", c.LatentChannels, 1, 64),
		inRange("Channels", c.Channels, 1, maxChannels),
		inRange("number of DecoderBlocks", len(c.DecoderBlocks), 1, maxLevels),
	} {
		if err != nil {
			return err
		}
	}
	if c.EncoderBlocks != nil && len(c.EncoderBlocks) != len(c.DecoderBlocks) {
		return fmt.Errorf("TAESD config: the encoder has %d resolutions, the decoder %d; want the same",
			len(c.EncoderBlocks), len(c.DecoderBlocks))
	}
	for _, n := range slices.Concat(c.EncoderBlocks, c.DecoderBlocks) {
		if err := inRange("number of blocks of a resolution", n, 0, maxBlocks); err != nil {
			return err
		}
	}
	return nil
}

// Factor returns how many picture pixels a latent pixel spans in each direction: 8 in TAESD.
func (c TAESDConfig) Factor() int { return 1 << (len(c.DecoderBlocks) - 1) }

// TAESD is a small autoencoder without norms and attention, distilled from a large one, for previews
// and for cheap guidance: TAESD (github.com/madebyollin/taesd; diffusers' AutoencoderTiny, whose
// parameter names it has). It works on scaled latents, those that the UNet works on, and gives the mean only.
type TAESD struct {
	TAESDConfig
	Params *nn.Params

	encoder, decoder taesdNet
}

// taesdNet is one half: a convolution (which changes the size at all levels but the first) and
// residual blocks per resolution, then a last convolution.
type taesdNet struct {
	levels []taesdLevel
	out    *nn.Conv2d
}

type taesdLevel struct {
	conv   *nn.Conv2d
	blocks []taesdBlock
}

// taesdBlock is relu(x + conv(relu(conv(relu(conv(x)))))).
type taesdBlock [3]*nn.Conv2d

// NewTAESD builds the model with zero weights; fill it with Params.Load or Params.Init. It panics
// where cfg is not valid (see TAESDConfig.Validate).
func NewTAESD(cfg TAESDConfig) *TAESD {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	p := nn.NewParams()
	m := &TAESD{TAESDConfig: cfg, Params: p}
	down, up := tensor.SameConv(3), tensor.SameConv(3)
	down.Stride, up.Upsample = 2, true
	// Layers are numbered as in an nn.Sequential: the ReLU behind the decoder's first convolution
	// and the up-sampling count as layers of their own.
	if cfg.EncoderBlocks != nil {
		m.encoder = newTAESDNet(p.Sub("encoder"), cfg, cfg.InChannels, cfg.LatentChannels, cfg.EncoderBlocks, down, 0, 0)
	}
	m.decoder = newTAESDNet(p.Sub("decoder"), cfg, cfg.LatentChannels, cfg.InChannels, cfg.DecoderBlocks, up, 1, 1)
	return m
}

// newTAESDNet registers the layers of one half; afterFirst and beforeResize are the numbers of layers without
// parameters behind the first convolution and in front of each resizing one.
func newTAESDNet(p *nn.Params, cfg TAESDConfig, in, out int, blocks []int, resize tensor.Conv, afterFirst,
	beforeResize int) taesdNet {
	c, same := cfg.Channels, tensor.SameConv(3)
	n := 0
	next := func() *nn.Params { n++; return p.Sub("layers.%d", n-1) }
	var net taesdNet
	for i, count := range blocks {
		var l taesdLevel
		if i == 0 {
			l.conv = nn.NewConv2d(next(), in, c, same)
			n += afterFirst
		} else {
			n += beforeResize
			l.conv = &nn.Conv2d{Weight: next().NewMatrix("weight", c, c, 3, 3), Conv: resize}
		}
		for range count {
			q := next()
			l.blocks = append(l.blocks, taesdBlock{
				nn.NewConv2d(q.Sub("conv.0"), c, c, same), nn.NewConv2d(q.Sub("conv.2"), c, c, same),
				nn.NewConv2d(q.Sub("conv.4"), c, c, same)})
		}
		net.levels = append(net.levels, l)
	}
	net.out = nn.NewConv2d(next(), c, out, same)
	return net
}

// HasEncoder tells whether Encode can be used.
func (m *TAESD) HasEncoder() bool { return m.EncoderBlocks != nil }

// Encode maps pictures x [N,H,W,3] in [-1,1] to scaled latents [N,H/f,W/f,4]. H and W are
// multiples of f = Factor().
func (m *TAESD) Encode(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	if !m.HasEncoder() {
		panic("vae: Encode of a tiny autoencoder without an encoder")
	}
	if f := m.Factor(); x.T.Dim(1)%f != 0 || x.T.Dim(2)%f != 0 {
		panic(fmt.Sprintf("vae: picture %v is no multiple of %d pixels", x.T.Shape, f))
	}
	// The network was trained on pictures in [0,1].
	return m.encoder.forward(g, shift(g, g.Scale(x, 0.5), 0.5), false)
}

// Decode maps scaled latents z [N,h,w,4] to pictures [N,h*f,w*f,3], about [-1,1] but not clamped.
func (m *TAESD) Decode(g *autograd.Graph, z *autograd.Value) *autograd.Value {
	// A soft limit at 3, which latents hardly pass.
	z = g.Scale(g.Tanh(g.Scale(z, 1.0/3)), 3)
	return shift(g, g.Scale(m.decoder.forward(g, z, true), 2), -1)
}

// shift is x + s.
func shift(g *autograd.Graph, x *autograd.Value, s float32) *autograd.Value {
	e := tensor.New(x.T.Dim(0), x.T.Dim(-1))
	for i := range e.Data {
		e.Data[i] = s
	}
	return g.AddChannels(x, g.Const(e))
}

// forward runs one half; reluFirst puts a ReLU behind the first convolution.
func (net *taesdNet) forward(g *autograd.Graph, h *autograd.Value, reluFirst bool) *autograd.Value {
	for i, l := range net.levels {
		h = g.Block(func(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
			var e autograd.Epilogue
			if i == 0 && reluFirst {
				e.Func = tensor.ReLU
			}
			return l.conv.Then(g, in[0], e)
		}, h)
		for _, b := range l.blocks {
			h = g.Block(b.forward, h)
		}
	}
	return net.out.Forward(g, h)
}

func (b taesdBlock) forward(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
	h := b[0].Then(g, in[0], autograd.Epilogue{Func: tensor.ReLU})
	h = b[1].Then(g, h, autograd.Epilogue{Func: tensor.ReLU})
	return b[2].Then(g, h, autograd.Epilogue{Add: in[0], Func: tensor.ReLU})
}

// EncodeMACs returns the multiply-adds of Encode for one picture of h x w.
func (m *TAESD) EncodeMACs(h, w int) int64 { return m.encoder.macs(h, w) }

// DecodeMACs returns the multiply-adds of Decode for one latent of h x w.
func (m *TAESD) DecodeMACs(h, w int) int64 { return m.decoder.macs(h, w) }

func (net *taesdNet) macs(h, w int) int64 {
	if net.out == nil {
		return 0
	}
	var n int64
	for _, l := range net.levels {
		n += l.conv.MACs(h, w)
		h, w = l.conv.Conv.Out(h, w)
		for _, b := range l.blocks {
			n += b[0].MACs(h, w) + b[1].MACs(h, w) + b[2].MACs(h, w)
		}
	}
	return n + net.out.MACs(h, w)
}
