package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/tensor/cpu"
	"psld/vae"
	"psld/weights"
)

// tinySD is the diffusers folder of the tiny random Stable Diffusion, with a vocabulary.
func tinySD(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(golden.Dir(t), "tiny-sd", "diffusers")
	if _, err := os.Stat(filepath.Join(dir, "unet")); err != nil {
		t.Skip("the tiny model is not in this set of golden data: ", err)
	}
	return dir
}

// copySD is a copy of it that may be spoiled.
func copySD(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, os.CopyFS(dir, os.DirFS(tinySD(t))))
	return dir
}

// spoil writes the only weights file of a part of a model again, as change makes it.
func spoil(t *testing.T, model, part string, change func([]weights.Entry) []weights.Entry) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(model, part, "*.safetensors"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	f, err := weights.Open(files[0])
	require.NoError(t, err)
	var entries []weights.Entry
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		data, err := f.Float32(name)
		require.NoError(t, err)
		entries = append(entries, weights.Entry{Name: name, DType: weights.F32, Shape: info.Shape, Data: data})
	}
	require.NoError(t, f.Close())
	require.NoError(t, weights.Write(files[0], change(entries), nil))
}

func entry(t *testing.T, entries []weights.Entry, name string) *weights.Entry {
	t.Helper()
	for i := range entries {
		if entries[i].Name == name {
			return &entries[i]
		}
	}
	t.Fatalf("no tensor %s", name)
	return nil
}

// brokenTensors are what is wrong with the model of brokenSD.
var brokenTensors = []string{
	"mid_block.resnets.0.conv1.weight [64 64 3 3]", "time_embedding.linear_1.bias [128]", // missing in the UNet
	"stranger.weight",                         // unexpected there
	"decoder.conv_in.bias [8 8]",              // of another shape in the VAE
	"text_model.final_layer_norm.weight [32]", // missing in the text encoder
}

// brokenSD is a copy of the tiny model in which several tensors are wrong.
func brokenSD(t *testing.T) string {
	t.Helper()
	dir := copySD(t)
	spoil(t, dir, "unet", func(e []weights.Entry) []weights.Entry {
		entry(t, e, "mid_block.resnets.0.conv1.weight").Name = "stranger.weight"
		last := entry(t, e, "time_embedding.linear_1.bias")
		*last = e[len(e)-1]
		return e[:len(e)-1]
	})
	spoil(t, dir, "vae", func(e []weights.Entry) []weights.Entry {
		entry(t, e, "decoder.conv_in.bias").Shape = []int{8, 8}
		return e
	})
	spoil(t, dir, "text_encoder", func(e []weights.Entry) []weights.Entry {
		last := entry(t, e, "text_model.final_layer_norm.weight")
		*last = e[len(e)-1]
		return e[:len(e)-1]
	})
	return dir
}

// nanTensors hold what is no number in the model of nanSD.
var nanTensors = []string{"conv_in.bias", "decoder.conv_in.weight", "text_model.final_layer_norm.bias"}

// nanSD is a copy of the tiny model with a NaN in each part.
func nanSD(t *testing.T) string {
	t.Helper()
	dir := copySD(t)
	for i, part := range []string{"unet", "vae", "text_encoder"} {
		spoil(t, dir, part, func(e []weights.Entry) []weights.Entry {
			entry(t, e, nanTensors[i]).Data[7] = float32(math.NaN())
			return e
		})
	}
	return dir
}

// writeTAESD saves a small random tiny autoencoder whose latents are 1/8 of the picture's sides, or its
// decoder alone.
func writeTAESD(t *testing.T, path string, encoder bool) {
	t.Helper()
	m := vae.NewTAESD(vae.TAESDConfig{InChannels: 3, LatentChannels: 4, Channels: 8, EncoderBlocks: []int{1, 2, 0, 1},
		DecoderBlocks: []int{2, 1, 0, 1}})
	m.Params.Init(4)
	var entries []weights.Entry
	for _, p := range m.Params.All() {
		if encoder || strings.HasPrefix(p.Name, "decoder.") {
			entries = append(entries, weights.Entry{Name: p.Name, DType: weights.F32, Shape: p.Value.T.Shape,
				Data: p.Value.T.Data})
		}
	}
	require.NoError(t, weights.Write(path, entries, nil))
}

