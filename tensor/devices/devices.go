// Package devices is the list of the devices that this program was built with: [Backends], and of the processor the
// precisions, [All].
package devices

import (
	"slices"

	"psld/tensor"
	"psld/tensor/cpu"
)

// Entry is a precision of the processor's matrix products by the name that people give it.
type Entry struct {
	Name   string // a word without capitals
	Weight int    // bytes that a weight of a product takes
	About  string // what it is, in a few words
	// Open returns the device, or an error that says what this machine lacks. It returns the same one each time.
	Open func() (tensor.Device, error)
}

// All is the list; the first one is the one to take where nobody asks for another. Other processors: see [Backends].
var All = []Entry{
	{"f32", 4, "the processor, in float32", always(cpu.F32)},
	{"bf16", 2, "the processor, factors of products rounded to bfloat16", always(cpu.BF16)},
	{"bf16fast", 2, "the processor, bf16 with transformed factors rounded too", always(cpu.BF16Fast)},
	{"f32x3", 4, "the processor, products as three of bfloat16 where that is quicker", always(cpu.F32X3)},
	{"int8", 1, "the processor, weights held in 8 bits", always(cpu.Int8)},
}

// WeightBytes is the Weight of the device's entry. One that is not in the list says it itself, or has 4.
func WeightBytes(dev tensor.Device) int {
	if d, ok := dev.(interface{ WeightBytes() int }); ok {
		return d.WeightBytes()
	}
	for _, e := range All {
		if d, err := e.Open(); err == nil && d == dev {
			return e.Weight
		}
	}
	return 4
}

func always(dev tensor.Device) func() (tensor.Device, error) {
	return func() (tensor.Device, error) { return dev, nil }
}

// Find looks a device up by its name; "" is the first of the list.
func Find(name string) (Entry, bool) {
	if name == "" {
		return All[0], true
	}
	i := slices.IndexFunc(All, func(e Entry) bool { return e.Name == name })
	if i < 0 {
		return Entry{}, false
	}
	return All[i], true
}

// Names lists the names as a sentence does: "f32, bf16, bf16fast, f32x3 or int8".
func Names() string {
	return sentence(precisions())
}
