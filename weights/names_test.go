package weights_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/weights"
)

// TestNames goes through the tables of all tensors of the full-size and of the
// tiny model, in both directions.
func TestNames(t *testing.T) {
	names := weights.NewNames(weights.SD15)
	check := func(t *testing.T, compvis, part, name string) {
		gotPart, gotName, ok := names.Diffusers(compvis)
		if part == "" {
			require.False(t, ok, "%s became %s", compvis, gotName)
			return
		}
		require.True(t, ok, compvis)
		require.Equal(t, part+"/"+name, gotPart+"/"+gotName, compvis)
		back, ok := names.CompVis(part, name)
		require.True(t, ok, name)
		require.Equal(t, compvis, back)
	}
	for _, folder := range golden.Folders(t, "keys") {
		var rows [][]*string
		golden.JSON(t, filepath.Join(folder, "mapping.json"), &rows)
		require.NotEmpty(t, rows)
		for _, r := range rows {
			part, name, _ := strings.Cut(*r[1], "/")
			check(t, *r[0], part, name)
		}
	}
	for _, folder := range golden.Folders(t, "tiny-sd") {
		for _, r := range mapping(t, folder) {
			check(t, r.CompVis, r.Part, r.Name)
		}
	}
	for _, bad := range []string{"", ".", "conv_in", "model.diffusion_model.input_blocks.0.1.weight",
		"model.diffusion_model.input_blocks.12.0.op.weight"} {
		_, _, ok := names.Diffusers(bad)
		require.False(t, ok, bad)
		_, ok = names.CompVis(weights.UNetPart, bad)
		require.False(t, ok, bad)
	}
}

// The older names of the VAE's attention lead to the same tensors.
func TestLegacyVAENames(t *testing.T) {
	names := weights.NewNames(weights.SD15)
	folder := golden.Kind(t, "keys")
	compvis := func(file string) (out []string) {
		var rows [][]any
		golden.JSON(t, filepath.Join(folder, file), &rows)
		for _, r := range rows {
			name, ok := names.CompVis(weights.VAEPart, r[0].(string))
			require.True(t, ok, r[0])
			out = append(out, name)
		}
		return out
	}
	require.ElementsMatch(t, compvis("diffusers_vae.json"), compvis("diffusers_vae_legacy.json"))
}
