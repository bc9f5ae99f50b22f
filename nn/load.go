package nn

import (
	"runtime"
	"sync"
	"sync/atomic"

	"psld/internal/few"
	"psld/tensor"
)

// Source gives weights by name; a weights file is one. It is called from several
// goroutines at once.
type Source interface {
	// Read writes the values of the named tensor to dst, in row-major order; len(dst)
	// is the product of shape. A tensor that is missing, has another shape or holds
	// a NaN or an infinity is an error that names it.
	Read(name string, shape []int, dst []float32) error
}

// RowSource is a Source that gives some rows of a tensor at a time, that is indices of its first dimension: read
// writes rows from, from+1, ... to dst, as many as fit, and done tells that no more are wanted. read is nil for a
// tensor that can be had as a whole only. Errors are those of Read, but for what they count.
type RowSource interface {
	Source
	Rows(name string, shape []int) (read func(dst []float32, from int) error, done func(), err error)
}

// Load fills every parameter from src. The error has a line for each of
// the first tensors that cannot be had, and one for the rest; the others are loaded.
func (p *Params) Load(src Source) error {
	return p.load(src, func(q Param, _ *[]float32) error {
		t := q.Value.T
		data := make([]float32, t.Len())
		if err := src.Read(q.Name, t.Shape, data); err != nil {
			return err
		}
		t.Data = data
		q.Value.Changed()
		return nil
	})
}

// LoadFrozen is Load for parameters that will not be trained: matrices are packed for dev at
// once and their elements let go, so that memory holds each weight once, in dev's precision; the others are placed in
// its memory. [tensor.Device].Host gives the elements of such a parameter.
func (p *Params) LoadFrozen(src Source, dev tensor.Device) error {
	largest := 0
	for _, q := range p.All() {
		if q.Matrix {
			largest = max(largest, q.Value.T.Len())
		}
	}
	return p.load(src, func(q Param, buf *[]float32) error {
		t := q.Value.T
		if q.Matrix && packRows(src, q, dev) {
			return nil
		}
		var data []float32
		switch {
		case !q.Matrix:
			data = make([]float32, t.Len())
		case *buf == nil: // one for all matrices: garbage would double the memory
			*buf = make([]float32, largest)
			fallthrough
		default:
			data = (*buf)[:t.Len()]
		}
		if err := src.Read(q.Name, t.Shape, data); err != nil {
			return err
		}
		q.Value.Changed()
		t.Data = data
		q.freeze(dev)
		return nil
	})
}

// packRows loads and packs a matrix row by row, where source and device can, and reports whether it did; what is wrong
// shows when the whole is read.
func packRows(src Source, q Param, dev tensor.Device) bool {
	s, ok := src.(RowSource)
	d, can := dev.(tensor.RowPacker)
	if !ok || !can {
		return false
	}
	read, done, err := s.Rows(q.Name, q.Value.T.Shape)
	if err != nil || read == nil {
		return false
	}
	defer done()
	q.Value.Changed()
	return d.PackRows(q.Value.T, read) == nil
}

// Freeze packs and places parameters that have their elements already, as LoadFrozen does.
func (p *Params) Freeze(dev tensor.Device) {
	for _, q := range p.All() {
		q.freeze(dev)
	}
}

func (q Param) freeze(dev tensor.Device) {
	if q.Matrix {
		dev.Pack(q.Value.T)
	} else {
		dev.Place(q.Value.T)
	}
}

// load calls fn for every parameter, on all processors. buf is memory of the calling goroutine.
func (p *Params) load(src Source, fn func(q Param, buf *[]float32) error) error {
	all := p.All()
	errs := make([]error, len(all)) // in the order of the parameters
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(all), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			var buf []float32
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				errs[i] = func() (err error) {
					defer tensor.Catch(&err)
					return fn(all[i], &buf)
				}()
			}
		})
	}
	wg.Wait()
	return few.Errors(errs)
}
