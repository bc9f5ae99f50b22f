package weights

import (
	"fmt"
	"maps"
	"slices"

	"psld/asm"
)

// Source is where a network gets its parameters from.
type Source interface {
	// Names lists all tensors in alphabetical order. It is nil for a source
	// that makes up whatever tensor is asked for.
	Names() []string
	// Read writes the named tensor to dst, which has as many elements as shape:
	// row-major, in PyTorch's order (convolution [out, in, kh, kw], linear [out, in]).
	// A tensor that is missing, has another shape, or holds a NaN or an infinity
	// is an error that names it.
	Read(name string, shape []int, dst []float32) error
}

// Set is a [Source] of tensors that lie in one or several files, under names
// of its own. Its methods may be called from several goroutines at once.
type Set struct {
	name    string // for messages, e.g. "sd15/unet"
	tensors map[string]stored
	changes map[string][]change // of LoRA, added whenever a tensor is read
}

// stored is the place of a tensor.
type stored struct {
	file *File
	name string // in file
	rows rows
}

// rows picks rows of a tensor, that is indices of its first dimension: run of
// them, from first on, in every step. The zero value picks all.
type rows struct{ first, run, step int }

func newSet(name string) *Set { return &Set{name: name, tensors: map[string]stored{}} }

// NewSet is the set of all tensors of f, under the names that they have there.
func NewSet(f *File) *Set {
	s := newSet(f.name)
	for _, name := range f.Names() {
		s.tensors[name] = stored{file: f, name: name}
	}
	return s
}

// add puts a tensor of a file into the set under a name.
func (s *Set) add(name string, at stored) error {
	if old, dup := s.tensors[name]; dup {
		return fmt.Errorf("%s: tensor %q is there twice: as %q of %s and as %q of %s",
			s.name, name, old.name, old.file.name, at.name, at.file.name)
	}
	s.tensors[name] = at
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

// Has tells whether the set holds the named tensor.
func (s *Set) Has(name string) bool {
	_, ok := s.tensors[name]
	return ok
}

// Info describes the named tensor as it is stored.
func (s *Set) Info(name string) (info Info, ok bool) {
	at, ok := s.tensors[name]
	if !ok {
		return Info{}, false
	}
	info, ok = at.file.Info(at.name)
	if at.rows.step > 0 && len(info.Shape) > 0 {
		info.Shape[0] = info.Shape[0] / at.rows.step * at.rows.run
	}
	return info, ok
}

// Tensor is a fresh copy of the named tensor (see [Source]). A 1x1 convolution [out, in, 1, 1] or [out, in, 1]
// and a linear layer [out, in] are the same thing, and any is given for the other.
func (s *Set) Tensor(name string, shape []int) ([]float32, error) {
	t, err := s.find(name, shape)
	if err != nil {
		return nil, err
	}
	dst := make([]float32, t.info.Elems())
	if err := t.read(dst); err != nil {
		return nil, err
	}
	return dst, nil
}

// Read is [Set.Tensor] into dst, which has as many elements as shape. It reads
// the file's pages in one pass and takes them out of this process's memory
// again, so that a model may be loaded without being held twice.
func (s *Set) Read(name string, shape []int, dst []float32) error {
	t, err := s.find(name, shape)
	if err != nil {
		return err
	}
	if len(dst) != t.info.Elems() {
		panic(fmt.Sprintf("weights: Read of %q of shape %v into %d elements", name, shape, len(dst)))
	}
	return t.read(dst)
}

// Rows gives some rows of the named tensor at a time, see nn.RowSource. One that LoRA changes is to be had as a whole
// only.
func (s *Set) Rows(name string, shape []int) (read func(dst []float32, from int) error, done func(), err error) {
	t, err := s.find(name, shape)
	if err != nil || len(t.changes) > 0 {
		return nil, nil, err
	}
	return t.readRows, t.drop, nil
}

// found is a tensor ready to be read.
type found struct {
	stored
	what string // for messages: set and name
	info Info
	all  []byte // of the tensor in the file

	changes []change
}

// find checks that the named tensor is there in this shape and in a type that
// can be read, before memory is taken for it.
func (s *Set) find(name string, shape []int) (found, error) {
	at, ok := s.tensors[name]
	if !ok {
		return found{}, fmt.Errorf("%s: no tensor %q (want shape %v)", s.name, name, shape)
	}
	info, _ := s.Info(name)
	if !sameShape(info.Shape, shape) {
		return found{}, fmt.Errorf("%s: tensor %q has shape %v, want %v", s.name, name, info.Shape, shape)
	}
	all, err := at.file.Bytes(at.name)
	return found{at, fmt.Sprintf("%s: tensor %q", s.name, name), info, all, s.changes[name]}, err
}

// readBlock is the number of elements that are converted and then looked
// through for NaN: 64 KiB of float32, which stay in a core's own cache between.
const readBlock = 1 << 14

func (t *found) read(dst []float32) error {
	err := t.readRows(dst, 0)
	t.drop()
	if err != nil {
		return err
	}
	for _, c := range t.changes {
		if err := c.add(dst, t.info.Shape); err != nil {
			return err
		}
	}
	return nil
}

// drop takes the pages of the tensor out of this process's memory.
func (t *found) drop() { dropPages(t.file.mapped, t.all) }

// readRows writes rows from, from+1, ... to dst, as many as fit, without changes.
func (t *found) readRows(dst []float32, from int) error {
	if len(dst) == 0 {
		return nil
	}
	var bad badValues
	done, size := 0, t.info.DType.Size()
	copyOut := func(b []byte) {
		touchPages(t.file.mapped, b)
		for len(b) > 0 {
			n := min(readBlock, len(b)/size)
			block := dst[done : done+n]
			decode(block, t.info.DType, b[:n*size])
			if asm.HasNonFinite(block) {
				bad.count(block, done)
			}
			done, b = done+n, b[n*size:]
		}
	}
	row := size
	if len(t.info.Shape) > 0 {
		row *= t.info.Elems() / t.info.Shape[0]
	}
	if t.rows.step == 0 {
		copyOut(t.all[from*row:][:len(dst)*size])
	} else {
		for ; done < len(dst); from++ {
			at := t.rows.first + from/t.rows.run*t.rows.step + from%t.rows.run
			copyOut(t.all[at*row:][:row])
		}
	}
	if bad.n > 0 {
		return fmt.Errorf("%s holds %v at element %d (%d of its %d values are NaN or infinite)",
			t.what, bad.value, bad.first, bad.n, len(dst))
	}
	return nil
}

// badValues counts NaN and infinities.
type badValues struct {
	n, first int
	value    float32 // the first
}

// count looks through block, which begins at element at of its tensor.
func (b *badValues) count(block []float32, at int) {
	for i, v := range block {
		if v-v == 0 { // NaN for a NaN and for an infinity
			continue
		}
		if b.n == 0 {
			b.first, b.value = at+i, v
		}
		b.n++
	}
}

// sameShape compares shapes, taking [out, in, 1, 1], [out, in, 1] and [out, in]
// as equal.
func sameShape(a, b []int) bool {
	return slices.Equal(asLinear(a), asLinear(b))
}

func asLinear(s []int) []int {
	for len(s) > 2 && len(s) <= 4 && s[len(s)-1] == 1 {
		s = s[:len(s)-1]
	}
	return s
}
