package prior

// Costed is implemented by priors that know their work.
type Costed interface {
	// MACs are the multiply-adds of Eps, Encode and Decode for a picture of h x w pixels, multiples of Multiple.
	MACs(h, w int) (eps, encode, decode int64)
}

// MACs implements [Costed].
func (p *LatentDiffusion) MACs(h, w int) (eps, encode, decode int64) {
	f, rows := p.VAE.Factor(), 1
	if p.Empty != nil {
		rows = p.Empty.Dim(1)
	}
	return p.UNet.MACs(h/f, w/f, rows), p.VAE.EncodeMACs(h, w), p.VAE.DecodeMACs(h/f, w/f)
}

// MACs implements [Costed].
func (p *Pixel) MACs(h, w int) (eps, encode, decode int64) { return p.UNet.MACs(h, w), 0, 0 }

var (
	_ Costed = (*LatentDiffusion)(nil)
	_ Costed = (*Pixel)(nil)
)
