package cpu

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/asm"
	"psld/tensor"
)

func TestParallelVisitsEveryTaskOnce(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 1000} {
		count := make([]int32, n)
		parallel(n, func(i int, s *scratch) {
			s.floats(0, i+1)[i]++ // scratch has what was asked for
			count[i]++
		})
		for i, c := range count {
			require.EqualValues(t, 1, c, "task %d of %d", i, n)
		}
	}
	for _, n := range []int{0, 1, 9, 10, 11, 95} {
		seen := make([]int, n)
		parallelWith(n, 10, seen, func(seen *[]int, lo, hi int, _ *scratch) {
			for i := lo; i < hi; i++ {
				(*seen)[i]++
			}
		})
		for i, c := range seen {
			require.Equal(t, 1, c, "element %d of %d", i, n)
		}
	}
}

// noise has another mean per tensor, so that a permuted sum shows in the last bits.
func noise(seed uint64, shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	r := rand.New(rand.NewPCG(seed, 9))
	for i := range t.Data {
		t.Data[i] = float32(r.NormFloat64() + 0.3)
	}
	return t
}

// TestSameBitsOnAnyNumberOfThreads runs everything that adds numbers up.
func TestSameBitsOnAnyNumberOfThreads(t *testing.T) {
	d := F32
	strided := tensor.Conv{KH: 3, KW: 3, Stride: 2, PadBottom: 1, PadRight: 1}
	scalar := func(v float64) []float32 { return []float32{float32(v), float32(v - float64(float32(v)))} }
	conv := func(p tensor.Conv, n, h, w, ci, co int) func() []float32 {
		x, wt, b := noise(1, n, h, w, ci), noise(2, co, ci, p.KH, p.KW), noise(3, co)
		oh, ow := p.Out(h, w)
		dy := noise(4, n, oh, ow, co)
		return func() []float32 {
			y, dx, dw, db := tensor.New(n, oh, ow, co), tensor.New(n, h, w, ci), tensor.New(wt.Shape...), tensor.New(co)
			d.Conv2d(y, x, wt, b, p, tensor.Epilogue{})
			d.Conv2dGradInput(dx, dy, wt, p)
			d.Conv2dGradWeight(dw, db, x, dy, p)
			return slices.Concat(y.Data, dx.Data, dw.Data, db.Data)
		}
	}
	attention := func(n, l, m, heads, hd int, causal bool) func() []float32 {
		c := heads * hd
		q, k, v, do := noise(1, n, l, c), noise(2, n, m, c), noise(3, n, m, c), noise(4, n, l, c)
		return func() []float32 {
			o, stats, dq, dk, dv := tensor.New(n, l, c), tensor.New(n, heads, 2, l), tensor.New(n, l,
				c), tensor.New(n, m, c), tensor.New(n, m, c)
			d.Attention(o, stats, q, k, v, heads, causal)
			d.AttentionGrad(dq, dk, dv, do, o, stats, q, k, v, heads, causal)
			return slices.Concat(o.Data, dq.Data, dk.Data, dv.Data)
		}
	}
	up := tensor.SameConv(3)
	up.Upsample = true
	big := noise(5, 3, 50000)
	cases := map[string]func() []float32{
		"conv3x3":         conv(tensor.SameConv(3), 2, 23, 31, 17, 33),
		"conv1x1":         conv(tensor.Conv{KH: 1, KW: 1, Stride: 1}, 1, 37, 41, 20, 9),
		"conv strided":    conv(strided, 2, 24, 31, 5, 40),
		"conv up":         conv(up, 1, 12, 17, 8, 6),
		"attention":       attention(2, 150, 77, 2, 20, false),
		"attention large": attention(1, 600, 64, 1, 16, true),
		"groupnorm": func() []float32 {
			x, gamma, beta, dy := noise(1, 2, 61, 67, 24), noise(2, 24), noise(3, 24), noise(4, 2, 61, 67, 24)
			y, stats, dx, dg, db := tensor.New(x.Shape...), tensor.New(2, 6,
				2), tensor.New(x.Shape...), tensor.New(24), tensor.New(24)
			d.GroupNorm(y, stats, x, gamma, beta, 6, 1e-5, true)
			d.GroupNormGrad(dx, dg, db, dy, x, stats, gamma, beta, 6, true)
			return slices.Concat(y.Data, stats.Data, dx.Data, dg.Data, db.Data)
		},
		"layernorm": func() []float32 {
			x, gamma, beta, dy := noise(1, 1500, 40), noise(2, 40), noise(3, 40), noise(4, 1500, 40)
			y, stats, dx, dg, db := tensor.New(x.Shape...), tensor.New(1500,
				2), tensor.New(x.Shape...), tensor.New(40), tensor.New(40)
			d.LayerNorm(y, stats, x, gamma, beta, 1e-5)
			d.LayerNormGrad(dx, dg, db, dy, x, stats, gamma)
			return slices.Concat(y.Data, stats.Data, dx.Data, dg.Data, db.Data)
		},
		"sums": func() []float32 {
			return slices.Concat(scalar(d.Sum(big)), scalar(d.SumSquares(big)), scalar(d.Dot(big, noise(6, 3, 50000))))
		},
		"sumpixels": func() []float32 {
			de := tensor.New(3, 10)
			d.SumPixels(de, big.Reshaped(3, 5000, 10))
			return de.Data
		},
	}
	for name, run := range cases {
		for _, tier := range asm.Available() {
			t.Run(fmt.Sprintf("%s/%s", name, tier), func(t *testing.T) {
				defer asm.Use(asm.Use(tier))
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
				want := run()
				for _, threads := range []int{2, 3, 8} {
					runtime.GOMAXPROCS(threads)
					for i, v := range run() {
						if v != want[i] {
							t.Fatalf("%d threads: number %d is %v, on one thread %v", threads, i, v, want[i])
						}
					}
				}
			})
		}
	}
}

// TestParallelNests: loops within loops, from several goroutines at a time, with more threads than processors.
func TestParallelNests(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(5))
	var sums [8]int64
	var wg sync.WaitGroup
	for g := range sums {
		wg.Go(func() {
			for range 50 {
				var rows [20]int64
				parallel(len(rows), func(i int, _ *scratch) {
					var cells [30]int64
					parallel(len(cells), func(j int, _ *scratch) { cells[j] = int64(i * j) })
					for _, c := range cells {
						rows[i] += c
					}
				})
				for _, r := range rows {
					sums[g] += r
				}
			}
		})
	}
	wg.Wait()
	for _, s := range sums {
		require.EqualValues(t, 50*190*435, s)
	}
}

func TestParallelAllocatesNothing(t *testing.T) {
	var out [64]float32
	fn := func(i int, _ *scratch) { out[i]++ }
	for _, n := range []int{1, 64} {
		require.Less(t, testing.AllocsPerRun(200, func() { parallel(n, fn) }), 0.5, n) // a collection may empty the pools
	}
}

// BenchmarkParallel is the cost of a loop over tasks that do nothing.
func BenchmarkParallel(b *testing.B) {
	fn := func(int, *scratch) {}
	b.Run("helpers", func(b *testing.B) {
		for b.Loop() {
			parallel(8, fn)
		}
	})
	b.Run("goroutines", func(b *testing.B) {
		for b.Loop() {
			var wg sync.WaitGroup
			for range runtime.GOMAXPROCS(0) - 1 {
				wg.Go(func() {})
			}
			wg.Wait()
		}
	})
}
