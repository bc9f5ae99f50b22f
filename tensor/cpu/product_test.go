package cpu

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/asm"
	"psld/tensor"
)

// guardedLike is a tensor of the shape with NaN in it and guards around, which check inspects.
func guardedLike(shape []int) (x *tensor.Tensor, check func(t *testing.T)) {
	const margin = 40
	n := tensor.Len(shape)
	whole := make([]float32, n+2*margin)
	for i := range whole {
		whole[i] = float32(math.NaN())
	}
	for i := range margin {
		whole[i], whole[n+margin+i] = 77, 77
	}
	return tensor.From(whole[margin:][:n:n], shape...), func(t *testing.T) {
		t.Helper()
		for i := range margin {
			require.Equal(t, []float32{77, 77}, []float32{whole[i], whole[n+margin+i]}, "wrote outside of the result")
		}
	}
}

// requireSum is requireClose for sums of n products of normal numbers, which may be near zero.
func requireSum(t *testing.T, want []float64, got []float32, limit float64, n int) {
	t.Helper()
	require.Len(t, got, len(want))
	var diff, size float64
	for i, v := range want {
		d := float64(got[i]) - v
		diff += d * d
		size += v * v
	}
	require.LessOrEqual(t, diff, limit*limit*max(size, 0.3*float64(n*len(want))))
}

// checkConv compares a convolution and its gradient to the input with the definition, on both devices.
func checkConv(t *testing.T, x, w, b *tensor.Tensor, p tensor.Conv) {
	t.Helper()
	oh, ow := p.Out(x.Dim(1), x.Dim(2))
	shape := []int{x.Dim(0), oh, ow, w.Dim(0)}
	dy := normal(rand.New(rand.NewPCG(uint64(oh), 5)), shape...)
	y64, dx64 := conv64(x, w, b, p), convGrad64(dy, w, p, x.Shape)
	for dev, limit := range map[tensor.Device]float64{F32: 4e-6, BF16: 2e-2, F32X3: 8e-6} {
		y, checkY := guardedLike(shape)
		dev.Conv2d(y, x, w, b, p, tensor.Epilogue{})
		checkY(t)
		requireSum(t, y64, y.Data, limit, w.Len()/w.Dim(0))
		dx, checkX := guardedLike(x.Shape)
		dev.Conv2dGradInput(dx, dy, w, p)
		checkX(t)
		requireSum(t, dx64, dx.Data, limit, w.Dim(0))
	}
}

// TestProductSizes takes every size from 1 to 70 in each place.
func TestProductSizes(t *testing.T) {
	for _, tier := range asm.Available() {
		defer asm.Use(asm.Use(tier))
		r := rand.New(rand.NewPCG(3, 4))
		for n := 1; n <= 70; n++ {
			other := func() int { return 1 + r.IntN(40) }
			for _, s := range [][3]int{{n, other(), other()}, {other(), n, other()}, {other(), other(), n}} {
				x, w, b := normal(r, 1, 1, s[0], s[1]), normal(r, s[2], s[1], 1, 1), normal(r, s[2])
				checkConv(t, x, w, b, tensor.Conv{KH: 1, KW: 1, Stride: 1})
			}
			if n%3 == int(tier)%3 {
				x, w := normal(r, 1, 1+n%7, 1+n%11, 1+n), normal(r, other(), 1+n, 3, 3)
				checkConv(t, x, w, normal(r, w.Dim(0)), tensor.SameConv(3))
			}
		}
	}
}

// TestProductLong: sums that are cut in blocks, between taps and within, rows that share cache lines, and many rows.
func TestProductLong(t *testing.T) {
	for _, tier := range asm.Available() {
		defer asm.Use(asm.Use(tier))
		r := rand.New(rand.NewPCG(5, 6))
		for _, s := range [][3]int{{15, 1300, 33}, {3, 5000, 2}, {37, 2048, 40}, {5, 41, 2600}, {500, 20, 70},
			{300, 70, 64}} {
			x, w := normal(r, 1, 1, s[0], s[1]), normal(r, s[2], s[1], 1, 1)
			checkConv(t, x, w, nil, tensor.Conv{KH: 1, KW: 1, Stride: 1})
		}
		if tier == asm.Generic {
			continue // slow, and the same loops
		}
		for _, s := range [][4]int{{3, 5, 500, 6}, {4, 3, 150, 35}, {5, 4, 3, 450}, {2, 2, 1400, 3}} {
			x, w := normal(r, 1, s[0], s[1], s[2]), normal(r, s[3], s[2], 3, 3)
			checkConv(t, x, w, nil, tensor.SameConv(3))
			checkConv(t, x, w, nil, tensor.Conv{KH: 3, KW: 3, Stride: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1})
		}
	}
}

