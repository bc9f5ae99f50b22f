//go:build cuda

package cuda

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"unsafe"

	"psld/internal/atomicfile"
	"psld/tensor/cuda/kernels"
	"psld/tensor/cuda/nvrtc"
)

// load finds a kernel, whose module is compiled and loaded first, if it is not there yet.
func (g *gpu) load(name string) uintptr {
	for _, m := range modules() {
		if !slices.Contains(m.Kernels, name) {
			continue
		}
		module, ok := g.modules[m.Name]
		if !ok {
			image := append(g.image(m), 0)
			g.must(g.call("loading the kernels of "+m.Name+".cu", g.moduleLoad, uintptr(unsafe.Pointer(&module)),
				uintptr(unsafe.Pointer(&image[0])), 0, 0, 0))
			g.modules[m.Name] = module
		}
		title := append([]byte(name), 0)
		var f uintptr
		g.must(g.call("kernel "+name, g.moduleFunction, uintptr(unsafe.Pointer(&f)), module,
			uintptr(unsafe.Pointer(&title[0]))))
		g.kernels[name], g.names[f] = f, name
		return f
	}
	panic("cuda: no kernel " + name)
}

var modules = sync.OnceValue(kernels.Modules)

// compiler is NVRTC, or nil where there is none.
var compiler = sync.OnceValue(func() *nvrtc.Compiler {
	if os.Getenv("PSLD_NVRTC") == "none" {
		return nil
	}
	c, err := nvrtc.Open()
	if err != nil {
		return nil
	}
	return c
})

// image is the code of a module for this GPU: from NVRTC, or from the cache of what that made before, or the PTX that
// is in the program.
func (g *gpu) image(m kernels.Module) []byte {
	c := compiler()
	if c == nil {
		return []byte(kernels.PTX(m.Name))
	}
	arch := fmt.Sprintf("sm_%d", g.Capability)
	h := sha256.New()
	fmt.Fprintf(h, "NVRTC %d.%d %s\n%s", c.Major, c.Minor, arch, m.Source)
	path := ""
	if cache, err := os.UserCacheDir(); err == nil {
		path = filepath.Join(cache, "psld", "cuda", hex.EncodeToString(h.Sum(nil))[:32]+".cubin")
		if code, err := os.ReadFile(path); err == nil && len(code) > 0 {
			return code
		}
	}
	code, err := c.Compile(m.Name+".cu", m.Source, arch)
	if err != nil { // a compiler that is older than the GPU; the driver is not
		return []byte(kernels.PTX(m.Name))
	}
	if path != "" { // without the cache it is slower the next time, no more
		if os.MkdirAll(filepath.Dir(path), 0o777) == nil {
			_ = atomicfile.Write(path, func(w io.Writer) error {
				_, err := w.Write(code)
				return err
			})
		}
	}
	return code
}
