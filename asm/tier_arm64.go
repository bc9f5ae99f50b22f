//go:build arm64 && !noasm

package asm

// Available lists the tiers that this machine can run, slowest first. Every
// processor that Go runs on in 64-bit mode has NEON.
func Available() []Tier { return []Tier{Generic, NEON} }
