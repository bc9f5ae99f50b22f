//go:build vulkan

package vulkan

import (
	"os"
	"testing"

	"psld/tensor/devicetest"
)

// TestMain watches every call with the validation layer, where PSLD_VULKAN_VALIDATE=1 asks for it: what it says fails
// the tests.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "psld-vulkan")
	if err != nil {
		panic(err)
	}
	os.Setenv("XDG_CACHE_HOME", dir) // the cache of pipelines
	code := m.Run()
	os.RemoveAll(dir)
	for _, message := range Messages() {
		println(message)
		code = 1
	}
	os.Exit(code)
}

// open is the first device; without one the test is skipped.
func open(t *testing.T) *Device {
	t.Helper()
	d, err := Open(0)
	if err != nil {
		t.Skipf("no device for Vulkan: %v", err)
	}
	return d
}

func TestDevice(t *testing.T) { devicetest.Run(t, open(t)) }

// TestTiles takes the kernels of GPUs, where the device is a processor, and copies what the host could see.
func TestTiles(t *testing.T) {
	d := open(t)
	if !d.lanes {
		t.Skip("TestDevice had them")
	}
	d.lanes, d.copies = false, true
	defer func() { d.lanes, d.copies = true, false }()
	for _, c := range devicetest.Check() {
		_ = c
	}
	devicetest.Run(t, d)
}
