//go:build vulkan

package vulkan

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

const version11 = 1<<22 | 1<<12 // Vulkan 1.1

// instance is the connection to all drivers of this machine: one for the process, never closed.
type instance struct {
	instanceProcs
	handle  uintptr
	loader  *loader
	devices []*physical
}

var theInstance = sync.OnceValues(newInstance)

// validationLayer watches every call when PSLD_VULKAN_VALIDATE is set; messages receives what it says.
const validationLayer = "VK_LAYER_KHRONOS_validation"

var messages struct {
	sync.Mutex
	list []string
}

// Messages are those of the validation layer up to now, which is on where PSLD_VULKAN_VALIDATE=1.
func Messages() []string {
	messages.Lock()
	defer messages.Unlock()
	return slices.Clone(messages.list)
}

func newInstance() (*instance, error) {
	l, err := library()
	if err != nil {
		return nil, err
	}
	var version uint32
	if r := l.EnumerateInstanceVersion.call(uintptr(ref(&version))); r != success || version < version11 {
		return nil, fmt.Errorf("this machine has Vulkan %s, want 1.1 or later", versionName(version))
	}
	var layers, extensions []string
	if os.Getenv("PSLD_VULKAN_VALIDATE") == "1" {
		layers, extensions = []string{validationLayer}, []string{"VK_EXT_debug_utils"}
	}
	flags := uint32(0)
	const portability = "VK_KHR_portability_enumeration" // MoltenVK is listed with it alone
	if slices.Contains(l.extensions(), portability) {
		extensions, flags = append(extensions, portability), 1
	}
	in := &instance{loader: l}
	app := &applicationInfo{sType: typeApplicationInfo, pApplicationName: unsafe.Pointer(cString("psld")),
		apiVersion: version11}
	l1, e1 := cStrings(layers), cStrings(extensions)
	info := &instanceCreateInfo{sType: typeInstanceCreateInfo, flags: flags, pApplicationInfo: unsafe.Pointer(app),
		enabledLayerCount: uint32(len(l1)), ppEnabledLayerNames: first(l1),
		enabledExtensionCount: uint32(len(e1)), ppEnabledExtensionNames: first(e1)}
	r := l.CreateInstance.call(uintptr(ref(info)), 0, uintptr(ref(&in.handle)))
	switch {
	case r == wrongDriver:
		return nil, errors.New("no driver for Vulkan on this machine")
	case r == noLayer:
		return nil, fmt.Errorf("PSLD_VULKAN_VALIDATE=1, but this machine has no %s", validationLayer)
	case r != success:
		return nil, r.check("opening Vulkan")
	}
	if err := fill(&in.instanceProcs, l.find(in.handle)); err != nil {
		return nil, err
	}
	if layers != nil {
		if err := in.listen(); err != nil {
			return nil, err
		}
	}
	return in, in.list()
}

func versionName(v uint32) string { return fmt.Sprintf("%d.%d", v>>22&127, v>>12&1023) }

// extensions are those of the loader.
func (l *loader) extensions() []string {
	return extensionNames(func(n *uint32, list unsafe.Pointer) result {
		return l.EnumerateInstanceExtensionProperties.call(0, uintptr(ref(n)), uintptr(list))
	})
}

// extensionNames reads a list that is asked for twice: for its length and for itself.
func extensionNames(enumerate func(n *uint32, list unsafe.Pointer) result) (names []string) {
	n := new(uint32)
	if enumerate(n, nil) != success || *n == 0 {
		return nil
	}
	list := make([]extensionProperties, *n)
	enumerate(n, first(list))
	for i := range list[:*n] {
		names = append(names, goString(list[i].extensionName[:]))
	}
	return names
}

// listen collects warnings and errors of the validation layer.
func (in *instance) listen() error {
	type data struct { // the head of VkDebugUtilsMessengerCallbackDataEXT
		_        uint32
		_        unsafe.Pointer
		_        uint32
		_        unsafe.Pointer
		_        int32
		pMessage *byte
	}
	callback := purego.NewCallback(func(severity, types uintptr, d *data, user uintptr) uintptr {
		n := 0
		for *(*byte)(unsafe.Add(unsafe.Pointer(d.pMessage), n)) != 0 {
			n++
		}
		messages.Lock()
		messages.list = append(messages.list, string(unsafe.Slice(d.pMessage, n)))
		messages.Unlock()
		return 0
	})
	create := proc(in.loader.find(in.handle)(cString("vkCreateDebugUtilsMessengerEXT")))
	if create == 0 {
		return errors.New("the validation layer has no messages")
	}
	const warning, failure, all = 0x100, 0x1000, 7
	info := &debugUtilsMessengerCreateInfoEXT{sType: typeDebugMessengerInfo, messageSeverity: warning | failure,
		messageType: all, pfnUserCallback: callback}
	var messenger uint64
	r := create.call(in.handle, uintptr(ref(info)), 0, uintptr(ref(&messenger)))
	return r.check("listening to the validation layer")
}

