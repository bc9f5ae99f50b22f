//go:build vulkan

// Package vulkan is the device of a GPU, or of anything else that has a driver for Vulkan 1.1 or later: compute
// shaders (shaders/*.comp), recorded in command buffers and submitted when somebody needs their results. It is there
// with the build tag vulkan, without cgo: the loader is opened at run time.
package vulkan

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
	"unsafe"

	"psld/tensor"
)

// Info is what is known of a device of this machine without opening it.
type Info struct {
	Name         string
	Kind         string // such as "GPU"
	Driver       string // version of Vulkan, and whether there are cooperative matrices
	Memory, Free int64  // bytes of its largest own memory, and of these what this process may still take
	Err          error  // why it cannot be used; nil if it can
}

// List tells the devices of this machine, in the order of their numbers for [Open].
func List() ([]Info, error) {
	in, err := theInstance()
	if err != nil {
		return nil, err
	}
	var list []Info
	for _, p := range in.devices {
		_, heap := p.deviceMemory()
		m, free := p.memory()
		driver := "Vulkan " + versionName(p.properties.apiVersion)
		if p.lacks() == nil && p.cooperative() != nil {
			driver += " with cooperative matrices"
		}
		list = append(list, Info{Name: p.name(), Kind: p.kind(), Driver: driver, Memory: int64(m.memoryHeaps[heap].size),
			Free: int64(free[heap]), Err: p.lacks()})
	}
	return list, nil
}

// Precisions are those of the weights of products; all that is computed is float32.
var Precisions = []string{"f32", "f16"}

// choice is a device of the list with one of Precisions.
type choice struct {
	n         int
	precision string
}

var opened struct {
	sync.Mutex
	devices map[choice]*Device
}

// Open returns the device of a number of [List] for one of [Precisions], the same one each time.
func Open(n int, precision string) (*Device, error) {
	in, err := theInstance()
	if err != nil {
		return nil, err
	}
	if n < 0 || n >= len(in.devices) {
		return nil, fmt.Errorf("no device %d for Vulkan on this machine, want 0 to %d", n, len(in.devices)-1)
	}
	opened.Lock()
	defer opened.Unlock()
	c := choice{n, precision}
	if d := opened.devices[c]; d != nil {
		return d, nil
	}
	d, err := newDevice(in.devices[n], precision == "f16")
	if err != nil {
		return nil, err
	}
	if opened.devices == nil {
		opened.devices = map[choice]*Device{}
	}
	opened.devices[c] = d
	return d, nil
}

// Device computes with Vulkan; it implements [tensor.Device]. Its methods may be called by several goroutines: the
// work of all goes into one queue.
type Device struct {
	deviceProcs
	physical *physical
	handle   uintptr

	mu        sync.Mutex
	lost      error // why it does not work any more; nil while it does
	memory    arena // of tensors
	staging   arena // that both sides see
	queue     queue
	pipelines pipelines
	orphans   orphans
	nothing   piece    // bound where a kernel's buffer is not given
	temps     []*piece // of the operation under way
	halves    bool     // weights of products lie in float16
	lanes     bool     // products by conv_lanes.comp
	// cooperative: products by conv_cooperative.comp, forward
	cooperative bool
	copies      bool   // downloads go through staging memory, though the host sees all
	refusals    int    // allocations of blocks that fail, for tests
	fault       result // of the next submission, for tests
	profile     map[string]Kernel
}

// orphans are the pieces of buffers that nobody holds any more. They have a lock of their own: the garbage collector
// finds them at any time.
type orphans struct {
	sync.Mutex
	list []piece
}

// deviceMemory chooses the type of memory for tensors, and its heap: on the device; if it can be, seen by the host.
func (p *physical) deviceMemory() (kind, heap uint32) {
	const local, visible, coherent, cached = 1, 2, 4, 8
	m, _ := p.memory()
	return m.best(func(flags uint32) int {
		score := 0
		if flags&local != 0 {
			score += 4
		}
		if all := uint32(visible | coherent | cached); flags&all == all {
			score++
		}
		if flags>>4 != 0 { // lazy, protected and the like
			score -= 8
		}
		return score
	})
}

// best is the type with the highest score; of equals that in the largest heap.
func (m *physicalDeviceMemoryProperties) best(score func(flags uint32) int) (kind, heap uint32) {
	types := m.memoryTypes[:m.memoryTypeCount]
	order := make([]uint32, len(types))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortStableFunc(order, func(a, b uint32) int {
		x, y := types[a], types[b]
		return cmp.Or(cmp.Compare(score(y.propertyFlags), score(x.propertyFlags)),
			cmp.Compare(m.memoryHeaps[y.heapIndex].size, m.memoryHeaps[x.heapIndex].size))
	})
	return order[0], types[order[0]].heapIndex
}

