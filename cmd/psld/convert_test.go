package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/weights"
)

// stored is all floating-point tensors of a model's files: under "part/name" for a folder, under
// their names for a single file.
func stored(t *testing.T, model string) (tensors map[string][]float32, shapes map[string][]int,
	types map[weights.DType]int) {
	t.Helper()
	files := map[string]string{model: ""}
	if st, err := os.Stat(model); err == nil && st.IsDir() {
		files = map[string]string{}
		for _, part := range []string{"unet/", "vae/", "text_encoder/"} {
			found, err := filepath.Glob(filepath.Join(model, part, "*.safetensors"))
			require.NoError(t, err)
			require.Len(t, found, 1)
			files[found[0]] = part
		}
	}
	tensors, shapes, types = map[string][]float32{}, map[string][]int{}, map[weights.DType]int{}
	for file, part := range files {
		f, err := weights.Open(file)
		require.NoError(t, err)
		for _, name := range f.Names() {
			info, _ := f.Info(name)
			if info.DType == weights.I64 { // position_ids
				continue
			}
			tensors[part+name], err = f.Float32(name)
			require.NoError(t, err)
			shapes[part+name] = info.Shape
			types[info.DType]++
		}
		require.NoError(t, f.Close())
	}
	return tensors, shapes, types
}

// bfloat16 rounds to the nearest number with 8 bits of mantissa, to even in the middle.
func bfloat16(v float32) float32 {
	b := math.Float32bits(v)
	return math.Float32frombits((b + 0x7fff + b>>16&1) &^ 0xffff)
}

// TestConvert goes from folder to single file and back. Names and shapes of the single file are those of
// golden data; its numbers those of the folder, all of which float16 holds exactly.
func TestConvert(t *testing.T) {
	sd := tinySD(t)
	var mapping []struct {
		CompVis   string
		Folder    string `json:"diffusers_folder"`
		Diffusers string
		Shape     []int
	}
	golden.JSON(t, filepath.Join(golden.Dir(t), "tiny-sd", "mapping.json"), &mapping)
	original, shapes, _ := stored(t, sd)
	for dtype, want := range map[string]weights.DType{"": weights.F16, "f32": weights.F32, "f16": weights.F16,
		"bf16": weights.BF16} {
		t.Run(dtype, func(t *testing.T) {
			dir := t.TempDir()
			single, folder := filepath.Join(dir, "single.safetensors"), filepath.Join(dir, "sd-v1.5")
			var flags []string
			if dtype != "" {
				flags = []string{"--dtype", dtype}
			}
			stdout, log := must(t, append([]string{"convert", "--in", sd, "--out", single}, flags...)...)
			require.Contains(t, stdout, "wrote "+single+" (compvis layout, ")
			require.Less(t, strings.Count(log, "\n"), 20, log) // progress is not told for every tensor
			got, gotShapes, types := stored(t, single)
			require.Equal(t, map[weights.DType]int{want: len(original)}, types)
			require.Len(t, got, len(original))
			for _, m := range mapping {
				name := m.Folder + m.Diffusers
				if m.Folder == "" || original[name] == nil {
					continue // schedule, position_ids
				}
				require.Equal(t, m.Shape, gotShapes[m.CompVis], m.CompVis)
				for i, v := range original[name] {
					if dtype == "bf16" {
						v = bfloat16(v)
					}
					if got[m.CompVis][i] != v {
						t.Fatalf("%s[%d] is %g, want %g", m.CompVis, i, got[m.CompVis][i], v)
					}
				}
			}

			stdout, _ = must(t, append([]string{"convert", "--in", single, "--out", folder}, flags...)...)
			require.Contains(t, stdout, "wrote "+folder+" (diffusers layout) in ")
			back, backShapes, types := stored(t, folder)
			require.Equal(t, map[weights.DType]int{want: len(original)}, types)
			require.Equal(t, shapes, backShapes)
			if dtype == "bf16" {
				for _, data := range original {
					for i, v := range data {
						data[i] = bfloat16(v)
					}
				}
				defer func() { original, _, _ = stored(t, sd) }()
			}
			require.Len(t, back, len(original))
			for name, data := range original {
				require.True(t, slices.Equal(data, back[name]), name)
			}
		})
	}
}

// TestConvertCopies: what goes with the weights goes along, and the copy is the same model.
func TestConvertCopies(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	sd := tinySD(t)
	hubCache(t, sd)
	must(t, "convert", "--in", "org/name", "--variant", "fp16", "--out", at("copy")+"/")
	for _, name := range []string{"model_index.json", "scheduler/scheduler_config.json", "unet/config.json",
		"tokenizer/vocab.json", "tokenizer/merges.txt"} {
		want, err := os.ReadFile(filepath.Join(sd, name))
		require.NoError(t, err)
		got, err := os.ReadFile(at("copy/" + name))
		require.NoError(t, err)
		if filepath.Base(filepath.Dir(name)) == "tokenizer" {
			require.True(t, bytes.Equal(want, got), name)
			continue
		}
		var a, b map[string]any
		require.NoError(t, json.Unmarshal(want, &a), name)
		require.NoError(t, json.Unmarshal(got, &b), name)
		for key := range a {
			if name != "model_index.json" && !strings.HasPrefix(key, "_") {
				require.Equal(t, a[key], b[key], "%s: %s", name, key)
			}
		}
	}
	for _, model := range []string{sd, at("copy")} {
		must(t, "generate", "--model", model, "--prompt", "cat", "--steps", "1", "--width", "64", "--height", "64",
			"--out", at(filepath.Base(model)+".png"))
	}
	require.Equal(t, sum(pixels(t, at("diffusers.png"))), sum(pixels(t, at("copy.png"))))

	require.NoError(t, os.Mkdir(at("empty"), 0o755)) // is taken
	must(t, "convert", "--in", sd, "--out", at("empty"), "--layout", "diffusers")
}

