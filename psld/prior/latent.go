// Package prior holds what the solvers know about pictures ([Prior]): a latent diffusion
// model, that is a VAE, a UNet and the context of the prompts ([LatentDiffusion]), and normal distributions, whose
// answers are known in closed form ([Gaussian]).
package prior

import (
	"fmt"
	"math"

	"psld/autograd"
	"psld/clip"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/unet"
	"psld/vae"
)

// LatentDiffusion is a latent diffusion model with frozen weights. Its methods are safe for
// concurrent use, and so are several models at once: nothing is shared but the memory pool, and every
// call works on the caller's graph, which belongs to one goroutine. The fields must not be
// changed while the model is in use.
type LatentDiffusion struct {
	Name string
	VAE  *vae.Model
	UNet *unet.Model
	// Noise is the schedule that the UNet was trained with, and what it predicts; without alphas it is Stable
	// Diffusion's.
	Noise schedule.Noise
	// Empty is the context [1, L, D] of the empty prompt, nil where the UNet takes none.
	Empty *tensor.Tensor
	// Text is the text encoder, nil where the model knows no prompts. Tokenizer is nil where its
	// vocabulary is not there; then only the empty prompt can be used.
	Text      *clip.Model
	Tokenizer *clip.Tokenizer
	// TAESD is a small autoencoder for the same latents, nil where there is none.
	TAESD *vae.TAESD
	// StableDiffusion tells that the model was opened from files of that family: it
	// takes the published parameters.
	StableDiffusion bool
	// TrainSize is the side in pixels of the pictures that the model was trained on.
	TrainSize int
	// Whole: pictures of up to so many pixels go through all networks in one piece. Window: latents of larger pictures
	// with a side that is longer than this (pixels, 0 for never) are denoised in overlapping windows of up to that
	// side, blended in every step.
	Whole, Window int
	// Warnings tell what of the model's files was not understood, in a line each.
	Warnings []string
	// Merged tells of each LoRA what it changes.
	Merged []string

	device tensor.Device
	known  *tensor.Tensor // [1,h,w,1+C] mask and latent of the picture that is shown to it (see Show), nil for none
}

// Device is where the model computes, and in which precision. Its graphs are made by
// autograd.NewGraph and NoGrad on it.
func (p *LatentDiffusion) Device() tensor.Device {
	if p.device == nil {
		return cpu.F32
	}
	return p.device
}

// noise is Noise with alphas.
func (p *LatentDiffusion) noise() schedule.Noise {
	n := p.Noise
	if n.AlphasCumprod == nil {
		n.AlphasCumprod = schedule.AlphasCumprod()
	}
	return n
}

// Schedule is Noise, or Stable Diffusion's schedule where that is not set. Where the last time has no signal, there is
// a little here, so that Eps tells the clean latent at all times ([schedule.Noise.WithSignal]).
func (p *LatentDiffusion) Schedule() schedule.Noise { return p.noise().WithSignal() }

// Info implements [Prior].
func (p *LatentDiffusion) Info() Info {
	info := Info{Name: p.Name, TrainSize: p.TrainSize}
	if p.StableDiffusion {
		info.Family = FamilyStableDiffusion
	}
	return info
}

// Shape implements [Prior].
func (p *LatentDiffusion) Shape(h, w int) []int {
	f := p.VAE.Factor()
	return []int{1, h / f, w / f, p.VAE.LatentChannels}
}

// Unconditional implements [Prior].
func (p *LatentDiffusion) Unconditional() *tensor.Tensor { return p.Empty }

// Networks implements [Prior].
func (p *LatentDiffusion) Networks() []Network {
	config := struct {
		unet.Config
		Window     int
		Prediction schedule.Prediction `json:",omitempty"`
		Parts      bool                `json:",omitempty"` // not in one piece, see InWindows
	}{p.UNet.Config, p.Window, p.Noise.Prediction, p.Whole == 0}
	return []Network{{"unet", config, p.UNet.Params}, {"vae", p.VAE.Config, p.VAE.Params}}
}

// LightCodec implements [Light]: it is TAESD.
func (p *LatentDiffusion) LightCodec() (c Codec, n Network, encodes bool) {
	if p.TAESD == nil {
		return nil, Network{}, false
	}
	return taesdCodec{p.TAESD}, Network{"taesd", p.TAESD.TAESDConfig, p.TAESD.Params}, p.TAESD.HasEncoder()
}

// taesdCodec has no posterior to sample from.
type taesdCodec struct{ *vae.TAESD }

func (t taesdCodec) Encode(g *autograd.Graph, x *autograd.Value, _ *tensor.Tensor) *autograd.Value {
	return t.TAESD.Encode(g, x)
}

// DefaultWindow is the window of the models that this package opens, for pictures of more than WholePixels: attention
// over all of them would cost too much.
const DefaultWindow = 512