// TestX3: the error of sums of three products, and that weights keep 17 bits. Halves of 8 bits with a sign between
// them round both factors to 17 bits, 2.5e-6 of their value on average, and the product of the low halves, as
// large, is left out: computed exactly, sums of normal numbers have an error of 4.4e-6.
func TestX3(t *testing.T) {
	for _, tier := range asm.Available() {
		defer asm.Use(asm.Use(tier))
		limit := 2e-6
		if asm.HasSplit() {
			limit = 5e-6
		}
		r := rand.New(rand.NewPCG(7, 8))
		for _, c := range []struct {
			x []int
			o int
			p tensor.Conv
		}{
			{[]int{1, 1, 20, 320}, 64, tensor.Conv{KH: 1, KW: 1, Stride: 1}},
			{[]int{1, 6, 5, 65}, 33, tensor.SameConv(3)},
			{[]int{1, 6, 5, 64}, 64, tensor.Conv{KH: 3, KW: 3, Stride: 2, PadTop: 1, PadLeft: 1}},
		} {
			w, x := normal(r, c.o, c.x[3], c.p.KH, c.p.KW), normal(r, c.x...)
			oh, ow := c.p.Out(c.x[1], c.x[2])
			y, dx, dy := tensor.New(c.x[0], oh, ow, c.o), tensor.New(c.x...), normal(r, c.x[0], oh, ow, c.o)
			y64, dx64, old := conv64(x, w, nil, c.p), convGrad64(dy, w, c.p, c.x), w.Clone()
			F32X3.Pack(w) // nothing else is left
			F32X3.Conv2d(y, x, w, nil, c.p, tensor.Epilogue{})
			F32X3.Conv2dGradInput(dx, dy, w, c.p)
			requireClose(t, y64, y.Data, limit)
			requireClose(t, dx64, dx.Data, limit)
			for i, v := range F32X3.Host(w) {
				require.InEpsilon(t, old.Data[i], v, 1.0/(1<<17))
			}
		}
	}
}

// TestProductNaN: a NaN or an infinity reaches the rows that it belongs to, and no others.
func TestProductNaN(t *testing.T) {
	for _, tier := range asm.Available() {
		defer asm.Use(asm.Use(tier))
		for _, dev := range []tensor.Device{F32, BF16, F32X3} {
			r := rand.New(rand.NewPCG(1, 2))
			x, w := normal(r, 1, 1, 40, 45), normal(r, 50, 45, 1, 1)
			x.Data[7*45+44], x.Data[39*45] = float32(math.NaN()), float32(math.Inf(1))
			y := tensor.New(1, 1, 40, 50)
			dev.Conv2d(y, x, w, nil, tensor.Conv{KH: 1, KW: 1, Stride: 1}, tensor.Epilogue{})
			for i, v := range y.Data {
				bad := math.IsNaN(float64(v)) || math.IsInf(float64(v), 0)
				require.Equal(t, i/50 == 7 || i/50 == 39, bad, "%v %s: row %d", tier, dev.Name(), i/50)
			}
		}
	}
}

// TestProductSameBits: results and their number of allocations do not depend on the number of threads.
func TestProductSameBits(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		x, w []int
		p    tensor.Conv
	}{
		{[]int{1, 1, 64, 300}, []int{200, 300, 1, 1}, tensor.Conv{KH: 1, KW: 1, Stride: 1}},
		{[]int{1, 1, 700, 64}, []int{100, 64, 1, 1}, tensor.Conv{KH: 1, KW: 1, Stride: 1}},
		{[]int{2, 6, 7, 48}, []int{64, 48, 3, 3}, tensor.SameConv(3)},
		{[]int{1, 9, 9, 40}, []int{70, 40, 3, 3}, tensor.Conv{KH: 3, KW: 3, Stride: 2, PadTop: 1, PadLeft: 1}},
	} {
		x, w := normal(r, c.x...), normal(r, c.w...)
		oh, ow := c.p.Out(c.x[1], c.x[2])
		for _, dev := range []tensor.Device{F32, BF16} {
			var want [2][]float32
			for _, threads := range []int{1, 2, 5} {
				runtime.GOMAXPROCS(threads)
				y, dx := tensor.New(c.x[0], oh, ow, c.w[0]), tensor.New(c.x...)
				dev.Conv2d(y, x, w, nil, c.p, tensor.Epilogue{})
				dev.Conv2dGradInput(dx, y, w, c.p)
				if threads == 1 {
					want = [2][]float32{y.Data, dx.Data}
				}
				require.Equal(t, want, [2][]float32{y.Data, dx.Data}, "%v on %d threads", c, threads)
			}
		}
	}
}

// FuzzConv takes shapes and geometry.
func FuzzConv(f *testing.F) {
	f.Add(uint8(5), uint8(7), uint8(33), uint8(31), uint8(3), uint8(1), uint8(1), true)
	f.Add(uint8(1), uint8(64), uint8(200), uint8(65), uint8(1), uint8(1), uint8(0), false)
	f.Add(uint8(8), uint8(8), uint8(32), uint8(32), uint8(3), uint8(2), uint8(3), false)
	f.Fuzz(func(t *testing.T, h, wd, in, out, k, stride, pad uint8, up bool) {
		p := tensor.Conv{KH: 1 + int(k%3), KW: 1 + int(k/3%3), Stride: 1 + int(stride%3), Upsample: up}
		p.PadTop, p.PadLeft, p.PadBottom, p.PadRight = int(pad)%p.KH, int(pad/4)%p.KW, int(pad/16)%3, int(pad/64)%3
		r := rand.New(rand.NewPCG(uint64(h), uint64(in)))
		x, w := normal(r, 1+int(pad%2), 1+int(h%9), 1+int(wd%70), 1+int(in%90)), normal(r, 1+int(out%90),
			1+int(in%90), p.KH, p.KW)
		if oh, ow := p.Out(x.Dim(1), x.Dim(2)); oh < 1 || ow < 1 {
			return
		}
		for _, tier := range asm.Available() {
			defer asm.Use(asm.Use(tier))
			checkConv(t, x, w, normal(r, w.Dim(0)), p)
		}
	})
}
