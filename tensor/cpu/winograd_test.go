package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/asm"
	"psld/tensor"
)

// conv64 is the convolution by its definition, in float64.
func conv64(x, w, b *tensor.Tensor, p tensor.Conv) []float64 {
	n, h, wd, c, o := x.Dim(0), x.Dim(1), x.Dim(2), x.Dim(3), w.Dim(0)
	oh, ow := p.Out(h, wd)
	if p.Upsample {
		h, wd = 2*h, 2*wd
	}
	y := make([]float64, 0, n*oh*ow*o)
	for i := range n * oh * ow * o {
		img, r, q, k := i/(oh*ow*o), i/(ow*o)%oh, i/o%ow, i%o
		var sum float64
		if b != nil {
			sum = float64(b.Data[k])
		}
		for t := range p.KH * p.KW {
			u, v := r*p.Stride+t/p.KW-p.PadTop, q*p.Stride+t%p.KW-p.PadLeft
			if u < 0 || v < 0 || u >= h || v >= wd {
				continue
			}
			if p.Upsample {
				u, v = u/2, v/2
			}
			px := x.Data[((img*x.Dim(1)+u)*x.Dim(2)+v)*c:][:c]
			for ch, a := range px {
				sum += float64(a) * float64(w.Data[(k*c+ch)*p.KH*p.KW+t])
			}
		}
		y = append(y, sum)
	}
	return y
}

// convGrad64 is the transpose of conv64 in x.
func convGrad64(dy, w *tensor.Tensor, p tensor.Conv, shape []int) []float64 {
	h, wd, c, o := shape[1], shape[2], shape[3], w.Dim(0)
	oh, ow := dy.Dim(1), dy.Dim(2)
	up := 1
	if p.Upsample {
		up = 2
	}
	dx := make([]float64, tensor.Len(shape))
	for i := range shape[0] * oh * ow {
		img, r, q := i/(oh*ow), i/ow%oh, i%ow
		for t := range p.KH * p.KW {
			u, v := r*p.Stride+t/p.KW-p.PadTop, q*p.Stride+t%p.KW-p.PadLeft
			if u < 0 || v < 0 || u >= up*h || v >= up*wd {
				continue
			}
			out := dx[((img*h+u/up)*wd+v/up)*c:][:c]
			for ch := range out {
				for k, g := range dy.Data[i*o:][:o] {
					out[ch] += float64(g) * float64(w.Data[(k*c+ch)*p.KH*p.KW+t])
				}
			}
		}
	}
	return dx
}

func requireClose(t *testing.T, want []float64, got []float32, limit float64) {
	t.Helper()
	require.Len(t, got, len(want))
	var diff, size float64
	for i, v := range want {
		d := float64(got[i]) - v
		diff += d * d
		size += v * v
	}
	require.LessOrEqual(t, diff, limit*limit*size)
}

// TestWinograd checks the shapes that take that way, whole pieces and not, against the definition.
func TestWinograd(t *testing.T) {
	for _, c := range []struct{ n, h, w, i, o, padTop, padLeft, padBottom, padRight int }{
		{1, 4, 4, 16, 16, 1, 1, 1, 1},
		{2, 5, 7, 16, 48, 1, 1, 1, 1},
		{1, 8, 13, 80, 32, 1, 1, 1, 1},
		{1, 9, 6, 144, 16, 0, 0, 0, 0},
		{1, 6, 6, 16, 80, 2, 0, 1, 2},
		{1, 3, 30, 32, 16, 1, 1, 1, 1}, // not high enough
		{3, 20, 17, 16, 16, 1, 1, 1, 1},
	} {
		for _, up := range []bool{false, true} {
			p := tensor.Conv{KH: 3, KW: 3, Stride: 1, PadTop: c.padTop, PadLeft: c.padLeft, PadBottom: c.padBottom,
				PadRight: c.padRight, Upsample: up}
			r := rand.New(rand.NewPCG(uint64(c.h), uint64(c.w)))
			x, w, b := normal(r, c.n, c.h, c.w, c.i), normal(r, c.o, c.i, 3, 3), normal(r, c.o)
			oh, ow := p.Out(c.h, c.w)
			dy := normal(r, c.n, oh, ow, c.o)
			y64, dx64 := conv64(x, w, b, p), convGrad64(dy, w, p, x.Shape)
			for _, tier := range asm.Available() {
				t.Run(fmt.Sprintf("%v/%v/%v", tier, c, up), func(t *testing.T) {
					defer asm.Use(asm.Use(tier))
					y, dx := tensor.New(dy.Shape...), tensor.New(x.Shape...)
					for dev, limit := range map[tensor.Device]float64{F32: 3e-6, BF16: 4e-3} {
						dev.Conv2d(y, x, w, b, p, tensor.Epilogue{})
						dev.Conv2dGradInput(dx, dy, w, p)
						requireClose(t, y64, y.Data, limit)
						requireClose(t, dx64, dx.Data, limit)
					}
				})
			}
		}
	}
}

// TestStridedGradInput: the gradient through a convolution with a stride is made of parts.
func TestStridedGradInput(t *testing.T) {
	for _, h := range []int{5, 6, 7, 8, 9} {
		for _, p := range []tensor.Conv{
			{KH: 3, KW: 3, Stride: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1},
			{KH: 3, KW: 3, Stride: 2, PadBottom: 1, PadRight: 1},
			{KH: 3, KW: 3, Stride: 2},
			{KH: 3, KW: 2, Stride: 3, PadTop: 2, PadLeft: 1},
			{KH: 5, KW: 3, Stride: 2, PadTop: 4, PadLeft: 2, PadBottom: 1},
			{KH: 1, KW: 1, Stride: 2},
			{KH: 2, KW: 4, Stride: 4, PadTop: 1, PadLeft: 3},
		} {
			r := rand.New(rand.NewPCG(uint64(h), 1))
			w := normal(r, 9, 20, p.KH, p.KW)
			x := []int{2, h, h + 1, 20}
			oh, ow := p.Out(h, h+1)
			dy := normal(r, 2, oh, ow, 9)
			want := convGrad64(dy, w, p, x)
			for _, tier := range asm.Available() {
				t.Run(fmt.Sprintf("%v/%d/%+v", tier, h, p), func(t *testing.T) {
					defer asm.Use(asm.Use(tier))
					dx := tensor.New(x...)
					F32.Conv2dGradInput(dx, dy, w, p)
					requireClose(t, want, dx.Data, 1e-6)
					BF16.Conv2dGradInput(dx, dy, w, p)
					requireClose(t, want, dx.Data, 5e-3)
				})
			}
		}
	}
}
