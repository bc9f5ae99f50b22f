package cpu

import (
	"psld/asm"
	"psld/tensor"
)

// The gradient to the weights on bfloat16, of stride 1: pictures lie on one grid of padded pictures, pixel behind
// pixel, x with its padding, dy with zeros in the place of it. Then for a tap the pixels of x under those of dy are
// the same run of memory, some words further on:
//
//	sum[tap][i][o] = sum over pixels k of x[i][k + offset(tap)] dy[k][o],
//
// a product of rows of x, channels first, with panels of dy, pairs of pixels in a word. Both are packed once, where a
// product over windows would copy x for each tap. Rows may begin in the middle of a word. The splits depend on shapes
// alone.

// gridGrad is one call.
type gridGrad struct {
	x, dy         pictures
	p             tensor.Conv
	pitch, line   int       // of a picture and of a line of it on the grid, in pixels
	pixels        int       // of all pictures, in whole pairs
	rows          []float32 // x: [I][width] words of two pixels
	width         int
	panels        []float32 // dy: [count][pixels/2][NR] words
	count         int
	parts, chunks int       // the pixels are chunks, shared by parts
	sum           []float32 // [parts][taps][I][count*NR]
}

const (
	gridChunk = 1 << 17 // elements of x in a chunk, about, so that it stays in L2 for all taps
	gridLines = 8       // lines of x that are packed together
	gridPairs = 32      // pixels of a chunk are a multiple of it, which is what the units multiply by
)

// gradWeightPairs is Conv2dGradWeight without the bias, where p has stride 1 and does not enlarge.
func (d *device) gradWeightPairs(dw, x, dy *tensor.Tensor, p tensor.Conv) {
	g := gridGrad{x: picturesOf(x), dy: picturesOf(dy), p: p}
	nr, taps := asm.NR(), p.KH*p.KW
	g.line = g.dy.w + p.KW - 1
	g.pitch = g.line * (g.dy.h + p.KH - 1)
	g.pixels = roundUp(g.dy.n*g.pitch, 2)
	// Behind the last pixel there is what its taps reach; lines of a length that is no power of two, for the caches.
	g.width = roundUp(g.pixels+(p.KH-1)*g.line+p.KW, 32)/2 + 16
	g.rows = d.take(g.x.c * g.width)
	defer d.give(g.rows)
	g.count = (g.dy.c + nr - 1) / nr
	g.panels = d.take(g.count * g.pixels / 2 * nr)
	defer d.give(g.panels)
	parallelWith(g.dy.n*(g.dy.h+p.KH-1), gridLines, g, (*gridGrad).packLines)
	parallelWith(g.pixels/2, 64, g, (*gridGrad).packPairs)

	chunk := max(gridPairs, gridChunk/g.x.c/gridPairs*gridPairs)
	g.chunks = (g.pixels + chunk - 1) / chunk
	g.parts = max(1, min(tasks/g.count, g.chunks))
	size := taps * g.x.c * g.count * nr
	g.sum = d.take(g.parts * size)
	defer d.give(g.sum)
	groups := 1 // of taps, where there is little else to share
	if g.parts*g.count < tasks/2 {
		groups = taps
	}
	type sharing struct {
		gridGrad
		chunk, groups int
	}
	parallelWith(g.parts*g.count*groups, 1, sharing{g, chunk, groups}, func(t *sharing, task, _ int, s *scratch) {
		group := task % t.groups
		taps := t.p.KH * t.p.KW
		t.task(s, task/t.groups/t.count, task/t.groups%t.count, group*taps/t.groups, (group+1)*taps/t.groups, t.chunk)
	})
	for part := 1; part < g.parts; part++ {
		addTo(g.sum[:size], g.sum[:size], g.sum[part*size:][:size])
	}
	type turning struct {
		dw            []float32
		sum           []float32
		taps, c, o, n int
	}
	// [taps][I][count*NR] to [O][I][taps]
	parallelWith(g.x.c, 1, turning{dw.Data, g.sum, taps, g.x.c, g.dy.c, g.count * nr},
		func(t *turning, c, _ int, _ *scratch) {
			for tap := range t.taps {
				from := t.sum[(tap*t.c+c)*t.n:][:t.o]
				at := c*t.taps + tap
				for o, v := range from {
					t.dw[o*t.c*t.taps+at] = v
				}
			}
		})
}

