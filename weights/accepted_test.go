package weights_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/weights"
)

// TestFloat8: all 256 bytes of both types against the definition of the 8-bit formats (Micikevicius et al. 2022), and
// the numbers that its table 1 gives.
func TestFloat8(t *testing.T) {
	bytes := make([]byte, 256)
	for i := range bytes {
		bytes[i] = byte(i)
	}
	read := func(d weights.DType) []float32 {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		require.NoError(t, weights.Write(path, []weights.Entry{{Name: "x", DType: d, Shape: []int{256}, Raw: bytes}}, nil))
		f, err := weights.Open(path)
		require.NoError(t, err)
		defer f.Close()
		_, err = f.Int64("x")
		require.ErrorContains(t, err, "want integers")
		x, err := f.Float32("x")
		require.NoError(t, err)
		return x
	}
	e4m3, e5m2 := read(weights.E4M3), read(weights.E5M2)
	for b, want := range map[byte]float64{0: 0, 0x01: 0x1p-9, 0x07: 0.875 * 0x1p-6, 0x08: 0x1p-6, 0x38: 1, 0x7e: 448,
		0xfe: -448} {
		require.Equal(t, float32(want), e4m3[b], "%#x", b)
	}
	for b, want := range map[byte]float64{0x01: 0x1p-16, 0x03: 0.75 * 0x1p-14, 0x04: 0x1p-14, 0x3c: 1, 0x7b: 57344,
		0x7c: math.Inf(1), 0xfc: math.Inf(-1)} {
		require.Equal(t, float32(want), e5m2[b], "%#x", b)
	}
	half := make([]byte, 512) // e5m2 is the upper byte of a float16
	for i := range bytes {
		half[2*i+1] = byte(i)
	}
	path := filepath.Join(t.TempDir(), "h.safetensors")
	require.NoError(t, weights.Write(path, []weights.Entry{{Name: "x", DType: weights.F16, Shape: []int{256}, Raw: half}},
		nil))
	f, err := weights.Open(path)
	require.NoError(t, err)
	defer f.Close()
	asHalf, err := f.Float32("x")
	require.NoError(t, err)
	for b := range 256 {
		sign, v := 1., e4m3[b]
		if b >= 128 {
			sign = -1
		}
		exp, frac := b>>3&15, float64(b&7)
		switch {
		case b&127 == 127:
			require.True(t, math.IsNaN(float64(v)))
		case exp == 0:
			require.Equal(t, float32(sign*frac/8*0x1p-6), v)
		default:
			require.Equal(t, float32(sign*(1+frac/8)*math.Pow(2, float64(exp-7))), v)
		}
		if b&0x7c == 0x7c && b&3 != 0 {
			require.True(t, math.IsNaN(float64(e5m2[b])))
		} else {
			require.Equal(t, asHalf[b], e5m2[b])
		}
	}
}

// rewrite writes the tensors of a file under other names ("" leaves one out), beside more.
func rewrite(t *testing.T, from, to string, name func(string) string, more ...weights.Entry) {
	t.Helper()
	f, err := weights.Open(from)
	require.NoError(t, err)
	defer f.Close()
	for _, n := range f.Names() {
		if as := name(n); as != "" {
			info, _ := f.Info(n)
			raw, err := f.Bytes(n)
			require.NoError(t, err)
			more = append(more, weights.Entry{Name: as, DType: info.DType, Shape: info.Shape, Raw: append([]byte{}, raw...)})
		}
	}
	require.NoError(t, weights.Write(to, more, nil))
}

