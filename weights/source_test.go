package weights_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/weights"
)

// set makes a source in memory.
func set(t *testing.T, entries ...weights.Entry) *weights.Set {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, weights.Encode(&b, entries, nil))
	f, err := weights.Parse(b.Bytes())
	require.NoError(t, err)
	return weights.NewSet(f)
}

func TestSetTensor(t *testing.T) {
	bad := make([]float32, 1000)
	bad[777] = float32(math.NaN())
	worse := []float32{1, 2, float32(math.Inf(-1))}
	s := set(t,
		weights.Entry{Name: "linear", DType: weights.F32, Shape: []int{2, 3}, Data: []float32{1, 2, 3, 4, 5, 6}},
		weights.Entry{Name: "conv", DType: weights.F16, Shape: []int{1, 2, 1, 1}, Data: []float32{7, 8}},
		weights.Entry{Name: "nan", DType: weights.F32, Shape: []int{1000}, Data: bad},
		weights.Entry{Name: "inf", DType: weights.BF16, Shape: []int{3}, Data: worse},
		weights.Entry{Name: "largest", DType: weights.F32, Shape: []int{2}, Data: []float32{math.MaxFloat32,
			-math.MaxFloat32}},
	)
	require.Equal(t, []string{"conv", "inf", "largest", "linear", "nan"}, s.Names())
	for _, c := range []struct {
		name  string
		shape []int
		want  []float32
		err   string
	}{
		{"linear", []int{2, 3}, []float32{1, 2, 3, 4, 5, 6}, ""},
		{"linear", []int{2, 3, 1, 1}, []float32{1, 2, 3, 4, 5, 6}, ""},
		{"conv", []int{1, 2}, []float32{7, 8}, ""},
		{"largest", []int{2}, []float32{math.MaxFloat32, -math.MaxFloat32}, ""},
		{"linear", []int{3, 2}, nil, `tensor "linear" has shape [2 3], want [3 2]`},
		{"linear", []int{6}, nil, "has shape [2 3], want [6]"},
		{"linear", []int{3, 2}, nil, "has shape [2 3], want [3 2]"},
		{"missing", []int{4}, nil, `no tensor "missing" (want shape [4])`},
		{"nan", []int{1000}, nil, `tensor "nan" holds NaN at element 777`},
		{"inf", []int{3}, nil, `tensor "inf" holds -Inf at element 2`},
	} {
		got, err := s.Tensor(c.name, c.shape)
		if c.err != "" {
			require.ErrorContains(t, err, c.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, got, c.name)
	}
}

// All types, at odd addresses of a mapped file, in pieces of more than one
// block; a second read after the pages were given back is the same.
func TestRead(t *testing.T) {
	const n = 1<<16 + 5
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(i%512) - 256 // exact in all
	}
	values[n-1] = -0.5
	entries := []weights.Entry{{Name: "odd", DType: weights.U8, Shape: []int{1}, Data: []float32{1}}}
	for _, d := range []weights.DType{weights.F32, weights.F16, weights.BF16} {
		entries = append(entries, weights.Entry{Name: "x" + string(d), DType: d, Shape: []int{n}, Data: values})
	}
	even := filepath.Join(t.TempDir(), "even.safetensors")
	odd := filepath.Join(t.TempDir(), "odd.safetensors")
	require.NoError(t, weights.Write(even, entries[1:], nil))
	require.NoError(t, weights.Write(odd, entries, nil))
	dst := make([]float32, n)
	for _, path := range []string{even, odd} {
		f, err := weights.Open(path)
		require.NoError(t, err)
		s := weights.NewSet(f)
		for _, name := range []string{"xF32", "xF16", "xBF16"} {
			for range 2 {
				clear(dst)
				require.NoError(t, s.Read(name, []int{n}, dst))
				require.Equal(t, values, dst, name)
			}
			require.Panics(t, func() { _ = s.Read(name, []int{n}, dst[1:]) })
		}
		require.ErrorContains(t, s.Read("y", []int{n}, dst), `no tensor "y"`)
		require.NoError(t, f.Close())
		require.ErrorContains(t, s.Read("xF32", []int{n}, dst), "read after Close")
	}
}

