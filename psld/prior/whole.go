package prior

import (
	"psld/tensor/devices"
)

// WholePixels is how large pictures may be that the models which this package opens see in one piece: 1024x1024.
// Windows of 512 pixels would multiply 1.6 to 1.7 times as much there, and norms would see parts of the picture.
const WholePixels = 1024 * 1024

// inOnePiece tells whether networks see a picture of h x w pixels at once.
func (p *LatentDiffusion) inOnePiece(h, w int) bool { return h*w <= p.Whole }

// InWindows is a prior that sees pictures which are larger than its window in windows and tiles, whatever their size,
// and so takes less memory; its results are other ones. It is p itself where p does.
func InWindows(p Prior) Prior {
	m, ok := p.(*LatentDiffusion)
	if !ok || m == nil || m.Whole == 0 {
		return p
	}
	parts := *m
	parts.Whole = 0
	return &parts
}

// OnePiece is about the memory in bytes, weights included, that a step on a picture of h x w pixels takes where p sees
// it in one piece though it might in windows; else it is 0. A gradient through the autoencoder, of which only the
// blocks' results are kept, has 18 activations of its finest level at once, a step without gradients 16.
func OnePiece(p Prior, h, w int) int64 {
	m, ok := p.(*LatentDiffusion)
	if !ok || m == nil || !m.inOnePiece(h, w) || m.Window == 0 || max(h, w) <= m.Window {
		return 0
	}
	weights := int64(m.UNet.Params.Count()+m.VAE.Params.Count()) * int64(devices.WeightBytes(m.Device()))
	return weights + weights/16 + 18*4*int64(m.VAE.BlockOutChannels[0])*int64(h*w)
}
