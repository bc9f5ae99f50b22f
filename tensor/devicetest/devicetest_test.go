package devicetest

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/asm"
	"psld/autograd"
	"psld/tensor"
	"psld/tensor/cpu"
)

// notOps are the methods of a graph that compute nothing.
var notOps = []string{"Backward", "Block", "Const", "Detach", "Device", "Input", "Own", "Recording", "Release",
	"Trace", "Watch"}

func TestEveryOpHasCases(t *testing.T) {
	has, names := map[string]bool{}, map[string]bool{}
	for _, c := range append(Check(), Bench()...) {
		if names[c.Name] {
			t.Errorf("two cases are named %s", c.Name)
		}
		names[c.Name] = true
	}
	for _, c := range Check() {
		has[c.Op] = true
	}
	typ := reflect.TypeFor[*autograd.Graph]()
	for i := range typ.NumMethod() {
		name := typ.Method(i).Name
		if !has[name] && !slices.Contains(notOps, name) {
			t.Errorf("autograd.Graph.%s has no case in the op table", name)
		}
		delete(has, name)
	}
	for name := range has {
		t.Errorf("cases for %s, which is no method of autograd.Graph", name)
	}
}

// TestTiers runs the suite on every tier of this machine.
func TestTiers(t *testing.T) {
	for _, tier := range asm.Available() {
		if testing.Short() && tier != asm.Active() {
			continue
		}
		t.Run(tier.String(), func(t *testing.T) {
			defer asm.Use(asm.Use(tier))
			Run(t, cpu.F32)
		})
	}
}

// TestRounded runs it on the devices that round factors.
func TestRounded(t *testing.T) {
	t.Run("bf16", func(t *testing.T) { RunRounded(t, cpu.BF16, 3e-2) })
	t.Run("f32x3", func(t *testing.T) { RunRounded(t, cpu.F32X3, 2e-5) })
}

// partial is a device that lacks an operation.
type partial struct{ tensor.Device }

func (d partial) Softmax(y, x *tensor.Tensor) {
	panic(tensor.NotImplemented{Device: "partial", Operation: "Softmax"})
}

func TestNotImplemented(t *testing.T) {
	c := softmaxOp(3, 5)
	t.Run("case", func(t *testing.T) {
		defer func() { require.True(t, t.Skipped()) }()
		defer skipMissing(t)
		s := &subject{t, partial{cpu.F32}, &c, truthOf(&c), 5e-6}
		s.trained()
	})
	require.PanicsWithValue(t, "other", func() {
		defer skipMissing(t)
		panic("other")
	})
}

func BenchmarkCPU(b *testing.B) { Benchmark(b, cpu.F32) }

func Example() {
	for _, c := range Bench()[:1] {
		fmt.Printf("%s: %.1f GFLOP\n", c.Name, c.Flops/1e9)
	}
	// Output: Conv2d/1x64x64_4_320_k3x3s1p1111/sd15-unet-in: 0.1 GFLOP
}
