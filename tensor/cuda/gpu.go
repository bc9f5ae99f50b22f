//go:build cuda

package cuda

import (
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"psld/tensor"
)

// Info describes a GPU.
type Info struct {
	Number     int // as in "cuda:1"
	Name       string
	Capability int   // compute capability, e.g. 90 for 9.0
	Bytes      int64 // of its memory
	Err        error // why it cannot be used; nil if it can
}

// List returns the GPUs of this machine, or an error that says what it lacks.
func List() ([]Info, error) {
	d, err := open()
	if err != nil {
		return nil, err
	}
	var n int32
	if err := d.call("cuDeviceGetCount", d.count, uintptr(unsafe.Pointer(&n))); err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	if n == 0 {
		return nil, errNoGPU
	}
	var list []Info
	for i := range int(n) {
		_, info, err := d.about(i)
		if err != nil {
			return nil, fmt.Errorf("cuda: GPU %d: %w", i, err)
		}
		list = append(list, info)
	}
	return list, nil
}

// about returns the handle of a GPU and what it is.
func (d *driver) about(number int) (handle int32, info Info, err error) {
	info.Number = number
	if err := d.call("cuDeviceGet", d.get, uintptr(unsafe.Pointer(&handle)), uintptr(number)); err != nil {
		return 0, info, err
	}
	name := make([]byte, 256)
	if err := d.call("cuDeviceGetName", d.name, uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)),
		uintptr(handle)); err != nil {
		return 0, info, err
	}
	info.Name = goString(&name[0])
	var bytes uintptr
	if err := d.call("cuDeviceTotalMem", d.total, uintptr(unsafe.Pointer(&bytes)), uintptr(handle)); err != nil {
		return 0, info, err
	}
	info.Bytes = int64(bytes)
	var parts [2]int32
	for i, attribute := range []uintptr{75, 76} { // major and minor of the compute capability
		if err := d.call("cuDeviceGetAttribute", d.attribute, uintptr(unsafe.Pointer(&parts[i])), attribute,
			uintptr(handle)); err != nil {
			return 0, info, err
		}
	}
	info.Capability = int(10*parts[0] + parts[1])
	if info.Capability < capability {
		info.Err = fmt.Errorf("cuda: %s has compute capability %d.%d, and must have %d.%d or later", info.Name,
			info.Capability/10, info.Capability%10, capability/10, capability%10)
	}
	return handle, info, nil
}

// gpu is a GPU with its context, stream and memory, which devices of several precisions share.
type gpu struct {
	*driver
	Info
	handle          int32
	context, stream uintptr

	mu        sync.Mutex // one operation at a time: it guards all that follows
	memory    allocator
	lasting   allocator // of tensors that outlive the step that made them
	temporary []*block  // of the operation that is under way
	staging   staging
	kernels   map[string]uintptr
	names     map[uintptr]string // of kernels
	modules   map[string]uintptr
	queue     queue
	blas      *blas              // nil where there is no cuBLASLt
	params    [32]unsafe.Pointer // of a launch
	lost      error              // why it does not compute any more

	dead struct { // blocks that nothing refers to any more
		sync.Mutex
		blocks []*block
	}
}

// capability is the lowest one that the PTX is for.
const capability = 75

// newGPU readies a GPU.
func newGPU(number int) (g *gpu, err error) {
	list, err := List()
	if err != nil {
		return nil, err
	}
	if number < 0 || number >= len(list) {
		return nil, fmt.Errorf("cuda: there is no GPU %d, this machine has %d", number, len(list))
	}
	d, err := open()
	if err != nil {
		return nil, err
	}
	g = &gpu{driver: d, kernels: map[string]uintptr{}, names: map[uintptr]string{}, modules: map[string]uintptr{},
		queue: newQueue(d)}
	g.handle, g.Info, err = d.about(number)
	if err != nil {
		return nil, fmt.Errorf("cuda: GPU %d: %w", number, err)
	}
	if g.Err != nil {
		return nil, g.Err
	}
	if err := checkNamed(); err != nil {
		return nil, err
	}
	if err := d.call("cuDevicePrimaryCtxRetain", d.retain, uintptr(unsafe.Pointer(&g.context)),
		uintptr(g.handle)); err != nil {
		return nil, fmt.Errorf("cuda: %s: %w", g.Info.Name, err)
	}
	g.enter()
	defer g.leave()
	if err := g.ready(); err != nil {
		d.call("cuDevicePrimaryCtxRelease", d.release, uintptr(g.handle))
		return nil, fmt.Errorf("cuda: %s: %w", g.Info.Name, err)
	}
	return g, nil
}

