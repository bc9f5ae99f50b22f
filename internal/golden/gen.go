package golden

import (
	"fmt"
	"math"
	"strings"

	"psld/weights"
)

// Uniform is the stream of n values in [-1, 1) that belongs to key: splitmix64
// in counter form, seeded by the FNV-1a hash of the key, 24 bits a value.
func Uniform(key string, n int) []float64 {
	h := uint64(0xcbf29ce484222325)
	for _, b := range []byte(key) {
		h = (h ^ uint64(b)) * 0x100000001b3
	}
	out := make([]float64, n)
	for i := range out {
		h += 0x9E3779B97F4A7C15
		z := h
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		z ^= z >> 31
		out[i] = float64(z>>40)/(1<<23) - 1
	}
	return out
}

// Generate makes the weights of the tensor with this CompVis name and shape by
// the weight_rule of the generated cases.
func Generate(compvis string, shape []int) []float32 {
	n, fan := 1, 1
	for i, d := range shape {
		n *= d
		if i > 0 {
			fan *= d
		}
	}
	off, b := 0.0, 0.2 // biases
	switch {
	case len(shape) >= 2 && strings.Contains(compvis, "token_embedding"):
		b = 0.5
	case len(shape) >= 2 && strings.Contains(compvis, "position_embedding"):
		b = 0.2
	case len(shape) >= 2:
		b = math.Sqrt(3 / float64(fan))
	case strings.HasSuffix(compvis, "weight"):
		off, b = 1, 0.3
	}
	out := make([]float32, n)
	for i, u := range Uniform(compvis, n) {
		out[i] = float32(off + float64(b*u)) // float64(): no fused multiply-add
	}
	return out
}

// GenSource is a [weights.Source] of generated weights for one part of a model.
type GenSource struct {
	part  string
	names *weights.Names
}

// Gen is the source of generated weights for a part (weights.UNetPart, VAEPart
// or TextPart) of a model whose blocks are laid out as in l, e.g. weights.SD15;
// channels may be any.
func Gen(part string, l weights.Layout) *GenSource {
	return &GenSource{part, weights.NewNames(l)}
}

// Names is nil: every tensor asked for is made.
func (g *GenSource) Names() []string { return nil }

// Tensor generates the tensor with this diffusers name.
func (g *GenSource) Tensor(name string, shape []int) ([]float32, error) {
	compvis, ok := g.names.CompVis(g.part, name)
	if !ok {
		return nil, fmt.Errorf("generated %s: no CompVis name for %q", g.part, name)
	}
	return Generate(compvis, shape), nil
}

// Read implements nn.Source.
func (g *GenSource) Read(name string, shape []int, dst []float32) error {
	data, err := g.Tensor(name, shape)
	copy(dst, data)
	return err
}
