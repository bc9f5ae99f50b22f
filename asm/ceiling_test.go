package asm

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Every tier has a loop, the work of a round is fixed by its instructions, and tiers
// that multiply bfloat16 have one for that.
func TestMulAdds(t *testing.T) {
	for _, tier := range Available() {
		t.Run(tier.String(), func(t *testing.T) {
			flop := map[Tier]float64{Generic: 24, NEON: 192, AVX2: 224, AVX512: 896, AVX512BF16: 896, AMX: 896}[tier]
			require.NotZero(t, flop, "a tier without a loop")
			for _, rounds := range []int{1, 2, 1000} {
				require.Equal(t, flop*float64(rounds), MulAdds(tier, false, rounds))
				pairs := flop
				switch tier {
				case AVX512BF16:
					pairs *= 2
				case AMX: // 4 products of 16 x 32 and 32 x 16
					pairs = 65536
				}
				require.Equal(t, pairs*float64(rounds), MulAdds(tier, true, rounds))
			}
		})
	}
}

func BenchmarkMulAdds(b *testing.B) {
	for _, tier := range Available() {
		for name, pairs := range map[string]bool{"f32": false, "bf16": true} {
			b.Run(tier.String()+"/"+name, func(b *testing.B) {
				var flop float64
				for b.Loop() {
					flop += MulAdds(tier, pairs, 1<<12)
				}
				b.ReportMetric(flop/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
