//go:build vulkan && !windows

package vulkan

import (
	"runtime"

	"github.com/ebitengine/purego"
)

// loaderNames are those of the library, the best first. On macOS it comes with MoltenVK.
var loaderNames = map[string][]string{
	"darwin": {"libvulkan.1.dylib", "libvulkan.dylib", "libMoltenVK.dylib", "/usr/local/lib/libvulkan.1.dylib",
		"/opt/homebrew/lib/libvulkan.1.dylib"},
}[runtime.GOOS]

func init() {
	if loaderNames == nil {
		loaderNames = []string{"libvulkan.so.1", "libvulkan.so"}
	}
}

func openLibrary(name string) (uintptr, error) {
	return purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

func symbol(handle uintptr, name string) (uintptr, error) { return purego.Dlsym(handle, name) }
