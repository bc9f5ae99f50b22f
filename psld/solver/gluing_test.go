package solver

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/prior"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/tensor/cpu"
)

// TestGluingEvery: the steps with gluing are those of a solver that always glues, k times as strong; the
// others are those of one that never does, and take no time in the encoder.
func TestGluingEvery(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	p.Back = operator.Transposed(p.A)
	d, err := schedule.StableDiffusion().DDIM(10, 0)
	require.NoError(t, err)
	z := tensor.From(noise(5, 8*8*4, 1), 1, 8, 8, 4)
	step := func(i int, kind gluing, o Options) Progress {
		o.Omega, o.Context, o.Negative = 1, m.Empty, m.Empty
		s := &latentRun{m: m, guide: m, p: p, d: d, kind: kind, h: 16, w: 16, o: o}
		st, err := s.step(z, i)
		require.NoError(t, err)
		return st
	}
	for n, glues := range []bool{true, false, false, true, false} {
		i := d.Len() - 1 - n
		got := step(i, glued, Options{Gamma: 0.1, GluingEvery: 3})
		want := step(i, none, Options{})
		if glues {
			want = step(i, glued, Options{Gamma: float64(float32(0.1 * 3))})
		}
		require.Equal(t, want.Latent, got.Latent, "step %d", n)
		require.Equal(t, glues, got.Gluing > 0, "step %d", n)
		require.Equal(t, glues, got.Timing.Encoder.Forward > 0 && got.Timing.Encoder.Backward > 0, "step %d", n)
		for _, v := range []float64{got.Timing.UNet.Forward, got.Timing.UNet.Backward, got.Timing.Decoder.Forward, got.Timing.Decoder.Backward} {
			require.Positive(t, v, "step %d", n)
		}
	}
	_, err = Solve(context.Background(), m, p, Options{Steps: 2, Omega: 1, GluingEvery: -1})
	require.ErrorContains(t, err, "gluing every -1 steps")
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
	work := func(o Options) int {
		c := &counting{Device: cpu.F32}
		o.Steps, o.Omega = 2, 1
		_, err := Solve(context.Background(), m.On(c), p, o)
		require.NoError(t, err)
		return c.n
	}
	other := m.Empty.Clone()
	other.Data[0]++
	plain := work(Options{})
	require.Equal(t, plain, work(Options{Guidance: 7.5}))
	require.Equal(t, plain, work(Options{Guidance: 7.5, Context: other, Negative: other.Clone()}))
	require.Equal(t, plain, work(Options{Guidance: 1, Context: other}))
	require.Greater(t, work(Options{Guidance: 7.5, Context: other}), plain)
}
