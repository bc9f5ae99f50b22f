//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

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
		os.Setenv("PSLD_CUBLASLT", "none") // but for the tests that open the emulated one
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
	return &device{gpu: g, kind: "f32"}
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
	for precision, products := range rounding {
		t.Run(precision, func(t *testing.T) {
			dev, err := Open(number, precision)
			if err != nil {
				t.Fatal(err)
			}
			devicetest.RunRounded(t, dev, products)
		})
	}
}

// rounding is the error of products by precision, of gradients too: those of f16 are products in bf16, and where ReLU
// is behind a product, a number that rounding moves across zero changes its gradient as a whole. TestRounding has
// values.
var rounding = map[string]float64{"f32": 0, "tf32": 3e-2, "bf16": 3e-2, "f16": 3e-2}

// TestTensorCores runs the suite with factors of products rounded.
func TestTensorCores(t *testing.T) {
	for kind, products := range rounding {
		if kind == "f32" {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			d := newDevice(t)
			d.memory.whole, d.kind = true, kind
			n := 0
			devicetest.RunCases(t, d, products, func(c *devicetest.Case) bool {
				if n++; kind != "bf16" && n%3 != 0 { // the kinds differ in a few lines
					return false
				}
				// One key alone has no gradient, and what is left is rounding: that of f16 forward, of bf16 backward.
				return c.Product && !(kind == "f16" && strings.HasPrefix(c.Name, "Attention/3x1x1_"))
			})
		})
	}
}

// TestRounding: values of products are as exact as the kind of their factors, and not more: the error of a sum of many
// terms, relative to its size, is about that of a factor, 2^-9/sqrt(3)*sqrt(2) in bfloat16 and an eighth of that in
// the others.
func TestRounding(t *testing.T) {
	const rows, in, out = 64, 96, 64
	r := rand.New(rand.NewPCG(1, 2))
	x, w := tensor.New(1, 1, rows, in), tensor.New(out, in, 1, 1)
	for _, data := range [][]float32{x.Data, w.Data} {
		for i := range data {
			data[i] = float32(r.NormFloat64())
		}
	}
	for kind, want := range map[string]float64{"f32": 0, "tf32": 2.2e-4, "f16": 2.2e-4, "bf16": 1.8e-3} {
		d := newDevice(t)
		d.kind = kind
		y := d.Get(1, 1, rows, out)
		d.Conv2d(y, x, w, nil, tensor.SameConv(1), tensor.Epilogue{})
		diff, size := 0.0, 0.0
		for i, v := range d.Host(y) {
			sum := 0.0
			for k := range in {
				sum += float64(x.Data[i/out*in+k]) * float64(w.Data[i%out*in+k])
			}
			diff += (float64(v) - sum) * (float64(v) - sum)
			size += sum * sum
		}
		e := math.Sqrt(diff / size)
		require.LessOrEqual(t, e, 1.5*want+1e-6, kind)
		require.GreaterOrEqual(t, e, want/1.5, kind)
		d.Put(y)
	}
}

var _ tensor.Device = (*device)(nil)
