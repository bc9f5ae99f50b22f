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
	if os.Getenv("XDG_CACHE_HOME") == "" { // the cache of pipelines, ours and the driver's
		os.Setenv("XDG_CACHE_HOME", dir)
	}
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

// TestTiles takes the products of GPUs, where the device is a processor, and copies what the host could see; a third
// of the cases, since they are slow there.
func TestTiles(t *testing.T) {
	d := open(t)
	if !d.lanes {
		t.Skip("TestDevice had them")
	}
	d.lanes, d.copies = false, true
	defer func() { d.lanes, d.copies = true, false }()
	n := 0
	devicetest.RunCases(t, d, 0, func(c *devicetest.Case) bool {
		n++
		return c.Product && c.Op != "Attention" && c.Flops < 2e5 && n%3 == 0
	})
}
