package weights_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/weights"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.safetensors")
	values := []float32{0, 1, -2, 0.333251953125, 65504, 1 + 0x1p-11}
	entries := []weights.Entry{
		{Name: "u8", DType: weights.U8, Shape: []int{3}, Data: []float32{0, 1, 255}},
		{Name: "f32", DType: weights.F32, Shape: []int{2, 3}, Data: values},
		{Name: "f16", DType: weights.F16, Shape: []int{6}, Data: values},
		{Name: "bf16", DType: weights.BF16, Shape: []int{3, 2}, Data: values},
		{Name: "i64", DType: weights.I64, Shape: []int{}, Data: []float32{-7}},
		{Name: "raw <\"é\n>", DType: weights.Bool, Shape: []int{2}, Raw: []byte{1, 0}},
		{Name: "none", DType: weights.F32, Shape: []int{0, 4}},
	}
	meta := map[string]string{"format": "pt", "x": "<&>"}
	require.NoError(t, weights.Write(path, entries, meta))
	require.NoError(t, weights.Write(path, entries, meta)) // over an old file

	f, err := weights.Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, meta, f.Metadata())
	want := map[string][]float32{
		"u8":          {0, 1, 255},
		"f32":         values,
		"f16":         {0, 1, -2, 0.333251953125, 65504, 1}, // 1+2^-11 is a tie: to even
		"bf16":        {0, 1, -2, 0.333984375, 65536, 1},
		"i64":         {-7},
		"raw <\"é\n>": {1, 0},
		"none":        {},
	}
	require.Len(t, f.Names(), len(want))
	for _, e := range entries {
		got, err := f.Float32(e.Name)
		require.NoError(t, err)
		require.Equal(t, want[e.Name], got, e.Name)
		info, _ := f.Info(e.Name)
		require.Equal(t, e.DType, info.DType, e.Name)
		require.ElementsMatch(t, e.Shape, info.Shape, e.Name)
	}
}

// A failed write leaves the old file and nothing else.
func TestWriteErrors(t *testing.T) {
	one := []float32{1}
	entry := func(d weights.DType, shape []int, data ...float32) []weights.Entry {
		return []weights.Entry{{Name: "t", DType: d, Shape: shape, Data: data}}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "m.safetensors")
	require.NoError(t, weights.Write(path, nil, nil))
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, c := range []struct {
		name    string
		entries []weights.Entry
		want    string
	}{
		{"count", entry(weights.F32, []int{2}, 1), "1 values, but shape [2] needs 2"},
		{"negative", entry(weights.F32, []int{-1}, 1), "negative"},
		{"overflow", entry(weights.F32, []int{1 << 40, 1 << 40}, 1), "overflows"},
		{"dtype", entry("F8", []int{1}, 1), `unknown dtype "F8"`},
		{"only raw", entry(weights.I16, []int{1}, 1), "raw bytes"},
		{"raw size", []weights.Entry{{Name: "t", DType: weights.I16, Shape: []int{1}, Raw: []byte{1}}}, "1 raw bytes"},
		{"no data", []weights.Entry{{Name: "t", DType: weights.F32, Shape: []int{1}}}, "0 values"},
		{"twice", []weights.Entry{{Name: "t", DType: weights.F32, Shape: []int{1}, Data: one},
			{Name: "t", DType: weights.F32, Shape: []int{1}, Data: one}}, "used twice"},
		{"reserved", []weights.Entry{{Name: "__metadata__", DType: weights.F32, Shape: []int{1}, Data: one}}, "reserved"},
		{"u8 range", entry(weights.U8, []int{1}, 256), "does not fit U8"},
		{"u8 fraction", entry(weights.U8, []int{1}, 0.5), "does not fit U8"},
		{"u8 nan", entry(weights.U8, []int{1}, float32(math.NaN())), "does not fit U8"},
		{"i64 range", entry(weights.I64, []int{1}, 1e19), "does not fit I64"},
		{"i64 fraction", entry(weights.I64, []int{1}, 0.5), "does not fit I64"},
		{"f16 range", entry(weights.F16, []int{1}, 1e5), "does not fit F16"},
	} {
		err := weights.Write(path, c.entries, nil)
		require.ErrorContains(t, err, c.want, c.name)
		require.ErrorContains(t, err, path, c.name)
		now, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, old, now, c.name)
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, files, 1, "%s: left something behind", c.name)
	}
	require.Error(t, weights.Write(filepath.Join(dir, "no", "m.safetensors"), nil, nil))
}

// Values that are read when their turn comes, and errors of reading them.
func TestWriteLazily(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	buf := make([]float32, 2)
	var order []string
	entry := func(name string, v float32, n int, err error) weights.Entry {
		return weights.Entry{Name: name, DType: weights.F16, Shape: []int{2}, Read: func() ([]float32, error) {
			order = append(order, name)
			buf[0], buf[1] = v, -v // of all entries: used until the next call
			return buf[:n], err
		}}
	}
	require.NoError(t, weights.Write(path, []weights.Entry{entry("b", 1, 2, nil), entry("a", 2, 2, nil)}, nil))
	require.Equal(t, []string{"b", "a"}, order)
	f, err := weights.Open(path)
	require.NoError(t, err)
	defer f.Close()
	for name, want := range map[string][]float32{"a": {2, -2}, "b": {1, -1}} {
		got, err := f.Float32(name)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	both := entry("c", 1, 2, nil)
	both.Data = buf
	bad := entry("c", 1, 2, nil)
	bad.DType = weights.F64
	for want, e := range map[string]weights.Entry{
		"disk on fire":                 entry("c", 1, 2, errors.New("disk on fire")),
		"1 values, but shape [2]":      entry("c", 1, 1, nil),
		"both Read and Data":           both,
		"can only be written from raw": bad,
	} {
		err := weights.Write(path, []weights.Entry{entry("b", 1, 2, nil), e}, nil)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, `tensor "c"`)
	}
}
