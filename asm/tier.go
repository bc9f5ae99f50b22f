// Package asm holds the CPU kernels: one tier per instruction set, and the
// plain-Go kernels that are both the fallback and the readable reference.
// It knows slices and strides, no tensors.
//
// The tier is chosen once, at start, from what the processor has. The
// environment variable PSLD_KERNELS=generic|neon|avx2|avx512|avx512bf16|amx forces one; a tier
// that the machine does not have is refused with a message on first use of
// [Forced].
package asm

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Tier names an instruction set that kernels exist for, slowest first.
type Tier int

// The tiers. Generic is plain Go and always there.
const (
	Generic    Tier = iota
	NEON            // arm64, 4 lanes
	AVX2            // AVX2 + FMA + F16C, 8 lanes
	AVX512          // AVX-512 F/BW/DQ/VL, 16 lanes
	AVX512BF16      // the same, and bfloat16 products at a higher rate than float32 ones (AMD Zen 4 and later)
	AMX             // AVX512, and bfloat16 products on the tile unit (Intel Sapphire Rapids and later; Linux)
)

var tierNames = []string{"generic", "neon", "avx2", "avx512", "avx512bf16", "amx"}

// String gives the name that PSLD_KERNELS takes.
func (t Tier) String() string { return tierNames[t] }

var (
	active    = Generic
	forcedErr error
)

func init() {
	tiers := Available()
	use(tiers[len(tiers)-1])
	name := os.Getenv("PSLD_KERNELS")
	if name == "" {
		return
	}
	t := slices.Index(tierNames, strings.ToLower(name))
	switch {
	case t < 0:
		forcedErr = fmt.Errorf("PSLD_KERNELS=%s: unknown tier, want one of %s", name, strings.Join(tierNames, ", "))
	case !slices.Contains(tiers, Tier(t)):
		forcedErr = fmt.Errorf("PSLD_KERNELS=%s: this machine has only %v", name, tiers)
	default:
		use(Tier(t))
	}
}

// Active is the tier in use.
func Active() Tier { return active }

// Forced reports whether PSLD_KERNELS named a tier that cannot be used; a
// command prints it and stops, so that a typing error is not silently slow.
func Forced() error { return forcedErr }

// Use switches to tier t and returns the tier that was in use. It is for tests
// and benchmarks, and must not run beside other work. It panics when the
// machine does not have t.
func Use(t Tier) Tier {
	if !slices.Contains(Available(), t) {
		panic("asm: Use of a tier that this machine does not have: " + t.String())
	}
	old := active
	use(t)
	return old
}

// use points every kernel table at tier t.
func use(t Tier) {
	active = t
	vec = vecTiers[min(t, AVX512)] // those of AVX512BF16 and AMX are the same
	winograd = winogradTiers[min(t, AVX512)]
	layout = layoutTiers[min(t, AVX512)]
	gemm = gemmTiers[t]
	attention = attentionTiers[min(t, AVX512BF16)] // AMX machines have its instructions
}
