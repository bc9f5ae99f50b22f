package devicetest

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"psld/tensor"
)

// HiddenDevice is a device whose memory is not the host's, as far as anybody outside can see: its tensors have no
// Data. It keeps the elements in tensors of another device, a CPU one, that computes for it, so that the bits are
// the same. With it the code above devices is tested for what a GPU asks of it. Memory that was put back is gone,
// and what Get returns holds NaNs.
type HiddenDevice struct {
	dev tensor.Device

	mu    sync.Mutex
	live  int64 // bytes
	gets  int
	fails int // number of the Get that finds no memory; 0: none
	moved Copies
}

// Copies are the bytes that went to a device and to the host, and those of the largest copy to the host. What sums
// return is not counted.
type Copies struct{ Up, Down, LargestDown int64 }

// Hidden returns one that computes on dev.
func Hidden(dev tensor.Device) *HiddenDevice { return &HiddenDevice{dev: dev} }

// Live is the number of bytes that are handed out now.
func (d *HiddenDevice) Live() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.live
}

// Copies are those since the last call.
func (d *HiddenDevice) Copies() Copies {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.moved
	d.moved = Copies{}
	return c
}

// up counts a copy to the device of n numbers, down one to the host.
func (d *HiddenDevice) up(n int) {
	d.mu.Lock()
	d.moved.Up += 4 * int64(n)
	d.mu.Unlock()
}

func (d *HiddenDevice) down(n int) {
	d.mu.Lock()
	d.moved.Down += 4 * int64(n)
	d.moved.LargestDown = max(d.moved.LargestDown, 4*int64(n))
	d.mu.Unlock()
}

// FailAt lets the n-th Get from now on, counted from 1, find no memory; 0 lets none.
func (d *HiddenDevice) FailAt(n int) {
	d.mu.Lock()
	d.gets, d.fails = 0, n
	d.mu.Unlock()
}

// buffer is what a tensor's storage has in place of Data.
type buffer struct {
	owner *HiddenDevice
	t     *tensor.Tensor // of the device that computes
	lent  bool           // by Get
}

// in is t for the device that computes: a view of its buffer, or a copy of elements in host memory.
func (d *HiddenDevice) in(t *tensor.Tensor) *tensor.Tensor {
	if t == nil {
		return nil
	}
	switch b := t.Storage().Buffer.(type) {
	case *buffer:
		if b.owner != d {
			panic(fmt.Sprintf("devicetest: a tensor of %s on %s", b.owner.Name(), d.Name()))
		}
		if slices.Equal(t.Shape, b.t.Shape) {
			return b.t
		}
		return b.t.Reshaped(t.Shape...)
	case nil:
		if t.Data == nil {
			panic("devicetest: a tensor without elements, or one that was put back")
		}
		d.up(t.Len())
		return t.Clone()
	}
	panic("devicetest: a tensor of another device")
}

// out is in for a tensor that is written to, which host memory must not be.
func (d *HiddenDevice) out(t *tensor.Tensor) *tensor.Tensor {
	if t != nil && t.Storage().Buffer == nil {
		panic("devicetest: an operation writes to a tensor that is not from Get")
	}
	return d.in(t)
}

// weight is in for a factor of products: the copy of one in host memory stays with it.
func (d *HiddenDevice) weight(w *tensor.Tensor) (in *tensor.Tensor) {
	if w.Storage().Buffer != nil {
		return d.in(w)
	}
	w.Keep(d, func(kept any) any {
		if kept == nil {
			d.up(w.Len())
			kept = w.Clone()
		}
		in = kept.(*tensor.Tensor)
		return kept
	})
	return in
}

func (d *HiddenDevice) epilogue(e tensor.Epilogue) tensor.Epilogue {
	e.Add = d.in(e.Add)
	return e
}

// Name implements [tensor.Device].
func (d *HiddenDevice) Name() string { return "hidden " + d.dev.Name() }

// Get implements [tensor.Device].
func (d *HiddenDevice) Get(shape ...int) *tensor.Tensor {
	bytes := 4 * int64(tensor.Len(shape))
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gets++; d.gets == d.fails {
		panic(&tensor.OutOfMemory{Device: d.Name(), Bytes: bytes, InUse: d.live})
	}
	d.live += bytes
	t := d.dev.Get(shape...)
	d.dev.Fill(t, float32(math.NaN()))
	return tensor.Buffered(&buffer{d, t, true}, shape...)
}

// Put implements [tensor.Device].
func (d *HiddenDevice) Put(t *tensor.Tensor) {
	b, ok := t.Storage().Buffer.(*buffer)
	if !ok || !b.lent || b.owner != d {
		return
	}
	d.mu.Lock()
	d.live -= 4 * int64(b.t.Len())
	d.mu.Unlock()
	t.Storage().Buffer = nil
	d.dev.Fill(b.t, float32(math.NaN()))
	d.dev.Put(b.t)
}

// Pack implements [tensor.Device].
func (d *HiddenDevice) Pack(w *tensor.Tensor) {
	d.Place(w)
	d.dev.Pack(d.in(w))
}

// Place implements [tensor.Device].
func (d *HiddenDevice) Place(t *tensor.Tensor) {
	t.Keep(d, func(any) any {
		d.up(t.Len())
		t.Storage().Buffer = &buffer{owner: d, t: t.Clone()}
		t.Data = nil
		return nil
	})
}

// Host implements [tensor.Device].
func (d *HiddenDevice) Host(t *tensor.Tensor) []float32 {
	if t.Storage().Buffer == nil {
		return t.Data
	}
	d.down(t.Len())
	return slices.Clone(d.dev.Host(d.in(t)))
}

// Upload implements [tensor.Device].
func (d *HiddenDevice) Upload(t *tensor.Tensor, data []float32) {
	d.up(len(data))
	d.dev.Upload(d.out(t), data)
}

// Sync implements [tensor.Device].
func (d *HiddenDevice) Sync() { d.dev.Sync() }
