package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld"
	"psld/psld/client"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/server"
)

// sameWithLike runs the command again with --like its result, and wants the same bits and settings.
func sameWithLike(t *testing.T, result string, args ...string) {
	t.Helper()
	again := filepath.Join(t.TempDir(), "again.png")
	must(t, append(args, "--like", result, "--out", again)...)
	require.Equal(t, sum(pixels(t, result)), sum(pixels(t, again)))
	require.Equal(t, pngTexts(t, result), pngTexts(t, again))
}

// TestRestoreLike: the settings of a result make it again, whatever the user's defaults are then.
func TestRestoreLike(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writePicture(t, at("in.png"), 24, 20)
	model := writeModel(t, nil)
	in := []string{"restore", "--in", at("in.png")}
	with := func(more ...string) []string { return append(in[:len(in):len(in)], more...) }

	must(t, with("--task", "denoise", "--method", "psld", "--model", model, "--steps", "2", "--gamma", "0.3", "--seed",
		"7", "--sigma", "12/255", "--out", at("psld.png"))...)
	var r psld.Record
	require.NoError(t, json.Unmarshal([]byte(pngTexts(t, at("psld.png"))["psld"]), &r))
	require.Equal(t, map[string]string{"task": "denoise", "method": "psld", "steps": "2", "gamma": "0.3", "seed": "7",
		"sigma": "12/255"}, r.Flags)
	require.Equal(t, map[string]string{"model": filepath.Base(model)}, r.Files)
	sameWithLike(t, at("psld.png"), with("--model", model)...)
	require.Contains(t, failure(t, with("--like", at("psld.png"), "--out", at("x.png"))...), "give --model")
	must(t, with("--like", at("psld.png"), "--out", at("x.png"), "--model", model, "--seed", "8")...) // flags win
	require.NotEqual(t, sum(pixels(t, at("psld.png"))), sum(pixels(t, at("x.png"))))
	require.Contains(t, pngTexts(t, at("x.png"))["parameters"], "Seed: 8,")

	must(t, with("--task", "deblur-gaussian", "--kernel-std", "1.5", "--method", "tv", "--out", at("tv.png"))...)
	t.Setenv("PSLD_SEED", "9")
	t.Setenv("PSLD_DTYPE", "bf16")
	sameWithLike(t, at("tv.png"), in...)
	sameWithLike(t, at("psld.png"), with("--model", model)...) // in f32
	must(t, with("--task", "denoise", "--method", "psld", "--model", model, "--steps", "2", "--out", at("bf16.png"))...)
	t.Setenv("PSLD_DTYPE", "")
	t.Setenv("PSLD_SEED", "")
	sameWithLike(t, at("bf16.png"), with("--model", model)...)

	writePicture(t, at("long.png"), 600, 24)
	long := []string{"restore", "--in", at("long.png"), "--model", model}
	must(t, append(long, "--task", "denoise", "--method", "psld", "--steps", "2", "--raw", "--windows", "--out",
		at("parts.png"))...)
	sameWithLike(t, at("parts.png"), append(long, "--max-mem", "99GiB")...)
	must(t, append(long, "--like", at("parts.png"), "--windows=false", "--out", at("whole.png"))...)
	require.NotEqual(t, sum(pixels(t, at("parts.png"))), sum(pixels(t, at("whole.png"))))

	out := at("many")
	must(t, "restore", "--in", at("in.png")+","+at("tv.png"), "--like", at("bf16.png"), "--model", model, "--out", out)
	require.Equal(t, sum(pixels(t, at("bf16.png"))), sum(pixels(t, filepath.Join(out, "in.png"))))
}

