package prior

import (
	"psld/autograd"
	"psld/nn"
	"psld/psld/schedule"
	"psld/tensor"
)

// Prior is what a solver knows about pictures: a network, or a closed form, that predicts the noise in a noisy state.
// The state of a pixel model is the picture itself, that of a latent one is a latent, which its [Codec] decodes.
// Methods are safe for concurrent use; each call works on the caller's graph.
type Prior interface {
	// Info says in words what the prior is.
	Info() Info
	// Multiple is the number that a picture's sides must be multiples of.
	Multiple() int
	// Shape is that of the state [1,h',w',C] for a picture of h x w pixels, multiples of Multiple.
	Shape(h, w int) []int
	// Schedule is the noise at each diffusion time: a state at time t of share a is sqrt(a) z0 + sqrt(1-a) e.
	Schedule() schedule.Noise
	// Device is where the prior computes, and in which precision.
	Device() tensor.Device
	// Eps predicts e in the state z at time t, for a context [1,L,D] of the kind that Unconditional and Prompter give.
	Eps(g *autograd.Graph, z *autograd.Value, t float32, context *tensor.Tensor) *autograd.Value
	// Unconditional is the context of no prompt, nil where Eps takes none.
	Unconditional() *tensor.Tensor
	// Networks lists all that Eps and the codec compute with.
	Networks() []Network
}

// Info describes a prior.
type Info struct {
	Name      string
	Family    string // of the published parameters that suit it; "" for none (see the constants)
	TrainSize int    // side in pixels of the pictures that it was trained on, 0 for unknown
}

// FamilyStableDiffusion is the [Info].Family of models opened from files of Stable Diffusion.
const FamilyStableDiffusion = "stable-diffusion"

// Network is one network of a prior.
type Network struct {
	Name   string // in messages: "unet", "vae"
	Config any    // plain data: all that its numbers depend on but its parameters
	Params *nn.Params
}

// Codec maps pictures x [1,H,W,3] to states z and back. Where it encodes to a distribution, eps is the standard
// normal noise of a sample, of z's shape; nil takes the mean.
type Codec interface {
	Encode(g *autograd.Graph, x *autograd.Value, eps *tensor.Tensor) *autograd.Value
	Decode(g *autograd.Graph, z *autograd.Value) *autograd.Value
}

// CodecOf is the codec of p: the identity for a prior that has none, whose state is the picture.
func CodecOf(p Prior) Codec {
	if c, ok := p.(Codec); ok {
		return c
	}
	return identity{}
}

// identity is the codec of a pixel prior.
type identity struct{}

func (identity) Encode(_ *autograd.Graph, x *autograd.Value, _ *tensor.Tensor) *autograd.Value {
	return x
}
func (identity) Decode(_ *autograd.Graph, z *autograd.Value) *autograd.Value { return z }

// Light is implemented by priors that may have a cheaper codec for the same states, for previews and as a quick
// stand-in in the steps of a solver. The codec is nil where there is none. It takes pictures only if encodes is set.
type Light interface {
	LightCodec() (c Codec, n Network, encodes bool)
}

// LightCodecOf is the light codec of p, nil for none.
func LightCodecOf(p Prior) (c Codec, n Network, encodes bool) {
	if l, ok := p.(Light); ok {
		return l.LightCodec()
	}
	return nil, Network{}, false
}

// Prompter is implemented by priors that may know prompts: see [LatentDiffusion.Prompts].
type Prompter interface {
	Prompts(prompt, negative string, emphasis bool) (c Conditions, warnings []string, err error)
}

// Conditions are the contexts [1,L,D] of a prompt and of the prompt that classifier-free guidance leads away from,
// nil for that of no prompt.
type Conditions struct {
	Prompt, Negative *tensor.Tensor
	// Scale of the guidance: e = e(Negative) + Scale (e(Prompt) - e(Negative)) (Ho, Salimans 2022). At 1, and with
	// equal contexts, it is left out, which halves the work; 0 would leave the prompt out.
	Scale float64
}

// EpsOf predicts the noise in z at time t with guidance.
func EpsOf(g *autograd.Graph, p Prior, z *autograd.Value, t float32, c Conditions) *autograd.Value {
	prompt, negative := c.Prompt, c.Negative
	if prompt == nil {
		prompt = p.Unconditional()
	}
	if negative == nil {
		negative = p.Unconditional()
	}
	e := p.Eps(g, z, t, prompt)
	if c.Scale == 1 || equal(prompt, negative) {
		return e
	}
	return guide(g, e, p.Eps(g, z, t, negative), c.Scale)
}

// guide leads the noise e of a prompt away from that of another one.
func guide(g *autograd.Graph, e, negative *autograd.Value, scale float64) *autograd.Value {
	return g.Add(negative, g.Scale(g.Sub(e, negative), float32(scale)))
}

func equal(a, b *tensor.Tensor) bool {
	if a == nil || b == nil {
		return a == b
	}
	if !tensor.Same(a.Shape, b.Shape) {
		return false
	}
	for i, v := range a.Data {
		if v != b.Data[i] {
			return false
		}
	}
	return true
}

var (
	_ Prior = (*LatentDiffusion)(nil)
	_ Prior = (*Gaussian)(nil)
)
