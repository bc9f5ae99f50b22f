//go:build !amd64 || noasm

package asm

var vecTiers = [...]*vecKernels{Generic: &genericVec}
