package cpu

import (
	"slices"
	"sync"
	"unsafe"
)

// arena lends parts of a few long pieces of memory and joins neighbours that come back, so that a step's
// tensors of many sizes share one another's memory. The pieces are outside of Go's heap where the system
// allows it: gigabytes of activations there would let the collector put up with as much garbage.
type arena struct {
	mu       sync.Mutex
	segments []*segment
}

// segment is a piece; it is never unmapped, so that a slice that somebody still holds stays readable.
type segment struct {
	words []float32
	free  []span // by offset; no two touch
}

type span struct{ from, to int }

const (
	arenaFrom    = 1 << 18 // words: smaller tensors have the pool's classes
	arenaGrain   = 1 << 12 // lengths are multiples of it
	segmentWords = 1 << 24 // of the first segment; later ones double the memory up to the largest
	segmentMax   = 1 << 28
)

// arenaSize is the length that n words take.
func arenaSize(n int) int { return (n + arenaGrain - 1) / arenaGrain * arenaGrain }

// get lends size words: the first that are free, so that the last stay untouched.
func (a *arena) get(size int) []float32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	total := 0
	for _, s := range a.segments {
		if b := s.take(size); b != nil {
			return b
		}
		total += len(s.words)
	}
	words, _ := allocLarge(max(size, min(max(total, segmentWords), segmentMax)))
	if words == nil {
		words, _ = allocLarge(size)
	}
	if words == nil {
		panic(noMemory(size))
	}
	s := &segment{words: words, free: []span{{0, len(words)}}}
	a.segments = append(a.segments, s)
	return s.take(size)
}

func (s *segment) take(size int) []float32 {
	for i, f := range s.free {
		if f.to-f.from < size {
			continue
		}
		if s.free[i].from += size; s.free[i].from == f.to {
			s.free = slices.Delete(s.free, i, i+1)
		}
		return s.words[f.from : f.from+size : f.from+size]
	}
	return nil
}

// put takes b back and reports whether it was lent here.
func (a *arena) put(b []float32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	for _, s := range a.segments {
		start := uintptr(unsafe.Pointer(unsafe.SliceData(s.words)))
		if p < start || p >= start+4*uintptr(len(s.words)) {
			continue
		}
		from := int(p-start) / 4
		s.give(span{from, from + len(b)})
		return true
	}
	return false
}

func (s *segment) give(b span) {
	i, _ := slices.BinarySearchFunc(s.free, b.from, func(f span, from int) int { return f.from - from })
	if b.from%arenaGrain != 0 || b.to%arenaGrain != 0 || i > 0 && s.free[i-1].to > b.from || i < len(s.free) &&
		s.free[i].from < b.to {
		panic("tensor: memory put back that was not lent")
	}
	left, right := i > 0 && s.free[i-1].to == b.from, i < len(s.free) && s.free[i].from == b.to
	switch {
	case left && right:
		s.free[i-1].to = s.free[i].to
		s.free = slices.Delete(s.free, i, i+1)
	case left:
		s.free[i-1].to = b.to
	case right:
		s.free[i].from = b.from
	default:
		s.free = slices.Insert(s.free, i, b)
	}
}

// drop returns the pages of free memory to the system.
func (a *arena) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.segments {
		for _, f := range s.free {
			discard(s.words[f.from:f.to])
		}
	}
}