// hubCache makes a Hugging Face cache that holds a model as org/name, and tells the program of it.
func hubCache(t *testing.T, model string) {
	t.Helper()
	cache := t.TempDir()
	repo := filepath.Join(cache, "models--org--name")
	require.NoError(t, os.MkdirAll(filepath.Join(repo, "refs"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(repo, "refs", "main"), []byte("c0ffee"), 0o644))
	require.NoError(t, os.CopyFS(filepath.Join(repo, "snapshots", "c0ffee"), os.DirFS(model)))
	t.Setenv("HF_HUB_CACHE", cache)
}

// keepThreads undoes --threads at the end of the test.
func keepThreads(t *testing.T) {
	n := cpu.SetThreads(0)
	t.Cleanup(func() { cpu.SetThreads(n) })
}

// Every flag that says which model, and with which prompt, when it is wrong.
func TestModelErrors(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	t.Setenv("HF_HUB_CACHE", at("hub"))
	sd := tinySD(t)
	mute := copySD(t) // knows words, but not which
	require.NoError(t, os.RemoveAll(filepath.Join(mute, "tokenizer")))
	require.NoError(t, os.WriteFile(at("garbage.safetensors"), []byte("no weights at all, but long enough for a header"),
		0o644))
	require.NoError(t, os.CopyFS(at("words"), os.DirFS(filepath.Join(sd, "tokenizer"))))
	require.NoError(t, os.WriteFile(at("words/vocab.json"), []byte(`{"a": 0}`), 0o644))
	require.NoError(t, os.Mkdir(at("empty"), 0o755))
	writeTAESD(t, at("taesd.safetensors"), true)
	vpred := copySD(t)
	require.NoError(t, os.WriteFile(filepath.Join(vpred, "scheduler", "scheduler_config.json"),
		[]byte(`{"prediction_type": "v_predict"}`), 0o644))
	xl := copySD(t)
	require.NoError(t, os.WriteFile(filepath.Join(xl, "model_index.json"),
		[]byte(`{"_class_name": "StableDiffusionXLPipeline"}`), 0o644))

	for name, c := range map[string]struct {
		args string
		want []string // in the error
	}{
		"no model":     {"--model " + at("none"), []string{"--model: ", "none: no such file or folder"}},
		"empty folder": {"--model " + at("empty"), []string{"empty", "unet/"}},
		"not in the cache": {"--model org/name@v1", []string{"org/name@v1", "models--org--name", "downloads nothing",
			"hf download org/name --revision v1"}},
		"no weights": {"--model " + at("garbage.safetensors"),
			[]string{"garbage.safetensors: not a valid safetensors file"}},
		"prediction":          {"--model " + vpred, []string{"prediction_type", "v_predict", "want epsilon"}},
		"Stable Diffusion XL": {"--model " + xl, []string{"Stable Diffusion XL", "1.x"}},
		"missing tensors":     {"--model " + brokenSD(t), brokenTensors},
		"NaN":                 {"--model " + nanSD(t), nanTensors},
		"dtype":               {"--dtype f8", []string{`--dtype: precision "f8", want f32, bf16, bf16fast, f32x3 or int8`}},
		"dtype of files": {"--dtype f8 --model " + sd,
			[]string{`--dtype: precision "f8", want f32, bf16, bf16fast, f32x3 or int8`}},
		"variant":           {"--variant fp8 --model " + sd, []string{`--variant "fp8", want fp16, bf16 or non_ema`}},
		"variant not there": {"--variant bf16 --model " + sd, []string{filepath.Join(sd, "unet"), "bf16"}},
		"vae missing":       {"--vae " + at("none") + " --model " + sd, []string{"--vae: ", at("none")}},
		"vae garbage":       {"--vae " + at("garbage.safetensors") + " --model " + sd, []string{"garbage.safetensors"}},
		"vae embedded":      {"--vae " + filepath.Join(sd, "vae"), []string{"no other autoencoder"}},
		"vocab missing":     {"--vocab " + at("none") + " --model " + sd, []string{"--vocab: ", at("none")}},
		"vocab small":       {"--vocab " + at("words") + " --model " + sd, []string{at("words")}},
		"vocab empty":       {"--vocab " + at("empty") + " --model " + sd, []string{at("empty")}},
		"vocab embedded":    {"--vocab " + filepath.Join(sd, "tokenizer"), []string{"knows no prompts"}},
		"taesd missing":     {"--taesd " + at("none"), []string{"--taesd: ", at("none")}},
		"taesd garbage":     {"--taesd " + at("garbage.safetensors"), []string{"garbage.safetensors"}},
		"taesd of another":  {"--taesd " + at("taesd.safetensors"), []string{"taesd.safetensors", "1/8", "1/2"}},
		"prompt embedded":   {"--prompt cat", []string{"--prompt", "knows no prompts"}},
		"negative embedded": {"--negative cat", []string{"--negative", "knows no prompts"}},
		"no vocabulary":     {"--prompt cat --model " + mute, []string{"no vocabulary", "--vocab"}},
		"cfg negative":      {"--cfg -1", []string{"--cfg -1, want more than 0"}},
		"cfg 0":             {"--cfg 0", []string{"--cfg 0, want more than 0"}},
		"cfg NaN":           {"--cfg NaN", []string{"--cfg NaN"}},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.png")
			code, stdout, stderr := start(t, append(strings.Fields("generate --steps 1 --out "+out),
				strings.Fields(c.args)...)...)
			require.Equal(t, 1, code, stderr)
			require.Empty(t, stdout)
			before, message := splitError(t, stderr)
			require.Empty(t, before)
			for _, want := range c.want {
				require.Contains(t, message, want)
			}
			require.NoFileExists(t, out)
		})
	}
}

