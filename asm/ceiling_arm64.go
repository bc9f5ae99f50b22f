//go:build arm64 && !noasm

package asm

// ceilingNEON, made by gen/ceiling.go, computes, with 4 lanes in each accumulator,
//
//	for range rounds {
//		for n := range 24 {
//			acc[n] += factor * small
//		}
//	}
func ceilingNEON(rounds int)

var ceilings = map[Tier]ceiling{Generic: genericCeiling, NEON: {ceilingNEON, 24 * 4 * 2}}

var pairCeilings map[Tier]ceiling // no products of bfloat16
