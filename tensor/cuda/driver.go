//go:build cuda

package cuda

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"psld/internal/dynlib"
)

// driver is the library of CUDA's driver API, with the functions that are used of it.
type driver struct {
	init, version, count, get, name, attribute, total      uintptr
	retain, release, setCurrent                            uintptr
	memInfo, alloc, free, allocHost, freeHost              uintptr
	toDevice, toHost, within                               uintptr
	streamCreate, streamSync, streamDestroy                uintptr
	moduleLoad, moduleUnload, moduleFunction, launchKernel uintptr
	errorName                                              uintptr
	graphs
}

// graphs are the functions that make graphs of work, since CUDA 11.4.
type graphs struct {
	captureBegin, captureEnd, graphInstantiate, graphLaunch, graphExecDestroy, graphDestroy uintptr
}

func (g *graphs) hasGraphs() bool {
	return g.captureBegin != 0 && g.captureEnd != 0 && g.graphInstantiate != 0 && g.graphLaunch != 0 &&
		g.graphExecDestroy != 0 && g.graphDestroy != 0
}

// needed is the oldest version of the driver that has all of these, and reads the PTX: CUDA 11.0.
const needed = 11000

// Codes of errors that are told apart.
const (
	outOfMemory = 2
	noDevice    = 100
)

// Error is what a function of the driver gave in place of success.
type Error struct {
	Call string // what was asked for
	Code int
	Name string // e.g. CUDA_ERROR_LAUNCH_FAILED
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s (%d)", e.Call, e.Name, e.Code) }

var (
	opening sync.Mutex
	opened  *driver
)

// open opens the driver, once; an attempt that failed is made again.
func open() (*driver, error) {
	opening.Lock()
	defer opening.Unlock()
	if opened != nil {
		return opened, nil
	}
	names := []string{"libcuda.so.1", "libcuda.so"}
	if runtime.GOOS == "windows" {
		names = []string{"nvcuda.dll"}
	}
	if name := os.Getenv("PSLD_CUDA_DRIVER"); name != "" {
		names = []string{name}
	}
	lib, err := dynlib.Open(names...)
	if err != nil {
		return nil, fmt.Errorf("cuda: no NVIDIA driver on this machine: %s cannot be opened", names[0])
	}
	d := new(driver)
	for name, f := range map[string]*uintptr{
		"cuInit": &d.init, "cuDriverGetVersion": &d.version, "cuDeviceGetCount": &d.count, "cuDeviceGet": &d.get,
		"cuDeviceGetName": &d.name, "cuDeviceGetAttribute": &d.attribute, "cuDeviceTotalMem_v2": &d.total,
		"cuDevicePrimaryCtxRetain": &d.retain, "cuDevicePrimaryCtxRelease_v2": &d.release,
		"cuCtxSetCurrent": &d.setCurrent, "cuMemGetInfo_v2": &d.memInfo, "cuMemAlloc_v2": &d.alloc,
		"cuMemFree_v2": &d.free, "cuMemAllocHost_v2": &d.allocHost, "cuMemFreeHost": &d.freeHost,
		"cuMemcpyHtoDAsync_v2": &d.toDevice, "cuMemcpyDtoHAsync_v2": &d.toHost, "cuMemcpyDtoDAsync_v2": &d.within,
		"cuStreamCreate": &d.streamCreate, "cuStreamSynchronize": &d.streamSync,
		"cuStreamDestroy_v2": &d.streamDestroy, "cuModuleLoadDataEx": &d.moduleLoad, "cuModuleUnload": &d.moduleUnload,
		"cuModuleGetFunction": &d.moduleFunction, "cuLaunchKernel": &d.launchKernel, "cuGetErrorName": &d.errorName,
	} {
		if *f, err = lib.Find(name); err != nil {
			return nil, fmt.Errorf("cuda: the NVIDIA driver is too old: %w", err)
		}
	}
	for name, f := range map[string]*uintptr{"cuStreamBeginCapture_v2": &d.captureBegin,
		"cuStreamEndCapture": &d.captureEnd, "cuGraphInstantiateWithFlags": &d.graphInstantiate,
		"cuGraphLaunch": &d.graphLaunch, "cuGraphExecDestroy": &d.graphExecDestroy, "cuGraphDestroy": &d.graphDestroy} {
		*f, _ = lib.Find(name) // without them it works as well
	}
	var version int32
	if err := d.call("cuDriverGetVersion", d.version, uintptr(unsafe.Pointer(&version))); err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	if version < needed {
		return nil, fmt.Errorf("cuda: the NVIDIA driver is for CUDA %d.%d, and must be for %d.%d or later",
			version/1000, version%1000/10, needed/1000, needed%1000/10)
	}
	if err := d.call("cuInit", d.init, 0); err != nil {
		if err.Code == noDevice {
			return nil, errNoGPU
		}
		return nil, fmt.Errorf("cuda: %w", err)
	}
	opened = d
	return d, nil
}

var errNoGPU = fmt.Errorf("cuda: the NVIDIA driver finds no GPU")

// call calls a function of the driver; what says which. It gives nil for success.
//
//go:uintptrescapes
func (d *driver) call(what string, f uintptr, args ...uintptr) *Error {
	code := int(int32(dynlib.Call(f, args...)))
	if code == 0 {
		return nil
	}
	name := "an unknown error"
	var text *byte
	if dynlib.Call(d.errorName, uintptr(code), uintptr(unsafe.Pointer(&text))) == 0 && text != nil {
		name = goString(text)
	}
	return &Error{what, code, name}
}

// goString copies a C string.
func goString(p *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}
