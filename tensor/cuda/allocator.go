//go:build cuda

package cuda

import (
	"slices"
	"sort"
)

// allocator hands out parts of segments, large pieces of the device's memory, so that the driver, which waits for
// all work at each of its calls for memory, is seldom asked. Neighbours that are free become one. It takes no more
// than its budget from the driver, and gives segments back when something else does not fit otherwise.
type allocator struct {
	take   func(bytes int64) (addr uint64, ok bool) // of the driver
	give   func(addr uint64)
	budget int64
	whole  bool // for tests: each block is a segment of its own, which goes back at once

	held, used, peak int64    // bytes of the driver's, and handed out, and the most that ever were
	free             []*block // by size and address
}

// block is a part of a segment.
type block struct {
	of         *allocator
	addr       uint64
	size       int64
	segment    int64  // its size
	prev, next *block // neighbours in the segment
	free       bool
}

const (
	grain        = 512     // sizes are multiples of it
	small        = 1 << 20 // up to here, blocks share segments of smallSegment
	smallSegment = 2 << 20
	largeSegment = 32 << 20 // for blocks of up to a quarter of it
	unit         = 2 << 20  // of segments that are made for one block
)

// get returns a block of at least so many bytes, or nil.
func (a *allocator) get(bytes int64) *block {
	if a.whole {
		return a.grow((bytes+3)/4*4, (bytes+3)/4*4)
	}
	size := (bytes + grain - 1) / grain * grain
	i := sort.Search(len(a.free), func(i int) bool { return a.free[i].size >= size })
	for ; i < len(a.free); i++ {
		if b := a.free[i]; (size <= small) == (b.segment == smallSegment) {
			a.free = slices.Delete(a.free, i, i+1)
			return a.split(b, size)
		}
	}
	segment := (size + unit - 1) / unit * unit
	switch {
	case size <= small:
		segment = smallSegment
	case size <= largeSegment/4:
		segment = largeSegment
	}
	if b := a.grow(segment, size); b != nil {
		return b
	}
	a.trim()
	if b := a.grow(segment, size); b != nil {
		return b
	}
	return a.grow((size+unit-1)/unit*unit, size)
}

// grow takes a segment from the driver, and size bytes of it.
func (a *allocator) grow(segment, size int64) *block {
	if a.held+segment > a.budget {
		return nil
	}
	addr, ok := a.take(segment)
	if !ok {
		return nil
	}
	a.held += segment
	return a.split(&block{of: a, addr: addr, size: segment, segment: segment}, size)
}

// split hands out the first size bytes of b; the rest is free, unless it is so little that nothing would use it.
func (a *allocator) split(b *block, size int64) *block {
	b.free = false
	a.used += b.size
	defer func() { a.peak = max(a.peak, a.used) }()
	rest := b.size - size
	if rest < grain || size > small && rest < small {
		return b
	}
	r := &block{of: a, addr: b.addr + uint64(size), size: rest, segment: b.segment, prev: b, next: b.next}
	if r.next != nil {
		r.next.prev = r
	}
	b.next, b.size = r, size
	a.used -= rest
	a.insert(r)
	return b
}

// put takes a block back that is of this allocator.
func (a *allocator) put(b *block) {
	a.used -= b.size
	if a.whole {
		a.held -= b.size
		a.give(b.addr)
		return
	}
	if p := b.prev; p != nil && p.free {
		a.remove(p)
		p.size += b.size
		p.next = b.next
		if p.next != nil {
			p.next.prev = p
		}
		b = p
	}
	if n := b.next; n != nil && n.free {
		a.remove(n)
		b.size += n.size
		b.next = n.next
		if b.next != nil {
			b.next.prev = b
		}
	}
	a.insert(b)
}

// trim gives the segments back that are free as a whole.
func (a *allocator) trim() {
	a.free = slices.DeleteFunc(a.free, func(b *block) bool {
		if b.size < b.segment {
			return false
		}
		a.held -= b.segment
		a.give(b.addr)
		return true
	})
}

func order(x, y *block) int {
	if x.size != y.size {
		return int(x.size - y.size)
	}
	if x.addr < y.addr {
		return -1
	}
	if x.addr > y.addr {
		return 1
	}
	return 0
}

func (a *allocator) insert(b *block) {
	b.free = true
	i, _ := slices.BinarySearchFunc(a.free, b, order)
	a.free = slices.Insert(a.free, i, b)
}

func (a *allocator) remove(b *block) {
	i, _ := slices.BinarySearchFunc(a.free, b, order)
	a.free = slices.Delete(a.free, i, i+1)
}
