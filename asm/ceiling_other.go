//go:build (!amd64 && !arm64) || noasm

package asm

var ceilings = map[Tier]ceiling{Generic: genericCeiling}

var pairCeilings map[Tier]ceiling // no products of bfloat16