// check tells whether the parts fit together.
func (p *LatentDiffusion) check() error {
	v, u := p.VAE.Config, p.UNet.Config
	switch {
	case v.InChannels != 3:
		return fmt.Errorf("the VAE works on pictures of %d channels, want 3", v.InChannels)
	case u.InChannels != v.LatentChannels && !p.Paints() || u.OutChannels != v.LatentChannels:
		return fmt.Errorf("the UNet takes %d channels and gives %d, the VAE's latents have %d: want as many, or %d for an "+
			"inpainting model (depth and edit models are not supported)", u.InChannels, u.OutChannels, v.LatentChannels,
			2*v.LatentChannels+1)
	case p.Text != nil && p.Text.HiddenSize != u.CrossAttentionDim:
		return fmt.Errorf("the UNet wants contexts of width %d, the text encoder gives %d", u.CrossAttentionDim,
			p.Text.HiddenSize)
	}
	return nil
}

// Multiple is the number that a picture's sides must be multiples of: the VAE's
// factor times the UNet's.
func (p *LatentDiffusion) Multiple() int { return p.VAE.Factor() * p.UNet.Factor() }

// Eps predicts the noise in the latent z [1,h,w,C] at diffusion time t for a
// context [1,L,D], in windows where z is larger than the model's window; where the UNet predicts something else, the
// noise follows from that. The context is nil where the UNet takes none.
func (p *LatentDiffusion) Eps(g *autograd.Graph, z *autograd.Value, t float32,
	context *tensor.Tensor) *autograd.Value {
	run := func(g *autograd.Graph, z *autograd.Value) *autograd.Value { return p.output(g, z, t, context) }
	side := (p.Window + p.Multiple() - 1) / p.Multiple() * p.UNet.Factor() // in latent pixels
	if f := p.VAE.Factor(); p.inOnePiece(z.T.Dim(1)*f, z.T.Dim(2)*f) {
		side = 0
	}
	return p.toEps(g, z, t, windowed(g, p.input(g, z), side, side/4, p.UNet.Factor(), 1, 1, run))
}

// toEps is the noise in z = sqrt(a) z0 + sqrt(1-a) e at time t that the UNet's output means: e itself,
// v = sqrt(a) e - sqrt(1-a) z0, or z0.
func (p *LatentDiffusion) toEps(g *autograd.Graph, z *autograd.Value, t float32,
	out *autograd.Value) *autograd.Value {
	sigma := p.noise().Sigma(float64(t))
	a := 1 / (1 + sigma*sigma)
	signal, noise := float32(math.Sqrt(a)), float32(math.Sqrt(1-a))
	switch p.Noise.Prediction {
	case schedule.V:
		return g.Add(g.Scale(out, signal), g.Scale(z, noise))
	case schedule.Sample:
		return g.Scale(g.Sub(z, g.Scale(out, signal)), 1/noise)
	}
	return out
}

// output is what the UNet gives for its input, in one piece.
func (p *LatentDiffusion) output(g *autograd.Graph, z *autograd.Value, t float32,
	context *tensor.Tensor) *autograd.Value {
	times := make([]float32, z.T.Dim(0))
	for i := range times {
		times[i] = t
	}
	if context == nil {
		return p.UNet.Forward(g, z, times, nil)
	}
	return p.UNet.Forward(g, z, times, g.Const(context))
}

// Encode maps a picture x [1,H,W,3] to the scaled latent [1,h,w,C]: a sample of the
// posterior for the noise eps, or its mean where eps is nil.
func (p *LatentDiffusion) Encode(g *autograd.Graph, x *autograd.Value, eps *tensor.Tensor) *autograd.Value {
	f := p.VAE.Factor()
	if p.decodesWhole(x.T.Dim(1), x.T.Dim(2)) {
		return p.VAE.EncodeScaled(g, x, eps)
	}
	moments := windowed(g, x, Tile, overlap, f, 1, f, p.VAE.Encode)
	return g.Scale(p.VAE.Sample(g, moments, eps), p.VAE.ScalingFactor)
}

// Decode maps a scaled latent z [1,h,w,C] to a picture [1,H,W,3], about [-1,1] but not clamped.
func (p *LatentDiffusion) Decode(g *autograd.Graph, z *autograd.Value) *autograd.Value {
	f := p.VAE.Factor()
	if p.decodesWhole(z.T.Dim(1)*f, z.T.Dim(2)*f) {
		return p.VAE.DecodeScaled(g, z)
	}
	return windowed(g, z, Tile/f, overlap/f, 1, f, 1, p.VAE.DecodeScaled)
}

// decodesWhole tells whether a picture of h x w pixels goes through encoder and decoder in one piece.
func (p *LatentDiffusion) decodesWhole(h, w int) bool { return h*w <= max(p.Whole, TilePixels) }

// TilePixels and Tile: where a picture is not seen in one piece, it goes through the autoencoder on overlapping tiles
// of up to Tile pixels a side if it has more than TilePixels pixels, so that what encoder and decoder need inside
// grows with the tile, not with the picture. Without a gradient ([LatentDiffusion.Generate]) it does so in any case.
const (
	TilePixels = 512 * 512
	Tile       = 512
	overlap    = 64
)
