package main

import (
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/weights"
)

// inpaintingSD is a copy of the tiny model whose UNet takes nine channels, as inpainting checkpoints do.
func inpaintingSD(t *testing.T) string {
	t.Helper()
	dir := copySD(t)
	spoil(t, dir, "unet", func(e []weights.Entry) []weights.Entry {
		in := entry(t, e, "conv_in.weight")
		wide := make([]float32, 32*9*9)
		for o := range 32 {
			copy(wide[o*81:], in.Data[o*36:(o+1)*36])
			for i := 36; i < 81; i++ {
				wide[o*81+i] = 0.2 * float32(math.Sin(float64(o*81+i)))
			}
		}
		in.Shape, in.Data = []int{32, 9, 3, 3}, wide
		return e
	})
	config := filepath.Join(dir, "unet", "config.json")
	text, err := os.ReadFile(config)
	require.NoError(t, err)
	text = []byte(strings.Replace(string(text), `"in_channels": 4`, `"in_channels": 9`, 1))
	require.NoError(t, os.WriteFile(config, text, 0o600))
	return dir
}

// TestInpaintingModel: such a model generates, paints in a picture, restores holes and nothing else, and is converted.
func TestInpaintingModel(t *testing.T) {
	model, dir := inpaintingSD(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	start := writePicture(t, at("y.png"), 100, 80)
	mask := image.NewGray(image.Rect(0, 0, 100, 80))
	for y := 20; y < 50; y++ {
		for x := 30; x < 70; x++ {
			mask.SetGray(x, y, color.Gray{Y: 255})
		}
	}
	f, err := os.Create(at("mask.png"))
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, mask))
	require.NoError(t, f.Close())

	must(t, "restore", "--task", "inpaint", "--in", at("y.png"), "--mask", at("mask.png"), "--out", at("x.png"),
		"--model", model, "--steps", "2")
	got := pixels(t, at("x.png"))
	for y := range 80 {
		for x := range 100 {
			i := 3 * (y*100 + x)
			if mask.GrayAt(x, y).Y == 0 {
				require.InDeltaSlice(t, start.Pix[i:i+3], got.Pix[i:i+3], 1e-6)
			}
		}
	}
	for _, task := range []string{"inpaint-box", "inpaint-random"} {
		must(t, "restore", "--task", task, "--in", at("y.png"), "--mask", at("mask.png"), "--out", at("x.png"), "--model",
			model, "--steps", "1")
	}
	message := failure(t, "restore", "--task", "sr4", "--in", at("y.png"), "--out", at("z.png"), "--model", model,
		"--steps", "1")
	require.Contains(t, message, "paints holes")
	require.Contains(t, message, "take task inpaint")

	made := func(args ...string) string {
		must(t, append([]string{"generate", "--steps", "2", "--init", at("y.png"), "--width", "64", "--height", "64",
			"--out", at("g.png")}, args...)...)
		return sum(pixels(t, at("g.png")))
	}
	painted := made("--model", model, "--mask", at("mask.png"))
	require.NotEqual(t, painted, made("--model", model, "--mask", at("mask.png"), "--invert-mask"))
	require.NotEqual(t, painted, made("--model", model))
	made("--model", tinySD(t), "--mask", at("mask.png"))
	require.Contains(t, failure(t, "generate", "--model", model, "--mask", at("mask.png")), "--mask needs --init")
	require.Contains(t, failure(t, "generate", "--model", model, "--init", at("y.png"), "--invert-mask"),
		"--invert-mask needs --mask")

	must(t, "convert", "--in", model, "--out", at("single.safetensors"))
	must(t, "convert", "--in", at("single.safetensors"), "--out", at("folder"))
	text, err := os.ReadFile(at("folder/model_index.json"))
	require.NoError(t, err)
	require.Contains(t, string(text), "StableDiffusionInpaintPipeline")
	must(t, "info", "--model", at("single.safetensors"))
}