func TestLikeErrors(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]picture.Text{
		"none":    {Key: "other", Value: "x"},
		"broken":  {Key: "psld", Value: "{"},
		"evil":    {Key: "psld", Value: `{"command":"restore","flags":{"save-state":"/tmp/x"}}`},
		"model":   {Key: "psld", Value: `{"command":"restore","flags":{"model":"/tmp/x"}}`},
		"unknown": {Key: "psld", Value: `{"command":"restore","flags":{"depth":"7"}}`},
		"value":   {Key: "psld", Value: `{"command":"restore","flags":{"steps":"many"}}`},
		"other":   {Key: "psld", Value: `{"command":"generate"}`},
		"mask":    {Key: "psld", Value: `{"command":"restore","flags":{"task":"inpaint"},"files":{"mask":"m.png"}}`},
		"a1111":   {Key: "parameters", Value: "a cat\nSteps: 20, Sampler: UniPC, Seed: 1"},
		"prose":   {Key: "parameters", Value: "a cat"},
	} {
		require.NoError(t, picture.Save(at(name+".png"), picture.New(16, 16), text))
	}
	like := func(verb, name string) string {
		return failure(t, verb, "--in", at("none.png"), "--out", at("x.png"), "--like", at(name+".png"))
	}
	generated := func(name string) string {
		return failure(t, "generate", "--out", at("x.png"), "--like", at(name+".png"))
	}
	require.Contains(t, like("restore", "none"), "holds no settings of psld restore")
	require.Contains(t, like("restore", "a1111"), "holds no settings of psld restore")
	require.Contains(t, like("restore", "broken"), "holds no settings")
	require.Contains(t, like("restore", "evil"), `setting "save-state", which no picture`)
	require.Contains(t, like("restore", "model"), `setting "model", which no picture`)
	require.Contains(t, like("restore", "unknown"), `setting "depth", which no picture`)
	require.Contains(t, like("restore", "value"), `steps "many"`)
	require.Contains(t, like("restore", "other"), "made by psld generate")
	require.Contains(t, like("restore", "mask"), "give --mask")
	require.Contains(t, like("restore", "gone"), "gone.png")
	require.Contains(t, generated("a1111"), `sampler "UniPC" is not there`)
	require.Contains(t, generated("prose"), "no line of settings")
	require.NoFileExists(t, at("x.png"))
}

// TestServerLike: the command makes the server's result.
func TestServerLike(t *testing.T) {
	dir, model := t.TempDir(), writeModel(t, nil)
	at := func(name string) string { return filepath.Join(dir, name) }
	writePicture(t, at("in.png"), 520, 20)
	s, err := server.New(server.Options{Data: at("data"), Version: "test", Models: []server.Model{{
		Model: client.Model{Name: "tiny", Kind: "latent"},
		Open: func(ctx context.Context, _ bool) (prior.Prior, error) {
			return prior.OpenAny(ctx, model, prior.Options{Windows: true}, false)
		}}}})
	require.NoError(t, err)
	h := httptest.NewServer(s.Handler())
	defer h.Close()
	defer func() { require.NoError(t, s.Close(context.Background())) }()
	c := &client.Client{URL: h.URL}
	y, err := os.ReadFile(at("in.png"))
	require.NoError(t, err)
	j, err := c.Create(t.Context(), client.Input{Picture: bytes.NewReader(y)}, client.JobOptions{Task: "deblur-gaussian",
		KernelStd: 1.25, Method: "psld", Seed: 3, Params: param.Values{"steps": 3, "sample_encoder": true}})
	require.NoError(t, err)
	j, err = c.Wait(t.Context(), j.ID, nil)
	require.NoError(t, err)
	require.Equal(t, client.Done, j.State, j.Error)
	var result bytes.Buffer
	require.NoError(t, c.Picture(t.Context(), &result, j.ID, "result", 0))
	require.NoError(t, os.WriteFile(at("result.png"), result.Bytes(), 0o644))
	must(t, "restore", "--in", at("in.png"), "--like", at("result.png"), "--model", model, "--out", at("x.png"))
	require.Equal(t, sum(pixels(t, at("result.png"))), sum(pixels(t, at("x.png"))))
}

