//go:build vulkan

package vulkan

import (
	"slices"
	"unsafe"
)

// blockSize is what is asked of the driver at once, which allows few allocations and is slow at them. Larger tensors
// have a block of their own.
const blockSize = 64 << 20

// alignment of every piece: at least minStorageBufferOffsetAlignment of any device, which the API limits to 256.
const alignment = 256

// arena hands out pieces of large blocks of one type of memory: the smallest piece that is free and fits, the first
// block first, neighbours joined again when they come back. It keeps a budget.
type arena struct {
	d      *Device
	kind   uint32 // index of the type of memory
	host   bool   // blocks are mapped
	budget uint64 // bytes of all blocks at most
	size   uint64 // of an ordinary block
	blocks []*block
	held   uint64 // bytes of blocks
	used   uint64 // bytes of pieces
	peak   uint64 // the most that were used
}

// block is one allocation of the driver and the buffer that spans it.
type block struct {
	memory, buffer uint64
	views          [2]uint64 // as a texel buffer of float32, and of float16; 0 before the first use
	total          uint64
	mapped         unsafe.Pointer // nil where the host cannot see it
	free           []span         // by offset, no two touch
}

// span is a part of a block, in bytes.
type span struct{ at, size uint64 }

// piece is memory in use.
type piece struct {
	*block
	span
}

// bytes is the piece as the host sees it.
func (p piece) bytes() []byte { return unsafe.Slice((*byte)(unsafe.Add(p.mapped, p.at)), p.size) }

// get finds size bytes; it gives false where neither blocks nor budget nor driver have them.
func (a *arena) get(size uint64) (piece, bool) {
	size = max(alignment, (size+alignment-1)/alignment*alignment)
	if p, ok := a.fit(size); ok {
		return p, true
	}
	if a.held+size > a.budget {
		a.trim()
	}
	ask := max(size, min(a.size, a.budget-min(a.budget, a.held)))
	if a.held+ask > a.budget || !a.grow(ask) && !(ask > size && a.grow(size)) {
		return piece{}, false
	}
	return a.fit(size)
}

// fit takes the smallest free span that is large enough.
func (a *arena) fit(size uint64) (piece, bool) {
	var best *block
	at := 0
	for _, b := range a.blocks {
		for i, s := range b.free {
			if s.size >= size && (best == nil || s.size < best.free[at].size) {
				best, at = b, i
			}
		}
	}
	if best == nil {
		return piece{}, false
	}
	s := &best.free[at]
	p := piece{best, span{s.at, size}}
	s.at, s.size = s.at+size, s.size-size
	if s.size == 0 {
		best.free = slices.Delete(best.free, at, at+1)
	}
	a.used += size
	a.peak = max(a.peak, a.used)
	return p, true
}

// put takes a piece back. Work that is queued may still use it: what is queued later comes after that.
func (a *arena) put(p piece) {
	a.used -= p.size
	b := p.block
	i, _ := slices.BinarySearchFunc(b.free, p.at, func(s span, at uint64) int { return int(int64(s.at) - int64(at)) })
	b.free = slices.Insert(b.free, i, p.span)
	if i+1 < len(b.free) && b.free[i].at+b.free[i].size == b.free[i+1].at {
		b.free[i].size += b.free[i+1].size
		b.free = slices.Delete(b.free, i+1, i+2)
	}
	if i > 0 && b.free[i-1].at+b.free[i-1].size == b.free[i].at {
		b.free[i-1].size += b.free[i].size
		b.free = slices.Delete(b.free, i, i+1)
	}
}

// trim gives blocks back that nobody uses, after all that is queued.
func (a *arena) trim() {
	empty := func(b *block) bool { return len(b.free) == 1 && b.free[0].size == b.total }
	if !slices.ContainsFunc(a.blocks, empty) {
		return
	}
	a.d.finish()
	a.blocks = slices.DeleteFunc(a.blocks, func(b *block) bool {
		if empty(b) {
			a.release(b)
			return true
		}
		return false
	})
}

func (a *arena) release(b *block) {
	a.held -= b.total
	for _, view := range b.views {
		a.d.DestroyBufferView.call(a.d.handle, uintptr(view), 0)
	}
	a.d.DestroyBuffer.call(a.d.handle, uintptr(b.buffer), 0)
	a.d.FreeMemory.call(a.d.handle, uintptr(b.memory), 0)
}

// grow adds a block.
func (a *arena) grow(size uint64) bool {
	const storage, texels, source, destination = 0x20, 4, 1, 2
	d, b := a.d, &block{total: size, free: []span{{0, size}}}
	info := &bufferCreateInfo{sType: typeBufferCreateInfo, size: size, usage: storage | texels | source | destination}
	if d.CreateBuffer.call(d.handle, uintptr(ref(info)), 0, uintptr(ref(&b.buffer))) != success {
		return false
	}
	need := new(memoryRequirements)
	d.GetBufferMemoryRequirements.call(d.handle, uintptr(b.buffer), uintptr(ref(need)))
	ask := &memoryAllocateInfo{sType: typeMemoryAllocateInfo, allocationSize: need.size, memoryTypeIndex: a.kind}
	ok := need.memoryTypeBits>>a.kind&1 == 1 && !d.refuse() &&
		d.AllocateMemory.call(d.handle, uintptr(ref(ask)), 0, uintptr(ref(&b.memory))) == success
	if ok {
		ok = d.BindBufferMemory.call(d.handle, uintptr(b.buffer), uintptr(b.memory), 0) == success
		if ok && a.host {
			const whole = ^uint64(0)
			ok = d.MapMemory.call(d.handle, uintptr(b.memory), 0, uintptr(whole), 0, uintptr(ref(&b.mapped))) == success
		}
		if !ok {
			d.FreeMemory.call(d.handle, uintptr(b.memory), 0)
		}
	}
	if !ok {
		d.DestroyBuffer.call(d.handle, uintptr(b.buffer), 0)
		return false
	}
	a.blocks = append(a.blocks, b)
	a.held += size
	return true
}
