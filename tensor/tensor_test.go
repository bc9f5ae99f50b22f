package tensor

import (
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
