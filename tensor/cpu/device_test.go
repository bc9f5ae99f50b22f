package cpu

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/tensor"
)

func TestChangedMakesPackedWeightsAnew(t *testing.T) {
	x, w, y := tensor.From([]float32{1, 2}, 1, 1, 1, 2), tensor.From([]float32{3, 4}, 1, 2, 1, 1), tensor.New(1, 1, 1, 1)
	p := tensor.Conv{KH: 1, KW: 1, Stride: 1}
	F32.Conv2d(y, x, w, nil, p, tensor.Epilogue{})
	require.Equal(t, float32(11), y.Data[0])
	w.Data[0] = 5
	w.Changed()
	F32.Conv2d(y, x, w, nil, p, tensor.Epilogue{})
	require.Equal(t, float32(13), y.Data[0])
}

// TestEdgesOfFunctions: values that random inputs do not meet.
func TestEdgesOfFunctions(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	one := tensor.From([]float32{1, 1, 1}, 3)
	x, y := tensor.From([]float32{0, -1, 1}, 3), tensor.New(3)
	F32.UnaryGrad(tensor.Abs, y, one, x)
	require.Equal(t, []float32{0, -1, 1}, y.Data)
	F32.ClampGrad(y, one, x, -1, 1)
	require.Equal(t, []float32{1, 1, 1}, y.Data, "the limits themselves are inside")
	// Softmax does not overflow, and a value far below the largest is zero.
	x = tensor.From([]float32{1000, -1000, 1000}, 1, 3)
	s := tensor.New(1, 3)
	F32.Softmax(s, x)
	require.Equal(t, []float32{0.5, 0, 0.5}, s.Data)
	// A picture of one colour: the variance is zero, and the norm is beta.
	flat := tensor.New(1, 4, 4, 2)
	F32.Fill(flat, 3.3)
	out, stats, gamma, beta := tensor.New(1, 4, 4, 2), tensor.New(1, 1, 2), tensor.From([]float32{2, 2},
		2), tensor.From([]float32{0.5, -0.5}, 2)
	F32.GroupNorm(out, stats, flat, gamma, beta, 1, 1e-6, false)
	for i, v := range out.Data {
		require.InDelta(t, beta.Data[i%2], v, 2e-3)
	}
	// NaN and infinity are not swallowed.
	x = tensor.From([]float32{nan, inf, -inf}, 3)
	F32.Clamp(y, x, -1, 1)
	require.True(t, math.IsNaN(float64(y.Data[0])))
	require.Equal(t, []float32{1, -1}, y.Data[1:])
	for _, v := range []float32{nan, inf} {
		bad := tensor.New(1, 5, 5, 3)
		bad.Data[40] = v
		w := tensor.New(4, 3, 3, 3)
		F32.Fill(w, 1)
		o := tensor.New(1, 5, 5, 4)
		F32.Conv2d(o, bad, w, nil, tensor.SameConv(3), tensor.Epilogue{})
		found := false
		for _, v := range o.Data {
			found = found || v != v || math.IsInf(float64(v), 0)
		}
		require.True(t, found)
	}
}
