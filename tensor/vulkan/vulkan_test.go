//go:build vulkan

package vulkan

import (
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/tensor"
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
	d, err := Open(0, "f32")
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

// TestHalves takes the cases whose weights are factors with these in float16, with and without tiles.
func TestHalves(t *testing.T) {
	open(t)
	d, err := Open(0, "f16")
	require.NoError(t, err)
	lanes := d.lanes
	defer func() { d.lanes = lanes }()
	for _, d.lanes = range []bool{true, false} {
		if d.lanes && !lanes {
			continue
		}
		n := 0
		devicetest.RunCases(t, d, 2e-3, func(c *devicetest.Case) bool {
			n++
			return c.Product && c.Op != "Attention" && c.Flops < 2e5 && n%4 == 0
		})
	}
	w := tensor.New(3, 5, 2, 1)
	for i := range w.Data {
		w.Data[i] = float32(i) - 4.5
	}
	w.Data[3], w.Data[4], w.Data[5] = 1.0/3, 1e-6, -7e4
	d.Pack(w)
	got := d.Host(w)
	require.InDeltaSlice(t, []float32{-4.5, -3.5, -2.5, 0.33325195, 17.0 / (1 << 24)}, got[:5], 1e-9)
	require.True(t, math.IsInf(float64(got[5]), -1), "beyond float16")
	require.EqualValues(t, 24.5, got[29])
}
