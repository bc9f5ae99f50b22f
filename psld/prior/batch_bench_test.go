package prior

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/tensor"
)

// BenchmarkBatch times what a step of a guided method asks of the embedded models, for n pictures of 64x64 pixels in
// one batch: a batch must give each picture the bits that it has alone.
func BenchmarkBatch(b *testing.B) {
	for _, dtype := range []string{"f32", "bf16"} {
		for _, name := range []string{"latent", "pixel"} {
			m, err := OpenAny(b.Context(), "", Options{Precision: dtype}, name == "pixel")
			require.NoError(b, err)
			size, rng := tensor.Len(m.Shape(64, 64)), rand.New(rand.NewPCG(1, 2))
			states, alone := make([]float32, 8*size), []float32(nil)
			for i := range states {
				states[i] = float32(rng.NormFloat64())
			}
			for i := range 8 {
				alone = append(alone, guided(m, 1, states[i*size:(i+1)*size])...)
			}
			for _, n := range []int{1, 2, 4, 8} {
				b.Run(fmt.Sprintf("%s/%s/n=%d", dtype, name, n), func(b *testing.B) {
					require.Equal(b, alone[:n*size], guided(m, n, states[:n*size]))
					for b.Loop() {
						guided(m, n, states[:n*size])
					}
					b.ReportMetric(1e3*b.Elapsed().Seconds()/float64(b.N*n), "ms/picture")
				})
			}
		}
	}
}

// guided is the gradient of a loss to n states, through denoiser, decoder and encoder.
func guided(m Prior, n int, states []float32) []float32 {
	g := autograd.NewGraph(m.Device())
	defer g.Release()
	g.Frugal = true
	shape := slices.Clone(m.Shape(64, 64))
	shape[0] = n
	z := g.Input(tensor.From(states, shape...))
	z0 := g.Sub(z, g.Scale(EpsOf(g, m, z, 400, Conditions{Scale: 1}), 0.7))
	c := CodecOf(m)
	x := c.Decode(g, z0)
	g.Backward(g.Add(g.SumSquares(x), g.SumSquares(g.Sub(c.Encode(g, x, nil), z0))), nil)
	return slices.Clone(g.Device().Host(z.Grad()))
}
