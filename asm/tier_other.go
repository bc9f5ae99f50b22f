//go:build (!amd64 && !arm64) || noasm

package asm

// Available lists the tiers that this machine can run, slowest first.
func Available() []Tier { return []Tier{Generic} }
