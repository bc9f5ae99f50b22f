//go:build amd64 && !noasm

package asm

// Made by gen/ceiling.go, with as many accumulators as registers allow.

// ceilingAVX2 computes, with 8 lanes in each accumulator,
//
//	for range rounds {
//		for n := range 14 {
//			acc[n] += factor * small
//		}
//	}
func ceilingAVX2(rounds int)

// ceilingAVX512 computes, with 16 lanes in each accumulator,
//
//	for range rounds {
//		for n := range 28 {
//			acc[n] += factor * small
//		}
//	}
func ceilingAVX512(rounds int)

// ceilingBF16 computes, with 16 lanes in each accumulator and pairs of bfloat16 as factors,
//
//	for range rounds {
//		for n := range 28 {
//			acc[n] += factor[0]*small[0] + factor[1]*small[1]
//		}
//	}
func ceilingBF16(rounds int)

var ceilings = map[Tier]ceiling{
	Generic:    genericCeiling,
	AVX2:       {ceilingAVX2, 14 * 8 * 2},
	AVX512:     {ceilingAVX512, 28 * 16 * 2},
	AVX512BF16: {ceilingAVX512, 28 * 16 * 2},
	AMX:        {ceilingAVX512, 28 * 16 * 2},
}

// pairCeilings are those of the tiers that multiply bfloat16.
var pairCeilings = map[Tier]ceiling{
	AVX512BF16: {ceilingBF16, 28 * 16 * 4},
	AMX: {func(rounds int) {
		const short = 1 << 10 // products of 4 tiles, about 20 us: the garbage collector waits for a call
		for ; rounds > 0; rounds -= short {
			amxCeiling(&amxConfigs[amxBlock/2][amxBlock/2][amxDepth], &amxOnes, &amxSmall, min(rounds, short))
		}
	}, 4 * 16 * 16 * 32 * 2},
}

// Rows of 1 and of 2^-20, in bfloat16, so that sums stay normal numbers.
var amxOnes, amxSmall = rowOf(0x3f80), rowOf(0x3580)

func rowOf(v uint16) (row [64]byte) {
	for i := 0; i < 64; i += 2 {
		row[i], row[i+1] = byte(v), byte(v>>8)
	}
	return row
}