// TestTextEncoders: without "text_model." in front, and with what CLIP has beside the encoder.
func TestTextEncoders(t *testing.T) {
	want := openModel(t, tinyFolder(t), weights.Options{})
	extra := func(prefix string) []weights.Entry {
		return []weights.Entry{
			{Name: prefix + "text_projection.weight", DType: weights.F32, Shape: []int{2}, Data: []float32{1, 2}},
			{Name: prefix + "logit_scale", DType: weights.F32, Data: []float32{4.6}}}
	}
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, os.CopyFS(dir, os.DirFS(tinyFolder(t))))
	file := filepath.Join(dir, "text_encoder", "model.fp16.safetensors")
	rewrite(t, filepath.Join(tinyFolder(t), "text_encoder", "model.fp16.safetensors"), file,
		func(n string) string { return strings.TrimPrefix(n, "text_model.") }, extra("")...)
	requireSameModel(t, want, openModel(t, dir, weights.Options{}), parts...)

	single, other := filepath.Join(t.TempDir(), "single.safetensors"), filepath.Join(t.TempDir(), "other.safetensors")
	require.NoError(t, weights.SaveSingle(ctx, single, want, weights.SaveOptions{}))
	rewrite(t, single, other, func(n string) string {
		return strings.Replace(n, "cond_stage_model.transformer.text_model.", "cond_stage_model.transformer.", 1)
	}, extra("cond_stage_model.transformer.")...)
	requireSameModel(t, want, openModel(t, other, weights.Options{}), parts...)
}

// TestWithoutAutoencoder: a file and a folder without one take that of another file.
func TestWithoutAutoencoder(t *testing.T) {
	want := openModel(t, tinyFolder(t), weights.Options{})
	dir := t.TempDir()
	single, bare := filepath.Join(dir, "single.safetensors"), filepath.Join(dir, "bare.safetensors")
	require.NoError(t, weights.SaveSingle(ctx, single, want, weights.SaveOptions{}))
	rewrite(t, single, bare, func(n string) string {
		if strings.HasPrefix(n, "first_stage_model.") {
			return ""
		}
		return n
	})
	folder := filepath.Join(dir, "folder")
	require.NoError(t, os.CopyFS(folder, os.DirFS(tinyFolder(t))))
	require.NoError(t, os.RemoveAll(filepath.Join(folder, "vae")))
	vae := filepath.Join(golden.Kind(t, "tiny-sd"), "diffusers", "vae")
	for _, path := range []string{bare, folder} {
		_, err := weights.OpenModel(path, weights.Options{})
		require.ErrorContains(t, err, "--vae names one")
		for _, from := range []string{vae, single} {
			m := openModel(t, path, weights.Options{VAE: from})
			requireSameModel(t, want, m, parts...)
			again := filepath.Join(t.TempDir(), "again.safetensors")
			require.NoError(t, weights.SaveSingle(ctx, again, m, weights.SaveOptions{}))
			requireSameModel(t, want, openModel(t, again, weights.Options{}), parts...)
		}
	}
}

// TestSaveFloat8: float8 is read, and saved as float16, which holds it exactly.
func TestSaveFloat8(t *testing.T) {
	dir := t.TempDir()
	single, small := filepath.Join(dir, "single.safetensors"), filepath.Join(dir, "f8.safetensors")
	require.NoError(t, weights.SaveSingle(ctx, single, openModel(t, tinyFolder(t), weights.Options{}),
		weights.SaveOptions{}))
	f, err := weights.Open(single)
	require.NoError(t, err)
	defer f.Close()
	var entries []weights.Entry
	for _, n := range f.Names() {
		info, _ := f.Info(n)
		raw, err := f.Bytes(n)
		require.NoError(t, err)
		e := weights.Entry{Name: n, DType: info.DType, Shape: info.Shape, Raw: raw}
		if info.DType == weights.F16 && strings.HasPrefix(n, "model.") {
			e.DType, e.Raw = weights.E5M2, nil
			for i := 1; i < len(raw); i += 2 {
				e.Raw = append(e.Raw, raw[i])
			}
		}
		entries = append(entries, e)
	}
	require.NoError(t, weights.Write(small, entries, nil))
	m := openModel(t, small, weights.Options{})
	require.NoError(t, m.CheckValues(ctx))
	again := filepath.Join(dir, "again.safetensors")
	require.NoError(t, weights.SaveSingle(ctx, again, m, weights.SaveOptions{}))
	loaded := openModel(t, again, weights.Options{})
	requireSameModel(t, m, loaded, parts...)
	info, _ := loaded.UNet.Info("conv_in.weight")
	require.Equal(t, weights.F16, info.DType)
}
