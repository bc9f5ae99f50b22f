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

// TestStepMemory walks through a step of full size on a device that does not compute: what it has in use at the
// peak, without weights, and that nothing stays.
func TestStepMemory(t *testing.T) {
	c := &counter{Device: cpu.F32}
	m := (&prior.LatentDiffusion{UNet: unet.New(unet.SD15()), VAE: vae.New(vae.SD15()),
		Empty: tensor.New(1, 77, 768), Window: prior.DefaultWindow}).On(c)
	pool := cpu.Memory()
	for _, p := range []struct {
		checkpoint bool
		most       int64 // MiB
	}{{true, 2350}, {false, 4150}} {
		before := pool.Live()
		pool.ResetPeak()
		g := autograd.NewGraph(c)
		g.Checkpoint, g.Frugal = p.checkpoint, true
		z := g.Input(tensor.New(1, 64, 64, 4))
		x := m.Decode(g, g.Sub(z, m.Eps(g, z, 500, m.Empty)))
		g.Backward(g.Sum(g.Sub(m.Encode(g, x, nil), z)), nil)
		require.Less(t, (pool.Peak()-before)>>20, p.most, "checkpoint %v", p.checkpoint)
		g.Release()
		require.Equal(t, before, pool.Live())
	}
}
