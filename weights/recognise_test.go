package weights_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/weights"
)

// TestRecogniseFolder: folders that are no model, or another one, say what they are.
func TestRecogniseFolder(t *testing.T) {
	for config, want := range map[string]string{
		`{"_class_name": "ControlNetModel"}`:               "ControlNet",
		`{"_class_name": "AutoencoderKL"}`:                 "--vae gives it to a model",
		`{"_class_name": "AutoencoderTiny"}`:               "--taesd gives it to a model",
		`{"_class_name": "UNet2DConditionModel"}`:          "a UNet alone",
		`{"architectures": ["CLIPTextModel"]}`:             "a text encoder alone",
		`{"_class_name": "FluxTransformer2DModel"}`:        "Flux",
		`{"_class_name": "SD3Transformer2DModel", "x": 1}`: "Stable Diffusion 3",
		`{}`: "no folder unet/",
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600))
		_, err := weights.OpenModel(dir, weights.Options{})
		require.ErrorContains(t, err, want, config)
	}
	for file, want := range map[string]string{"pytorch_lora_weights.safetensors": "--lora gives it to a model",
		"learned_embeds.bin": "textual inversion"} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), nil, 0o600))
		_, err := weights.OpenModel(dir, weights.Options{})
		require.ErrorContains(t, err, want)
	}
	for config, want := range map[string]string{
		`{"cross_attention_dim": 1024, "use_linear_projection": true}`:      "Stable Diffusion 2.x",
		`{"cross_attention_dim": 2048, "addition_embed_type": "text_time"}`: "SDXL",
	} {
		dir := writeFolder(t, func(files map[string][]byte) { files["unet/config.json"] = []byte(config) })
		_, err := weights.OpenModel(dir, weights.Options{})
		require.ErrorContains(t, err, want)
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	require.NoError(t, os.WriteFile(path, []byte("GGUF\x03\x00\x00\x00 and much more"), 0o600))
	_, err := weights.OpenModel(path, weights.Options{})
	require.ErrorContains(t, err, "a GGUF file, of quantised weights; want the model as .safetensors")
}
