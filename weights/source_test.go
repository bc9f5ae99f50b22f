package weights_test

import (
	"bytes"
	"math"
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
		weights.Entry{Name: "largest", DType: weights.F32, Shape: []int{2}, Data: []float32{math.MaxFloat32, -math.MaxFloat32}},
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

func TestCheck(t *testing.T) {
	s := set(t,
		weights.Entry{Name: "a.weight", DType: weights.F32, Shape: []int{1, 2, 1, 1}, Data: []float32{1, 2}},
		weights.Entry{Name: "b.weight", DType: weights.F32, Shape: []int{2}, Data: []float32{1, 2}},
		weights.Entry{Name: "extra.weight", DType: weights.F32, Shape: []int{1}, Data: []float32{1}},
	)
	require.NoError(t, weights.Check(s, map[string][]int{"a.weight": {1, 2}, "b.weight": {2}, "extra.weight": {1}}))
	err := weights.Check(s, map[string][]int{"a.weight": {1, 2}, "b.weight": {3}, "c.weight": {4, 5}, "d.weight": {6}})
	require.EqualError(t, err, `safetensors data: 2 tensors missing:
  c.weight [4 5]
  d.weight [6]
1 tensors of another shape:
  b.weight [2], want [3]
1 tensors unexpected:
  extra.weight`)
	require.NoError(t, weights.Check(golden.Gen(weights.UNetPart, weights.SD15), map[string][]int{"anything": {1}}))

	empty := set(t)
	require.NotNil(t, empty.Names())
	require.ErrorContains(t, weights.Check(empty, map[string][]int{"a": {1}}), "1 tensors missing:\n  a [1]")
}
