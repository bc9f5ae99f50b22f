package prior

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/tensor"
	"psld/tensor/cpu"
)

// TestPublishedTAESD holds the published weights of TAESD against what another program made of two pictures. They
// are no part of this repository: where they are not beside it, the test is skipped.
func TestPublishedTAESD(t *testing.T) {
	dir := "../../../shared/taesd"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no trained weights of TAESD beside the repository")
	}
	m, err := LoadTAESD(dir, cpu.F32)
	require.NoError(t, err)
	require.True(t, m.HasEncoder())
	f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
	for i := 0; f.Has(strconv.Itoa(i) + ".picture"); i++ {
		read := func(name string) *tensor.Tensor {
			data, s := golden.F32(t, f, strconv.Itoa(i)+"."+name)
			return tensor.FromNCHW(data, s[0], s[1], s[2], s[3])
		}
		picture, latent, decoded := read("picture"), read("latent"), read("decoded")
		for k, v := range picture.Data { // [0,1] there, [-1,1] here
			picture.Data[k] = 2*v - 1
		}
		g := autograd.NoGrad(cpu.F32)
		z := m.Encode(g, g.Const(picture))
		golden.Check(t, "latent", z.T.NCHW(), latent.NCHW(), 1e-5)
		x := m.Decode(g, g.Const(latent))
		var sq float64
		for k, v := range x.T.Data {
			x.T.Data[k] = (v + 1) / 2
			d := float64(x.T.Data[k]) - (float64(picture.Data[k])+1)/2
			sq += d * d
		}
		golden.Check(t, "decoded", x.T.NCHW(), decoded.NCHW(), 1e-5)
		require.InDelta(t, []float64{27.3, 22.0}[i], -10*math.Log10(sq/float64(x.T.Len())), 0.1)
		g.Release()
	}
}
