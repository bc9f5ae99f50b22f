package nn

import (
	"math"

	"psld/autograd"
	"psld/tensor"
)

// Sinusoids writes each diffusion time t as dim numbers: with half = dim/2 and
// f_i = 10000^(-i/(half-shift)), [cos(t f), sin(t f)] where cosFirst is set
// (SD: "flip_sin_to_cos"), else [sin(t f), cos(t f)]. dim is even. Computed in
// float32 like the reference, whose rounding at t near 1000 reaches 6e-5.
func Sinusoids(t []float32, dim int, cosFirst bool, shift float32) *tensor.Tensor {
	half := dim / 2
	out := tensor.New(len(t), dim)
	for i := range half {
		e := float32(-math.Log(10000)) * float32(i) / (float32(half) - shift)
		f := float32(math.Exp(float64(e)))
		for n, tn := range t {
			sin, cos := math.Sincos(float64(tn * f))
			row := out.Data[n*dim : (n+1)*dim]
			if cosFirst {
				row[i], row[half+i] = float32(cos), float32(sin)
			} else {
				row[i], row[half+i] = float32(sin), float32(cos)
			}
		}
	}
	return out
}

// TimestepEmbedding turns the sinusoids of t into the UNet's time embedding.
type TimestepEmbedding struct {
	Linear1, Linear2 *Linear
}

// NewTimestepEmbedding registers linear_1 and linear_2 below p.
func NewTimestepEmbedding(p *Params, in, out int) *TimestepEmbedding {
	return &TimestepEmbedding{NewLinear(p.Sub("linear_1"), in, out), NewLinear(p.Sub("linear_2"), out, out)}
}

// Forward maps sinusoids [N, in] to embeddings [N, out].
func (l *TimestepEmbedding) Forward(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	return l.Linear2.Forward(g, l.Linear1.Then(g, x, autograd.Epilogue{Func: tensor.SiLU}))
}