// ready makes the stream, and sets the budget to nearly all memory that is free now.
func (g *gpu) ready() error {
	var free, total uintptr
	if err := g.call("cuMemGetInfo", g.memInfo, uintptr(unsafe.Pointer(&free)),
		uintptr(unsafe.Pointer(&total))); err != nil {
		return err
	}
	g.memory = allocator{take: g.take, give: g.giveBack, budget: int64(free - free/16)}
	g.lasting = allocator{take: g.take, give: g.giveBack, budget: int64(free / 32)}
	if err := g.call("cuStreamCreate", g.streamCreate, uintptr(unsafe.Pointer(&g.stream)), 1); err != nil {
		return err
	}
	g.blas = openBlas()
	return nil
}

// close gives back all that the GPU has. Nothing of it may be used afterwards.
func (g *gpu) close() {
	g.enter()
	defer g.leave()
	g.handOver()
	g.collect()
	g.memory.trim()
	g.lasting.trim()
	g.staging.free(g)
	for key := range g.queue.graphs {
		g.forget(key)
	}
	g.blas.close()
	for _, m := range g.modules {
		g.call("cuModuleUnload", g.moduleUnload, m)
	}
	g.call("cuStreamDestroy", g.streamDestroy, g.stream)
	g.call("cuDevicePrimaryCtxRelease", g.release, uintptr(g.handle))
}

// enter begins an operation: the context belongs to a thread of the system.
func (g *gpu) enter() {
	g.mu.Lock()
	runtime.LockOSThread()
	g.call("cuCtxSetCurrent", g.setCurrent, g.context)
}

// leave ends it. Its temporary memory may be used again at once: what does comes behind it on the stream.
func (g *gpu) leave() {
	for _, b := range g.temporary {
		b.of.put(b)
	}
	g.temporary = g.temporary[:0]
	runtime.UnlockOSThread()
	g.mu.Unlock()
}

// begin is enter for an operation that computes.
func (g *gpu) begin() {
	g.enter()
	if g.lost != nil {
		err := g.lost
		g.leave()
		panic(&tensor.Stopped{Err: err})
	}
	g.collect()
}

func (g *gpu) deviceName() string { return fmt.Sprintf("cuda:%d", g.Number) }

// must panics where the driver did not do what it was asked for: from then on the GPU does not compute in this
// process.
func (g *gpu) must(err *Error) {
	if err != nil {
		g.fail(err)
		panic(&tensor.Stopped{Err: g.lost})
	}
}

// fail is must without a panic.
func (g *gpu) fail(err *Error) {
	g.lost = fmt.Errorf("%s does not answer any more, start the program again: %w", g.deviceName(), err)
}

func (g *gpu) sync() {
	g.flush()
	g.must(g.call("waiting for "+g.deviceName(), g.streamSync, g.stream))
}

func (g *gpu) take(bytes int64) (addr uint64, ok bool) {
	if g.lost != nil {
		return 0, false
	}
	err := g.call("cuMemAlloc", g.alloc, uintptr(unsafe.Pointer(&addr)), uintptr(bytes))
	if err != nil && err.Code != outOfMemory {
		g.must(err)
	}
	return addr, err == nil
}

// giveBack gives memory back that jobs which wait may use.
func (g *gpu) giveBack(addr uint64) {
	if err := g.handOver(); err != nil {
		g.fail(err)
	}
	g.call("cuMemFree", g.free, uintptr(addr))
}

// get returns a block, or panics where there is no memory.
func (g *gpu) get(bytes int64) *block {
	if b := g.memory.get(bytes); b != nil {
		return b
	}
	// Tensors that nobody put back lose their memory when the collector finds them.
	runtime.GC()
	time.Sleep(10 * time.Millisecond)
	g.collect()
	if b := g.memory.get(bytes); b != nil {
		return b
	}
	panic(&tensor.OutOfMemory{Device: g.deviceName(), Bytes: bytes, InUse: g.memory.used})
}

// collect takes back what the garbage collector found, and what Changed let go.
func (g *gpu) collect() {
	g.dead.Lock()
	blocks := g.dead.blocks
	g.dead.blocks = nil
	g.dead.Unlock()
	for _, b := range blocks {
		b.of.put(b)
	}
}

// bury marks a block for collect.
func (g *gpu) bury(b *block) {
	g.dead.Lock()
	g.dead.blocks = append(g.dead.blocks, b)
	g.dead.Unlock()
}

// Peak implements [tensor.Meter].
func (g *gpu) Peak() int64 {
	g.enter()
	defer g.leave()
	peak := g.memory.peak + g.lasting.peak
	g.memory.peak, g.lasting.peak = g.memory.used, g.lasting.used
	return peak
}

// Limit implements [tensor.Meter].
func (g *gpu) Limit() int64 { return g.memory.budget }

// scratch returns memory until the operation ends.
func (g *gpu) scratch(bytes int64) uint64 {
	if bytes == 0 {
		return 0
	}
	b := g.get(bytes)
	g.temporary = append(g.temporary, b)
	return b.addr
}
