//go:build arm64 && !noasm

package asm

func ceilingNEON(rounds int) // made by gen/ceiling.go

var ceilings = map[Tier]ceiling{Generic: genericCeiling, NEON: {ceilingNEON, 24 * 4 * 2}}

var pairCeilings map[Tier]ceiling // no products of bfloat16
