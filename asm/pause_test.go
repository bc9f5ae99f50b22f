package asm

import "testing"

// BenchmarkPause is the time between two looks of a loop that waits.
func BenchmarkPause(b *testing.B) {
	for b.Loop() {
		Pause()
	}
}
