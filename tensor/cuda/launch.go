//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"unsafe"

	"psld/tensor"
)

// arg is an argument of a kernel: an address or a number, or a struct of some bytes.
type arg struct {
	word   uint64
	packed unsafe.Pointer
	bytes  uintptr
}

func at(addr uint64) arg       { return arg{word: addr} }
func i32(v int) arg            { return arg{word: uint64(uint32(int32(v)))} }
func i64(v int) arg            { return arg{word: uint64(v)} }
func f32(v float32) arg        { return arg{word: uint64(math.Float32bits(v))} }
func structOf[T any](v *T) arg { return arg{packed: unsafe.Pointer(v), bytes: unsafe.Sizeof(*v)} }

func flag(v bool) arg {
	if v {
		return i32(1)
	}
	return i32(0)
}

// grid is the number of blocks in each direction.
type grid [3]int

// launch queues a kernel: see queue.
func (g *gpu) launch(name string, blocks grid, threads int, args ...arg) {
	f, ok := g.kernels[name]
	if !ok {
		f = g.load(name)
	}
	if blocks[1] > 65535 || blocks[2] > 65535 {
		panic(fmt.Sprintf("cuda: a grid of %v blocks for %s", blocks, name))
	}
	q := &g.queue
	q.text = append(q.text, uint64(f), uint64(blocks[0]), uint64(blocks[1]), uint64(blocks[2]), uint64(threads),
		uint64(len(args)))
	for _, a := range args {
		if a.packed == nil {
			q.text = append(q.text, 1, a.word)
			continue
		}
		words := (a.bytes + 7) / 8
		q.text = append(append(q.text, uint64(words)), make([]uint64, words)...)
		to := unsafe.Slice((*byte)(unsafe.Pointer(&q.text[len(q.text)-int(words)])), a.bytes)
		copy(to, unsafe.Slice((*byte)(a.packed), a.bytes))
	}
	g.queued()
}

// each queues a kernel with a thread for each of n elements; n is its last argument.
func (g *gpu) each(name string, n int, args ...arg) {
	if n == 0 {
		return
	}
	g.launch(name, grid{min((n+255)/256, 1<<16), 1, 1}, 256, append(args, i64(n))...)
}

// in is the address of t's elements for reading; those in host memory are copied, for this operation.
func (g *gpu) in(t *tensor.Tensor) uint64 {
	if t == nil {
		return 0
	}
	if b := g.buffer(t); b != nil {
		if b.form != plain {
			panic("cuda: a packed weight in an operation that is no product")
		}
		return b.addr()
	}
	addr := g.scratch(4 * int64(len(t.Data)))
	upload(g, addr, t.Data)
	return addr
}

// out is the address of a tensor that is written to, which host memory must not be.
func (g *gpu) out(t *tensor.Tensor) uint64 {
	if t == nil {
		return 0
	}
	b := g.buffer(t)
	if b == nil {
		panic("cuda: an operation writes to a tensor that is not from Get")
	}
	return b.addr()
}

// buffer is what t has of this GPU's memory, nil where t lies in host memory.
func (g *gpu) buffer(t *tensor.Tensor) *buffer {
	switch b := t.Storage().Buffer.(type) {
	case *buffer:
		if b.gpu != g {
			panic(fmt.Sprintf("cuda: a tensor of %s on %s", b.gpu.deviceName(), g.deviceName()))
		}
		return b
	case nil:
		if t.Data == nil && t.Len() > 0 {
			panic("cuda: a tensor without elements, or one that was put back")
		}
		return nil
	}
	panic("cuda: a tensor of another device")
}
