//go:build !amd64 || noasm

package asm

var gemmTiers = [...]*gemmKernels{Generic: &gemmGeneric}