// physical is a device of this machine, as far as it is known without opening it.
type physical struct {
	in         *instance
	handle     uintptr
	properties *physicalDeviceProperties
	extensions []string
	family     int // of queues; -1 where none computes
	stamps     bool
}

// list finds the devices.
func (in *instance) list() error {
	n := new(uint32)
	if err := in.EnumeratePhysicalDevices.call(in.handle, uintptr(ref(n)), 0).check("listing devices"); err != nil {
		return err
	}
	handles := make([]uintptr, *n+1)
	r := in.EnumeratePhysicalDevices.call(in.handle, uintptr(ref(n)), uintptr(ref(&handles[0])))
	if err := r.check("listing devices"); err != nil {
		return err
	}
	for _, h := range handles[:*n] {
		in.devices = append(in.devices, in.describe(h))
	}
	if *n == 0 {
		return errors.New("no device for Vulkan on this machine")
	}
	return nil
}

func (in *instance) describe(h uintptr) *physical {
	p := &physical{in: in, handle: h, family: -1, properties: new(physicalDeviceProperties)}
	in.GetPhysicalDeviceProperties.call(h, uintptr(ref(p.properties)))
	p.extensions = extensionNames(func(n *uint32, list unsafe.Pointer) result {
		return in.EnumerateDeviceExtensionProperties.call(h, 0, uintptr(ref(n)), uintptr(list))
	})
	n := new(uint32)
	in.GetPhysicalDeviceQueueFamilyProperties.call(h, uintptr(ref(n)), 0)
	families := make([]queueFamilyProperties, *n+1)
	in.GetPhysicalDeviceQueueFamilyProperties.call(h, uintptr(ref(n)), uintptr(ref(&families[0])))
	const graphics, compute = 1, 2
	for i, f := range families[:*n] {
		// A family that computes only runs beside the screen's work.
		if f.queueFlags&compute != 0 && (p.family < 0 || f.queueFlags&graphics == 0) {
			p.family, p.stamps = i, f.timestampValidBits > 0
		}
	}
	return p
}

func (p *physical) name() string { return goString(p.properties.deviceName[:]) }

// isCPU tells that the device is the processor itself.
func (p *physical) isCPU() bool { return p.properties.deviceType == 4 }

// kind is the sort of device in a word or two.
func (p *physical) kind() string {
	switch p.properties.deviceType {
	case 1:
		return "integrated GPU"
	case 2:
		return "GPU"
	case 3:
		return "virtual GPU"
	case 4:
		return "processor"
	}
	return "device"
}

const pushDescriptors = "VK_KHR_push_descriptor"

// lacks tells what of what this package needs the device does not have; nil for nothing.
func (p *physical) lacks() error {
	l := &p.properties.limits
	switch {
	case p.properties.apiVersion < version11:
		return fmt.Errorf("%s has Vulkan %s, want 1.1 or later", p.name(), versionName(p.properties.apiVersion))
	case p.family < 0:
		return fmt.Errorf("%s has no queue for compute shaders", p.name())
	case !slices.Contains(p.extensions, pushDescriptors):
		return fmt.Errorf("%s has no %s", p.name(), pushDescriptors)
	case l.maxComputeWorkGroupInvocations < 256 || l.maxComputeWorkGroupSize[0] < 256 ||
		l.maxComputeSharedMemorySize < 16<<10 || l.maxPushConstantsSize < 128:
		return fmt.Errorf("%s has work groups of %d with %d bytes, want 256 with 16384", p.name(),
			l.maxComputeWorkGroupInvocations, l.maxComputeSharedMemorySize)
	}
	return nil
}

// memory are the heaps and types of memory, and the bytes of each heap that this process may still take.
func (p *physical) memory() (m *physicalDeviceMemoryProperties, free [16]uint64) {
	budget := &physicalDeviceMemoryBudgetPropertiesEXT{sType: typeMemoryBudget}
	m2 := &physicalDeviceMemoryProperties2{sType: typeMemoryProperties2}
	known := slices.Contains(p.extensions, "VK_EXT_memory_budget")
	if known {
		m2.pNext = unsafe.Pointer(budget)
	}
	p.in.GetPhysicalDeviceMemoryProperties2.call(p.handle, uintptr(ref(m2)))
	m = &m2.memoryProperties
	for i := range m.memoryHeapCount {
		free[i] = m.memoryHeaps[i].size
		if known {
			free[i] = budget.heapBudget[i] - min(budget.heapUsage[i], budget.heapBudget[i])
		}
	}
	return m, free
}
