//go:build (amd64 || arm64) && !noasm

package asm

// Pause waits for some hundred cycles and leaves a core's units to the thread that shares them: for the middle of
// loops that wait for another thread.
func Pause()
