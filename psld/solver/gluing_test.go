package solver

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/prior"
	"psld/tensor"
	"psld/tensor/cpu"
)

// TestGluingEvery: the steps with gluing are those of a solver that always glues, k times as strong; the
// others are those of one that never does, and take no time in the encoder.
func TestGluingEvery(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	z := tensor.From(noise(5, 8*8*4, 1), 1, 8, 8, 4)
	some := glued(10, 0.1, 1)
	some.GluingEvery = 3
	for n, glues := range []bool{true, false, false, true, false} {
		got, st, timing := stepOf(t, m, p, some, n, z)
		want, _, _ := stepOf(t, m, p, glued(10, 0, 1), n, z)
		if glues {
			want, _, _ = stepOf(t, m, p, glued(10, float64(float32(0.1*3)), 1), n, z)
		}
		require.Equal(t, want.Vars["z"], got.Vars["z"], "step %d", n)
		require.Equal(t, glues, st.Term("gluing") > 0, "step %d", n)
		require.Equal(t, glues, timing.Encoder.Forward > 0 && timing.Encoder.Backward > 0, "step %d", n)
		for _, v := range []float64{timing.UNet.Forward, timing.UNet.Backward, timing.Decoder.Forward,
			timing.Decoder.Backward} {
			require.Positive(t, v, "step %d", n)
		}
	}
}

// counting is a device that counts convolutions and linear layers.
type counting struct {
	tensor.Device
	n int
}

func (c *counting) Conv2d(y, x, w, b *tensor.Tensor, p tensor.Conv, e tensor.Epilogue) {
	c.n++
	c.Device.Conv2d(y, x, w, b, p, e)
}

// TestGuidanceWork: equal prompts cost what no guidance costs; different ones take the UNet twice.
func TestGuidanceWork(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	work := func(c prior.Conditions) int {
		dev := &counting{Device: cpu.F32}
		_, err := Solve(context.Background(), m.On(dev), p, glued(2, 0, 1), Options{Conditions: c})
		require.NoError(t, err)
		return dev.n
	}
	other := m.Empty.Clone()
	other.Data[0]++
	plain := work(prior.Conditions{})
	require.Equal(t, plain, work(prior.Conditions{Scale: 7.5}))
	require.Equal(t, plain, work(prior.Conditions{Scale: 7.5, Prompt: other, Negative: other.Clone()}))
	require.Equal(t, plain, work(prior.Conditions{Scale: 1, Prompt: other}))
	require.Greater(t, work(prior.Conditions{Scale: 7.5, Prompt: other}), plain)
}
