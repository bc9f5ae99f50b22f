//go:build vulkan

package vulkan

import "golang.org/x/sys/windows"

var loaderNames = []string{"vulkan-1.dll"}

func openLibrary(name string) (uintptr, error) {
	h, err := windows.LoadLibrary(name)
	return uintptr(h), err
}

func symbol(handle uintptr, name string) (uintptr, error) {
	return windows.GetProcAddress(windows.Handle(handle), name)
}
