package weights

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Source is where a network gets its parameters from.
type Source interface {
	// Names lists all tensors in alphabetical order. It is nil for a source
	// that makes up whatever tensor is asked for.
	Names() []string
	// Tensor is a fresh copy of the named tensor, row-major, in PyTorch's order
	// (convolution [out, in, kh, kw], linear [out, in]). A tensor that is
	// missing, has another shape, or holds a NaN or an infinity is an error
	// that names it.
	Tensor(name string, shape []int) ([]float32, error)
}

// Set is a [Source] of tensors that lie in one or several files, under names
// of its own.
type Set struct {
	name    string // for messages, e.g. "sd15/unet"
	tensors map[string]stored
}

// stored is the place of a tensor.
type stored struct {
	file *File
	name string
}

// NewSet is the set of all tensors of f, under the names that they have there.
func NewSet(f *File) *Set {
	s := &Set{name: f.name, tensors: map[string]stored{}}
	for _, name := range f.Names() {
		s.tensors[name] = stored{f, name}
	}
	return s
}

// add puts a tensor of f into the set under a name.
func (s *Set) add(name string, f *File, nameInFile string) error {
	if old, dup := s.tensors[name]; dup {
		return fmt.Errorf("%s: tensor %q is there twice: as %q of %s and as %q of %s",
			s.name, name, old.name, old.file.name, nameInFile, f.name)
	}
	s.tensors[name] = stored{f, nameInFile}
	return nil
}

// Names lists the tensors in alphabetical order.
func (s *Set) Names() []string {
	names := slices.Sorted(maps.Keys(s.tensors))
	if names == nil {
		names = []string{}
	}
	return names
}

// Info describes the named tensor as it is stored.
func (s *Set) Info(name string) (info Info, ok bool) {
	if at, ok := s.tensors[name]; ok {
		return at.file.Info(at.name)
	}
	return Info{}, false
}

// Tensor implements [Source]. A 1x1 convolution [out, in, 1, 1] and a linear
// layer [out, in] are the same thing, and either is given for the other.
func (s *Set) Tensor(name string, shape []int) ([]float32, error) {
	at, ok := s.tensors[name]
	if !ok {
		return nil, fmt.Errorf("%s: no tensor %q (want shape %v)", s.name, name, shape)
	}
	info, _ := at.file.Info(at.name)
	if !sameShape(info.Shape, shape) {
		return nil, fmt.Errorf("%s: tensor %q has shape %v, want %v", s.name, name, info.Shape, shape)
	}
	data, err := at.file.Float32(at.name)
	if err != nil {
		return nil, err
	}
	if i := notFinite(data); i >= 0 {
		return nil, fmt.Errorf("%s: tensor %q holds %v at element %d", s.name, name, data[i], i)
	}
	return data, nil
}

// sameShape compares shapes, taking [out, in, 1, 1] and [out, in] as equal.
func sameShape(a, b []int) bool {
	return slices.Equal(asLinear(a), asLinear(b))
}

func asLinear(s []int) []int {
	if len(s) == 4 && s[2] == 1 && s[3] == 1 {
		return s[:2]
	}
	return s
}

// notFinite is the index of the first NaN or infinity, -1 when there is none.
func notFinite(data []float32) int {
	// An exponent of all ones, plus one, carries into the sign bit.
	bits := func(v float32) uint32 { return math.Float32bits(v)&0x7fffffff + 0x00800000 }
	const sign = 1 << 31
	var seen uint32
	for _, v := range data {
		seen |= bits(v)
	}
	if seen&sign == 0 {
		return -1
	}
	return slices.IndexFunc(data, func(v float32) bool { return bits(v)&sign != 0 })
}

// Check compares what a source holds with the tensors that a network wants, by
// name and shape, and reports all that is missing, mis-shaped or unexpected in
// one error. A source without names passes.
func Check(s Source, want map[string][]int) error {
	names := s.Names()
	if names == nil {
		return nil
	}
	has := map[string]bool{}
	for _, name := range names {
		has[name] = true
	}
	shapes, _ := s.(interface{ Info(string) (Info, bool) })
	var missing, badShape, unexpected []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		shape := want[name]
		if !has[name] {
			missing = append(missing, fmt.Sprintf("%s %v", name, shape))
			continue
		}
		delete(has, name)
		if shapes == nil {
			continue
		}
		if info, _ := shapes.Info(name); !sameShape(info.Shape, shape) {
			badShape = append(badShape, fmt.Sprintf("%s %v, want %v", name, info.Shape, shape))
		}
	}
	unexpected = slices.Sorted(maps.Keys(has))
	var msg []string
	list := func(what string, names []string) {
		if len(names) > 0 {
			msg = append(msg, fmt.Sprintf("%d %s:\n  %s", len(names), what, strings.Join(names, "\n  ")))
		}
	}
	list("tensors missing", missing)
	list("tensors of another shape", badShape)
	list("tensors unexpected", unexpected)
	if msg == nil {
		return nil
	}
	from := "weights"
	if set, ok := s.(*Set); ok {
		from = set.name
	}
	return fmt.Errorf("%s: %s", from, strings.Join(msg, "\n"))
}
