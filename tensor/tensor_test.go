package tensor

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShapes(t *testing.T) {
	x := From([]float32{1, 2, 3, 4, 5, 6}, 1, 2, 3)
	require.Equal(t, 6, x.Len())
	require.Equal(t, 3, x.Dim(-1))
	require.Equal(t, 2, x.Dim(1))
	require.Equal(t, 2, x.Rows())
	r := x.Reshaped(6)
	r.Data[0] = 9
	require.Equal(t, float32(9), x.Data[0], "Reshaped shares data")
	c := x.Clone()
	c.Data[0] = 7
	require.Equal(t, float32(9), x.Data[0], "Clone does not")
	shape := []int{2, 3}
	y := New(shape...)
	shape[0] = 5
	require.Equal(t, []int{2, 3}, y.Shape, "the shape is copied")
	for name, f := range map[string]func(){
		"From":     func() { From(make([]float32, 5), 2, 3) },
		"Reshaped": func() { x.Reshaped(7) },
		"Len":      func() { New(2, -1) },
		"FromNCHW": func() { FromNCHW(make([]float32, 5), 1, 1, 2, 3) },
	} {
		require.Panics(t, f, name)
	}
}

func TestNCHW(t *testing.T) {
	data := make([]float32, 2*3*4*5)
	for i := range data {
		data[i] = float32(i)
	}
	x := FromNCHW(data, 2, 3, 4, 5)
	require.Equal(t, []int{2, 4, 5, 3}, x.Shape)
	// Element n=1, c=2, h=3, w=4 by the strides of both orders.
	require.Equal(t, data[((1*3+2)*4+3)*5+4], x.Data[((1*4+3)*5+4)*3+2])
	require.Equal(t, data, x.NCHW())
}

func TestChangedMakesPackedWeightsAnew(t *testing.T) {
	x, w, y := From([]float32{1, 2}, 1, 1, 1, 2), From([]float32{3, 4}, 1, 2, 1, 1), New(1, 1, 1, 1)
	p := Conv{KH: 1, KW: 1, Stride: 1}
	CPU.Conv2d(y, x, w, nil, p, Epilogue{})
	require.Equal(t, float32(11), y.Data[0])
	w.Data[0] = 5
	w.Changed()
	CPU.Conv2d(y, x, w, nil, p, Epilogue{})
	require.Equal(t, float32(13), y.Data[0])
}

func TestConvOut(t *testing.T) {
	up := SameConv(3)
	up.Upsample = true
	for _, c := range []struct {
		p            Conv
		h, w, oh, ow int
	}{
		{SameConv(3), 7, 9, 7, 9},
		{up, 7, 9, 14, 18},
		{Conv{KH: 3, KW: 3, Stride: 2, PadBottom: 1, PadRight: 1}, 8, 9, 4, 4},
		{Conv{KH: 3, KW: 3, Stride: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1}, 8, 9, 4, 5},
	} {
		oh, ow := c.p.Out(c.h, c.w)
		require.Equal(t, [2]int{c.oh, c.ow}, [2]int{oh, ow}, "%+v", c.p)
	}
}

// TestEdgesOfFunctions: values that random inputs do not meet.
func TestEdgesOfFunctions(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	one := From([]float32{1, 1, 1}, 3)
	x, y := From([]float32{0, -1, 1}, 3), New(3)
	CPU.UnaryGrad(Abs, y, one, x)
	require.Equal(t, []float32{0, -1, 1}, y.Data)
	CPU.ClampGrad(y, one, x, -1, 1)
	require.Equal(t, []float32{1, 1, 1}, y.Data, "the limits themselves are inside")
	// Softmax does not overflow, and a value far below the largest is zero.
	x = From([]float32{1000, -1000, 1000}, 1, 3)
	s := New(1, 3)
	CPU.Softmax(s, x)
	require.Equal(t, []float32{0.5, 0, 0.5}, s.Data)
	// A picture of one colour: the variance is zero, and the norm is beta.
	flat := New(1, 4, 4, 2)
	CPU.Fill(flat, 3.3)
	out, stats, gamma, beta := New(1, 4, 4, 2), New(1, 1, 2), From([]float32{2, 2}, 2), From([]float32{0.5, -0.5}, 2)
	CPU.GroupNorm(out, stats, flat, gamma, beta, 1, 1e-6, false)
	for i, v := range out.Data {
		require.InDelta(t, beta.Data[i%2], v, 2e-3)
	}
	// NaN and infinity are not swallowed.
	x = From([]float32{nan, inf, -inf}, 3)
	CPU.Clamp(y, x, -1, 1)
	require.True(t, math.IsNaN(float64(y.Data[0])))
	require.Equal(t, []float32{1, -1}, y.Data[1:])
	for _, v := range []float32{nan, inf} {
		bad := New(1, 5, 5, 3)
		bad.Data[40] = v
		w := New(4, 3, 3, 3)
		CPU.Fill(w, 1)
		o := New(1, 5, 5, 4)
		CPU.Conv2d(o, bad, w, nil, SameConv(3), Epilogue{})
		found := false
		for _, v := range o.Data {
			found = found || v != v || math.IsInf(float64(v), 0)
		}
		require.True(t, found)
	}
}
