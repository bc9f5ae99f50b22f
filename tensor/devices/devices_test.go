package devices_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/tensor/cpu"
	"psld/tensor/devices"
)

// TestAll opens every device; their checks are in their packages.
func TestAll(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range devices.All {
		require.False(t, seen[e.Name], "%s twice", e.Name)
		seen[e.Name] = true
		require.NotEmpty(t, e.About)
		found, ok := devices.Find(e.Name)
		require.True(t, ok)
		require.Equal(t, e.Name, found.Name)
		if dev, err := e.Open(); err == nil {
			again, _ := e.Open()
			require.Same(t, dev, again)
			require.Equal(t, e.Weight, devices.WeightBytes(dev))
		}
	}
	first, ok := devices.Find("")
	require.True(t, ok)
	dev, err := first.Open()
	require.NoError(t, err)
	require.Same(t, cpu.F32, dev)
	require.Equal(t, 4, devices.WeightBytes(nil), "what is not in the list")
	_, ok = devices.Find("f8")
	require.False(t, ok)
}

func ExampleNames() {
	fmt.Println("precision f8, want", devices.Names())
	// Output: precision f8, want f32, bf16, bf16fast, f32x3 or int8
}

func TestOpen(t *testing.T) {
	for precision, want := range map[string]any{"": cpu.F32, "f32": cpu.F32, "bf16": cpu.BF16} {
		for _, name := range []string{"", "cpu", "cpu:0"} {
			dev, err := devices.Open(name, precision)
			require.NoError(t, err)
			require.Same(t, want, dev)
		}
	}
	for _, c := range [][3]string{
		{"cpu", "f8", `precision "f8", want f32, bf16, bf16fast, f32x3 or int8`},
		{"cpu:1", "", "no device cpu:1, want cpu"},
		{"cpu:x", "", `device "cpu:x", want cpu`},
		{"cpu:-1", "", `device "cpu:-1", want cpu`},
		{"gpu", "", `device "gpu", want cpu`},
	} {
		_, err := devices.Open(c[0], c[1])
		require.ErrorContains(t, err, c[2])
	}
	for _, tag := range []string{"vulkan", "cuda"} {
		if !slices.ContainsFunc(devices.Backends, func(b devices.Backend) bool { return b.Name == tag }) {
			_, err := devices.Open(tag+":1", "")
			require.ErrorContains(t, err, `device "`+tag+`:1": this program was built without it; go build -tags `+tag)
		}
	}
	for _, b := range devices.Backends {
		list, err := b.List()
		if err == nil {
			require.NotEmpty(t, list)
		}
	}
}
