//go:build amd64 && !noasm

package asm

import "github.com/klauspost/cpuid/v2"

// Available lists the tiers that this machine can run, slowest first.
func Available() []Tier {
	tiers := []Tier{Generic}
	if cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.F16C) {
		tiers = append(tiers, AVX2)
	}
	if cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.F16C, cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ,
		cpuid.AVX512VL) {
		tiers = append(tiers, AVX512)
		// On Intel's parts VDPBF16PS runs at half the rate of a float32 FMA.
		if cpuid.CPU.Supports(cpuid.AVX512BF16) && cpuid.CPU.VendorID == cpuid.AMD {
			tiers = append(tiers, AVX512BF16)
		}
		if cpuid.CPU.Supports(cpuid.AVX512BF16) && hasAMX() {
			tiers = append(tiers, AMX)
		}
	}
	return tiers
}
