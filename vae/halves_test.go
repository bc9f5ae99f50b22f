package vae_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/tensor/cpu"
	"psld/vae"
)

// TestHalves: the parts of encoder and decoder, one after the other, are the whole.
func TestHalves(t *testing.T) {
	vq := tiny()
	vq.NumEmbeddings = 16
	one := tiny()
	one.BlockOutChannels = []int{8}
	for _, cfg := range []vae.Config{tiny(), vq, one} {
		m := vae.New(cfg)
		m.Params.Init(3)
		g := autograd.NoGrad(cpu.F32)
		x, z := g.Const(rule("x", 1, 1, 12, 8, 3)), g.Const(rule("z", 2, 1, 5, 3, 2))
		features := m.EncodeFine(g, x)
		require.Equal(t, 12/m.Factor(), features.T.Dim(1))
		require.Equal(t, m.Encode(g, x).T.Data, m.EncodeCoarse(g, features).T.Data)
		features = m.DecodeCoarse(g, z)
		require.Equal(t, []int{1, 5, 3}, features.T.Shape[:3])
		require.Equal(t, m.Decode(g, z).T.Data, m.DecodeFine(g, features).T.Data)
		g.Release()
	}
}
