package bench

import (
	"cmp"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/prior"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/tensor/devices"
	"psld/tensor/devicetest"
	"psld/unet"
	"psld/vae"
)

// The operations of Stable Diffusion 1.5 as known from elsewhere: 0.40, 1.26 and 0.56 TMAC forward for UNet,
// decoder and encoder at 512x512. An operation of the engine that the counter does not know would change them.
func TestStepWork(t *testing.T) {
	m := &prior.LatentDiffusion{UNet: unet.New(unet.SD15()), VAE: vae.New(vae.SD15()), Window: 512,
		Empty: tensor.New(1, 77, 768)}
	w := StepWork(m, 512, 512)
	t.Logf("%+v", w)
	require.InEpsilon(t, 0.40e12, w.UNet.Forward/2, 0.02)
	require.InEpsilon(t, 1.26e12, w.Decoder.Forward/2, 0.02)
	require.InEpsilon(t, 0.56e12, w.Encoder.Forward/2, 0.02)
	require.InEpsilon(t, 9.06e12, w.Total(), 0.01)
}

func TestStep(t *testing.T) {
	m, err := RandomModel(true, cpu.F32)
	require.NoError(t, err)
	r, err := Step(context.Background(), StepOptions{Model: m, DType: "f32", Size: 32, Steps: 2, Batch: 2})
	require.NoError(t, err)
	t.Logf("%+v", r)
}

// TestStepPrecisions times a step in each precision of each device that is there, and on one that the list lacks.
func TestStepPrecisions(t *testing.T) {
	step := func(dev tensor.Device, precision string) StepResult {
		m, err := RandomModel(true, dev)
		require.NoError(t, err)
		r, err := Step(t.Context(), StepOptions{Model: m, DType: precision, Size: 16, Steps: 1})
		require.NoError(t, err, "%s on %s", precision, dev.Name())
		return r
	}
	four := step(devicetest.Hidden(cpu.F32), "f16").Weights
	for _, b := range devices.Backends {
		for _, precision := range b.Precisions {
			dev, err := b.Open(0, precision)
			if err != nil {
				t.Log(err)
				continue
			}
			bytes := map[string]int64{"bf16": 2, "bf16fast": 2, "f16": 2, "int8": 1}[precision]
			require.Equal(t, four/4*cmp.Or(bytes, 4), step(dev, precision).Weights, "%s on %s", precision, b.Name)
		}
	}
}
