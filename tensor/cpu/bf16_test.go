package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/asm"
	"psld/tensor"
)

func normal(r *rand.Rand, shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	for i := range t.Data {
		t.Data[i] = float32(r.NormFloat64())
	}
	return t
}

// toBF16 rounds by the definition: the nearest of the two neighbours, ties to the even one.
func toBF16(t *tensor.Tensor) *tensor.Tensor {
	out := t.Clone()
	for i, v := range out.Data {
		lo := math.Float32frombits(math.Float32bits(v) &^ 0xffff)
		hi := math.Float32frombits(math.Float32bits(lo) + 0x10000)
		dl, dh := math.Abs(float64(v)-float64(lo)), math.Abs(float64(hi)-float64(v))
		if dl < dh || dl == dh && math.Float32bits(lo)>>16%2 == 0 {
			out.Data[i] = lo
		} else {
			out.Data[i] = hi
		}
	}
	return out
}

var bf16Convs = []struct {
	n, h, w, i, o int
	p             tensor.Conv
}{
	{1, 5, 7, 32, 33, tensor.SameConv(3)},
	{2, 6, 5, 3, 8, tensor.SameConv(3)},
	{1, 9, 8, 5, 70, tensor.SameConv(1)},
	{1, 1, 300, 17, 40, tensor.SameConv(1)},
	{1, 8, 8, 7, 6, tensor.Conv{KH: 3, KW: 3, Stride: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1}},
	{1, 8, 6, 16, 5, tensor.Conv{KH: 3, KW: 3, Stride: 2, PadBottom: 1, PadRight: 1}},
	{1, 4, 5, 9, 12, tensor.Conv{KH: 3, KW: 3, Stride: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1,
		Upsample: true}},
}

// TestBF16 holds the bfloat16 device against the float32 one on numbers rounded beforehand: all
// that may differ is the order of the sums.
func TestBF16(t *testing.T) {
	for _, tier := range asm.Available() {
		for k, c := range bf16Convs {
			t.Run(fmt.Sprintf("%v/%d", tier, k), func(t *testing.T) {
				defer asm.Use(asm.Use(tier))
				r := rand.New(rand.NewPCG(uint64(k), 1))
				x, w, b := normal(r, c.n, c.h, c.w, c.i), normal(r, c.o, c.i, c.p.KH, c.p.KW), normal(r, c.o)
				oh, ow := c.p.Out(c.h, c.w)
				got, want := tensor.New(c.n, oh, ow, c.o), tensor.New(c.n, oh, ow, c.o)
				BF16.Conv2d(got, x, w, b, c.p, tensor.Epilogue{})
				F32.Conv2d(want, toBF16(x), toBF16(w), b, c.p, tensor.Epilogue{})
				near(t, want.Data, got.Data)

				dy := normal(r, got.Shape...)
				dx, dxWant := tensor.New(x.Shape...), tensor.New(x.Shape...)
				BF16.Conv2dGradInput(dx, dy, w, c.p)
				F32.Conv2dGradInput(dxWant, toBF16(dy), toBF16(w), c.p)
				near(t, dxWant.Data, dx.Data)
			})
		}
	}
}

func near(t *testing.T, want, got []float32) {
	t.Helper()
	var diff, size float64
	for i, v := range want {
		diff += math.Pow(float64(v-got[i]), 2)
		size += math.Pow(float64(v), 2)
	}
	require.LessOrEqual(t, math.Sqrt(diff/size), 1e-6)
}

// TestPack: a packed weight gives its elements back, and the same bits as before.
func TestPack(t *testing.T) {
	for _, tier := range asm.Available() {
		for _, dev := range []tensor.Device{F32, BF16} {
			t.Run(fmt.Sprintf("%v/%s", tier, dev.Name()), func(t *testing.T) {
				defer asm.Use(asm.Use(tier))
				for _, c := range bf16Convs {
					r := rand.New(rand.NewPCG(1, 1))
					x, w := normal(r, c.n, c.h, c.w, c.i), normal(r, c.o, c.i, c.p.KH, c.p.KW)
					oh, ow := c.p.Out(c.h, c.w)
					run := func(w *tensor.Tensor) (y, dx *tensor.Tensor) {
						y, dx = tensor.New(c.n, oh, ow, c.o), tensor.New(x.Shape...)
						dev.Conv2d(y, x, w, nil, c.p, tensor.Epilogue{})
						dev.Conv2dGradInput(dx, y, w, c.p)
						return y, dx
					}
					y, dx := run(w.Clone())
					elements := w.Clone()
					dev.Pack(w)
					require.Nil(t, w.Data)
					require.Equal(t, elements.Len(), w.Len())
					y2, dx2 := run(w)
					require.Equal(t, y.Data, y2.Data)
					require.Equal(t, dx.Data, dx2.Data)
					if dev == BF16 {
						elements = toBF16(elements)
					}
					require.Equal(t, elements.Data, dev.Host(w))
				}
			})
		}
	}
}

// BenchmarkBF16 is a 3x3 convolution of 320 channels on each device.
func BenchmarkBF16(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	x, w, y := normal(r, 1, 64, 64, 320), normal(r, 320, 320, 3, 3), tensor.New(1, 64, 64, 320)
	for _, dev := range []tensor.Device{F32, BF16} {
		b.Run(dev.Name(), func(b *testing.B) {
			for b.Loop() {
				dev.Conv2d(y, x, w, nil, tensor.SameConv(3), tensor.Epilogue{})
			}
			b.ReportMetric(2*64*64*320*320*9*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
