package asm

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTranspose(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 5))
		for rows := 0; rows <= 70; rows++ {
			for cols := rows % 3; cols <= 70; cols += 1 + rows%5 {
				lds, ldd := cols+rows%4, rows+cols%3
				src := random(rng, max(0, (rows-1)*lds+cols), 1)
				dst, whole := guarded(max(0, (cols-1)*ldd+rows), 3)
				if rows > 0 && cols > 0 {
					Transpose(dst, src, rows, cols, ldd, lds)
				}
				checkGuard(t, whole, 3, len(dst))
				for i, v := range dst {
					want := guard // between the rows
					if r, c := i%ldd, i/ldd; r < rows {
						want = src[r*lds+c]
					}
					if v != want {
						t.Fatalf("%d x %d: element %d is %v, want %v", rows, cols, i, v, want)
					}
				}
			}
		}
	})
}

func TestPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, tier := range Available() {
		defer Use(Use(tier))
		for _, n := range []int{8, 32, 72} {
			words, even, odd, back := make([]float32, n), make([]float32, n+1), make([]float32, n+1), make([]float32, n)
			for i := range words {
				words[i] = math.Float32frombits(rng.Uint32()&^0x40004000 | 0x00100010) // no NaNs: the tests compare numbers
			}
			SplitPairs(even[1:], odd[1:], words)
			for i, w := range words {
				b := math.Float32bits(w)
				require.Equal(t, b<<16, math.Float32bits(even[1+i]), tier)
				require.Equal(t, b>>16<<16, math.Float32bits(odd[1+i]), tier)
			}
			JoinPairs(back, even[1:], odd[1:])
			require.Equal(t, words, back, tier)
		}
	}
	require.Panics(t, func() { SplitPairs(nil, nil, nil) })
	for _, tier := range Available() {
		defer Use(Use(tier))
		for _, width := range []int{8, 16, 40} {
			for n := 1; n < 4; n++ {
				half := func(words []float32, i int) uint32 { return math.Float32bits(words[i/2]) >> (i % 2 * 16) & 0xffff }
				src, dst := make([]float32, 2*width*n), make([]float32, 2*width*n)
				for i := range src {
					src[i] = math.Float32frombits(rng.Uint32() &^ 0x40004000)
				}
				CrossPairs(dst, src, width)
				for i := range 2 * width { // element of a row
					for r := range 2 * n {
						require.Equal(t, half(src, 2*width*r+i), half(dst, r/2*4*width+2*i+r%2), "%v: %d %d", tier, r, i)
					}
				}
			}
		}
	}
	require.Panics(t, func() { Transpose(make([]float32, 99), make([]float32, 55), 7, 8, 8, 8) })
}

func BenchmarkTranspose(b *testing.B) {
	src, dst := make([]float32, 32*32), make([]float32, 32*32)
	for _, tier := range Available() {
		b.Run(tier.String(), func(b *testing.B) {
			defer Use(Use(tier))
			b.SetBytes(4096)
			for b.Loop() {
				Transpose(dst, src, 32, 32, 32, 32)
			}
		})
	}
}
