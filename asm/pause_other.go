//go:build (!amd64 && !arm64) || noasm

package asm

// Pause does nothing where there is no such instruction.
func Pause() {}
