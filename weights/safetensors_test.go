package weights_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/weights"
)

// raw puts a safetensors file together by hand.
func raw(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

// rawLen is raw with a lie about the length of the header.
func rawLen(n uint64, header string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, n), header...)
}

const (
	tensorA = `"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}`
	tensorB = `"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}`
)

// badFiles are refused, each with an error that contains want.
var badFiles = []struct {
	name string
	data []byte
	want string
}{
	{"empty", nil, "0 bytes"},
	{"shorter than a length", []byte{1, 2, 3}, "3 bytes"},
	{"truncated header", raw(`{` + tensorA + `}`)[:20], "only 12 bytes follow"},
	{"truncated data", raw(`{`+tensorA+`}`, 1), `tensor "a": data_offsets [0, 2]`},
	{"header longer than file", rawLen(1000, `{}`), "header of 1000 bytes, but only 2 bytes follow"},
	{"huge header", rawLen(math.MaxUint64, `{}`), "only 2 bytes follow"},
	{"header over the limit", rawLen(100_000_001, strings.Repeat(" ", 100_000_001)), "more than the limit"},
	{"zero header", rawLen(0, ""), "begin with '{'"},
	{"zip (.ckpt)", []byte("PK\x03\x04 and so on, an archive"), "not a valid PyTorch checkpoint"},
	{"git lfs pointer", []byte("version https://git-lfs.github.com/spec/v1"), "Git LFS"},
	{"web page", []byte("<!DOCTYPE html><html></html>"), "web page"},
	{"gguf", []byte("GGUF\x03\x00\x00\x00\x01\x00\x00\x00"), "GGUF"},
	{"png", []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"), "a picture (PNG)"},
	{"leading space", raw(` {}`), "begin with '{'"},
	{"not an object", raw(`[1,2]`), "begin with '{'"},
	{"bad json", raw(`{"a":}`), "JSON header"},
	{"header ends early", raw(`{"a":{"dtype":"U8"`), "too early"},
	{"text after the object", raw(`{}x`), "after its closing brace"},
	{"two objects", raw(`{}{}`), "after its closing brace"},
	{"not utf-8", raw("{\"\xff\":1}"), "UTF-8"},
	{"tensor is no object", raw(`{"a":7}`), `tensor "a": want a JSON object`},
	{"duplicate name", raw(`{`+tensorA+`,`+tensorA+`}`, 1, 2), `tensor "a" appears twice`},
	{"duplicate name, escaped", raw(`{`+tensorA+`,"\u0061":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 1, 2),
		`tensor "a" appears twice`},
	{"duplicate field", raw(`{"a":{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 1, 2),
		`"dtype" appears twice`},
	{"unknown field", raw(`{"a":{"dtype":"U8","DType":"U8","shape":[2],"data_offsets":[0,2]}}`, 1, 2),
		`unknown field "DType"`},
	{"no shape", raw(`{"a":{"dtype":"U8","data_offsets":[0,2]}}`, 1, 2), "want all of dtype, shape and data_offsets"},
	{"null shape", raw(`{"a":{"dtype":"U8","shape":null,"data_offsets":[0,2]}}`, 1, 2), "want all of"},
	{"unknown dtype beyond data", raw(`{"a":{"dtype":"Q4_0","shape":[2],"data_offsets":[0,3]}}`, 1, 2), "[0, 3]"},
	{"unknown dtype, overflow", raw(`{"a":{"dtype":"Q4_0","shape":[4294967296,4294967296],"data_offsets":[0,2]}}`, 1, 2),
		"overflows"},
	{"negative dim", raw(`{"a":{"dtype":"U8","shape":[-2,-1],"data_offsets":[0,2]}}`, 1, 2),
		"dimension that is not a number >= 0"},
	{"null dim", raw(`{"a":{"dtype":"U8","shape":[null],"data_offsets":[0,0]}}`), "dimension that is not a number >= 0"},
	{"fraction", raw(`{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,2]}}`, 1, 2), `tensor "a": shape`},
	{"string dim", raw(`{"a":{"dtype":"U8","shape":["2"],"data_offsets":[0,2]}}`, 1, 2), `tensor "a": shape`},
	{"overflow", raw(`{"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`), "overflows"},
	{"overflow beside a zero",
		raw(`{"a":{"dtype":"U8","shape":[0,9223372036854775807,9223372036854775807],"data_offsets":[0,0]}}`), "overflows"},
	{"overflow by the element size", raw(`{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}`),
		"overflows"},
	{"too large for int64", raw(`{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,0]}}`),
		`tensor "a": shape`},
	{"begin after end", raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[2,0]}}`, 1, 2), "[2, 0]"},
	{"negative begin", raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[-2,0]}}`, 1, 2), "[-2, 0]"},
	{"end beyond data", raw(`{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}`, 1, 2), "[0, 3]"},
	{"one offset", raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0]}}`, 1, 2), "want [begin, end]"},
	{"null offset", raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[null,2]}}`, 1, 2), "want [begin, end]"},
	{"size against shape", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 1, 2, 3, 4),
		"F32 of shape [2] needs 8"},
	{"overlap", raw(`{`+tensorA+`,"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 1, 2, 3),
		`"b" (from byte 1) overlaps "a"`},
	{"same place twice", raw(`{`+tensorA+`,"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 1, 2), "overlaps"},
	{"hole", raw(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 1, 2, 3), "bytes 0 to 2"},
	{"unused tail", raw(`{`+tensorA+`}`, 1, 2, 3), "last 1 bytes belong to no tensor"},
	{"data without tensors", raw(`{}`, 1), "last 1 bytes"},
	{"metadata twice", raw(`{"__metadata__":{},"__metadata__":{}}`), "__metadata__ appears twice"},
	{"metadata key twice", raw(`{"__metadata__":{"k":"1","k":"2"}}`), `key "k" appears twice`},
	{"metadata number", raw(`{"__metadata__":{"k":1}}`), "__metadata__"},
	{"metadata null", raw(`{"__metadata__":{"k":null}}`), "got null"},
	{"metadata list", raw(`{"__metadata__":[]}`), "want a JSON object"},
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	for _, c := range badFiles {
		t.Run(c.name, func(t *testing.T) {
			_, err := weights.Parse(c.data)
			require.ErrorContains(t, err, c.want)

			path := filepath.Join(dir, "bad.safetensors")
			require.NoError(t, os.WriteFile(path, c.data, 0o600))
			_, err = weights.Open(path)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, path) // names the file
		})
	}
	t.Run("missing", func(t *testing.T) {
		_, err := weights.Open(filepath.Join(dir, "nowhere.safetensors"))
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, "nowhere.safetensors")
	})
	t.Run("folder", func(t *testing.T) {
		_, err := weights.Open(dir)
		require.ErrorContains(t, err, dir)
	})
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want []string
	}{
		{"no tensors", raw(`{}`), nil},
		{"trailing spaces", raw("{}  \n"), nil},
		{"out of order", raw(`{`+tensorB+`,`+tensorA+`}`, 1, 2, 3), []string{"a", "b"}},
		{"empty tensors share a place",
			raw(`{"z":{"dtype":"F32","shape":[0,3],"data_offsets":[2,2]},"y":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},`+
				tensorA+`}`, 1, 2), []string{"a", "y", "z"}},
	} {
		f, err := weights.Parse(c.data)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, f.Names(), c.name)
	}

	f, err := weights.Parse(raw(`{"__metadata__":{"format":"pt"},"s":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}`, 7,
		0, 0, 0, 0, 0, 0, 0))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"format": "pt"}, f.Metadata())
	info, ok := f.Info("s")
	require.True(t, ok)
	require.Equal(t, 1, info.Elems())
	got, err := f.Int64("s")
	require.NoError(t, err)
	require.Equal(t, []int64{7}, got)
	_, ok = f.Info("t")
	require.False(t, ok)
	_, err = f.Float32("t")
	require.ErrorContains(t, err, `no tensor "t"`)
	require.NoError(t, f.Close())
	require.NoError(t, f.Close())
	_, err = f.Int64("s")
	require.ErrorContains(t, err, "after Close")
}