func TestGenerateLike(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, "generate", "--steps", "2", "--sampler", "ddim", "--eta", "0.5", "--seed", "5", "--batch", "2", "--out",
		at("x.png"))
	sameWithLike(t, at("x-6.png"), "generate")
	texts := pngTexts(t, at("x-6.png"))
	require.NoError(t, picture.Save(at("parameters.png"), pixels(t, at("x-6.png")),
		picture.Text{Key: "parameters", Value: texts["parameters"]}))
	must(t, "generate", "--like", at("parameters.png"), "--out", at("again.png")) // by that text alone
	require.Equal(t, sum(pixels(t, at("x-6.png"))), sum(pixels(t, at("again.png"))))

	must(t, "generate", "--steps", "2", "--prompt", "A (cat)\nat home", "--negative", "dog, blurry", "--cfg", "6.5",
		"--sampler", "dpm++2m_karras", "--width", "64", "--height", "128", "--model", tinySD(t), "--out", at("sd.png"))
	sameWithLike(t, at("sd.png"), "generate", "--model", tinySD(t))
}

// TestParameters reads what AUTOMATIC1111's program writes.
func TestParameters(t *testing.T) {
	r, left, err := parseParameters("a (red:1.2) fox, snow\nsecond line\nNegative prompt: blurry,\nugly\nSteps: 30, " +
		"Sampler: DPM++ 2M, Schedule type: Automatic, CFG scale: 7, Seed: 123, Size: 512x768, Model hash: 6ce0161689, " +
		`Model: "v1, 5: pruned", Clip skip: 2, Lora hashes: "a: 12, b: 34", Version: v1.10.1`)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"prompt": "a (red:1.2) fox, snow\nsecond line", "negative": "blurry,\nugly",
		"steps": "30", "sampler": "dpm++2m_karras", "cfg": "7", "seed": "123", "width": "512", "height": "768",
		"rng": "cuda", "emphasis": "true"}, r.Flags)
	require.Equal(t, map[string]string{"model": "v1, 5: pruned"}, r.Files)
	require.Equal(t, []string{"Clip skip: 2", "Lora hashes: a: 12, b: 34"}, left)
	for text, want := range map[string]string{"Euler a": "euler_a", "DPM++ 2M Karras": "dpm++2m_karras", "DDIM": "ddim",
		"Euler, Schedule type: Karras": "euler_karras", "Euler, Schedule type: Automatic": "euler"} {
		r, _, err := parseParameters("Steps: 20, Sampler: " + text)
		require.NoError(t, err)
		require.Equal(t, want, r.Flags["sampler"])
	}
	r, _, err = parseParameters("Steps: 20, Denoising strength: 0.6, RNG: CPU")
	require.NoError(t, err)
	require.Equal(t, "0.6", r.Flags["strength"])
	require.Equal(t, "torch", r.Flags["rng"])
	require.NotEmpty(t, r.Files["init"])
}

// FuzzParameters: no text may panic.
func FuzzParameters(f *testing.F) {
	f.Add("a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Size: 64x64, Model: \"a, b\", Seed: 1")
	f.Fuzz(func(t *testing.T, text string) {
		r, _, err := parseParameters(text)
		require.Equal(t, r == nil, err != nil)
	})
}

// TestInfoPicture shows what a PNG holds.
func TestInfoPicture(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.png")
	require.NoError(t, picture.Save(path, picture.New(24, 16), picture.Text{Key: "parameters",
		Value: "a \x1b[31mcat\nSteps: 20"}))
	out, _ := must(t, "info", path)
	require.Contains(t, out, "24x16 pixels")
	require.Contains(t, out, "8 bits a channel, grey")
	require.Contains(t, out, "text       parameters\n           a \uFFFD[31mcat\n           Steps: 20\n")
	out, _ = must(t, "info", filepath.Join("..", "..", "psld", "picture", "testdata", "icc.png"))
	require.Contains(t, out, "profile    sRGB built-in")
	require.Contains(t, failure(t, "info", dir), "is a folder")
	require.Contains(t, failure(t, "info", filepath.Join(dir, "none.png")), "none.png")
}
