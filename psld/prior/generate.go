package prior

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"reflect"
	"time"

	"psld/autograd"
	"psld/psld/picture"
	"psld/psld/rng"
	"psld/psld/schedule"
	"psld/tensor"
)

// Generation says which pictures [LatentDiffusion.Generate] makes. The zero value samples one
// picture of the size that the model was trained on, without a prompt.
type Generation struct {
	Prompt, Negative string
	// Emphasis reads (word), (word:1.2) and [word] as weights, and takes prompts of any length,
	// as AUTOMATIC1111's program does. Otherwise brackets are text, and what exceeds 75 tokens is cut.
	Emphasis bool
	// GuidanceScale is that of classifier-free guidance, 0 for the usual 7.5. At 1, and for a
	// model without prompts, the UNet runs once a step, else twice.
	GuidanceScale float64

	Sampler string  // a name of schedule.Samplers, "" for dpm++2m
	Steps   int     // 0 for 25
	Eta     float64 // of sampler ddim, 0 to 1

	// pixels, multiples of LatentDiffusion.Multiple (64 for Stable Diffusion); 0 for LatentDiffusion.TrainSize
	Width, Height int
	Count         int // of pictures, 0 for 1
	// Seed of the first picture; the following have Seed+1, Seed+2, ... RNG is the generator:
	// "torch" or "" (PyTorch on a CPU) or "cuda"; the start noise of a seed is then that of diffusers.
	Seed uint64
	RNG  string

	// Init, when set, is the picture to start from (image-to-image), scaled to Width x Height (0: its own
	// size, rounded down). Strength in (0,1] is the share of the steps that are run, 0 for 0.8, and
	// for 1 where an inpainting model paints in it.
	Init     image.Image
	Strength float64

	// Tile is the side in pixels of the tiles in which the autoencoder works, so that its memory does not
	// grow with the picture; 0 for whole pictures up to TilePixels and tiles of Tile above.
	Tile int

	// Keep, when set, says which pixels of Init stay as they are, row by row; the others are painted (inpainting).
	// A model that does not paint by itself (see Painter) has the known part put back into its latent after each step.
	Keep []bool

	// Progress, when set, is called after every step.
	Progress func(GenerationProgress)
}

// GenerationProgress is the state after a step.
type GenerationProgress struct {
	Picture, Pictures int // from 1
	Step, Steps       int // from 1
	// Preview decodes the clean picture that the step expects, by the tiny autoencoder where the model
	// has one. It costs time only where it is called, and only while Progress runs.
	Preview func() (image.Image, error)
}

// Defaults returns o with the values that zeros stand for filled in.
func (p *LatentDiffusion) Defaults(o Generation) Generation {
	if o.GuidanceScale == 0 {
		o.GuidanceScale = 7.5
	}
	if o.Sampler == "" {
		o.Sampler = "dpm++2m"
	}
	if o.Steps == 0 {
		o.Steps = 25
	}
	if o.Count == 0 {
		o.Count = 1
	}
	if o.RNG == "" {
		o.RNG = "torch"
	}
	if o.Init != nil {
		switch {
		case o.Strength == 0 && o.Keep != nil && p.Paints():
			o.Strength = 1
		case o.Strength == 0:
			o.Strength = 0.8
		}
		m, b := p.Multiple(), o.Init.Bounds()
		if o.Width == 0 {
			o.Width = max(1, b.Dx()/m) * m
		}
		if o.Height == 0 {
			o.Height = max(1, b.Dy()/m) * m
		}
	}
	if o.Width == 0 {
		o.Width = p.TrainSize
	}
	if o.Height == 0 {
		o.Height = p.TrainSize
	}
	return o
}

// maxSide is the longest side that Generate accepts, in pixels.
const maxSide = 4096

