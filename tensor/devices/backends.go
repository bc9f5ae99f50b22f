package devices

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"psld/internal/memstat"
	"psld/tensor"
)

// Info is what is known of a device without opening it.
type Info struct {
	Name         string
	About        string // what it is and by which driver, in a few words
	Memory, Free int64  // bytes of its own memory, and of these what may still be had; 0 where nobody knows
	Err          error  // why it cannot be used; nil if it can
}

// Backend is a way to compute, by the name that people give it, and the devices that it reaches.
type Backend struct {
	Name       string // a word without capitals
	About      string
	Precisions []string // of matrix products, the one to take where nobody asks for another first
	// List tells the devices of this machine in the order of their numbers, or an error that says what it lacks.
	List func() ([]Info, error)
	// Open returns device n for one of Precisions, the same one each time.
	Open func(n int, precision string) (tensor.Device, error)
}

// Backends is the list; the first one is the one to take where nobody asks for another. One that needs a build tag
// adds its line in the init of a file behind that tag.
var Backends = []Backend{{Name: "cpu", About: "the processor", Precisions: precisions(), List: listCPU, Open: openCPU}}

func precisions() (names []string) {
	for _, e := range All {
		names = append(names, e.Name)
	}
	return names
}

func listCPU() ([]Info, error) {
	total, free := memstat.System()
	return []Info{{Name: "cpu", About: "the processor", Memory: int64(total), Free: int64(free)}}, nil
}

func openCPU(n int, precision string) (tensor.Device, error) {
	if n != 0 {
		return nil, fmt.Errorf("no device cpu:%d, want cpu", n)
	}
	e, _ := Find(precision)
	return e.Open()
}

// Open returns the device of a name, such as "cpu", "vulkan" or "vulkan:1" for the second one of that backend, for a
// precision of matrix products, the same one each time. "" stands for the first of either. The error of a name or a
// precision that is not there tells those that are.
func Open(name, precision string) (tensor.Device, error) {
	b, n, err := backend(name)
	if err != nil {
		return nil, err
	}
	if precision == "" {
		precision = b.Precisions[0]
	}
	if !slices.Contains(b.Precisions, precision) {
		return nil, fmt.Errorf("precision %q, want %s", precision, sentence(b.Precisions))
	}
	return b.Open(n, precision)
}

// backend reads a name with or without a number.
func backend(name string) (b Backend, n int, err error) {
	if name == "" {
		return Backends[0], 0, nil
	}
	word, number, numbered := strings.Cut(name, ":")
	i := slices.IndexFunc(Backends, func(b Backend) bool { return b.Name == word })
	if numbered {
		n, err = strconv.Atoi(number)
	}
	if i >= 0 && err == nil && n >= 0 {
		return Backends[i], n, nil
	}
	var names, absent []string
	for _, b := range Backends {
		names = append(names, b.Name)
	}
	for _, tag := range tags {
		if !slices.Contains(names, tag) {
			absent = append(absent, tag)
		}
	}
	if slices.Contains(absent, word) {
		return b, 0, fmt.Errorf("device %q: this program was built without it; go build -tags %s ./cmd/psld makes one that "+
			"has it", name, word)
	}
	if len(Backends) > 1 {
		names[len(names)-1] += ", with :1 behind it for the second one"
	}
	return b, 0, fmt.Errorf("device %q, want %s", name, sentence(names))
}

// tags are the build tags that add backends.
var tags = []string{"vulkan", "cuda"}

// sentence lists names: "f32, bf16 or f32x3".
func sentence(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
