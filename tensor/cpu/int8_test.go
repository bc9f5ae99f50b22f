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

// isInt8 checks got against the definition: multiples, from -127 to 127, of a 127th of the largest of each output, and
// the nearest to the elements of w.
func isInt8(t *testing.T, w *tensor.Tensor, got []float32) {
	t.Helper()
	n := w.Len() / w.Dim(0)
	for o := range w.Dim(0) {
		row, most := w.Data[o*n:][:n], 0.0
		for _, v := range row {
			most = math.Max(most, math.Abs(float64(v)))
		}
		for i, v := range row {
			x, step := float64(got[o*n+i]), most/127
			if most == 0 {
				require.Zero(t, x)
				continue
			}
			require.InDelta(t, math.Round(x/step), x/step, 1e-4)
			require.LessOrEqual(t, math.Abs(x), most*(1+1e-6))
			require.LessOrEqual(t, math.Abs(x-float64(v)), step*(0.5+1e-4))
		}
	}
}

// TestInt8 holds the device of integer weights against the float32 one, on weights rounded beforehand: forward, to
// the input, and the elements themselves. One output is of zeros, one much larger than the others.
func TestInt8(t *testing.T) {
	convs := append(bf16Convs[:len(bf16Convs):len(bf16Convs)], []struct {
		n, h, w, i, o int
		p             tensor.Conv
	}{
		{1, 9, 10, 32, 48, tensor.SameConv(3)},  // Winograd's form, weights turned where they are used
		{1, 60, 60, 16, 16, tensor.SameConv(3)}, // turned once
		{1, 1, 500, 16, 48, tensor.SameConv(1)}, // many tasks
		{1, 1, 9, 3000, 33, tensor.SameConv(1)}, // sums in pieces
		{1, 8, 8, 32, 3, tensor.SameConv(3)},    // few channels
		{1, 8, 8, 3, 32, tensor.SameConv(3)},    // to them
		{1, 5, 6, 160, 40, tensor.SameConv(3)},  // taps in blocks
	}...)
	for _, tier := range asm.Available() {
		if tier == asm.AVX512 && asm.Available()[len(asm.Available())-1] > tier {
			continue // the tables of the next
		}
		for k, c := range convs {
			t.Run(fmt.Sprintf("%v/%d", tier, k), func(t *testing.T) {
				defer asm.Use(asm.Use(tier))
				r := rand.New(rand.NewPCG(uint64(k), 2))
				x, w, b := normal(r, c.n, c.h, c.w, c.i), normal(r, c.o, c.i, c.p.KH, c.p.KW), normal(r, c.o)
				per := w.Len() / c.o
				clear(w.Data[per:][:per])
				for i := range per {
					w.Data[2*per+i] *= 1000
				}
				packed := w.Clone()
				Int8.Pack(packed)
				require.Nil(t, packed.Data)
				wx, want8 := x, tensor.From(Int8.Host(packed), w.Shape...)
				isInt8(t, w, want8.Data)
				limit := 2e-5
				if asm.HasPairs() { // both factors are rounded, the weights twice
					wx, want8, limit = toBF16(x), toBF16(want8), 3e-3
				}
				oh, ow := c.p.Out(c.h, c.w)
				got, want := tensor.New(c.n, oh, ow, c.o), tensor.New(c.n, oh, ow, c.o)
				Int8.Conv2d(got, x, packed, b, c.p, tensor.Epilogue{})
				F32.Conv2d(want, wx, want8, b, c.p, tensor.Epilogue{})
				near8(t, want.Data, got.Data, limit)

				dy := normal(r, got.Shape...)
				wdy := dy
				if asm.HasPairs() {
					wdy = toBF16(dy)
				}
				dx, dxWant := tensor.New(x.Shape...), tensor.New(x.Shape...)
				Int8.Conv2dGradInput(dx, dy, packed, c.p)
				F32.Conv2dGradInput(dxWant, wdy, want8, c.p)
				near8(t, dxWant.Data, dx.Data, limit)
			})
		}
	}
}

func near8(t *testing.T, want, got []float32, limit float64) {
	t.Helper()
	var diff, size float64
	for i, v := range want {
		d := float64(got[i]) - float64(v)
		diff, size = diff+d*d, size+float64(v)*float64(v)
	}
	require.LessOrEqual(t, math.Sqrt(diff), limit*math.Sqrt(size))
}

// TestPackUnpack: what a layout holds are the elements, rounded as it says; also of layouts that the tier does not
// multiply. Sides are odd and even, of more and less than a panel.
func TestPackUnpack(t *testing.T) {
	for _, tier := range asm.Available() {
		defer asm.Use(asm.Use(tier))
		for _, shape := range [][]int{{5, 7}, {33, 16}, {48, 37, 3, 3}, {16, 1, 3, 3}, {1, 64, 1, 1}} {
			r := rand.New(rand.NewPCG(3, uint64(len(shape))))
			w := normal(r, shape...)
			o, i, taps := filter(w)
			for f, limit := range map[format]float64{single: 0, split: 0x1p-16, pairs: 0, bytes: 1e-6} {
				p, err := packWeight(o, i, taps, f, func(_ *scratch, from, n int) ([]float32, error) {
					return w.Data[from*i*taps:][:n*i*taps], nil
				})
				require.NoError(t, err)
				got := make([]float32, w.Len())
				unpack(w, layouts{packKey{f, asm.NR()}: p}, got)
				want := w.Data
				switch f {
				case pairs:
					want = toBF16(w).Data
				case bytes:
					isInt8(t, w, got)
					want = got
				}
				near8(t, want, got, limit)
			}
		}
	}
}
