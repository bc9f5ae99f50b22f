package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/asm"
	"psld/tensor"
)

// TestEpilogueBits: what is fused gives the bits of the operations one after another, in every form of a convolution.
func TestEpilogueBits(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	nr := asm.NR()
	down, point := tensor.SameConv(3), tensor.SameConv(1)
	down.Stride = 2
	for _, c := range []struct {
		h, w, in, out int
		p             tensor.Conv
	}{
		{1, 77, 2 * nr, 2 * nr, point}, {1, 500, 1300, nr, point}, {30, 31, 9, 2*nr + 2, point}, {1, 5, 7, 4, point},
		{17, 18, 16, 32, tensor.SameConv(3)}, {16, 16, 32, 64, tensor.SameConv(3)}, {9, 7, 5, 3*nr - 4,
			tensor.SameConv(3)}, {12, 12, 16, 2 * nr, down},
	} {
		x, w, b := normal(r, 2, c.h, c.w, c.in), normal(r, c.out, c.in, c.p.KH, c.p.KW), normal(r, c.out)
		oh, ow := c.p.Out(c.h, c.w)
		for _, e := range []tensor.Epilogue{{}, {Scale: 0.3}, {Func: tensor.SiLU}, {Scale: -1.7, Func: tensor.GELU},
			{GEGLU: true}, {GEGLU: true, Scale: 2, Func: tensor.ReLU}} {
			for _, add := range []bool{false, true} {
				out := c.out
				if e.GEGLU {
					out /= 2
				}
				e.Add = nil
				if add {
					e.Add = normal(r, 2, oh, ow, out)
				}
				for _, dev := range []tensor.Device{F32, BF16, F32X3} {
					got, want, sums := tensor.New(2, oh, ow, out), tensor.New(2, oh, ow, out), tensor.New(2, oh, ow, c.out)
					dev.Conv2d(got, x, w, b, c.p, e)
					dev.Conv2d(sums, x, w, b, c.p, tensor.Epilogue{})
					if e.Scale != 0 {
						dev.Scale(sums, e.Scale, sums)
					}
					if e.GEGLU {
						dev.GEGLU(want, sums)
					} else {
						copy(want.Data, sums.Data)
					}
					if add {
						dev.Add(want, want, e.Add)
					}
					if e.Func != tensor.Identity {
						dev.Unary(e.Func, want, want)
					}
					require.Equal(t, want.Data, got.Data, fmt.Sprint(dev.Name(), c, e.Scale, e.GEGLU, e.Func, add))
				}
			}
		}
	}
}
