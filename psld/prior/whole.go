package prior

import (
	"psld/tensor/cpu"
)

// WholePixels is how large pictures may be that the models which this package opens see in one piece: 1024x1024.
// Windows of 512 pixels would multiply 1.6 to 1.7 times as much there, and norms would see parts of the picture.
const WholePixels = 1024 * 1024

// inOnePiece tells whether networks see a picture of h x w pixels at once.
func (p *LatentDiffusion) inOnePiece(h, w int) bool { return h*w <= p.Whole }

// Within is the prior for pictures of h x w pixels in a process that may take so many bytes: p, or where p would see
// them in one piece and a guided step would take more, a copy that sees them in windows and tiles.
func Within(p Prior, h, w int, bytes int64) Prior {
	m, ok := p.(*LatentDiffusion)
	if !ok || m == nil || !m.inOnePiece(h, w) || m.stepBytes(h, w) <= bytes {
		return p
	}
	parts := *m
	parts.Whole = 0
	return &parts
}

// stepBytes is about what a guided step in one piece takes, weights included: a gradient through the autoencoder, of
// which only the blocks' results are kept, has 18 activations of its finest level at once.
func (p *LatentDiffusion) stepBytes(h, w int) int64 {
	each := int64(4)
	switch p.Device() {
	case cpu.BF16, cpu.BF16Fast:
		each = 2
	case cpu.Int8:
		each = 1
	}
	weights := int64(p.UNet.Params.Count()+p.VAE.Params.Count()) * each
	return weights + weights/16 + 18*4*int64(p.VAE.BlockOutChannels[0])*int64(h*w)
}
