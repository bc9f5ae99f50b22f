//go:build cuda

package solver

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/psld/operator"
	"psld/psld/prior"
	"psld/tensor"
	"psld/tensor/cuda"
	"psld/tensor/cuda/emulator"
)

// emulated is the emulated GPU.
func emulated(t *testing.T) tensor.Device {
	err := emulator.Use()
	if errors.Is(err, emulator.ErrNoCompiler) {
		t.Skip(err)
	}
	require.NoError(t, err)
	dev, err := cuda.Open(0, "f32")
	require.NoError(t, err)
	return dev
}

// TestGoldenCUDA runs recorded samplers on the emulated GPU, with the limits that the processor keeps.
func TestGoldenCUDA(t *testing.T) {
	dev := emulated(t)
	for _, dir := range golden.Folders(t, "psld") {
		paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
		require.NoError(t, err)
		shared := golden.Load(t, filepath.Join(dir, "shared.safetensors"))
		m := tinyModel(t, dir).On(dev)
		for _, path := range paths {
			name := strings.TrimSuffix(filepath.Base(path), ".json")
			if name != "shared" {
				t.Run(name, func(t *testing.T) { runGolden(t, m, shared, path) })
			}
		}
	}
}

// TestStepsCUDA: some steps of PSLD on the emulated GPU come near those of the processor, twice with the same bits, and
// leave no memory behind.
func TestStepsCUDA(t *testing.T) {
	steps := func(dev tensor.Device) []float32 {
		m := prior.RandomTiny(3)
		if dev != nil {
			m = m.On(dev)
		}
		a, err := operator.NewSR(32, 32, 3, 4)
		require.NoError(t, err)
		y := make([]float32, 8*8*3)
		for i := range y {
			y[i] = float32(i%7)/4 - 0.75
		}
		spec, err := Lookup("psld")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var z []float32
		o := Options{Seed: 7, Progress: func(p Progress) {
			z = p.State.Host("z")
			if p.Step == 3 {
				cancel()
			}
		}}
		_, err = Solve(ctx, m, Problem{A: a, Y: y}, spec.Default(), o)
		require.ErrorIs(t, err, context.Canceled)
		return z
	}
	dev := emulated(t)
	got := steps(dev)
	require.Equal(t, got, steps(dev), "the same seed, other bits")
	golden.Check(t, "z after three steps", got, steps(nil), 1e-4)
}
