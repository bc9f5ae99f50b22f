package bench

import (
	"errors"
	"hash/fnv"
	"math"
	"strings"

	"psld/psld/prior"
	"psld/tensor"
	"psld/unet"
	"psld/vae"
)

// RandomModel is Stable Diffusion 1.5 without text encoder, or a model of that kind with few channels, with
// random weights. They are made one by one while they are packed, so that memory holds them once.
func RandomModel(tiny bool, dev tensor.Device) (*prior.LatentDiffusion, error) {
	u, v, tokens := unet.SD15(), vae.SD15(), 77
	name := "Stable Diffusion 1.5 with random weights"
	if tiny {
		m := prior.RandomTiny(1)
		u, v, tokens, name = m.UNet.Config, m.VAE.Config, m.Empty.Dim(1), m.Name
	}
	m := (&prior.LatentDiffusion{Name: name, UNet: unet.New(u), VAE: vae.New(v), StableDiffusion: true,
		TrainSize: 512, Whole: prior.WholePixels, Window: prior.DefaultWindow}).On(dev)
	m.Empty = newRandom("context").tensor(0, 1, 1, tokens, u.CrossAttentionDim)
	return m, errors.Join(m.UNet.Params.LoadFrozen(randomWeights{}, dev), m.VAE.Params.LoadFrozen(randomWeights{}, dev))
}

// randomWeights is a source of weights that keep the size of what passes through: uniform with
// variance 1/fan-in; scales of norms around 1.
type randomWeights struct{}

// Read implements [nn.Source]; values depend on the name.
func (randomWeights) Read(name string, shape []int, dst []float32) error {
	fan := 1
	for _, d := range shape[1:] {
		fan *= d
	}
	mean, spread := 0.0, 0.2 // of biases
	switch {
	case len(shape) > 1:
		spread = math.Sqrt(3 / float64(fan))
	case strings.HasSuffix(name, "weight"):
		mean, spread = 1, 0.3
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	state := h.Sum64() // of splitmix64 (Steele, Lea, Flood 2014)
	for i := range dst {
		state += 0x9E3779B97F4A7C15
		z := state
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		dst[i] = float32(mean + spread*(float64((z^z>>31)>>40)/(1<<23)-1))
	}
	return nil
}
