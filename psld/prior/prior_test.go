package prior

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/tensor"
	"psld/tensor/cpu"
)

func normal(seed uint64, shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range t.Data {
		t.Data[i] = float32(r.NormFloat64())
	}
	return t
}

// TestWindowsOfIdentity: blended windows of f(x) = x are x, for all sizes, and the gradient is the identity too.
func TestWindowsOfIdentity(t *testing.T) {
	for _, c := range []struct{ h, w, side, step int }{{9, 9, 16, 1}, {40, 16, 16, 1}, {17, 33, 16, 1}, {64, 48, 16, 4},
		{100, 20, 32, 2}} {
		x := normal(3, 1, c.h, c.w, 2)
		g := autograd.NewGraph(cpu.F32)
		in := g.Input(x)
		y := windowed(g, in, c.side, c.side/4, c.step, 1, 1, func(g *autograd.Graph, v *autograd.Value) *autograd.Value {
			return v
		})
		require.Equal(t, x.Shape, y.T.Shape)
		for i, v := range x.Data {
			require.InDelta(t, v, y.T.Data[i], 1e-5)
		}
		cot := normal(4, x.Shape...)
		g.Backward(y, cot)
		for i, v := range cot.Data {
			require.InDelta(t, v, in.Grad().Data[i], 1e-5)
		}
		g.Release()
	}
}

// TestOffsetsCover: windows reach from border to border and overlap.
func TestOffsetsCover(t *testing.T) {
	for n := 1; n < 200; n++ {
		for _, step := range []int{1, 2, 4} {
			side := 24
			o := offsets(n, side, side/4, step)
			if n <= side {
				require.Equal(t, []int{0}, o)
				continue
			}
			require.Equal(t, 0, o[0])
			require.Equal(t, n-side, o[len(o)-1])
			for i := 1; i < len(o); i++ {
				require.Greater(t, o[i], o[i-1])
				require.LessOrEqual(t, o[i]-o[i-1], side*3/4+step, "n %d", n)
			}
		}
	}
}

// TestWindowedNetworkHasGradient holds the gradient through windows against differences.
func TestWindowedNetworkHasGradient(t *testing.T) {
	m := RandomTiny(1)
	m.Window = 16
	x := normal(1, 1, 12, 20, 4)
	g := autograd.NewGraph(cpu.F32)
	defer g.Release()
	in := g.Input(x)
	e := m.Eps(g, in, 300, m.Empty)
	require.Equal(t, x.Shape, e.T.Shape)
	cot := normal(2, x.Shape...)
	base := dot(e.T.Data, cot.Data)
	g.Backward(e, cot)
	// Directional derivative by central differences.
	dir := normal(5, x.Shape...)
	const h = 1e-2
	at := func(s float32) float64 {
		y := x.Clone()
		for i, d := range dir.Data {
			y.Data[i] += s * d
		}
		g := autograd.NoGrad(cpu.F32)
		defer g.Release()
		return dot(m.Eps(g, g.Const(y), 300, m.Empty).T.Data, cot.Data)
	}
	want := (at(h) - at(-h)) / (2 * h)
	require.InEpsilon(t, want, dot(in.Grad().Data, dir.Data), 2e-2)
	require.False(t, math.IsNaN(base))
}

func dot(a, b []float32) float64 {
	var s float64
	for i, v := range a {
		s += float64(v) * float64(b[i])
	}
	return s
}

func TestRandomTinyIsTheSameEverywhere(t *testing.T) {
	a, b := RandomTiny(7), RandomTiny(7)
	for i, p := range a.UNet.Params.All() {
		require.Equal(t, p.Value.T.Data, b.UNet.Params.All()[i].Value.T.Data)
	}
	require.NotEqual(t, a.UNet.Params.All()[0].Value.T.Data, RandomTiny(8).UNet.Params.All()[0].Value.T.Data)
}

// TestGoldenOpen opens the tiny Stable Diffusion and checks the context of the empty prompt.
func TestGoldenOpen(t *testing.T) {
	for _, dir := range golden.Folders(t, "tiny-sd") {
		path := filepath.Join(dir, "diffusers")
		m, err := Open(context.Background(), path, Options{})
		require.NoError(t, err)
		f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
		want, s := golden.F32(t, f, "out.clip.last_hidden_state")
		golden.Check(t, "empty prompt", m.Empty.Data, want[s[1]*s[2]:], 2e-5)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(context.Background(), filepath.Join(dir, "nothing"), Options{})
	require.ErrorContains(t, err, "nothing")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "unet.safetensors"), []byte("junk"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "vae.safetensors"), []byte("junk"), 0o644))
	_, err = Open(context.Background(), dir, Options{})
	require.Error(t, err)
	require.Contains(t, err.Error(), dir)
}