func newDevice(p *physical, halves bool) (*Device, error) {
	if err := p.lacks(); err != nil {
		return nil, err
	}
	d := &Device{physical: p, halves: halves}
	extensions := []string{pushDescriptors}
	const subset = "VK_KHR_portability_subset" // to be turned on where it is there
	if slices.Contains(p.extensions, subset) {
		extensions = append(extensions, subset)
	}
	priority := float32(1)
	queue := &deviceQueueCreateInfo{sType: typeDeviceQueueCreateInfo, queueFamilyIndex: uint32(p.family), queueCount: 1,
		pQueuePriorities: unsafe.Pointer(&priority)}
	var features unsafe.Pointer
	if halves && askedForCooperative() {
		if features = p.cooperative(); features == nil { // nobody shall measure without what was asked for
			return nil, fmt.Errorf("PSLD_VULKAN_COOPERATIVE=1: %s has no cooperative matrices of 16 x 16 numbers in "+
				"float16, with sums in float32, for subgroups of 32", p.name())
		}
		extensions, d.cooperative = append(extensions, cooperativeExtensions...), true
	}
	names := cStrings(extensions)
	info := &deviceCreateInfo{sType: typeDeviceCreateInfo, pNext: features, queueCreateInfoCount: 1,
		pQueueCreateInfos: unsafe.Pointer(queue), enabledExtensionCount: uint32(len(names)),
		ppEnabledExtensionNames: first(names)}
	r := p.in.CreateDevice.call(p.handle, uintptr(ref(info)), 0, uintptr(ref(&d.handle)))
	if err := r.check("opening " + p.name()); err != nil {
		return nil, err
	}
	err := fill(&d.deviceProcs, func(name *byte) uintptr {
		return p.in.GetDeviceProcAddr.address(d.handle, uintptr(ref(name)))
	})
	if err != nil {
		return nil, err
	}
	d.newArenas()
	d.lanes = p.isCPU()
	if err := d.newQueue(); err != nil {
		return nil, err
	}
	if err := d.newPipelines(); err != nil {
		return nil, err
	}
	nothing, ok := d.memory.get(alignment)
	if !ok {
		return nil, d.outOfMemory(alignment)
	}
	d.nothing = nothing
	return d, nil
}

// newArenas plans for nine tenths of the memory that is free now.
func (d *Device) newArenas() {
	const visible, coherent, cached = 2, 4, 8
	m, free := d.physical.memory()
	kind, heap := d.physical.deviceMemory()
	const all = uint32(visible | coherent | cached)
	d.memory = arena{d: d, kind: kind, host: m.memoryTypes[kind].propertyFlags&all == all, budget: free[heap] / 10 * 9,
		size: blockSize}
	shared, sharedHeap := m.best(func(flags uint32) int {
		score := 0
		if flags&(visible|coherent) == visible|coherent {
			score += 4
		}
		if flags&cached != 0 {
			score++
		}
		return score
	})
	d.staging = arena{d: d, kind: shared, host: true, budget: free[sharedHeap] / 2, size: blockSize / 4}
	d.copies = os.Getenv("PSLD_VULKAN_STAGING") == "1" // for tests
}

// lock begins an operation; what it returns, deferred, ends it.
func (d *Device) lock() (unlock func()) {
	d.mu.Lock()
	if d.lost != nil {
		d.mu.Unlock()
		panic(&tensor.Stopped{Err: d.lost})
	}
	d.adopt()
	return d.unlock
}

func (d *Device) unlock() {
	for _, p := range d.temps {
		d.memory.put(*p)
	}
	d.temps = d.temps[:0]
	d.mu.Unlock()
}

// must panics where the device failed: with *tensor.OutOfMemory or, for good, with *tensor.Stopped.
func (d *Device) must(r result, what string) {
	switch r {
	case success:
	case noMemory, noHostMemory:
		panic(d.outOfMemory(0))
	default:
		d.lost = fmt.Errorf("%s: %s: %w", d.Name(), what, r)
		panic(&tensor.Stopped{Err: d.lost})
	}
}

func (d *Device) outOfMemory(bytes uint64) *tensor.OutOfMemory {
	return &tensor.OutOfMemory{Device: d.Name(), Bytes: int64(bytes), InUse: int64(d.memory.used)}
}

