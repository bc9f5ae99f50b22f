//go:build (!amd64 && !arm64) || noasm

package asm

var winogradTiers = [...]*winogradKernels{Generic: &winogradGeneric}