// A dtype that is not known does not keep the other tensors from being read.
func TestUnknownDType(t *testing.T) {
	f, err := weights.Parse(
		raw(`{"q":{"dtype":"F8_E8M0","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`,
			1, 2, 3))
	require.NoError(t, err)
	require.Equal(t, []string{"b", "q"}, f.Names())
	info, ok := f.Info("q")
	require.True(t, ok)
	require.Equal(t, weights.DType("F8_E8M0"), info.DType)
	require.Equal(t, []int{2}, info.Shape)
	got, err := f.Float32("b")
	require.NoError(t, err)
	require.Equal(t, []float32{3}, got)
	_, err = f.Float32("q")
	require.ErrorContains(t, err, `tensor "q": dtype "F8_E8M0" is not one of`)
	_, err = f.Int64("q")
	require.ErrorContains(t, err, `tensor "q": dtype "F8_E8M0"`)
	_, err = f.Float64("q")
	require.ErrorContains(t, err, `tensor "q": dtype "F8_E8M0"`)
	_, err = weights.NewSet(f).Tensor("q", []int{2})
	require.ErrorContains(t, err, `tensor "q": dtype "F8_E8M0"`)
}

// Every type, at odd addresses, against values worked out from the formats.
func TestConversions(t *testing.T) {
	le := binary.LittleEndian
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		dtype weights.DType
		bits  []uint64
		want  []float32
	}{
		{weights.F64, []uint64{math.Float64bits(0.5), math.Float64bits(1e300), math.Float64bits(-1 - 1e-12)},
			[]float32{0.5, inf, -1}},
		{weights.F32, []uint64{0x3f800000, 0x80000001, 0xff800000}, []float32{1, -math.SmallestNonzeroFloat32, -inf}},
		{weights.F16, []uint64{0x3c00, 0x0001, 0x8400, 0x7bff, 0x7c00}, []float32{1, 0x1p-24, -0x1p-14, 65504, inf}},
		{weights.BF16, []uint64{0x3f80, 0xc049, 0x0001, 0x7f80}, []float32{1, -3.140625, 0x1p-133, inf}},
		{weights.I64, []uint64{1, math.MaxUint64, 1 << 40}, []float32{1, -1, 1 << 40}},
		{weights.I32, []uint64{5, 0xfffffffe}, []float32{5, -2}},
		{weights.I16, []uint64{5, 0xfffd}, []float32{5, -3}},
		{weights.I8, []uint64{5, 0x80}, []float32{5, -128}},
		{weights.U8, []uint64{5, 0x80}, []float32{5, 128}},
		{weights.Bool, []uint64{0, 1}, []float32{0, 1}},
	} {
		data := []byte{9} // one byte in front: unaligned
		for _, b := range c.bits {
			data = append(data, le.AppendUint64(nil, b)[:c.dtype.Size()]...)
		}
		f, err := weights.Parse(raw(fmt.Sprintf(
			`{"pad":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":%q,"shape":[%d],"data_offsets":[1,%d]}}`,
			c.dtype, len(c.bits), len(data)), data...))
		require.NoError(t, err, c.dtype)
		got, err := f.Float32("x")
		require.NoError(t, err, c.dtype)
		require.Equal(t, c.want, got, c.dtype)

		isFloat := c.dtype == weights.F64 || c.dtype == weights.F32 || c.dtype == weights.F16 || c.dtype == weights.BF16
		ints, err := f.Int64("x")
		require.Equal(t, isFloat, err != nil, c.dtype)
		for i, v := range ints {
			require.Equal(t, c.want[i], float32(v), c.dtype)
		}
		_, err = f.Float64("x")
		require.Equal(t, c.dtype != weights.F64 && c.dtype != weights.F32, err != nil, c.dtype)
	}
}