// TestRows: rows are those of the whole, of plain tensors and of those that are picked from a fused one; what is wrong
// with one is an error.
func TestRows(t *testing.T) {
	for _, dir := range golden.Folders(t, "tiny-sd") {
		m, err := weights.OpenModel(filepath.Join(dir, "compvis"), weights.Options{})
		if err != nil {
			m, err = weights.OpenModel(filepath.Join(dir, "diffusers"), weights.Options{})
		}
		require.NoError(t, err)
		for _, part := range []string{weights.UNetPart, weights.TextPart} {
			s := m.Part(part)
			for _, name := range s.Names() {
				info, _ := s.Info(name)
				if len(info.Shape) < 2 {
					continue
				}
				whole, err := s.Tensor(name, info.Shape)
				require.NoError(t, err)
				read, done, err := s.Rows(name, info.Shape)
				require.NoError(t, err)
				row := len(whole) / info.Shape[0]
				for from := 0; from < info.Shape[0]; from += 3 {
					n := min(3, info.Shape[0]-from)
					got := make([]float32, n*row)
					require.NoError(t, read(got, from))
					require.Equal(t, whole[from*row:][:n*row], got, name)
				}
				done()
			}
		}
		require.NoError(t, m.Close())
	}
	s := set(t, weights.Entry{Name: "x", DType: weights.F32, Shape: []int{2, 2}, Data: []float32{1, 2, 3,
		float32(math.NaN())}})
	read, _, err := s.Rows("x", []int{2, 2})
	require.NoError(t, err)
	require.NoError(t, read(make([]float32, 2), 0))
	require.ErrorContains(t, read(make([]float32, 2), 1), "holds NaN")
	_, _, err = s.Rows("x", []int{4})
	require.ErrorContains(t, err, "want [4]")
}

// Several goroutines may read one set.
func TestReadTogether(t *testing.T) {
	var entries []weights.Entry
	for i := range 16 {
		data := slices.Repeat([]float32{float32(i)}, 1500)
		entries = append(entries, weights.Entry{Name: fmt.Sprint(i), DType: weights.F16, Shape: []int{1500}, Data: data})
	}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	require.NoError(t, weights.Write(path, entries, nil))
	f := golden.Load(t, path)
	s := weights.NewSet(f)
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			var err error
			for i := range 16 {
				got, e := s.Tensor(fmt.Sprint(i), []int{1500})
				if e == nil && !slices.Equal(got, entries[i].Data) {
					e = fmt.Errorf("tensor %d is another", i)
				}
				err = errors.Join(err, e)
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
}

// One error for all parts, with every name.
func TestModelCheck(t *testing.T) {
	m := openModel(t, writeFolder(t, nil), weights.Options{})
	ok := map[string]map[string][]int{
		weights.UNetPart: {"conv_in.bias": {1}},
		weights.VAEPart:  {"encoder.mid_block.attentions.0.to_out.0.bias": {1}},
		weights.TextPart: {"text_model.a": {1}, "text_model.b": {1}},
	}
	require.NoError(t, m.Check(ok))
	err := m.Check(map[string]map[string][]int{
		weights.UNetPart: {"conv_in.bias": {2}},
		weights.VAEPart:  {"encoder.missing": {3}},
		weights.TextPart: {"text_model.a": {1}},
		"other":          {"x": {1}},
	})
	for _, want := range []string{"conv_in.bias [1], want [2]", "encoder.missing [3]", "to_out.0.bias",
		"text_model.b", "no other"} {
		require.ErrorContains(t, err, want)
	}
}

// BenchmarkRead reads 64 MB of a file that is in the system's cache.
func BenchmarkRead(b *testing.B) {
	for _, d := range []weights.DType{weights.F32, weights.F16} {
		n := 1 << 26 / d.Size()
		path := filepath.Join(b.TempDir(), "m.safetensors")
		require.NoError(b,
			weights.Write(path, []weights.Entry{{Name: "x", DType: d, Shape: []int{n}, Data: make([]float32, n)}}, nil))
		s := weights.NewSet(golden.Load(b, path))
		dst := make([]float32, n)
		b.Run(string(d), func(b *testing.B) {
			b.SetBytes(1 << 26)
			for b.Loop() {
				if err := s.Read("x", []int{n}, dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestCheck(t *testing.T) {
	s := set(t,
		weights.Entry{Name: "a.weight", DType: weights.F32, Shape: []int{1, 2, 1, 1}, Data: []float32{1, 2}},
		weights.Entry{Name: "b.weight", DType: weights.F32, Shape: []int{2}, Data: []float32{1, 2}},
		weights.Entry{Name: "extra.weight", DType: weights.F32, Shape: []int{1}, Data: []float32{1}},
	)
	require.NoError(t, weights.Check(s, map[string][]int{"a.weight": {1, 2}, "b.weight": {2}, "extra.weight": {1}}))
	err := weights.Check(s, map[string][]int{"a.weight": {1, 2}, "b.weight": {3}, "c.weight": {4, 5}, "d.weight": {6}})
	require.EqualError(t, err, "safetensors data: 2 tensors missing (c.weight [4 5], d.weight [6]); "+
		"1 tensors of another shape (b.weight [2], want [3]); 1 tensors unexpected (extra.weight)")
	require.NoError(t, weights.Check(golden.Gen(weights.UNetPart, weights.SD15), map[string][]int{"anything": {1}}))

	empty := set(t)
	require.NotNil(t, empty.Names())
	require.ErrorContains(t, weights.Check(empty, map[string][]int{"a": {1}}), "1 tensors missing (a [1])")
	many := map[string][]int{}
	for i := range 684 {
		many[fmt.Sprintf("x%03d", i)] = []int{1}
	}
	require.EqualError(t, weights.Check(empty, many),
		"safetensors data: 684 tensors missing (x000 [1], x001 [1], x002 [1] and 681 more)")
}
