//go:build vulkan

package solver

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/psld/operator"
	"psld/psld/prior"
	"psld/tensor"
	"psld/tensor/vulkan"
)

// gpu is the first device for Vulkan; without one the test is skipped.
func gpu(t *testing.T) tensor.Device {
	dev, err := vulkan.Open(0, "f32")
	if err != nil {
		t.Skipf("no device for Vulkan: %v", err)
	}
	return dev
}

// TestStepsVulkan takes the model of the demo.
func TestStepsVulkan(t *testing.T) {
	gpu(t)
	open := func(device string) *prior.LatentDiffusion {
		m, err := prior.Open(context.Background(), "", prior.Options{Device: device})
		require.NoError(t, err)
		return m
	}
	stepsOn(t, 64, open("cpu"), open("vulkan"))
}

// stepsOn: five steps of PSLD on a device come near those of the processor, twice with the same bits. open gives the
// model on the processor, and on the device.
func stepsOn(t *testing.T, side int, onProcessor, onDevice *prior.LatentDiffusion) {
	const count = 5
	steps := func(m *prior.LatentDiffusion) []float32 {
		a, err := operator.NewSR(side, side, 3, 4)
		require.NoError(t, err)
		y := make([]float32, side/4*side/4*3)
		for i := range y {
			y[i] = float32(i%7)/4 - 0.75
		}
		spec, err := Lookup("psld")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var z0 []float32
		o := Options{Seed: 7, Progress: func(p Progress) {
			z0 = p.State.Host("z0")
			if p.Step == count {
				cancel()
			}
		}}
		_, err = Solve(ctx, m, Problem{A: a, Y: y}, spec.Default(), o)
		require.ErrorIs(t, err, context.Canceled)
		return z0
	}
	got := steps(onDevice)
	require.NotEmpty(t, got)
	require.Equal(t, got, steps(onDevice), "the same seed, other bits")
	golden.Check(t, "z0 after five steps", got, steps(onProcessor), 1e-4)
}
