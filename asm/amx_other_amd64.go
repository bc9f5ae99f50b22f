//go:build !linux && amd64 && !noasm

package asm

// permitTiles would ask the system for the use of tile registers; how is known for Linux only.
func permitTiles() bool { return false }
