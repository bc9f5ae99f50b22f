package autograd

import (
	"slices"
	"time"
)

// Plan chooses the blocks of a graph that keep their inside for Backward, where memory does not
// suffice for all. The first graph that carries it checkpoints every block, and
// measures how much each would keep and how long it took; for the graphs after it, which must have the same
// blocks, Choose picks those that save the most time for their memory. Results are the same bits
// whatever is kept. A Plan belongs to one goroutine.
type Plan struct {
	blocks []blockCost
	chosen bool
	next   int
}

type blockCost struct {
	bytes   int64
	seconds float64
	keep    bool
}

// Start says that the next block is the first one of a graph.
func (p *Plan) Start() { p.next = 0 }

// Choose lets blocks of up to the given number of bytes in all keep their inside, and returns how
// many bytes they keep and the share of the blocks' time that is computed twice still.
func (p *Plan) Choose(bytes int64) (kept int64, again float64) {
	p.chosen = true
	order := make([]int, len(p.blocks))
	total := 0.0
	for i, b := range p.blocks {
		order[i] = i
		total += b.seconds
	}
	density := func(i int) float64 { return p.blocks[i].seconds / float64(max(1, p.blocks[i].bytes)) }
	slices.SortStableFunc(order, func(a, b int) int {
		switch d := density(a) - density(b); {
		case d > 0:
			return -1
		case d < 0:
			return 1
		}
		return 0
	})
	for _, i := range order {
		b := &p.blocks[i]
		b.keep = kept+b.bytes <= bytes
		if b.keep {
			kept += b.bytes
		} else {
			again += b.seconds
		}
	}
	if total > 0 {
		again /= total
	}
	return kept, again
}

// keeps tells whether the next block keeps its inside, and counts it.
func (p *Plan) keeps() bool {
	p.next++
	return p.chosen && p.next <= len(p.blocks) && p.blocks[p.next-1].keep
}

// measured notes the cost of a block of the first graph: the bytes that it would keep.
func (p *Plan) measured(bytes int64, took time.Duration) {
	if !p.chosen {
		p.blocks = append(p.blocks, blockCost{bytes: bytes, seconds: took.Seconds()})
	}
}
