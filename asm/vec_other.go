//go:build (!amd64 && !arm64) || noasm

package asm

var vecTiers = [...]*vecKernels{Generic: &genericVec}
