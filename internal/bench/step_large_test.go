package bench

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/psld/prior"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/unet"
	"psld/vae"
)

// TestLargeSteps walks through steps of 768 and 1024 pixels on a device that does not compute: operations for each
// pixel against a picture of 512, in one piece and in windows, and what OnePiece says of the memory.
func TestLargeSteps(t *testing.T) {
	c := &counter{Device: cpu.F32}
	whole := (&prior.LatentDiffusion{UNet: unet.New(unet.SD15()), VAE: vae.New(vae.SD15()),
		Empty: tensor.New(1, 77, 768), Whole: prior.WholePixels, Window: prior.DefaultWindow}).On(c)
	weights := float64(4 * (whole.UNet.Params.Count() + whole.VAE.Params.Count()))
	least := func(m *prior.LatentDiffusion, n int) int64 {
		pool := cpu.Memory()
		before := pool.Live()
		pool.ResetPeak()
		g := autograd.NewGraph(c)
		defer g.Release()
		g.Checkpoint, g.Frugal = true, true
		z := g.Input(tensor.New(1, n/8, n/8, 4))
		x := m.Decode(g, g.Sub(z, m.Eps(g, z, 500, m.Empty)))
		g.Backward(g.Sum(g.Sub(m.Encode(g, x, nil), z)), nil)
		return pool.Peak() - before
	}
	base := StepWork(whole, 512, 512).Total() / (512 * 512)
	for _, s := range []struct {
		n             int
		whole, window float64 // operations for each pixel, 512 is 1
	}{{768, 1.08, 1.19}, {1024, 1.19, 1.325}} {
		n := s.n
		bytes := least(whole, n)
		require.InDelta(t, float64(bytes)+1.1*weights, prior.OnePiece(whole, n, n), 0.1*weights)
		parts := prior.InWindows(whole).(*prior.LatentDiffusion)
		require.Zero(t, prior.OnePiece(parts, n, n))
		few := least(parts, n)
		require.Less(t, few, bytes/3)
		w, p := StepWork(whole, n, n), StepWork(parts, n, n)
		t.Logf("%d: one piece %.2f TFLOP, %d MiB; windows %.2f TFLOP, %d MiB", n, w.Total()/1e12, bytes>>20, p.Total()/1e12,
			few>>20)
		require.InDelta(t, s.whole, w.Total()/float64(n*n)/base, 0.01)
		require.InDelta(t, s.window, p.Total()/float64(n*n)/base, 0.01)
	}
}