// Generate samples pictures from noise, or from a picture, by the prompt: text-to-image and
// image-to-image as Stable Diffusion users know them. The same options give the same bits.
//
// When ctx ends, Generate returns ctx's error with the pictures made so far, the last of them as its steps
// expected it to become; a large one in a coarser resolution, which is decoded soon.
func (p *LatentDiffusion) Generate(ctx context.Context, o Generation) ([]image.Image, error) {
	if ctx == nil {
		return nil, errors.New("ctx is nil, want a context such as context.Background()")
	}
	if err := p.CheckGeneration(o); err != nil {
		return nil, err
	}
	o = p.Defaults(o)
	conds, _, err := p.Prompts(o.Prompt, o.Negative, o.Emphasis)
	if err != nil {
		return nil, err
	}
	r, err := p.paintingOf(o)
	if err != nil {
		return nil, err
	}
	var out []image.Image
	for i := range o.Count {
		img, err := r.generate(ctx, o, i, conds)
		if img != nil {
			out = append(out, img)
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// CheckGeneration reports a model that is not whole, and options that Generate would refuse before it begins: sizes in
// pixels, counts, guidance, and pictures and masks that do not fit.
func (p *LatentDiffusion) CheckGeneration(o Generation) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if err := checkInit(o.Init); err != nil {
		return err
	}
	o = p.Defaults(o)
	m := p.Multiple()
	switch {
	case o.Keep != nil && o.Init == nil:
		return errors.New("Generation.Keep is set without Init, the picture in which to paint")
	case o.Keep != nil && len(o.Keep) != o.Init.Bounds().Dx()*o.Init.Bounds().Dy():
		return fmt.Errorf("Generation.Keep has %d pixels, Init has %dx%d", len(o.Keep), o.Init.Bounds().Dx(),
			o.Init.Bounds().Dy())
	case o.Width < 1 || o.Height < 1 || o.Width%m != 0 || o.Height%m != 0 || o.Width > maxSide || o.Height > maxSide:
		return fmt.Errorf("size %dx%d, want multiples of %d up to %d", o.Width, o.Height, m, maxSide)
	case o.Count < 1:
		return fmt.Errorf("%d pictures, want at least 1", o.Count)
	case o.Tile != 0 && (o.Tile < 2*overlap || o.Tile%m != 0):
		return fmt.Errorf("tiles of %d pixels, want a multiple of %d, at least %d", o.Tile, m, 2*overlap)
	case math.IsNaN(o.GuidanceScale) || o.GuidanceScale < 0 || o.GuidanceScale > 1000:
		return fmt.Errorf("guidance %v, want 0 to 1000", o.GuidanceScale)
	}
	return nil
}

// checkInit wants a picture with pixels, or none.
func checkInit(img image.Image) error {
	if img == nil {
		return nil
	}
	if v := reflect.ValueOf(img); v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Errorf("Generation.Init is a nil %T", img)
	}
	if p, ok := img.(*picture.Picture); ok {
		if err := p.Validate(); err != nil {
			return fmt.Errorf("Generation.Init: %w", err)
		}
	}
	if img.Bounds().Empty() {
		return errors.New("Generation.Init has no pixels")
	}
	return nil
}

// generate makes the picture of index i.
func (p *painting) generate(ctx context.Context, o Generation, i int, conds Conditions) (_ image.Image,
	err error) {
	defer tensor.Catch(&err)
	z, err := p.sample(ctx, o, i, conds)
	if z == nil {
		return nil, err
	}
	decode := p.toImage
	if n := Halvings(p, p.VAE.Factor()*z.Dim(1), p.VAE.Factor()*z.Dim(2), p.estimate); err != nil && n > 0 {
		decode = func(z *tensor.Tensor, _ int) (image.Image, error) { return p.coarseImage(z, n) }
	}
	img, decodeErr := decode(z, o.Tile)
	if decodeErr == nil && p.keep != nil {
		x := picture.FromImage(img)
		p.paste(x.Pix)
		img = x.ToImage()
	}
	return img, errors.Join(err, decodeErr)
}

// sample makes the scaled latent of the picture of index i. When ctx ends it is the clean one that
// the last step expected.
func (p *painting) sample(ctx context.Context, o Generation, i int, conds Conditions) (*tensor.Tensor, error) {
	s, err := p.noise().Sampler(o.Sampler, o.Steps, schedule.SamplerOptions{Eta: o.Eta})
	if err != nil {
		return nil, err
	}
	src, err := rng.New(o.RNG, o.Seed+uint64(i))
	if err != nil {
		return nil, err
	}
	f := p.VAE.Factor()
	z := tensor.New(1, o.Height/f, o.Width/f, p.VAE.LatentChannels)
	noise := func(dst []float32) { drawLatent(src, dst, z.Shape) }
	first := 0
	if o.Init == nil {
		noise(z.Data)
		for k := range z.Data {
			z.Data[k] *= s.Init()
		}
	} else {
		if first, err = schedule.StartStep(s.Len(), o.Strength); err != nil {
			return nil, err
		}
		// the picture is shown to it: no trace of it is needed in the latent
		fromNoise := p.Paints() && o.Keep != nil && o.Strength == 1
		if !fromNoise {
			if err := p.encodeInit(z, o, noise); err != nil {
				return nil, err
			}
		}
		p.clean, p.fresh = append([]float32(nil), z.Data...), make([]float32, z.Len())
		noise(p.fresh)
		s.AddNoise(z.Data, z.Data, p.fresh, first)
		if fromNoise {
			for k, v := range p.fresh {
				z.Data[k] = v * s.Init()
			}
		}
	}
	in := tensor.New(z.Shape...)
	var z0 *tensor.Tensor // of the last step
	stopped := func(k int) error {
		return fmt.Errorf("stopped at step %d of %d of picture %d: %w", k-first, s.Len()-first, i+1, ctx.Err())
	}
	for k := first; k < s.Len(); k++ {
		if ctx.Err() != nil {
			return z0, stopped(k)
		}
		s.ScaleInput(in.Data, z.Data, k)
		start := time.Now()
		out, err := p.guided(ctx, in, s.Time(k), conds, o.GuidanceScale)
		if err != nil && errors.Is(err, ctx.Err()) {
			return z0, stopped(k)
		}
		if err != nil {
			return nil, err
		}
		p.estimate = time.Since(start).Seconds()
		z0 = tensor.New(z.Shape...)
		s.Z0(z0.Data, z.Data, out, k)
		s.Step(z.Data, out, k, noise)
		p.hold(z, func(dst, clean, noise []float32) {
			if copy(dst, clean); k+1 < s.Len() {
				s.AddNoise(dst, clean, noise, k+1)
			}
		})
		for _, v := range z.Data {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return nil, fmt.Errorf("step %d of %d: the latent is not finite", k-first+1, s.Len()-first)
			}
		}
		if o.Progress != nil {
			o.Progress(GenerationProgress{i + 1, o.Count, k - first + 1, s.Len() - first, func() (image.Image, error) {
				return p.Preview(z0)
			}})
		}
	}
	return z, nil
}

