package vae

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/tensor"
	"psld/tensor/cpu"
)

// TestFold: pixel (y,x) of a picture goes to square (y/p,x/p), channels (y%p,x%p,c); unfold brings it back, and is the
// transpose, so that gradients are right.
func TestFold(t *testing.T) {
	const n, h, w, c, p = 2, 6, 9, 2, 3
	g := autograd.NewGraph(cpu.F32)
	defer g.Release()
	x := tensor.New(n, h, w, c)
	for i := range x.Data {
		x.Data[i] = float32(i)
	}
	in := g.Input(x)
	y := fold(g, in, p)
	require.Equal(t, []int{n, h / p, w / p, p * p * c}, y.T.Shape)
	for i := range n {
		for r := range h {
			for q := range w {
				for k := range c {
					at := ((i*h/p+r/p)*(w/p)+q/p)*p*p*c + (r%p*p+q%p)*c + k
					require.Equal(t, x.Data[((i*h+r)*w+q)*c+k], y.T.Data[at])
				}
			}
		}
	}
	back := unfold(g, y, p)
	require.Equal(t, x.Shape, back.T.Shape)
	require.Equal(t, x.Data, back.T.Data)
	g.Backward(g.Scale(g.SumSquares(back), 0.5), nil) // of |x|^2/2: x
	require.Equal(t, x.Data, in.Grad().Data)
}

func TestPatchSizes(t *testing.T) {
	cfg := Config{InChannels: 3, LatentChannels: 8, BlockOutChannels: []int{8, 16}, LayersPerBlock: 1, ScalingFactor: 1,
		PatchSize: 2}
	require.Equal(t, 4, cfg.Factor())
	m := New(cfg)
	m.Params.Init(1)
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	z := m.Mean(g, m.Encode(g, g.Const(tensor.New(1, 16, 24, 3))))
	require.Equal(t, []int{1, 4, 6, 8}, z.T.Shape)
	require.Equal(t, []int{1, 16, 24, 3}, m.Decode(g, z).T.Shape)
	cfg.PatchSize = -1
	require.ErrorContains(t, cfg.Validate(), "patch_size is -1")
}