// packLines writes lines lo to hi of the padded pictures: [I][lines]. Several at once, since the rows of the channels
// are far apart in memory.
func (g *gridGrad) packLines(lo, hi int, s *scratch) {
	h, c, left := g.dy.h+g.p.KH-1, g.x.c, g.p.PadLeft
	size := (hi - lo) * g.line
	block := s.floats(0, c*size)
	for l := lo; l < hi; l++ {
		img, r := l/h, l%h-g.p.PadTop
		line := block[(l-lo)*g.line:]
		n := min(g.x.w, g.line-left)
		if r < 0 || r >= g.x.h {
			n = 0
		} else {
			asm.Transpose(line[left:], g.x.data[(img*g.x.h+r)*g.x.w*c:], n, c, size, c)
		}
		for ch := range c {
			row := line[ch*size:][:g.line]
			clear(row[:left])
			clear(row[left+n:])
		}
	}
	at := lo * g.line
	for ch := range c {
		to := halves(g.rows[ch*g.width:][:g.width])
		asm.F32ToBF16(to[at:at+size], block[ch*size:][:size])
		if hi == g.dy.n*h {
			clear(to[at+size:])
		}
	}
}

// packPairs writes pairs lo to hi of the pixels of dy.
func (g *gridGrad) packPairs(lo, hi int, s *scratch) {
	nr, o := asm.NR(), g.dy.c
	wide := s.floats(0, 2*g.count*nr)
	clear(wide)
	even, odd := wide[:g.count*nr], wide[g.count*nr:]
	for k := lo; k < hi; k++ {
		a, b := g.pixel(2*k), g.pixel(2*k+1)
		if o == len(even) && a != nil && b != nil { // as they lie
			g.interleave(k, a, b)
			continue
		}
		for _, px := range [2]struct{ to, from []float32 }{{even, a}, {odd, b}} {
			if px.from == nil {
				clear(px.to)
			} else {
				copy(px.to, px.from)
			}
		}
		g.interleave(k, even, odd)
	}
}

func (g *gridGrad) interleave(k int, a, b []float32) {
	nr := asm.NR()
	for panel := range g.count {
		to := g.panels[(panel*g.pixels/2+k)*nr:][:nr]
		asm.InterleavePairs(to, a[panel*nr:][:nr], b[panel*nr:][:nr])
	}
}

// pixel is dy's at a place of the grid, or nil.
func (g *gridGrad) pixel(k int) []float32 {
	img, k := k/g.pitch, k%g.pitch
	r, q := k/g.line, k%g.line
	if img >= g.dy.n || r >= g.dy.h || q >= g.dy.w {
		return nil
	}
	return g.dy.data[((img*g.dy.h+r)*g.dy.w+q)*g.dy.c:][:g.dy.c]
}

// task adds up a part of the chunks for a panel and taps lo to hi.
func (g *gridGrad) task(s *scratch, part, panel, lo, hi, chunk int) {
	nr, c, taps := asm.NR(), g.x.c, g.p.KH*g.p.KW
	rows, row := tileRows(c, asm.PairsMR()), g.count*nr
	sum := g.sum[part*taps*c*row:]
	first := part * g.chunks / g.parts
	for i := first; i < (part+1)*g.chunks/g.parts; i++ {
		from := i * chunk
		t := &s.tile
		*t = asm.Tile{ARow: 4 * g.width, CRow: 4 * row, Segs: 1, K: min(chunk, g.pixels-from) / 2,
			B: ptr(g.panels[(panel*g.pixels+from)/2*nr:])}
		if i > first {
			t.Accumulate = 1
		}
		for tap := lo; tap < hi; tap++ {
			offset := from + tap/g.p.KW*g.line + tap%g.p.KW
			for ch := 0; ch < c; ch += rows {
				in := halves(g.rows[ch*g.width:])[offset:]
				t.A, t.C = ptrHalf(in), ptr(sum[(tap*c+ch)*row+panel*nr:])
				t.RunPairs(min(rows, c-ch))
			}
		}
	}
}
