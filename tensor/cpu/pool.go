package cpu

import (
	"math/bits"
	"psld/tensor"
	"sync"
	"sync/atomic"
)

// Pool hands out buffers and takes them back, so that a steady loop allocates
// nothing: the life time of an activation is known, the garbage collector's
// guess would double the memory. A Pool is safe for concurrent use.
type Pool struct {
	mu    sync.Mutex
	free  [232][][]float32 // by size class, for every int
	large arena            // of longer ones
	live  atomic.Int64     // bytes handed out
	peak  atomic.Int64
}

// class returns the smallest size of the form (4..7) * 2^k that holds n, and its index.
func class(n int) (size, index int) {
	if n <= 64 {
		return 64, 0
	}
	shift := bits.Len(uint(n-1)) - 3
	q := (n-1)>>shift + 1 // 5..8
	return q << shift, (shift-3)*4 + q - 5
}

// Get returns a tensor with undefined contents.
func (p *Pool) Get(shape ...int) *tensor.Tensor {
	return tensor.From(p.take(tensor.Len(shape)), shape...)
}

// Put takes a tensor's buffer back. The tensor, and every tensor that shares
// its data, must not be used afterwards.
func (p *Pool) Put(t *tensor.Tensor) {
	if p.give(t.Data) {
		t.Data = nil
	}
}

// take is Get without the tensor around the memory.
func (p *Pool) take(n int) []float32 {
	if n >= arenaFrom {
		b := p.large.get(arenaSize(n))
		p.count(len(b))
		return b[:n]
	}
	size, i := class(n)
	p.count(size)
	p.mu.Lock()
	var b []float32
	if last := len(p.free[i]) - 1; last >= 0 {
		b = p.free[i][last]
		p.free[i][last] = nil
		p.free[i] = p.free[i][:last]
	}
	p.mu.Unlock()
	if b == nil {
		b = make([]float32, size)
	}
	return b[:n]
}

// count adds words to what is handed out.
func (p *Pool) count(words int) {
	live := p.live.Add(int64(words) * 4)
	for peak := p.peak.Load(); live > peak && !p.peak.CompareAndSwap(peak, live); peak = p.peak.Load() {
	}
}

// noMemory is what to panic with when the system has no memory for words.
func noMemory(words int) *tensor.OutOfMemory {
	return &tensor.OutOfMemory{Device: "cpu", Bytes: 4 * int64(words), InUse: pool.Live()}
}

// give takes memory back, and tells whether it is from a pool.
func (p *Pool) give(b []float32) bool {
	if len(b) >= arenaFrom {
		size := arenaSize(len(b))
		lent := cap(b) == size && p.large.put(b[:size])
		if lent {
			p.live.Add(-int64(size) * 4)
		}
		return lent
	}
	size, i := class(len(b))
	if b == nil || cap(b) != size {
		return false
	}
	p.live.Add(-int64(size) * 4)
	p.mu.Lock()
	p.free[i] = append(p.free[i], b[:size])
	p.mu.Unlock()
	return true
}

// Live is the number of bytes that are handed out now.
func (p *Pool) Live() int64 { return p.live.Load() }

// Peak is the largest number of bytes that were handed out at one time since
// the last ResetPeak.
func (p *Pool) Peak() int64 { return p.peak.Load() }

// ResetPeak starts a new measurement of Peak.
func (p *Pool) ResetPeak() { p.peak.Store(p.live.Load()) }

// Drop gives the memory that waits for reuse to the system and to the garbage collector.
func (p *Pool) Drop() {
	p.mu.Lock()
	clear(p.free[:])
	p.mu.Unlock()
	p.large.drop()
}
