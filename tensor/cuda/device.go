//go:build cuda

package cuda

import (
	"runtime"
	"sync"

	"psld/tensor"
)

// device computes on a GPU in float32.
type device struct{ *gpu }

var devices = struct {
	sync.Mutex
	of map[int]*device
}{of: map[int]*device{}}

// Open returns the device of a GPU, by its number in [List]: the same one each time.
func Open(number int) (tensor.Device, error) {
	devices.Lock()
	defer devices.Unlock()
	if d := devices.of[number]; d != nil {
		return d, nil
	}
	g, err := newGPU(number)
	if err != nil {
		return nil, err
	}
	d := &device{g}
	devices.of[number] = d
	return d, nil
}

// buffer is what a tensor's storage has in place of Data.
type buffer struct {
	gpu   *gpu
	block *block // nil where there are no elements
	lent  bool   // by Get
	taps  bool   // a weight [O,I,KH,KW] that lies there as [O,KH*KW,I]
}

// addr is the address of the elements.
func (b *buffer) addr() uint64 {
	if b.block == nil {
		return 0
	}
	return b.block.addr
}

// newBuffer takes memory for n elements.
func (g *gpu) newBuffer(n int) *buffer {
	b := &buffer{gpu: g}
	if n > 0 {
		b.block = g.get(4 * int64(n))
		runtime.SetFinalizer(b, (*buffer).Release)
	}
	return b
}

// Release gives the memory back at the GPU's next operation. The finalizer does the same for what is forgotten.
func (b *buffer) Release() {
	runtime.SetFinalizer(b, nil)
	if b.block != nil {
		b.gpu.bury(b.block)
	}
}

// Name implements [tensor.Device].
func (d *device) Name() string { return d.deviceName() }

// Get implements [tensor.Device].
func (d *device) Get(shape ...int) *tensor.Tensor {
	d.begin()
	defer d.leave()
	b := d.newBuffer(tensor.Len(shape))
	b.lent = true
	return tensor.Buffered(b, shape...)
}

// Put implements [tensor.Device].
func (d *device) Put(t *tensor.Tensor) {
	b, ok := t.Storage().Buffer.(*buffer)
	if !ok || !b.lent || b.gpu != d.gpu {
		return
	}
	t.Storage().Buffer = nil
	runtime.SetFinalizer(b, nil)
	if b.block == nil {
		return
	}
	d.enter()
	defer d.leave()
	d.memory.put(b.block)
}

// Pack implements [tensor.Device].
func (d *device) Pack(w *tensor.Tensor) { d.move(w, tapsOf(w)) }

// Place implements [tensor.Device].
func (d *device) Place(t *tensor.Tensor) { d.move(t, 1) }

// move puts a tensor of host memory into the GPU's.
func (d *device) move(t *tensor.Tensor, taps int) {
	d.begin()
	defer d.leave()
	t.Keep(d.gpu, func(kept any) any {
		if t.Storage().Buffer == nil && t.Data != nil {
			b, ok := kept.(*buffer)
			if !ok || b.taps != (taps > 1) {
				b = d.placed(t, taps)
			}
			t.Storage().Buffer, t.Data = b, nil
		}
		return nil
	})
}

// tapsOf is the number of elements of the window of a weight [O,I] or [O,I,KH,KW].
func tapsOf(w *tensor.Tensor) int {
	if len(w.Shape) != 4 {
		return 1
	}
	return w.Dim(2) * w.Dim(3)
}

// placed copies a tensor of host memory; with several taps it is a weight, and is turned.
func (d *device) placed(t *tensor.Tensor, taps int) *buffer {
	b := d.newBuffer(len(t.Data))
	if taps == 1 {
		upload(d.gpu, b.addr(), t.Data)
		return b
	}
	b.taps = true
	raw := d.scratch(4 * int64(len(t.Data)))
	upload(d.gpu, raw, t.Data)
	d.turn(b.addr(), raw, t, false)
	return b
}

// turn makes [O,taps,I] of a weight [O,I,taps], or back.
func (d *device) turn(to, from uint64, w *tensor.Tensor, back bool) {
	d.each("tapsFirst", w.Len(), at(to), at(from), i32(w.Dim(1)), i32(tapsOf(w)), flag(back))
}

// weight is the address of a factor of products, as [O,taps,I]. The copy of one in host memory stays with it.
func (d *device) weight(w *tensor.Tensor) (addr uint64) {
	taps := tapsOf(w)
	if b := d.buffer(w); b != nil {
		if taps == 1 || b.taps {
			return b.addr()
		}
		addr = d.scratch(4 * int64(w.Len()))
		d.turn(addr, b.addr(), w, false)
		return addr
	}
	w.Keep(d.gpu, func(kept any) any {
		if kept == nil {
			kept = d.placed(w, taps)
		}
		addr = kept.(*buffer).addr()
		return kept
	})
	return addr
}

// Host implements [tensor.Device].
func (d *device) Host(t *tensor.Tensor) []float32 {
	d.begin()
	defer d.leave()
	b := d.buffer(t)
	if b == nil {
		return t.Data
	}
	data := make([]float32, t.Len())
	from := b.addr()
	if b.taps {
		from = d.scratch(4 * int64(t.Len()))
		d.turn(from, b.addr(), t, true)
	}
	download(d.gpu, data, from)
	return data
}

// Upload implements [tensor.Device].
func (d *device) Upload(t *tensor.Tensor, data []float32) {
	d.begin()
	defer d.leave()
	upload(d.gpu, d.out(t), data[:t.Len()])
}

// Sync implements [tensor.Device].
func (d *device) Sync() {
	d.begin()
	defer d.leave()
	d.sync()
}