// FuzzParse: no input makes the reader panic, and what it accepts can be read,
// covers the data exactly, and survives being written again.
func FuzzParse(f *testing.F) {
	for _, c := range badFiles {
		if len(c.data) < 1000 {
			f.Add(c.data)
		}
	}
	f.Add(raw(`{}`))
	f.Add(raw(`{"__metadata__":{"k":"v"},`+tensorA+`,`+tensorB+`}`, 1, 2, 3))
	f.Add(raw(
		`{"h":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]},"e":{"dtype":"BOOL","shape":[0],"data_offsets":[4,4]}}`,
		0, 60, 0, 188))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := weights.Parse(data)
		if err != nil {
			require.Contains(t, err.Error(), " data: ") // names the file
			return
		}
		if bytes.HasPrefix(data, []byte("PK")) || bytes.HasPrefix(data, []byte("\x80")) {
			return // a checkpoint: FuzzCheckpoint
		}
		var entries []weights.Entry
		total := 0
		for _, name := range file.Names() {
			info, ok := file.Info(name)
			require.True(t, ok)
			b, err := file.Bytes(name)
			if info.DType.Size() == 0 {
				require.ErrorContains(t, err, "dtype")
				return
			}
			require.NoError(t, err)
			require.Len(t, b, info.Elems()*info.DType.Size())
			total += len(b)
			values, err := file.Float32(name)
			require.NoError(t, err)
			require.Len(t, values, info.Elems())
			entries = append(entries, weights.Entry{Name: name, DType: info.DType, Shape: info.Shape, Raw: b})
		}
		require.Equal(t, len(data)-8-int(binary.LittleEndian.Uint64(data)), total)

		var out bytes.Buffer
		require.NoError(t, weights.Encode(&out, entries, file.Metadata()))
		again, err := weights.Parse(out.Bytes())
		require.NoError(t, err)
		require.Equal(t, file.Names(), again.Names())
		require.Equal(t, file.Metadata(), again.Metadata())
	})
}
