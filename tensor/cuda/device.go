//go:build cuda

package cuda

import (
	"fmt"
	"runtime"
	"sync"

	"psld/tensor"
)

// device computes on a GPU in float32, or multiplies on its tensor cores: factors of convolutions and linear layers,
// forward and to the input, rounded to a kind, sums in float32.
type device struct {
	*gpu
	kind string // one of Precisions
}

var devices = struct {
	sync.Mutex
	gpus map[int]*gpu
	of   map[string]*device
}{gpus: map[int]*gpu{}, of: map[string]*device{}}

// Precisions are those of the factors of products. What is not f32 is for tensor cores; gradients of f16 are products
// in bf16.
var Precisions = []string{"f32", "tf32", "bf16", "f16"}

// Open returns the device of a GPU, by its number in [List], for one of [Precisions]: the same one each time.
func Open(number int, precision string) (tensor.Device, error) {
	devices.Lock()
	defer devices.Unlock()
	name := fmt.Sprintf("%d %s", number, precision)
	if d := devices.of[name]; d != nil {
		return d, nil
	}
	g := devices.gpus[number]
	if g == nil {
		var err error
		if g, err = newGPU(number); err != nil {
			return nil, err
		}
		devices.gpus[number] = g
	}
	if precision != "f32" && g.Capability < cores {
		return nil, fmt.Errorf("cuda: %s multiplies no %s: it has compute capability %d.%d, and would need %d.%d",
			g.Info.Name, precision, g.Capability/10, g.Capability%10, cores/10, cores%10)
	}
	d := &device{gpu: g, kind: precision}
	devices.of[name] = d
	return d, nil
}

// cores is the lowest compute capability with tensor cores for all kinds.
const cores = 80

// buffer is what a tensor's storage has in place of Data.
type buffer struct {
	gpu   *gpu
	block *block // nil where there are no elements
	lent  bool   // by Get
	form
}

// form is how a weight [O,I,KH,KW] lies there.
type form struct {
	taps   bool   // as [O,KH*KW,I]
	halves string // "bf16" or "f16"; "" for float32
}

// plain is the form of all that is no weight.
var plain form

// addr is the address of the elements.
func (b *buffer) addr() uint64 {
	if b.block == nil {
		return 0
	}
	return b.block.addr
}

// newBuffer takes memory.
func (g *gpu) newBuffer(bytes int64) *buffer {
	b := &buffer{gpu: g}
	if bytes > 0 {
		b.block = g.get(bytes)
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
func (d *device) Name() string {
	if d.kind != "f32" {
		return d.deviceName() + "/" + d.kind
	}
	return d.deviceName()
}

// WeightBytes are the bytes of a weight of products.
func (d *device) WeightBytes() int {
	if d.kind == "bf16" || d.kind == "f16" {
		return 2
	}
	return 4
}

// Get implements [tensor.Device].
func (d *device) Get(shape ...int) *tensor.Tensor {
	d.begin()
	defer d.leave()
	b := d.newBuffer(4 * int64(tensor.Len(shape)))
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
	b.block.of.put(b.block)
}

// Settle implements [tensor.Settler]: the steps that follow find the memory of all else as this one did.
func (d *device) Settle(t *tensor.Tensor) {
	b, ok := t.Storage().Buffer.(*buffer)
	if !ok || !b.lent || b.gpu != d.gpu || b.block == nil || b.block.of == &d.lasting {
		return
	}
	d.begin()
	defer d.leave()
	bytes := 4 * int64(t.Len())
	to := d.lasting.get(bytes)
	if to == nil {
		return // where it is it does as well
	}
	d.copy(to.addr, b.block.addr, int(bytes/4))
	b.block.of.put(b.block)
	b.block = to
}

// Pack implements [tensor.Device].
func (d *device) Pack(w *tensor.Tensor) { d.move(w, d.formOf(w)) }

// Place implements [tensor.Device].
func (d *device) Place(t *tensor.Tensor) { d.move(t, plain) }

// move puts a tensor of host memory into the GPU's.
func (d *device) move(t *tensor.Tensor, f form) {
	d.begin()
	defer d.leave()
	t.Keep(d, func(kept any) any {
		if t.Storage().Buffer == nil && t.Data != nil {
			b, ok := kept.(*buffer)
			if !ok || b.form != f {
				b = d.placed(t, f)
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

// formOf is the form in which a weight is multiplied.
func (d *device) formOf(w *tensor.Tensor) form {
	f := form{taps: tapsOf(w) > 1}
	if d.onCores(w) && d.kind != "tf32" {
		f.halves = d.kind
	}
	return f
}

// onCores tells that a weight is multiplied on tensor cores, which take channels in fours.
func (d *device) onCores(w *tensor.Tensor) bool {
	return d.kind != "f32" && w.Dim(0)%4 == 0 && w.Dim(1)%4 == 0
}

// bytes is the size of n elements.
func (f form) bytes(n int) int64 {
	if f.halves != "" {
		return 2 * int64(n)
	}
	return 4 * int64(n)
}

// placed copies a tensor of host memory, and brings it into a form.
func (d *device) placed(t *tensor.Tensor, f form) *buffer {
	b := d.newBuffer(f.bytes(len(t.Data)))
	b.form = f
	if f == plain {
		upload(d.gpu, b.addr(), t.Data)
		return b
	}
	raw := d.scratch(4 * int64(len(t.Data)))
	upload(d.gpu, raw, t.Data)
	d.reform(b.addr(), raw, t, f)
	return b
}

// reform brings the elements of a weight into a form.
func (d *device) reform(to, from uint64, w *tensor.Tensor, f form) {
	turned := to
	if f.halves != "" {
		turned = from
		if f.taps {
			turned = d.scratch(4 * int64(w.Len()))
		}
	}
	if f.taps {
		d.each("tapsFirst", w.Len(), at(turned), at(from), i32(w.Dim(1)), i32(tapsOf(w)), flag(false))
	}
	if f.halves != "" {
		d.each(f.halves+"From", w.Len(), at(to), at(turned))
	}
}

// weight is the address of a factor of products in the form f. The copy of one in host memory stays with it.
func (d *device) weight(w *tensor.Tensor, f form) (addr uint64) {
	if b := d.buffer(w); b != nil {
		if b.form == f {
			return b.addr()
		}
		if b.form != plain {
			panic(fmt.Sprintf("cuda: %s multiplies a weight that another device packed", d.Name()))
		}
		addr = d.scratch(f.bytes(w.Len()))
		d.reform(addr, b.addr(), w, f)
		return addr
	}
	w.Keep(d, func(kept any) any {
		b, ok := kept.(*buffer)
		if !ok || b.form != f {
			b = d.placed(w, f)
		}
		addr = b.addr()
		return b
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
	if b.halves != "" {
		wide := d.scratch(4 * int64(t.Len()))
		d.each(b.halves+"Wide", t.Len(), at(wide), at(from))
		from = wide
	}
	if b.taps {
		turned := d.scratch(4 * int64(t.Len()))
		d.each("tapsFirst", t.Len(), at(turned), at(from), i32(t.Dim(1)), i32(tapsOf(t)), flag(true))
		from = turned
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
