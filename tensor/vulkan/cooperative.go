//go:build vulkan

package vulkan

import (
	"os"
	"slices"
	"unsafe"
)

// Cooperative matrices are products that the members of a subgroup do together, on tensor cores and the like. Where
// PSLD_VULKAN_COOPERATIVE=1 asks for them and a device has them, the products of --dtype f16 are done by these,
// forward; gradients may be too small for factors in float16. They are not asked for otherwise, as no device has run
// them yet.

// cooperativeExtensions are what they need.
var cooperativeExtensions = []string{"VK_KHR_cooperative_matrix", "VK_KHR_shader_float16_int8",
	"VK_KHR_vulkan_memory_model"}

// askedForCooperative tells whether somebody asks for them.
func askedForCooperative() bool { return os.Getenv("PSLD_VULKAN_COOPERATIVE") == "1" }

// cooperative are the features to turn on, as a chain of structures; nil where the device lacks something: the
// extensions, the features, subgroups of 32, shared memory for the kernel, or matrices of 16 x 16 of its types.
func (p *physical) cooperative() unsafe.Pointer {
	for _, name := range cooperativeExtensions {
		if !slices.Contains(p.extensions, name) {
			return nil
		}
	}
	model := &vulkanMemoryModelFeatures{sType: typeMemoryModelFeatures}
	float16 := &shaderFloat16Int8Features{sType: typeFloat16Features, pNext: unsafe.Pointer(model)}
	matrices := &cooperativeMatrixFeatures{sType: typeCooperativeFeatures, pNext: unsafe.Pointer(float16)}
	features := &physicalDeviceFeatures2{sType: typeFeatures2, pNext: unsafe.Pointer(matrices)}
	p.in.GetPhysicalDeviceFeatures2.call(p.handle, uintptr(ref(features)))
	subgroups := &subgroupProperties{sType: typeSubgroupProperties}
	properties := &physicalDeviceProperties2{sType: typeProperties2, pNext: unsafe.Pointer(subgroups)}
	p.in.GetPhysicalDeviceProperties2.call(p.handle, uintptr(ref(properties)))
	const shared = 28 << 10
	if matrices.cooperativeMatrix == 0 || float16.shaderFloat16 == 0 || model.vulkanMemoryModel == 0 ||
		subgroups.subgroupSize != 32 || p.properties.limits.maxComputeSharedMemorySize < shared || !p.multiplies16() {
		return nil
	}
	matrices.robustBufferAccess, float16.shaderInt8 = 0, 0
	model.deviceScope, model.chains = 0, 0
	return unsafe.Pointer(matrices)
}

// multiplies16 tells whether the device has products of 16 x 16 x 16 of float16 with sums in float32.
func (p *physical) multiplies16() bool {
	list := proc(p.in.loader.find(p.in.handle)(cString("vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR")))
	if list == 0 {
		return false
	}
	n := new(uint32)
	if list.call(p.handle, uintptr(ref(n)), 0) != success || *n == 0 {
		return false
	}
	kinds := make([]cooperativeMatrixProperties, *n)
	for i := range kinds {
		kinds[i].sType = typeCooperativeProperties
	}
	if r := list.call(p.handle, uintptr(ref(n)), uintptr(first(kinds))); r != success && r != incomplete {
		return false
	}
	const half, float, subgroup = 0, 1, 3
	return slices.ContainsFunc(kinds[:*n], func(k cooperativeMatrixProperties) bool {
		return k.m == 16 && k.n == 16 && k.k == 16 && k.a == half && k.b == half && k.c == float && k.result == float &&
			k.scope == subgroup
	})
}
