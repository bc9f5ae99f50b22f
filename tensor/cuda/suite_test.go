//go:build cuda

package cuda_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/devicesuite"
	"psld/tensor/cuda"
)

// TestSuite runs networks, restorations and trainings on the emulated GPU, or one of hardware; TestDevice runs the
// operations one by one.
func TestSuite(t *testing.T) {
	number, _ := strconv.Atoi(os.Getenv("PSLD_CUDA_HARDWARE"))
	dev, err := cuda.Open(number, "f32")
	require.NoError(t, err)
	devicesuite.Programs(t, dev, devicesuite.Options{})
}
