//go:build noasm || (!amd64 && !arm64)

package asm

var attentionTiers = [...]*attentionKernels{Generic: &attentionGeneric}
