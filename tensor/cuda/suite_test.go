//go:build cuda

package cuda_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/devicesuite"
	"psld/tensor/cuda"
)

// TestSuite runs networks, restorations and trainings on the emulated GPU; TestDevice runs the operations one by one.
func TestSuite(t *testing.T) {
	dev, err := cuda.Open(0, "f32")
	require.NoError(t, err)
	devicesuite.Programs(t, dev, devicesuite.Options{})
}
