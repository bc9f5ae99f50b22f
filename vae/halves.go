package vae

import "psld/autograd"

// Encoder and decoder in two parts each: what works at the resolution of the latents, where all
// attention is, and the rest, which takes nearly all memory and sees a neighbourhood only, but for its
// group norms. Who works in tiles cuts the second.

// EncodeFine is the first part of Encode: pictures x [N, H, W, 3] to features
// [N, H/f, W/f, C], which enter the coarsest resolution.
func (m *Model) EncodeFine(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	h := m.encIn.Forward(g, x)
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
	return h
}
