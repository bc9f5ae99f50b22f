package prior

import (
	"fmt"

	"psld/autograd"
	"psld/psld/operator"
	"psld/psld/picture"
	"psld/tensor"
)

// Painter is implemented by priors that may have to be shown the known part of a picture: the inpainting checkpoints
// of Stable Diffusion, whose UNet takes, beside the latent, a mask and the latent of the picture with its holes grey.
type Painter interface {
	// Paints tells whether it has to be shown one.
	Paints() bool
	// Show is the prior for one picture x of h x w pixels [h*w*3], multiples of Multiple: pixel i is known where keep[i].
	Show(x []float32, keep []bool, h, w int) (Prior, error)
}

var _ Painter = (*LatentDiffusion)(nil)

// Paints implements [Painter].
func (p *LatentDiffusion) Paints() bool { return p.UNet.InChannels == 2*p.VAE.LatentChannels+1 }

// Show implements [Painter]. What the picture holds where it is not known does not matter. A pixel of the latent is to
// be painted where one of its pixels is. The latent of the picture is the encoder's mean.
func (p *LatentDiffusion) Show(x []float32, keep []bool, h, w int) (Prior, error) {
	return p.show(x, keep, h, w)
}

func (p *LatentDiffusion) show(x []float32, keep []bool, h, w int) (_ *LatentDiffusion, err error) {
	if m := p.Multiple(); h < 1 || w < 1 || h%m != 0 || w%m != 0 || len(keep) != h*w || len(x) != 3*h*w {
		return nil, fmt.Errorf("prior: %d values and %d pixels of a mask for a picture of %dx%d, want all of them and "+
			"multiples of %d", len(x), len(keep), w, h, m)
	}
	defer tensor.Catch(&err)
	grey := tensor.New(1, h, w, 3)
	for i, known := range keep {
		if known {
			copy(grey.Data[3*i:3*i+3], x[3*i:])
		}
	}
	g := autograd.NoGrad(p.Device())
	defer g.Release()
	z := p.Encode(g, g.Const(grey), nil)
	known := g.Concat(g.Const(p.latentMask(keep, h, w)), z)
	m := *p
	m.known = tensor.From(append([]float32(nil), g.Device().Host(known.T)...), known.T.Shape...)
	return &m, nil
}

// latentMask is 1 in the pixels [1,h/f,w/f,1] of a latent of which a pixel is not known.
func (p *LatentDiffusion) latentMask(keep []bool, h, w int) *tensor.Tensor {
	f := p.VAE.Factor()
	mask := tensor.New(1, h/f, w/f, 1)
	for i, known := range keep {
		if !known {
			mask.Data[i/w/f*(w/f)+i%w/f] = 1
		}
	}
	return mask
}

// input is what the UNet takes for latents z [N,h,w,C]: beside them mask and known latent where it paints. Without a
// picture to paint in, all is to be painted and the latent is 0, which is that of no picture.
func (p *LatentDiffusion) input(g *autograd.Graph, z *autograd.Value) *autograd.Value {
	if !p.Paints() {
		return z
	}
	n, h, w := z.T.Dim(0), z.T.Dim(1), z.T.Dim(2)
	known := p.known
	if known == nil {
		known = tensor.New(1, h, w, 1+p.VAE.LatentChannels)
		for i := 0; i < known.Len(); i += known.Dim(3) {
			known.Data[i] = 1
		}
	}
	k := g.Const(known)
	if n > 1 {
		k = g.Repeat(k, n)
	}
	return g.Concat(z, k)
}

// painting is the model with the picture that a generation begins from, scaled to its size, and what is known of it;
// keep is nil where nothing is.
type painting struct {
	*LatentDiffusion
	start *picture.Picture
	keep  []bool         // of the picture's pixels, nil without a mask
	mask  *tensor.Tensor // of the latent, nil without one
	clean []float32      // latent of the picture, in samples of a model that does not paint by itself
	fresh []float32      // noise with which it began

	estimate float64 // seconds that its last noise estimate took
}

// paintingOf scales the picture and the mask of a generation, and shows them to a model that paints.
func (p *LatentDiffusion) paintingOf(o Generation) (*painting, error) {
	r := &painting{LatentDiffusion: p}
	if o.Init != nil {
		var err error
		if r.start, err = picture.Cover(picture.FromImage(o.Init), o.Width, o.Height, operator.CubicSmall); err != nil {
			return nil, err
		}
	}
	if o.Keep != nil {
		b := o.Init.Bounds()
		m := picture.New(b.Dx(), b.Dy())
		for i, known := range o.Keep {
			if known {
				m.Pix[3*i], m.Pix[3*i+1], m.Pix[3*i+2] = 1, 1, 1
			}
		}
		scaled, err := picture.Cover(m, o.Width, o.Height, operator.CubicSmall)
		if err != nil {
			return nil, err
		}
		r.keep = make([]bool, o.Width*o.Height)
		for i := range r.keep {
			r.keep[i] = scaled.Pix[3*i] > 0.99
		}
		r.mask = p.latentMask(r.keep, o.Height, o.Width)
	}
	if !p.Paints() {
		return r, nil
	}
	x, keep := make([]float32, 3*o.Width*o.Height), make([]bool, o.Width*o.Height)
	if r.keep != nil {
		x, keep = r.start.Pix, r.keep
	}
	shown, err := p.show(x, keep, o.Height, o.Width)
	if err != nil {
		return nil, err
	}
	r.LatentDiffusion = shown
	return r, nil
}

// hold puts the known part of a latent z [1,h,w,C] back, with the noise of the step that comes next: noised makes it
// of the clean latent and the start noise.
func (r *painting) hold(z *tensor.Tensor, noised func(dst, clean, noise []float32)) {
	if r.mask == nil || r.Paints() {
		return
	}
	known := make([]float32, z.Len())
	noised(known, r.clean, r.fresh)
	c := z.Dim(3)
	for i, m := range r.mask.Data {
		if m == 0 {
			copy(z.Data[i*c:(i+1)*c], known[i*c:])
		}
	}
}

// paste puts the known pixels back into a picture [h*w*3].
func (r *painting) paste(x []float32) {
	for i, known := range r.keep {
		if known {
			copy(x[3*i:3*i+3], r.start.Pix[3*i:])
		}
	}
}
