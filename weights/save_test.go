package weights_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/weights"
)

var ctx = context.Background()

// openModel opens a model for the length of the test.
func openModel(t *testing.T, path string, opts weights.Options) *weights.Model {
	t.Helper()
	m, err := weights.OpenModel(path, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// requireSameTypes compares the stored types of two models.
func requireSameTypes(t *testing.T, want, got *weights.Model) {
	t.Helper()
	for _, p := range parts {
		for _, name := range part(want, p).Names() {
			a, _ := part(want, p).Info(name)
			b, _ := part(got, p).Info(name)
			require.Equal(t, a.DType, b.DType, "%s/%s", p, name)
		}
	}
}

// A folder becomes a single file and a folder again, with the same bits in it,
// and the single file has the published names and shapes.
func TestSaveRoundTrip(t *testing.T) {
	for _, folder := range golden.Folders(t, "tiny-sd") {
		source := golden.Model(t, folder)
		single := filepath.Join(t.TempDir(), "model.safetensors")
		var last, total int64
		calls := 0
		progress := func(done, all int64) {
			require.Greater(t, done, last)
			last, total = done, all
			calls++
		}
		require.NoError(t, weights.SaveSingle(ctx, single, source, weights.SaveOptions{Progress: progress}))
		require.Equal(t, total, last)
		require.Equal(t, len(source.UNet.Names())+len(source.VAE.Names())+len(source.TextEncoder.Names()), calls)

		f := golden.Load(t, single)
		require.Equal(t, map[string]string{"format": "pt"}, f.Metadata())
		want := map[string][]int{}
		for _, r := range mapping(t, folder) {
			if r.Part != "" {
				want[r.CompVis] = r.Shape
			}
		}
		const positions = "cond_stage_model.transformer.text_model.embeddings.position_ids"
		require.Contains(t, want, positions)
		require.NoError(t, weights.Check(weights.NewSet(f), want))
		for name, shape := range want { // Check takes [C, C] for [C, C, 1, 1]
			info, _ := f.Info(name)
			require.Equal(t, shape, info.Shape, name)
		}
		ids, err := f.Int64(positions)
		require.NoError(t, err)
		require.Len(t, ids, 77)
		require.Equal(t, []int64{0, 1, 76}, []int64{ids[0], ids[1], ids[76]})

		opts := weights.Options{Heads: 4, TextHeads: 4}
		back := openModel(t, single, opts)
		requireSameModel(t, source, back, parts...)
		requireSameTypes(t, source, back)

		dir := filepath.Join(t.TempDir(), "folder")
		require.NoError(t, weights.SaveDiffusers(ctx, dir, back, weights.SaveOptions{}))
		again := openModel(t, dir, weights.Options{})
		requireSameModel(t, source, again, parts...)
		requireSameTypes(t, source, again)
		for _, p := range parts {
			for _, name := range part(source, p).Names() {
				a, _ := part(source, p).Info(name)
				b, _ := part(again, p).Info(name)
				require.Equal(t, a.Shape, b.Shape, name)
			}
		}
		// The file knew no tokenizer and no scheduler: the folder says so, and has SD 1.5's.
		require.FileExists(t, filepath.Join(dir, "README.md"))
		var got, stored map[string]any
		golden.JSON(t, filepath.Join(dir, "scheduler", "scheduler_config.json"), &got)
		require.NoError(t, json.Unmarshal(source.Scheduler, &stored))
		for key, v := range stored {
			if key != "_diffusers_version" {
				require.Equal(t, v, got[key], key)
			}
		}

		// From a folder both are kept.
		kept := filepath.Join(t.TempDir(), "kept")
		require.NoError(t, os.Mkdir(kept, 0o755)) // an empty one is taken
		require.NoError(t, weights.SaveDiffusers(ctx, kept, source, weights.SaveOptions{DType: weights.F16}))
		require.NoFileExists(t, filepath.Join(kept, "README.md"))
		requireSameModel(t, source, openModel(t, kept, weights.Options{}), parts...) // all values are F16's
		for _, name := range []string{"vocab.json", "merges.txt", "tokenizer_config.json"} {
			a, err := os.ReadFile(filepath.Join(source.TokenizerDir, name))
			require.NoError(t, err)
			b, err := os.ReadFile(filepath.Join(kept, "tokenizer", name))
			require.NoError(t, err)
			require.True(t, bytes.Equal(a, b), name)
		}
	}
}

// The shapes of all tensors of full size in either layout.
func TestFileShapes(t *testing.T) {
	compvis := keyRows(t, "compvis.json")
	names := weights.NewNames(weights.SD15)
	for part, file := range map[string]string{
		weights.UNetPart: "diffusers_unet.json", weights.VAEPart: "diffusers_vae.json",
		weights.TextPart: "diffusers_text_encoder.json",
	} {
		for name, shape := range keyRows(t, file) {
			cv, ok := names.CompVis(part, name)
			require.True(t, ok, name)
			require.Equal(t, compvis[cv], weights.FileShape(name, shape, true), name)
			require.Equal(t, shape, weights.FileShape(name, compvis[cv], false), name)
			require.Equal(t, shape, weights.FileShape(name, shape, false), name)
		}
	}
}

func TestSaveTypes(t *testing.T) {
	m := golden.Model(t, golden.Kind(t, "tiny-sd"))
	for d, size := range map[weights.DType]int64{weights.F32: 4, weights.F16: 2, weights.BF16: 2} {
		path := filepath.Join(t.TempDir(), "m.safetensors")
		require.NoError(t, weights.SaveSingle(ctx, path, m, weights.SaveOptions{DType: d}))
		saved := openModel(t, path, weights.Options{})
		for i, p := range saved.Summary().Parts {
			require.Equal(t, map[weights.DType]int{d: p.Tensors}, p.DTypes)
			require.Equal(t, int64(p.Params)*size, p.Bytes)
			require.Equal(t, []string{path}, p.Files)
			require.Equal(t, m.Summary().Parts[i].Params, p.Params)
			require.Equal(t, m.Summary().Parts[i].Class, p.Class)
		}
		if d != weights.BF16 {
			requireSameModel(t, m, saved, parts...)
			continue
		}
		const name = "conv_in.weight"
		info, _ := m.UNet.Info(name)
		a, err := m.UNet.Tensor(name, info.Shape)
		require.NoError(t, err)
		b, err := saved.UNet.Tensor(name, info.Shape)
		require.NoError(t, err)
		for i := range a { // 8 bits of mantissa, to nearest
			require.InDelta(t, a[i], b[i], math.Abs(float64(a[i]))/256)
		}
	}
}

// spoiled is a small model, as a single file, with some of its tensors changed.
func spoiled(t *testing.T, change func(name string, data []float32)) *weights.Model {
	t.Helper()
	m := golden.Model(t, golden.Kind(t, "tiny-sd"))
	path := filepath.Join(t.TempDir(), "spoiled.safetensors")
	require.NoError(t, weights.SaveSingle(ctx, path, m, weights.SaveOptions{DType: weights.F32}))
	f := golden.Load(t, path)
	var entries []weights.Entry
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		e := weights.Entry{Name: name, DType: info.DType, Shape: info.Shape}
		var err error
		if info.DType == weights.F32 {
			e.Data, err = f.Float32(name)
			change(name, e.Data)
		} else {
			e.Raw, err = f.Bytes(name)
		}
		require.NoError(t, err)
		entries = append(entries, e)
	}
	require.NoError(t, weights.Write(path+".2", entries, nil))
	return openModel(t, path+".2", weights.Options{})
}

// What cannot be saved is an error that names every tensor, and leaves nothing.
func TestSaveErrors(t *testing.T) {
	nan := spoiled(t, func(name string, data []float32) {
		switch {
		case strings.HasSuffix(name, "time_embed.0.bias"):
			data[3], data[5] = float32(math.NaN()), float32(math.Inf(1))
		case strings.HasSuffix(name, "decoder.conv_in.weight"), strings.HasSuffix(name, "final_layer_norm.bias"):
			data[0] = float32(math.Inf(-1))
		}
	})
	large := spoiled(t, func(name string, data []float32) {
		if strings.HasSuffix(name, "post_quant_conv.bias") {
			data[1] = 7e4
		}
	})
	stopped, stop := context.WithCancel(ctx)
	stop()
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	require.NoError(t, os.MkdirAll(filepath.Join(full, "x"), 0o755))
	save := map[string]func(context.Context, string, *weights.Model, weights.SaveOptions) error{
		"single": weights.SaveSingle, "folder": weights.SaveDiffusers,
	}
	for kind, save := range save {
		for _, c := range []struct {
			name string
			err  error
			want []string
		}{
			{"nan", save(ctx, filepath.Join(dir, "a"), nan, weights.SaveOptions{}), []string{
				`"time_embedding.linear_1.bias" holds NaN at element 3 (2 of its 128 values are NaN or infinite)`,
				`"decoder.conv_in.weight" holds -Inf at element 0`,
				`"text_model.final_layer_norm.bias" holds -Inf`}},
			{"too large", save(ctx, filepath.Join(dir, "b"), large, weights.SaveOptions{DType: weights.F16}),
				[]string{"post_quant_conv.bias", "70000 does not fit F16"}},
			{"stopped", save(stopped, filepath.Join(dir, "c"), large, weights.SaveOptions{}),
				[]string{context.Canceled.Error()}},
			{"type", save(ctx, filepath.Join(dir, "d"), large, weights.SaveOptions{DType: weights.I64}),
				[]string{`dtype "I64": want F32, F16, BF16`}},
		} {
			for _, want := range c.want {
				require.ErrorContains(t, c.err, want, "%s %s", kind, c.name)
			}
		}
	}
	require.ErrorContains(t, weights.SaveDiffusers(ctx, full, large, weights.SaveOptions{}), "not empty")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1) // full

	require.NoError(t, large.CheckValues(ctx))
	err = nan.CheckValues(ctx)
	require.ErrorContains(t, err, "time_embedding.linear_1.bias")
	require.ErrorContains(t, err, "decoder.conv_in.weight")
	require.ErrorIs(t, nan.CheckValues(stopped), context.Canceled)

	strange := openModel(t, writeFolder(t, func(files map[string][]byte) {
		files["vae/diffusion_pytorch_model.safetensors"] = raw(
			`{"encoder.surprise":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1)
	}), weights.Options{})
	err = weights.SaveSingle(ctx, filepath.Join(dir, "e"), strange, weights.SaveOptions{})
	require.ErrorContains(t, err, "1 tensors that belong to no network (encoder.surprise)")
}
