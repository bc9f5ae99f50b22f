//go:build cuda

package train

import (
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/tensor/cuda"
	"psld/tensor/cuda/emulator"
)

// losses are the numbers of a log that belong to the loss, line by line.
func losses(t *testing.T, folder string) (all [][]float64) {
	f, err := os.Open(filepath.Join(folder, "log.csv"))
	require.NoError(t, err)
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	require.NoError(t, err)
	for _, row := range rows {
		var numbers []float64
		for _, field := range row {
			if field == "lr" { // what follows depends on the clock
				break
			}
			if v, err := strconv.ParseFloat(field, 64); err == nil {
				numbers = append(numbers, v)
			}
		}
		all = append(all, numbers)
	}
	return all
}

// TestTrainingCUDA: the loss of a training on the emulated GPU goes as on the processor, and a second run writes the
// same bytes.
func TestTrainingCUDA(t *testing.T) {
	err := emulator.Use()
	if errors.Is(err, emulator.ErrNoCompiler) {
		t.Skip(err)
	}
	require.NoError(t, err)
	dev, err := cuda.Open(0, "f32")
	require.NoError(t, err)
	photos := fakePhotos(t, 6, 24)
	o := UNetOptions{Options: options(photos, t.TempDir(), 4), Config: tinyUNet(), Low: 0.5}
	o.SaveEvery, o.LogEvery, o.VAE = 4, 1, frozenVAE(o.Exact())
	require.NoError(t, UNet(t.Context(), o))
	want := losses(t, o.Out)
	var files [][]byte
	for range 2 {
		o.Device, o.Out, o.VAE = dev, t.TempDir(), frozenVAE(dev)
		require.NoError(t, UNet(t.Context(), o))
		files = append(files, read(t, filepath.Join(o.Out, "model.safetensors")))
	}
	require.Equal(t, files[0], files[1], "the same seed, other bits")
	got := losses(t, o.Out)
	require.Len(t, got, len(want))
	require.Greater(t, len(want), 4)
	for i := range want {
		require.InEpsilonSlice(t, want[i], got[i], 1e-4, "line %d", i)
		t.Log(want[i], got[i])
	}
}
