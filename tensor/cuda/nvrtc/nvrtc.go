//go:build cuda

// Package nvrtc compiles CUDA C with NVIDIA's library for that, which is opened at run time. It needs no GPU.
package nvrtc

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"psld/internal/dynlib"
)

// Compiler is an open library.
type Compiler struct {
	Major, Minor int // its version

	version, create, destroy, compile, logSize, log, ptxSize, ptx, cubinSize, cubin uintptr
}

// Open opens the library that the variable PSLD_NVRTC names, or the newest one that the system finds.
func Open() (*Compiler, error) {
	names := []string{"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so"}
	if runtime.GOOS == "windows" {
		names = []string{"nvrtc64_130_0.dll", "nvrtc64_120_0.dll", "nvrtc64_112_0.dll"}
	}
	if name := os.Getenv("PSLD_NVRTC"); name != "" {
		names = []string{name}
	}
	lib, err := dynlib.Open(names...)
	if err != nil {
		return nil, fmt.Errorf("no NVRTC: %s cannot be opened", names[0])
	}
	c := new(Compiler)
	for name, f := range map[string]*uintptr{"nvrtcVersion": &c.version, "nvrtcCreateProgram": &c.create,
		"nvrtcDestroyProgram": &c.destroy, "nvrtcCompileProgram": &c.compile, "nvrtcGetProgramLogSize": &c.logSize,
		"nvrtcGetProgramLog": &c.log, "nvrtcGetPTXSize": &c.ptxSize, "nvrtcGetPTX": &c.ptx,
		"nvrtcGetCUBINSize": &c.cubinSize, "nvrtcGetCUBIN": &c.cubin} {
		if *f, err = lib.Find(name); err != nil {
			return nil, err
		}
	}
	var major, minor int32
	if r := dynlib.Call(c.version, uintptr(unsafe.Pointer(&major)), uintptr(unsafe.Pointer(&minor))); r != 0 {
		return nil, fmt.Errorf("%s: nvrtcVersion gives %d", lib.Path, r)
	}
	c.Major, c.Minor = int(major), int(minor)
	return c, nil
}

// Compile compiles a text, which name stands for in messages, for an architecture: "compute_75" gives PTX, "sm_75" the
// code of that GPU. The error has the compiler's messages.
func (c *Compiler) Compile(name, source, arch string) ([]byte, error) {
	var program uintptr
	text, title := cString(source), cString(name)
	if r := dynlib.Call(c.create, uintptr(unsafe.Pointer(&program)), uintptr(unsafe.Pointer(&text[0])),
		uintptr(unsafe.Pointer(&title[0])), 0, 0, 0); int32(r) != 0 {
		return nil, fmt.Errorf("nvrtcCreateProgram gives %d", int32(r))
	}
	defer dynlib.Call(c.destroy, uintptr(unsafe.Pointer(&program)))
	var options []unsafe.Pointer
	for _, o := range []string{"--gpu-architecture=" + arch, "--std=c++17"} {
		options = append(options, unsafe.Pointer(&cString(o)[0]))
	}
	r := dynlib.Call(c.compile, program, uintptr(len(options)), uintptr(unsafe.Pointer(&options[0])))
	runtime.KeepAlive(options)
	if int32(r) != 0 {
		log, _ := c.get(program, c.logSize, c.log)
		return nil, fmt.Errorf("NVRTC %d.%d does not compile %s for %s:\n%s", c.Major, c.Minor, name, arch,
			strings.TrimRight(string(log), "\x00\n"))
	}
	if strings.HasPrefix(arch, "sm_") {
		return c.get(program, c.cubinSize, c.cubin)
	}
	return c.get(program, c.ptxSize, c.ptx)
}

// get reads a result that has a size of its own.
func (c *Compiler) get(program, sizeOf, read uintptr) ([]byte, error) {
	var n uintptr
	if r := dynlib.Call(sizeOf, program, uintptr(unsafe.Pointer(&n))); int32(r) != 0 || n == 0 {
		return nil, fmt.Errorf("NVRTC gives no result (%d)", int32(r))
	}
	data := make([]byte, n)
	if r := dynlib.Call(read, program, uintptr(unsafe.Pointer(&data[0]))); int32(r) != 0 {
		return nil, fmt.Errorf("NVRTC gives no result (%d)", int32(r))
	}
	return data, nil
}

func cString(s string) []byte { return append([]byte(s), 0) }
