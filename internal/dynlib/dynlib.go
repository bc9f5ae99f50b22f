//go:build cuda || vulkan

// Package dynlib opens libraries at run time and calls their functions, without cgo.
package dynlib

import (
	"errors"
	"fmt"

	"github.com/ebitengine/purego"
)

// Library is one that is open; it stays so.
type Library struct {
	handle uintptr
	Path   string // under which it was found
}

// Open opens the first of the libraries that there is. A name without a folder is looked for where the system does.
// The error holds what the system says of each.
func Open(names ...string) (*Library, error) {
	var all []error
	for _, name := range names {
		handle, err := load(name)
		if err == nil {
			return &Library{handle, name}, nil
		}
		all = append(all, err)
	}
	return nil, errors.Join(all...)
}

// Find returns the address of a function.
func (l *Library) Find(name string) (uintptr, error) {
	f, err := find(l.handle, name)
	if err != nil {
		return 0, fmt.Errorf("%s has no %s", l.Path, name)
	}
	return f, nil
}

// Call calls a function with integers and pointers, and returns its integer. What arguments point to stays where it
// is during the call: write uintptr(unsafe.Pointer(p)) in the argument list itself.
//
//go:uintptrescapes
func Call(f uintptr, args ...uintptr) uintptr {
	r, _, _ := purego.SyscallN(f, args...)
	return r
}
