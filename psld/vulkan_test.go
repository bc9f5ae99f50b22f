//go:build vulkan

package psld

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/psld/param"
	"psld/psld/prior"
	"psld/tensor/devices"
)

// TestBeginsVulkan: a run that begins from DiffPIR's computes both on the model's device, and comes near the
// processor's, twice with the same bits.
func TestBeginsVulkan(t *testing.T) {
	gpu, err := devices.Open("vulkan", "f32")
	if err != nil {
		t.Skipf("no device for Vulkan: %v", err)
	}
	cpu, err := devices.Open("cpu", "f32")
	require.NoError(t, err)
	sigma := 0.05
	var all [][]float32
	for _, m := range []*prior.LatentDiffusion{prior.RandomTiny(1).On(cpu), prior.RandomTiny(1).On(gpu),
		prior.RandomTiny(1).On(gpu)} {
		got, err := Solve(t.Context(), m, Problem{Damage: Damage{Task: Denoise}, Measurement: stripes(32)}, Options{
			Sigma: &sigma, Seed: 3,
			Presets: Presets{"embedded": {Tasks: map[Task]map[string]param.Values{Denoise: {"diffpir": {"steps": 3}}}}},
			Params:  param.Values{"steps": 2, "strength": 0.4, "from_diffpir": true}})
		require.NoError(t, err)
		require.Equal(t, 3, got.Begun)
		all = append(all, got.Picture.Pix)
	}
	require.True(t, slices.Equal(all[1], all[2]), "the same seed, other bits")
	golden.Check(t, "picture", all[1], all[0], 1e-4)
}
