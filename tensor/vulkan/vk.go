//go:build vulkan

package vulkan

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"

	"psld/internal/dynlib"
)

// This is the whole binding to Vulkan: the loader is opened at run time, and its functions are called by address. The
// bindings that exist for Go either need cgo or cover all of the API in tens of thousands of lines, of which this
// package calls some fifty functions.

// proc is the address of a function of the API.
type proc uintptr

// call calls p, which gives a VkResult or nothing. Arguments written as uintptr(ref(x)) lie on the heap and
// stay alive until it returns, with all that they point to; through a function or a variable they would not.
//
//go:uintptrescapes
func (p proc) call(args ...uintptr) result {
	r, _, _ := purego.SyscallN(uintptr(p), args...)
	return result(int32(r))
}

// address is call for a function that gives an address.
//
//go:uintptrescapes
func (p proc) address(args ...uintptr) uintptr {
	r, _, _ := purego.SyscallN(uintptr(p), args...)
	return r
}

// ref is short for the pointers of calls, which are written uintptr(ref(x)).
type ref = unsafe.Pointer

// first is the address of the first element, nil for none.
func first[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// result is a VkResult.
type result int32

const (
	success       result = 0
	notReady      result = 1
	timeout       result = 2
	incomplete    result = 5
	noHostMemory  result = -1
	noMemory      result = -2
	deviceLost    result = -4
	noLayer       result = -6
	noExtension   result = -7
	noFeature     result = -8
	wrongDriver   result = -9
	tooManyBlocks result = -10
)

var resultNames = map[result]string{notReady: "not ready", timeout: "timeout", incomplete: "incomplete",
	noHostMemory: "out of host memory", noMemory: "out of device memory", -3: "initialization failed",
	deviceLost: "device lost", -5: "memory map failed", noLayer: "layer not present",
	noExtension: "extension not present", noFeature: "feature not present", wrongDriver: "incompatible driver",
	tooManyBlocks: "too many objects", -13: "unknown error"}

// Error implements error.
func (r result) Error() string {
	if name := resultNames[r]; name != "" {
		return name
	}
	return fmt.Sprintf("VkResult %d", int32(r))
}

// check makes an error of a result that is not success.
func (r result) check(what string) error {
	if r == success {
		return nil
	}
	return fmt.Errorf("%s: %w", what, r)
}

// globalProcs need no instance, instanceProcs one, deviceProcs a device. Field X is the function vkX.
type globalProcs struct {
	CreateInstance, EnumerateInstanceVersion, EnumerateInstanceLayerProperties,
	EnumerateInstanceExtensionProperties proc
}

type instanceProcs struct {
	DestroyInstance, EnumeratePhysicalDevices, GetPhysicalDeviceProperties,
	GetPhysicalDeviceQueueFamilyProperties, GetPhysicalDeviceMemoryProperties2, EnumerateDeviceExtensionProperties,
	GetPhysicalDeviceFeatures2, GetPhysicalDeviceProperties2, CreateDevice, GetDeviceProcAddr proc
}

type deviceProcs struct {
	DestroyDevice, GetDeviceQueue, DeviceWaitIdle, QueueSubmit,
	AllocateMemory, FreeMemory, MapMemory, CreateBuffer, DestroyBuffer, GetBufferMemoryRequirements, BindBufferMemory,
	CreateBufferView, DestroyBufferView,
	CreateShaderModule, DestroyShaderModule, CreateDescriptorSetLayout, DestroyDescriptorSetLayout,
	CreatePipelineLayout, DestroyPipelineLayout, CreatePipelineCache, GetPipelineCacheData, DestroyPipelineCache,
	CreateComputePipelines, DestroyPipeline,
	CreateCommandPool, DestroyCommandPool, AllocateCommandBuffers, BeginCommandBuffer, EndCommandBuffer,
	CmdBindPipeline, CmdPushDescriptorSetKHR, CmdPushConstants, CmdDispatch, CmdPipelineBarrier, CmdCopyBuffer,
	CmdUpdateBuffer, CmdResetQueryPool, CmdWriteTimestamp,
	CreateFence, DestroyFence, WaitForFences, ResetFences, CreateQueryPool, DestroyQueryPool, GetQueryPoolResults proc
}

// fill looks up every field of procs.
func fill(procs any, find func(name *byte) uintptr) error {
	v := reflect.ValueOf(procs).Elem()
	for i := range v.NumField() {
		name := "vk" + v.Type().Field(i).Name
		at := find(cString(name))
		if at == 0 {
			return fmt.Errorf("the driver has no %s", name)
		}
		v.Field(i).SetUint(uint64(at))
	}
	return nil
}

// cString is s with a zero behind it.
func cString(s string) *byte { return &append([]byte(s), 0)[0] }

// cStrings is an array of them.
func cStrings(list []string) []*byte {
	all := make([]*byte, len(list))
	for i, s := range list {
		all[i] = cString(s)
	}
	return all
}

// goString reads a field of characters.
func goString(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

// loaderNames are those of the library by system, the best first. On macOS it comes with MoltenVK.
var loaderNames = map[string][]string{
	"windows": {"vulkan-1.dll"},
	"darwin": {"libvulkan.1.dylib", "libMoltenVK.dylib", "/usr/local/lib/libvulkan.1.dylib",
		"/opt/homebrew/lib/libvulkan.1.dylib"},
	"linux": {"libvulkan.so.1", "libvulkan.so"},
}

// library is the loader: opened at the first use, once. PSLD_VULKAN_LOADER names another library, for tests.
var library = sync.OnceValues(func() (*loader, error) { return openLoader(os.Getenv("PSLD_VULKAN_LOADER")) })

func openLoader(other string) (*loader, error) {
	names := loaderNames[runtime.GOOS]
	if other != "" {
		names = []string{other}
	}
	lib, err := dynlib.Open(names...)
	if err != nil {
		return nil, fmt.Errorf("no Vulkan on this machine: %s cannot be opened", names[0])
	}
	at, err := lib.Find("vkGetInstanceProcAddr")
	if err != nil {
		return nil, fmt.Errorf("no Vulkan on this machine: %w", err)
	}
	l := &loader{getInstanceProc: proc(at)}
	if err := fill(&l.globalProcs, l.find(0)); err != nil {
		return nil, fmt.Errorf("%s: %w; want Vulkan 1.1 or later", lib.Path, err)
	}
	return l, nil
}

type loader struct {
	globalProcs
	getInstanceProc proc
}

// find looks functions up with vkGetInstanceProcAddr.
func (l *loader) find(instance uintptr) func(name *byte) uintptr {
	return func(name *byte) uintptr { return l.getInstanceProc.address(instance, uintptr(ref(name))) }
}