// Without a vocabulary the empty prompt works; with one by flag all prompts do, and as with the model's own.
func TestVocabulary(t *testing.T) {
	sd, mute, out := tinySD(t), copySD(t), filepath.Join(t.TempDir(), "x.png")
	words := filepath.Join(t.TempDir(), "words")
	require.NoError(t, os.Rename(filepath.Join(mute, "tokenizer"), words))
	small := []string{"generate", "--steps", "1", "--width", "64", "--height", "64", "--no-metadata", "--out", out}
	made := func(args ...string) string {
		must(t, append(small, args...)...)
		return sum(pixels(t, out))
	}
	require.Equal(t, made("--model", sd), made("--model", mute))
	cat := made("--model", sd, "--prompt", "cat")
	require.Equal(t, cat, made("--model", mute, "--vocab", words, "--prompt", "cat"))
	require.NotEqual(t, cat, made("--model", sd))
	require.NotEqual(t, cat, made("--model", sd, "--prompt", "cat", "--negative", "dog"))
	require.NotEqual(t, cat, made("--model", sd, "--prompt", "cat", "--cfg", "1"))
	require.Equal(t, cat, made("--model", sd, "--prompt", "cat", "--emphasis"))
	require.NotEqual(t, cat, made("--model", sd, "--prompt", "(cat:1.5)", "--emphasis"))

	// Other files of the same model.
	require.Equal(t, cat, made("--model", sd, "--prompt", "cat", "--variant", "fp16", "--vae", filepath.Join(sd, "vae")))
	hubCache(t, sd)
	require.Equal(t, cat, made("--model", "org/name", "--prompt", "cat"))
	require.Equal(t, cat, made("--model", "org/name@c0ffee", "--prompt", "cat"))

	// bfloat16 products are close, and not the same.
	f32 := pixels(t, out).Pix
	require.NotEqual(t, cat, made("--model", sd, "--prompt", "cat", "--dtype", "bf16"))
	require.Less(t, golden.RelL2(pixels(t, out).Pix, f32), 0.15)

	// Brackets are no weights without --emphasis, and what is too long is cut with a warning.
	require.NotEqual(t, made("--model", sd, "--prompt", "(cat:1.5)"),
		made("--model", sd, "--prompt", "(cat:1.5)", "--emphasis"))
	long := strings.Repeat("a ", 100) // one token each
	_, log := must(t, append(small, "--model", sd, "--prompt", long)...)
	require.Contains(t, log, fmt.Sprintf("warning   the prompt is %d tokens too long", 100-75))
	_, log = must(t, append(small, "--model", sd, "--prompt", long, "--emphasis")...)
	require.NotContains(t, log, "warning")
}
