//go:build arm64 && !noasm

package asm

// Both use the vector kernels of their tier.
var attentionTiers = [...]*attentionKernels{Generic: &attentionGeneric, NEON: &attentionGeneric}