// refuse lets tests find no memory.
func (d *Device) refuse() bool {
	if d.refusals == 0 {
		return false
	}
	d.refusals--
	return true
}

// buffer is what a tensor of the device has in place of Data.
type buffer struct {
	owner   *Device
	n       int // elements
	lent    bool
	packed  bool // see pack.comp
	memory  *piece
	cleanup runtime.Cleanup
}

// alloc finds memory for n elements.
func (d *Device) alloc(n int) *piece {
	size := 4 * uint64(n)
	if most := uint64(d.physical.properties.limits.maxStorageBufferRange); size > most {
		d.tooLarge(size, most)
	}
	p, ok := d.memory.get(size)
	for i := 0; !ok && i < 2; i++ { // what nobody holds any more
		runtime.GC()
		time.Sleep(5 * time.Millisecond)
		d.adopt()
		p, ok = d.memory.get(size)
	}
	if !ok {
		panic(d.outOfMemory(size))
	}
	return &p
}

func (d *Device) tooLarge(size, most uint64) {
	panic(&tensor.Stopped{Err: fmt.Errorf("%s takes tensors of %d MiB at most, want one of %d", d.Name(), most>>20,
		size>>20)})
}

// scratch is memory of n elements until the end of the operation.
func (d *Device) scratch(n int) *piece {
	p := d.alloc(n)
	d.temps = append(d.temps, p)
	return p
}

// newBuffer makes a buffer whose memory comes back when nothing uses it any more.
func (d *Device) newBuffer(n int, lent bool) *buffer {
	b := &buffer{owner: d, n: n, lent: lent, memory: d.alloc(n)}
	b.cleanup = runtime.AddCleanup(b, func(p *piece) {
		d.orphans.Lock()
		d.orphans.list = append(d.orphans.list, *p)
		d.orphans.Unlock()
	}, b.memory)
	return b
}

// adopt takes back the memory of buffers that the garbage collector found.
func (d *Device) adopt() {
	d.orphans.Lock()
	defer d.orphans.Unlock()
	for _, p := range d.orphans.list {
		d.memory.put(p)
	}
	d.orphans.list = nil
}

// in is the memory of t, or of a copy of its elements if they lie in host memory. It is nil for nil.
func (d *Device) in(t *tensor.Tensor) *piece {
	if t == nil {
		return nil
	}
	switch b := t.Storage().Buffer.(type) {
	case *buffer:
		if b.owner != d {
			panic(fmt.Sprintf("vulkan: a tensor of %s on %s", b.owner.Name(), d.Name()))
		}
		if b.packed {
			panic("vulkan: a packed weight as an ordinary tensor")
		}
		return b.memory
	case nil:
		if t.Data == nil && t.Len() > 0 {
			panic("vulkan: a tensor without elements, or one that was put back")
		}
		p := d.scratch(t.Len())
		d.upload(*p, floatBytes(t.Data))
		return p
	}
	panic("vulkan: a tensor of another device")
}

// out is in for a tensor that is written to, which host memory must not be.
func (d *Device) out(t *tensor.Tensor) *piece {
	if t != nil && t.Storage().Buffer == nil {
		panic("vulkan: an operation writes to a tensor that is not from Get")
	}
	return d.in(t)
}

