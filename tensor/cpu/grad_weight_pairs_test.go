package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/asm"
	"psld/tensor"
)

// TestGradWeightPairs: the gradient on bfloat16 against sums in float64 over the same rounded numbers.
func TestGradWeightPairs(t *testing.T) {
	if !asm.HasPairs() {
		t.Skip("the tier multiplies no bfloat16")
	}
	round := func(x *tensor.Tensor) []float64 {
		out := make([]float64, x.Len())
		for i, v := range x.Data {
			out[i] = float64(math.Float32frombits(uint32(bfloat16(v)) << 16))
		}
		return out
	}
	r := rand.New(rand.NewPCG(3, 4))
	halving, uneven, doubling := tensor.SameConv(3), tensor.Conv{KH: 2, KW: 5, Stride: 3, PadLeft: 1, PadBottom: 1},
		tensor.SameConv(3)
	halving.Stride, doubling.Upsample = 2, true
	one, wide := tensor.Conv{KH: 1, KW: 1, Stride: 1}, tensor.Conv{KH: 3, KW: 2, Stride: 1, PadTop: 2, PadLeft: 1,
		PadRight: 1}
	for _, c := range []struct {
		n, h, w, in, out int
		p                tensor.Conv
	}{{1, 1, 1, 1, 1, one}, {2, 3, 5, 3, 33, tensor.SameConv(3)}, {1, 40, 41, 64, 64, tensor.SameConv(3)}, {3, 8, 8,
		130, 40, tensor.SameConv(3)},
		{1, 1, 77, 20, 100, one}, {2, 9, 4, 5, 7, wide}, {1, 6, 7, 40, 3, tensor.SameConv(5)}, {16, 16, 16, 32, 96,
			tensor.SameConv(3)}, {2, 8, 8, 40, 32, halving}, {3, 7, 9, 33, 5, halving}, {1, 12, 11, 4, 6, uneven},
		{2, 5, 4, 34, 8, doubling}, {1, 6, 7, 3, 64, doubling}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			oh, ow := c.p.Out(c.h, c.w)
			x, dy := normal(r, c.n, c.h, c.w, c.in), normal(r, c.n, oh, ow, c.out)
			dw, db := tensor.New(c.out, c.in, c.p.KH, c.p.KW), tensor.New(c.out)
			BF16.Conv2dGradWeight(dw, db, x, dy, c.p)
			xr, dyr := round(x), round(dy)
			var sq, all float64
			for k, v := range dw.Data {
				tap, i, o := k%(c.p.KH*c.p.KW), k/(c.p.KH*c.p.KW)%c.in, k/(c.p.KH*c.p.KW)/c.in
				sum := 0.0
				for img := range c.n {
					for y := range oh {
						for q := range ow {
							sy, sx := y*c.p.Stride+tap/c.p.KW-c.p.PadTop, q*c.p.Stride+tap%c.p.KW-c.p.PadLeft
							h, w := c.h, c.w
							if c.p.Upsample {
								h, w = 2*h, 2*w
							}
							if sy >= 0 && sy < h && sx >= 0 && sx < w {
								sy, sx = sy*c.h/h, sx*c.w/w
								sum += xr[((img*c.h+sy)*c.w+sx)*c.in+i] * dyr[((img*oh+y)*ow+q)*c.out+o]
							}
						}
					}
				}
				sq, all = sq+(float64(v)-sum)*(float64(v)-sum), all+sum*sum
			}
			require.Less(t, math.Sqrt(sq/all), 2e-6)
			again := tensor.New(dw.Shape...)
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			for _, threads := range []int{1, 3} {
				runtime.GOMAXPROCS(threads)
				BF16.Conv2dGradWeight(again, nil, x, dy, c.p)
				require.Equal(t, dw.Data, again.Data, "%d threads", threads)
			}
		})
	}
}
