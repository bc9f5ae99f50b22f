package devices_test

import (
	"fmt"
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
		}
	}
	first, ok := devices.Find("")
	require.True(t, ok)
	dev, err := first.Open()
	require.NoError(t, err)
	require.Same(t, cpu.F32, dev)
	_, ok = devices.Find("f8")
	require.False(t, ok)
}

func ExampleNames() {
	fmt.Println("precision f8, want", devices.Names())
	// Output: precision f8, want f32, bf16 or f32x3
}
