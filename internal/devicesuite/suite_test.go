package devicesuite

import (
	"testing"

	"psld/tensor/cpu"
	"psld/tensor/devicetest"
)

// TestHidden runs the programs on a device whose memory is not the host's, TestRounded on one that rounds factors;
// package devicetest's own tests run the operations.
func TestHidden(t *testing.T) { Programs(t, devicetest.Hidden(cpu.F32), Options{}) }

func TestRounded(t *testing.T) { Programs(t, cpu.BF16, Options{Products: 3e-2}) }
