//go:build (!amd64 && !arm64) || noasm

package asm

var gemmTiers = [...]*gemmKernels{Generic: &gemmGeneric}
