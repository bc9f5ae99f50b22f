package prior

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/tensor/cpu"
	"psld/vae"
	"psld/weights"
)

func smallTAESD() *vae.TAESD {
	m := vae.NewTAESD(vae.TAESDConfig{InChannels: 3, LatentChannels: 4, Channels: 8, EncoderBlocks: []int{1, 2, 0, 1},
		DecoderBlocks: []int{2, 1, 0, 1}})
	m.Params.Init(4)
	return m
}

// writeTAESD stores the parameters that rename gives a name.
func writeTAESD(t *testing.T, path string, m *vae.TAESD, rename func(half string, layer int, rest string) string) {
	var entries []weights.Entry
	for _, p := range m.Params.All() {
		part := strings.SplitN(p.Name, ".", 4) // decoder.layers.3.conv.0.weight
		var layer int
		fmt.Sscan(part[2], &layer)
		if name := rename(part[0], layer, part[3]); name != "" {
			entries = append(entries, weights.Entry{Name: name, DType: weights.F32, Shape: p.Value.T.Shape,
				Data: p.Value.T.Data})
		}
	}
	require.NoError(t, weights.Write(path, entries, nil))
}

// TestLoadTAESD stores a model in all layouts and holds what is loaded against it.
func TestLoadTAESD(t *testing.T) {
	m := smallTAESD()
	diffusers := func(half string, layer int, rest string) string {
		return fmt.Sprintf("%s.layers.%d.%s", half, layer, rest)
	}
	// The published numbers: the decoder's are one higher.
	published := func(only, prefix string) func(string, int, string) string {
		return func(half string, layer int, rest string) string {
			if only != "" && half != only {
				return ""
			}
			if half == "decoder" {
				layer++
			}
			return fmt.Sprintf("%s%d.%s", strings.ReplaceAll(prefix, "HALF", half), layer, rest)
		}
	}
	dir := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	for _, name := range []string{"diffusers", "published", "alone", "half"} {
		require.NoError(t, os.Mkdir(at(name), 0o755))
	}
	writeTAESD(t, at("diffusers", "diffusion_pytorch_model.safetensors"), m, diffusers)
	config := `{"_class_name": "AutoencoderTiny", "act_fn": "relu", "scaling_factor": 1.0,
		"upsampling_scaling_factor": 2, "block_out_channels": [8, 8, 8, 8]}`
	require.NoError(t, os.WriteFile(at("diffusers", "config.json"), []byte(config), 0o644))
	writeTAESD(t, at("published", "taesd_encoder.safetensors"), m, published("encoder", ""))
	writeTAESD(t, at("published", "taesd_decoder.safetensors"), m, published("decoder", ""))
	writeTAESD(t, at("alone", "my_decoder.safetensors"), m, published("decoder", ""))
	writeTAESD(t, at("half", "encoder.safetensors"), m, published("encoder", ""))
	writeTAESD(t, at("both.safetensors"), m, published("", "HALF."))

	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	x, z := normal(1, 1, 16, 8, 3), normal(2, 1, 2, 3, 4)
	latent, picture := m.Encode(g, g.Const(x)).T, m.Decode(g, g.Const(z)).T
	for path, whole := range map[string]bool{
		at("diffusers"): true, at("diffusers", "diffusion_pytorch_model.safetensors"): true, at("both.safetensors"): true,
		at("published"): true, at("published", "taesd_encoder.safetensors"): true,
		at("published", "taesd_decoder.safetensors"): true,
		at("alone", "my_decoder.safetensors"):        false,
	} {
		got, err := LoadTAESD(path, cpu.F32)
		require.NoError(t, err, path)
		require.Equal(t, whole, got.HasEncoder(), path)
		require.Equal(t, picture.Data, got.Decode(g, g.Const(z)).T.Data, path)
		if whole {
			require.Equal(t, m.TAESDConfig, got.TAESDConfig, path)
			require.Equal(t, latent.Data, got.Encode(g, g.Const(x)).T.Data, path)
		}
	}

	writeTAESD(t, at("short.safetensors"), m, func(half string, layer int, rest string) string {
		return strings.Replace(diffusers(half, layer, rest), "decoder.layers.2.conv.2.weight", "decoder.layers.2.strange", 1)
	})
	require.NoError(t, os.WriteFile(at("alone", "config.json"), []byte(`{"act_fn": "gelu"}`), 0o644))
	for path, want := range map[string][]string{
		at("nothing"):                         {"nothing"},
		dir:                                   {"taesd_decoder.safetensors"},
		at("half", "encoder.safetensors"):     {"decoder.layers.0.weight"},
		at("short.safetensors"):               {"decoder.layers.2.conv.2.weight", "decoder.layers.2.strange"},
		at("alone", "my_decoder.safetensors"): {"act_fn", "gelu"},
	} {
		_, err := LoadTAESD(path, cpu.F32)
		for _, text := range append(want, path) {
			require.ErrorContains(t, err, text)
		}
	}
}
