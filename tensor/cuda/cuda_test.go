//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"unsafe"

	"psld/internal/dynlib"
	"psld/tensor"
	"psld/tensor/cuda/emulator"
	"psld/tensor/devicetest"
)

// fake is the emulated driver, which all tests of this package run on, but for those that a GPU can run: these do with
// the number of a GPU in PSLD_CUDA_HARDWARE.
var fake *dynlib.Library

func TestMain(m *testing.M) {
	if os.Getenv("PSLD_CUDA_HARDWARE") != "" {
		os.Exit(m.Run())
	}
	path, err := emulator.Build()
	if errors.Is(err, emulator.ErrNoCompiler) {
		fmt.Println("SKIPPED: the emulation of CUDA:", err)
		return
	}
	if err == nil {
		os.Setenv("PSLD_CUDA_DRIVER", path)
		os.Setenv("PSLD_NVRTC", "none")
		fake, err = dynlib.Open(path)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func fakeCall(name string, args ...uintptr) int64 {
	f, err := fake.Find(name)
	if err != nil {
		panic(err)
	}
	return int64(dynlib.Call(f, args...))
}

// get reads a counter of the emulated driver.
func get(name string) int64 {
	text := append([]byte(name), 0)
	return fakeCall("fakeGet", uintptr(unsafe.Pointer(&text[0])))
}

// set changes what the emulated driver is.
func set(name string, value int) {
	text := append([]byte(name), 0)
	fakeCall("fakeSet", uintptr(unsafe.Pointer(&text[0])), uintptr(value))
}

// fail lets the n-th call from now on of a function of the driver give a code.
func fail(name string, n, code int) {
	text := append([]byte(name), 0)
	fakeCall("fakeFail", uintptr(unsafe.Pointer(&text[0])), uintptr(n), uintptr(code))
}

// newDevice returns a device of its own, and checks at the end of the test that nothing is left of it.
func newDevice(t *testing.T) *device {
	t.Helper()
	if fake == nil {
		t.Skip("for the emulated driver")
	}
	fakeCall("fakeReset")
	before := get("objects")
	g, err := newGPU(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.close()
		if n := get("broken"); n != 0 {
			t.Errorf("%d times something was written beside a tensor", n)
		}
		if n := get("objects") - before; n != 0 {
			t.Errorf("%d contexts, streams or modules are left", n)
		}
	})
	return &device{gpu: g}
}

// TestDevice runs the suite with each tensor in memory of its own, with NaNs around it and in it.
func TestDevice(t *testing.T) {
	d := newDevice(t)
	d.memory.whole = true
	devicetest.Run(t, d)
}

// TestHardware runs the operations on a GPU.
func TestHardware(t *testing.T) {
	number, err := strconv.Atoi(os.Getenv("PSLD_CUDA_HARDWARE"))
	if err != nil {
		t.Skip("PSLD_CUDA_HARDWARE names no GPU")
	}
	for precision, products := range map[string]float64{"f32": 0, "bf16": 3e-2} {
		t.Run(precision, func(t *testing.T) {
			dev, err := Open(number, precision)
			if err != nil {
				t.Fatal(err)
			}
			devicetest.RunRounded(t, dev, products)
		})
	}
}

// TestTensorCores runs it with factors of products rounded to bfloat16.
func TestTensorCores(t *testing.T) {
	d := newDevice(t)
	d.memory.whole, d.bf16 = true, true
	devicetest.RunRounded(t, d, 3e-2)
}

var _ tensor.Device = (*device)(nil)
