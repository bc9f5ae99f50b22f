//go:build vulkan

package vulkan_test

import (
	"testing"

	"psld/internal/devicesuite"
	"psld/tensor/vulkan"
)

// TestPrograms computes networks, steps of restorations and trainings; TestDevice has the operations.
func TestPrograms(t *testing.T) {
	d, err := vulkan.Open(0, "f32")
	if err != nil {
		t.Skipf("no device for Vulkan: %v", err)
	}
	devicesuite.Programs(t, d, devicesuite.Options{})
}
