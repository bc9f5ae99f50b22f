package asm

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTranspose(t *testing.T) {
	for _, tier := range Available() {
		defer Use(Use(tier))
		for _, rows := range []int{8, 16, 32, 40} {
			for _, cols := range []int{8, 24, 32} {
				ldd, lds := rows+3, cols+5
				src, dst := make([]float32, rows*lds), make([]float32, cols*ldd)
				for i := range src {
					src[i] = float32(i + 1)
				}
				Transpose(dst, src, rows, cols, ldd, lds)
				for j := range cols {
					for i := range ldd {
						want := float32(0) // beyond the rows nothing is written
						if i < rows {
							want = src[i*lds+j]
						}
						require.Equal(t, want, dst[j*ldd+i], "%v %dx%d: %d, %d", tier, rows, cols, i, j)
					}
				}
			}
		}
	}
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
	require.Panics(t, func() { Transpose(make([]float32, 99), make([]float32, 99), 7, 8, 8, 8) })
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
