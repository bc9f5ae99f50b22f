package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/weights"
)

// TestLoRA: --lora changes what is made, its weight counts, convert merges it for good, and weight 0 is none of it.
func TestLoRA(t *testing.T) {
	model, dir := tinySD(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	half := func(name string, shape ...int) weights.Entry {
		x := make([]float32, shape[0]*shape[1])
		for i := range x {
			x[i] = float32(math.Sin(float64(i)))
		}
		return weights.Entry{Name: "unet.mid_block.attentions.0.proj_in." + name, DType: weights.F32, Shape: shape, Data: x}
	}
	require.NoError(t, weights.Write(at("l.safetensors"), []weights.Entry{half("lora_A.weight", 4, 64),
		half("lora_B.weight", 64, 4)}, nil))
	made := func(args ...string) string {
		_, log := must(t, append([]string{"generate", "--width", "64", "--height", "64", "--steps", "2", "--out",
			at("x.png")}, args...)...)
		if len(args) > 2 {
			require.Contains(t, log, "lora      l.safetensors: 1 layers")
		}
		return sum(pixels(t, at("x.png")))
	}
	plain := made("--model", model)
	full := made("--model", model, "--lora", at("l.safetensors"))
	require.NotEqual(t, plain, full)
	require.Equal(t, plain, made("--model", model, "--lora", at("l.safetensors")+":0"))
	require.Equal(t, full, made("--model", model, "--lora", at("l.safetensors")+":1"))
	require.NotEqual(t, full, made("--model", model, "--lora", at("l.safetensors")+":0.5"))
	twice := made("--model", model, "--lora", at("l.safetensors")+":0.5", "--lora", at("l.safetensors")+":0.5")
	require.NotEqual(t, plain, twice)

	must(t, "convert", "--in", model, "--lora", at("l.safetensors"), "--dtype", "f32", "--out", at("merged"))
	require.Equal(t, full, made("--model", at("merged")))

	writePicture(t, at("y.png"), 64, 64)
	_, log := must(t, "restore", "--task", "sr4", "--in", at("y.png"), "--out", at("z.png"), "--model", model, "--steps",
		"1", "--lora", at("l.safetensors"))
	require.Contains(t, log, "lora      l.safetensors")

	require.Contains(t, failure(t, "generate", "--model", model, "--lora", at("none")), "--lora: ")
	require.Contains(t, failure(t, "generate", "--model", model, "--lora", at("l.safetensors")+":much"),
		`weight "much" is no number`)
	require.Contains(t, failure(t, "generate", "--lora", at("l.safetensors")), "takes no LoRA")
	require.Contains(t, failure(t, "generate", "--model", at("l.safetensors")), "--lora gives it to a model")
	require.Contains(t, failure(t, "restore", "--task", "sr4", "--in", at("y.png"), "--out", at("z.png"), "--method",
		"tv", "--lora", at("l.safetensors")), "--lora has no meaning")
}

// TestParseLoRA: a colon may be part of the name.
func TestParseLoRA(t *testing.T) {
	colon := filepath.Join(t.TempDir(), "a:1")
	require.NoError(t, os.WriteFile(colon, nil, 0o600))
	for text, want := range map[string]weights.LoRA{"a": {Path: "a", Weight: 1}, "a:0.5": {Path: "a", Weight: 0.5},
		"a:-1": {Path: "a", Weight: -1}, `C:\dir\a`: {Path: `C:\dir\a`, Weight: 1}, `C:\a:2`: {Path: `C:\a`, Weight: 2},
		colon: {Path: colon, Weight: 1}, colon + ":3": {Path: colon, Weight: 3}} {
		got, err := parseLoRA(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "a:", "a:x", "a:NaN", "a:Inf"} {
		_, err := parseLoRA(text)
		require.Error(t, err, text)
	}
}
