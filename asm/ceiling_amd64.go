//go:build amd64 && !noasm

package asm

// Made by gen/ceiling.go, with as many accumulators as registers allow.

func ceilingAVX2(rounds int)

func ceilingAVX512(rounds int)

func ceilingBF16(rounds int)

var ceilings = map[Tier]ceiling{
	Generic:    genericCeiling,
	AVX2:       {ceilingAVX2, 14 * 8 * 2},
	AVX512:     {ceilingAVX512, 28 * 16 * 2},
	AVX512BF16: {ceilingAVX512, 28 * 16 * 2},
}

// pairCeilings are those of the tiers that multiply bfloat16.
var pairCeilings = map[Tier]ceiling{AVX512BF16: {ceilingBF16, 28 * 16 * 4}}
