package asm

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// The three transforms together are the 3x3 correlation, whatever the lengths, strides and tier.
func TestWinograd(t *testing.T) {
	for _, tier := range Available() {
		t.Run(tier.String(), func(t *testing.T) {
			defer Use(Use(tier))
			for _, n := range []int{16, 32, 48, 80} {
				for _, gap := range []int{0, 1, 5} { // unaligned
					testWinograd(t, n, gap, n != 32)
				}
			}
		})
	}
}

func testWinograd(t *testing.T, n, gap int, withBias bool) {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(gap)))
	col := n + gap
	const guard = 12345
	square := func(side int, random bool) []float32 {
		s := make([]float32, side*side*col+gap+1)
		for i := range s {
			s[i] = guard
			if random {
				s[i] = float32(rng.NormFloat64())
			}
		}
		return s
	}
	at := func(s []float32) unsafe.Pointer { return unsafe.Pointer(&s[gap]) }
	d, g, bias := square(6, true), square(3, true), square(1, true)
	v, u, y := square(6, false), square(6, false), square(4, false)
	WinogradInput(&Grid{Src: at(d), Dst: at(v), SrcRow: 24 * col, SrcCol: 4 * col, DstRow: 24 * col,
		DstCol: 4 * col, N: n})
	WinogradWeight(&Grid{Src: at(g), Dst: at(u), SrcRow: 12 * col, SrcCol: 4 * col, DstRow: 24 * col,
		DstCol: 4 * col, N: n})
	for i := range v {
		if v[i] != guard {
			v[i] *= u[i]
		}
	}
	out := Grid{Src: at(v), Dst: at(y), SrcRow: 24 * col, SrcCol: 4 * col, DstRow: 16 * col, DstCol: 4 * col, N: n}
	if withBias {
		out.Bias = at(bias)
	}
	WinogradOutput(&out)

	written := 0
	for i := range 4 {
		for j := range 4 {
			for k := range n {
				var want float64
				if withBias {
					want = float64(bias[gap+k])
				}
				for r := range 3 {
					for c := range 3 {
						want += float64(d[gap+((i+r)*6+j+c)*col+k]) * float64(g[gap+(r*3+c)*col+k])
					}
				}
				require.InDelta(t, want, y[gap+(i*4+j)*col+k], 2e-5, "n %d gap %d: %d %d %d", n, gap, i, j, k)
				y[gap+(i*4+j)*col+k] = guard
				written++
			}
		}
	}
	require.Equal(t, 16*n, written)
	require.Equal(t, len(y), len(slices.DeleteFunc(y, func(v float32) bool { return v != guard })),
		"elements between the vectors are touched")
}

func BenchmarkWinograd(b *testing.B) {
	const n = 128
	src, dst := make([]float32, 36*n), make([]float32, 36*n+64)
	g := Grid{Src: unsafe.Pointer(&src[0]), Dst: unsafe.Pointer(&dst[0]), SrcRow: 24 * n, SrcCol: 4 * n,
		DstRow: 24 * n, DstCol: 4 * n, N: n}
	for _, tier := range Available() {
		for name, f := range map[string]func(*Grid){"input": WinogradInput, "weight": WinogradWeight,
			"output": WinogradOutput} {
			b.Run(tier.String()+"/"+name, func(b *testing.B) {
				defer Use(Use(tier))
				for b.Loop() {
					f(&g)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n/16), "ns/16")
			})
		}
	}
	if math.IsNaN(float64(dst[0])) {
		b.Fatal("not a number")
	}
}
