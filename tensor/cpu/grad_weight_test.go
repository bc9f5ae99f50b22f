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

// gradWeight64 is the gradient of conv64 in w and b, in float64.
func gradWeight64(x, dy *tensor.Tensor, p tensor.Conv, shape []int) (dw, db []float64) {
	h, wd, c, o := x.Dim(1), x.Dim(2), x.Dim(3), shape[0]
	up := 1
	if p.Upsample {
		up = 2
	}
	taps := p.KH * p.KW
	dw, db = make([]float64, tensor.Len(shape)), make([]float64, o)
	for i := range dy.Rows() {
		img, r, q := i/(dy.Dim(1)*dy.Dim(2)), i/dy.Dim(2)%dy.Dim(1), i%dy.Dim(2)
		for k, g := range dy.Data[i*o:][:o] {
			db[k] += float64(g)
			for t := range taps {
				u, v := r*p.Stride+t/p.KW-p.PadTop, q*p.Stride+t%p.KW-p.PadLeft
				if u < 0 || v < 0 || u >= up*h || v >= up*wd {
					continue
				}
				for ch, a := range x.Data[((img*h+u/up)*wd+v/up)*c:][:c] {
					dw[(k*c+ch)*taps+t] += float64(g) * float64(a)
				}
			}
		}
	}
	return dw, db
}

func checkGradWeight(t *testing.T, x []int, o int, p tensor.Conv) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(o), uint64(x[3])))
	oh, ow := p.Out(x[1], x[2])
	shape := []int{o, x[3], p.KH, p.KW}
	xt, dy := normal(r, x...), normal(r, x[0], oh, ow, o)
	want, wantB := gradWeight64(xt, dy, p, shape)
	dw, checkW := guardedLike(shape)
	db, checkB := guardedLike([]int{o})
	F32.Conv2dGradWeight(dw, db, xt, dy, p)
	checkW(t)
	checkB(t)
	requireSum(t, want, dw.Data, 2e-6, dy.Rows())
	requireSum(t, wantB, db.Data, 2e-6, dy.Rows())
}

func TestGradWeight(t *testing.T) {
	for _, tier := range asm.Available() {
		defer asm.Use(asm.Use(tier))
		r := rand.New(rand.NewPCG(3, 4))
		other := func() int { return 1 + r.IntN(30) }
		for n := 1; n <= 70; n++ { // every size in each place
			for _, s := range [][3]int{{n, other(), other()}, {other(), n, other()}, {other(), other(), n}} {
				checkGradWeight(t, []int{1, 1, s[0], s[1]}, s[2], tensor.Conv{KH: 1, KW: 1, Stride: 1})
			}
			if n%4 == int(tier)%4 {
				checkGradWeight(t, []int{1 + n%3, 1 + n%7, 1 + n%11, n}, other(), tensor.SameConv(3))
			}
		}
		for _, p := range []tensor.Conv{
			{KH: 3, KW: 3, Stride: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1},
			{KH: 3, KW: 3, Stride: 2, PadBottom: 1, PadRight: 1},
			{KH: 2, KW: 3, Stride: 3, PadTop: 1, PadLeft: 2},
			{KH: 3, KW: 3, Stride: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, Upsample: true},
			{KH: 1, KW: 1, Stride: 2},
		} {
			checkGradWeight(t, []int{2, 7, 9, 37}, 20, p)
		}
		checkGradWeight(t, []int{2, 40, 41, 3}, 5, tensor.SameConv(3))                          // parts of the pixels
		checkGradWeight(t, []int{1, 1, 4000, 7}, 9, tensor.Conv{KH: 1, KW: 1, Stride: 1})       //
		checkGradWeight(t, []int{1, 1, 1100, 33}, 2050/2, tensor.Conv{KH: 1, KW: 1, Stride: 1}) // several packings
		checkGradWeight(t, []int{1, 1, 300, 40}, 70, tensor.Conv{KH: 1, KW: 1, Stride: 1})      // several chunks
	}
}

// TestGradWeightMemory: what is packed at a time is bounded.
func TestGradWeightMemory(t *testing.T) {
	x, dy, dw := tensor.New(1, 1, 40000, 32), tensor.New(1, 1, 40000, 320), tensor.New(320, 32, 1, 1)
	pool.ResetPeak()
	before := pool.Live()
	F32.Conv2dGradWeight(dw, nil, x, dy, tensor.Conv{KH: 1, KW: 1, Stride: 1})
	require.Less(t, pool.Peak()-before, int64(20<<20), "dy is 51 MB")
}

func TestGradWeightSameBitsAndNaN(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r := rand.New(rand.NewPCG(1, 2))
	x, dy := normal(r, 2, 40, 41, 12), normal(r, 2, 40, 41, 9)
	dw, again := tensor.New(9, 12, 3, 3), tensor.New(9, 12, 3, 3)
	F32.Conv2dGradWeight(dw, nil, x, dy, tensor.SameConv(3))
	for _, threads := range []int{2, 3, 5} {
		runtime.GOMAXPROCS(threads)
		F32.Conv2dGradWeight(again, nil, x, dy, tensor.SameConv(3))
		require.Equal(t, dw.Data, again.Data)
	}
	x.Data[5] = float32(math.NaN()) // channel 5
	F32.Conv2dGradWeight(dw, nil, x, dy, tensor.SameConv(3))
	for i, v := range dw.Data {
		if tap := i % 9; i/9%12 != 5 {
			require.False(t, math.IsNaN(float64(v)), i)
		} else if tap <= 4 && tap != 2 { // the taps that see the first pixel
			require.True(t, math.IsNaN(float64(v)), i)
		}
	}
}