func TestConvertErrors(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	t.Setenv("HF_HUB_CACHE", at("hub"))
	sd := tinySD(t)
	single := at("single.safetensors")
	must(t, "convert", "--in", sd, "--out", single)
	whole, err := os.ReadFile(single)
	require.NoError(t, err)
	for name, data := range map[string][]byte{
		"cut.safetensors": whole[:len(whole)-1000], "head.safetensors": whole[:5000], "empty.ckpt": nil,
		"text.ckpt": []byte("no weights, but a text of some length"),
	} {
		require.NoError(t, os.WriteFile(at(name), data, 0o644))
	}
	huge := copySD(t)
	spoil(t, huge, "unet", func(e []weights.Entry) []weights.Entry {
		entry(t, e, "conv_in.bias").Data[0] = 1e6
		return e
	})
	require.NoError(t, os.Mkdir(at("full"), 0o755))
	require.NoError(t, os.WriteFile(at("full/file"), nil, 0o644))
	before, err := os.ReadDir(dir)
	require.NoError(t, err)
	from := func(model, rest string) string { return "--in " + model + " " + rest }
	for name, c := range map[string]struct {
		flags string
		want  []string
	}{
		"nothing":       {"", []string{"--in and --out are needed"}},
		"no input":      {"--out " + at("x"), []string{"--in and --out are needed"}},
		"no such input": {from(at("none"), "--out "+at("x")), []string{"--in: ", "none: no such file"}},
		"not in cache":  {from("org/name", "--out "+at("x")), []string{"--in: org/name", "hf download org/name"}},
		"dtype":         {from(sd, "--dtype f8 --out "+at("x")), []string{`--dtype "f8", want f32, f16 or bf16`}},
		"variant":       {from(sd, "--variant f8 --out "+at("x")), []string{`--variant "f8", want`}},
		"layout": {from(sd, "--layout onnx --out "+at("x")),
			[]string{`--layout "onnx", want compvis or diffusers`}},
		"folder wanted": {from(sd, "--layout diffusers --out "+at("x.safetensors")),
			[]string{"x.safetensors: want a folder"}},
		"file wanted": {from(sd, "--layout compvis --out "+at("x")), []string{"want a .safetensors file"}},
		"ckpt": {from(sd, "--out "+at("x.ckpt")),
			[]string{"x.ckpt: want a folder for the diffusers layout, a .safetensors file"}},
		"misspelt":         {from(sd, "--out "+at("x.safetensor")), []string{"a .safetensors file"}},
		"folder is full":   {from(sd, "--out "+at("full")), []string{"--out " + at("full") + ": the folder is not empty"}},
		"folder is file":   {from(sd, "--out "+at("full/file")), []string{"--out " + at("full/file") + " is not a folder"}},
		"no room":          {from(sd, "--out "+at("none/x")), []string{"--out " + at("none/x") + " cannot be written"}},
		"no room for file": {from(sd, "--out "+at("none/x.safetensors")), []string{"cannot be written"}},
		"onto itself":      {from(single, "--out "+single), []string{"would overwrite an input"}},
		"cut": {from(at("cut.safetensors"), "--out "+at("x")),
			[]string{"--in: ", "cut.safetensors", "truncated"}},
		"cut in the head": {from(at("head.safetensors"), "--out "+at("x")), []string{"head.safetensors", "truncated"}},
		"empty":           {from(at("empty.ckpt"), "--out "+at("x")), []string{"empty.ckpt"}},
		"text":            {from(at("text.ckpt"), "--out "+at("x")), []string{"text.ckpt"}},
		"trained":         {from(writeModel(t, nil), "--out "+at("x")), []string{"--in: ", "unet/"}},
		"broken":          {from(brokenSD(t), "--out "+at("x")), brokenTensors},
		"NaN":             {from(nanSD(t), "--out "+at("x.safetensors")), nanTensors},
		"beyond float16":  {from(huge, "--dtype f16 --out "+at("x")), []string{"conv_in.bias", "1e+06"}},
	} {
		t.Run(name, func(t *testing.T) {
			message := failure(t, append([]string{"convert"}, strings.Fields(c.flags)...)...)
			for _, want := range c.want {
				require.Contains(t, message, want)
			}
		})
	}
	after, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint(before), fmt.Sprint(after), "files left behind")
}

// TestConvertStop: Ctrl-C in the middle leaves nothing behind.
func TestConvertStop(t *testing.T) {
	for _, out := range []string{"x.safetensors", "folder"} {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		log := &writer{text: "MB 2/", cancel: cancel}
		var stdout bytes.Buffer
		require.Equal(t, 130, run(ctx, []string{"convert", "--in", tinySD(t), "--out", filepath.Join(dir, out)}, &stdout,
			log))
		require.Empty(t, stdout.String())
		require.Contains(t, log.String(), "psld: stopped, nothing was written\n")
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left)
	}
}