// floatBytes is the view of numbers as bytes.
func floatBytes[T float32 | uint32 | int32](v []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// Name implements [tensor.Device].
func (d *Device) Name() string {
	if d.halves {
		return "vulkan/" + d.physical.name() + "/f16"
	}
	return "vulkan/" + d.physical.name()
}

// WeightBytes are the bytes of a weight of products.
func (d *Device) WeightBytes() int {
	if d.halves {
		return 2
	}
	return 4
}

// Get implements [tensor.Device].
func (d *Device) Get(shape ...int) *tensor.Tensor {
	n := tensor.Len(shape)
	defer d.lock()()
	return tensor.Buffered(d.newBuffer(n, true), shape...)
}

// Put implements [tensor.Device].
func (d *Device) Put(t *tensor.Tensor) {
	b, ok := t.Storage().Buffer.(*buffer)
	if !ok || !b.lent || b.owner != d {
		return
	}
	t.Storage().Buffer = nil
	b.cleanup.Stop()
	d.mu.Lock()
	d.memory.put(*b.memory)
	d.mu.Unlock()
}

// Place implements [tensor.Device].
func (d *Device) Place(t *tensor.Tensor) {
	defer d.lock()()
	t.Keep(d, func(any) any {
		if t.Storage().Buffer != nil {
			return nil
		}
		b := d.newBuffer(t.Len(), false)
		d.upload(*b.memory, floatBytes(t.Data))
		t.Storage().Buffer, t.Data = b, nil
		return nil
	})
}

// Pack implements [tensor.Device].
func (d *Device) Pack(w *tensor.Tensor) {
	defer d.lock()()
	w.Keep(d, func(any) any {
		if w.Storage().Buffer == nil {
			b := d.pack(w)
			w.Storage().Buffer, w.Data = b, nil
		}
		return nil
	})
}

// filter reads a weight's shape [O,I] or [O,I,KH,KW].
func filter(w *tensor.Tensor) (o, i, taps int) { return w.Dim(0), w.Dim(1), tensor.Len(w.Shape[2:]) }

// fours rounds up to a multiple of four.
func fours(n int) int { return (n + 3) / 4 * 4 }

// pack makes the layout [taps,I4,O4] of a weight, float32 or float16.
func (d *Device) pack(w *tensor.Tensor) *buffer {
	o, i, taps := filter(w)
	words := taps * fours(i) * fours(o)
	if d.halves {
		words /= 2
	}
	b := d.newBuffer(words, false)
	b.packed = true
	d.launch(launch{kernel: "pack", spec: []uint32{flag(d.halves)}, out: []*piece{b.memory}, in: []*piece{d.in(w)},
		push: []uint32{u(b.n), u(o), u(i), u(taps), u(fours(o)), u(fours(i))}, groups: lines(b.n)})
	return b
}

// weight is the packed memory of a factor of products. What is made of one that is not packed stays with it until it
// changes.
func (d *Device) weight(w *tensor.Tensor) *piece {
	if b, ok := w.Storage().Buffer.(*buffer); ok && b.packed {
		return b.memory
	}
	var p *piece
	w.Keep(d, func(kept any) any {
		if kept == nil {
			kept = d.pack(w)
		}
		p = kept.(*buffer).memory
		return kept
	})
	return p
}

// Host implements [tensor.Device].
func (d *Device) Host(t *tensor.Tensor) []float32 {
	b, ok := t.Storage().Buffer.(*buffer)
	if !ok {
		return t.Data
	}
	data := make([]float32, b.n)
	defer d.lock()()
	d.download(floatBytes(data), *b.memory)
	if !b.packed {
		return data
	}
	if d.halves {
		data = wide(data)
	}
	o, i, taps := filter(t)
	w := make([]float32, t.Len())
	for k := range taps {
		for j := range i {
			for l := range o {
				w[(l*i+j)*taps+k] = data[(k*fours(i)+j)*fours(o)+l]
			}
		}
	}
	return w
}

// wide makes float32 of words that hold two numbers in float16 each.
func wide(words []float32) []float32 {
	all := make([]float32, 0, 2*len(words))
	for _, w := range words {
		for u := range 2 {
			h := math.Float32bits(w) >> (16 * u)
			sign, exponent, fraction := h>>15&1, h>>10&31, float64(h&1023)
			v := math.Ldexp(1024+fraction, int(exponent)-25)
			switch {
			case exponent == 0:
				v = math.Ldexp(fraction, -24)
			case exponent == 31: // beyond 65504, or not a number
				v = math.Inf(1)
				if fraction != 0 {
					v = math.NaN()
				}
			}
			all = append(all, float32(math.Copysign(v, 0.5-float64(sign))))
		}
	}
	return all
}

// Upload implements [tensor.Device].
func (d *Device) Upload(t *tensor.Tensor, data []float32) {
	defer d.lock()()
	if len(data) > t.Len() {
		data = data[:t.Len()]
	}
	d.upload(*d.out(t), floatBytes(data))
	t.Changed()
}

// Sync implements [tensor.Device].
func (d *Device) Sync() {
	defer d.lock()()
	d.finish()
}

// Profile runs fn and tells the time of each kernel meanwhile, the most expensive first. Kernels run one after the
// other. Nothing is measured where the device has no time stamps.
func (d *Device) Profile(fn func()) []Kernel {
	d.Sync()
	d.mu.Lock()
	if d.physical.stamps {
		d.profile = map[string]Kernel{}
	}
	d.mu.Unlock()
	fn()
	d.Sync()
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []Kernel
	for _, k := range d.profile {
		list = append(list, k)
	}
	d.profile = nil
	slices.SortFunc(list, func(a, b Kernel) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// Peak implements [tensor.Meter].
func (d *Device) Peak() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	peak := d.memory.peak
	d.memory.peak = d.memory.used
	return int64(peak)
}

// Limit implements [tensor.Meter].
func (d *Device) Limit() int64 { return int64(d.memory.budget) }