// drawLatent fills dst, of shape [1,h,w,c], with the numbers that a call of torch.randn gives a latent
// of shape [1,c,h,w].
func drawLatent(src rng.Source, dst []float32, shape []int) {
	planes := make([]float32, len(dst))
	src.Normal(planes)
	copy(dst, tensor.FromNCHW(planes, shape[0], shape[3], shape[1], shape[2]).Data)
}

// guided is what the UNet gives for z, with classifier-free guidance where it has an effect. When ctx ends it returns
// its error.
func (p *LatentDiffusion) guided(ctx context.Context, z *tensor.Tensor, t float32, c Conditions,
	scale float64) (_ []float32, err error) {
	defer tensor.Catch(&err)
	g := autograd.NoGrad(p.Device())
	g.Stop = ctx.Err
	defer g.Release()
	in := p.input(g, g.Const(z))
	e := p.output(g, in, t, c.Prompt)
	if scale != 1 && c.Prompt != c.Negative {
		un := p.output(g, in, t, c.Negative)
		e = guide(g, e, un, scale)
	}
	return append([]float32(nil), g.Device().Host(e.T)...), nil
}

// encodeInit writes a sample of the init picture's latent to z.
func (p *painting) encodeInit(z *tensor.Tensor, o Generation, noise func([]float32)) error {
	x, eps := tensor.From(p.start.Pix, 1, o.Height, o.Width, 3), tensor.New(z.Shape...)
	noise(eps.Data)
	if tile := tileSide(o.Tile, o.Width, o.Height); tile > 0 {
		latent, err := p.EncodeTiled(x, eps, tile, overlap)
		if err == nil {
			copy(z.Data, latent.Data)
		}
		return err
	}
	g := autograd.NoGrad(p.Device())
	defer g.Release()
	copy(z.Data, g.Device().Host(p.Encode(g, g.Const(x), eps).T))
	return nil
}

// tileSide is the tile for a picture of w x h pixels, 0 for none.
func tileSide(tile, w, h int) int {
	if tile == 0 && w*h > TilePixels {
		tile = Tile
	}
	if w <= tile && h <= tile {
		return 0
	}
	return tile
}

// Preview decodes a scaled latent z [1,h,w,C] for the eye, by the tiny autoencoder where the
// model has one.
func (p *LatentDiffusion) Preview(z *tensor.Tensor) (image.Image, error) {
	if p.TAESD == nil {
		return p.toImage(z, 0)
	}
	g := autograd.NoGrad(p.Device())
	defer g.Release()
	return imageOf(g.Device().Host(p.TAESD.Decode(g, g.Const(z)).T), z, p.TAESD.Factor()), nil
}

// toImage decodes a scaled latent.
func (p *LatentDiffusion) toImage(z *tensor.Tensor, tile int) (image.Image, error) {
	f := p.VAE.Factor()
	if tile = tileSide(tile, f*z.Dim(2), f*z.Dim(1)); tile > 0 {
		x, err := p.DecodeTiled(z, tile, overlap)
		if err != nil {
			return nil, err
		}
		return imageOf(x.Data, z, f), nil
	}
	g := autograd.NoGrad(p.Device())
	defer g.Release()
	return imageOf(g.Device().Host(p.Decode(g, g.Const(z)).T), z, f), nil
}

// coarseImage decodes a scaled latent whose sides are halved n times, for who stopped a run and waits; by the tiny
// autoencoder as it is where there is one.
func (p *LatentDiffusion) coarseImage(z *tensor.Tensor, n int) (image.Image, error) {
	if p.TAESD != nil {
		return p.Preview(z)
	}
	g := autograd.NoGrad(p.Device())
	defer g.Release()
	return imageOf(g.Device().Host(DecodeCoarse(g, p, g.Const(z), n).T), z, p.VAE.Factor()), nil
}

// imageOf rounds the picture x that a latent z at 1/f of its sides stands for.
func imageOf(x []float32, z *tensor.Tensor, f int) image.Image {
	return (&picture.Picture{W: f * z.Dim(2), H: f * z.Dim(1), Pix: x}).ToImage()
}
