//go:build !amd64 || noasm

package asm

var layoutTiers = [...]*layoutKernels{Generic: &layoutGeneric, NEON: &layoutGeneric}
