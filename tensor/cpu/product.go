package cpu

import (
	"runtime"

	"psld/asm"
)

// Matrix products of rows with packed weights: linear layers, and convolutions as rows of windows.

// factor is the right-hand side: a packed weight as it lies, or turned, inputs and outputs in each other's
// place and taps in another order, as the gradient to the input needs it. Panels are turned where they are
// used, or all at once: a second copy of all weights would cost gigabytes.
type factor struct {
	w         layout
	owner     *packed // of w's memory, which is not Go's: keep it alive
	turned    bool
	format    format // of the products; w may have another
	outs, ins int
	taps      taps // of w
}

// taps are those of a weight in the order in which they are used: lines of so many.
type taps struct {
	lines, line        int
	first, down, right int // the first, and what leads to the next line and to the next of a line
}

func (t taps) count() int { return t.lines * t.line }

func (t taps) at(i int) int { return t.first + i/t.line*t.down + i%t.line*t.right }

func (w *packed) factor(f format) factor {
	return factor{w: w.layout, owner: w, format: f, outs: w.outs, ins: w.ins,
		taps: taps{lines: 1, line: w.taps, right: 1}}
}

func (w *packed) turnedFactor(f format, t taps) factor {
	return factor{w: w.layout, owner: w, turned: true, format: f, outs: w.ins, ins: w.outs, taps: t}
}

func (f *factor) panels() int { return (f.outs + asm.NR() - 1) / asm.NR() }

// made is a factor in memory of the pool, with that many taps.
func (f *factor) made(outs, count int) factor {
	w := newLayout(f.format, outs, f.ins, count)
	w.data = pool.take(w.panels() * w.size)
	return factor{w: w, format: f.format, outs: outs, ins: f.ins, taps: taps{lines: 1, line: count, right: 1}}
}

// whole makes the turned weight in memory of the pool, for a weight that many tasks use.
func (f *factor) whole() factor {
	type turning struct{ from, to factor }
	to := f.made(f.outs, f.taps.count())
	parallelWith(to.panels()*f.taps.count(), 1, turning{*f, to}, func(t *turning, task, _ int, s *scratch) {
		f, w := &t.from, &t.to.w
		panel, tap := task/w.taps, task%w.taps
		words := f.format.words(f.ins) * asm.NR()
		f.turn(s, w.data[panel*w.size+tap*words:][:words], f.format, panel, tap, 0)
	})
	return to
}

// turn writes words of a tap and a panel of the turned weight, from one on, which is where a panel of the packed
// weight begins: [words][NR] in the format to. Of split weights they are all of a tap.
func (f *factor) turn(s *scratch, dst []float32, to format, panel, tap, from int) {
	if to == split {
		f.turnHalf(s, dst[:len(dst)/2], pairs, panel, tap, 0, 0)
		f.turnHalf(s, dst[len(dst)/2:], pairs, panel, tap, 1, 0)
		return
	}
	f.turnHalf(s, dst, to, panel, tap, 0, from)
}

// turnHalf turns one half of split weights, and all of others.
func (f *factor) turnHalf(s *scratch, dst []float32, to format, panel, tap, half, from int) {
	nr := asm.NR()
	rows := min(nr, f.outs-panel*nr)
	each := to.words(nr) // words that come from a panel of w
	for p := from / each; len(dst) > 0; p++ {
		cols := min(nr, f.ins-p*nr)
		if !f.w.format.paired() && f.w.format != bytes && to != pairs && rows == nr && cols == nr {
			src := f.w.data[p*f.w.size+(f.taps.at(tap)*f.w.ins+panel*nr)*nr:]
			asm.Transpose(dst, src, nr, nr, nr, nr)
			dst = dst[nr*nr:]
			continue
		}
		block := s.floats(5, 2*nr*nr)
		back := block[nr*nr:]
		if f.w.format.paired() && to == pairs && rows == nr && cols == nr {
			words := f.w.format.words(f.w.ins)
			src := f.w.data[p*f.w.size+(f.taps.at(tap)*words+half*words/2+panel*nr/2)*nr:]
			asm.Transpose(back[:nr*nr/2], src, nr/2, nr, nr/2, nr)
			asm.CrossPairs(dst[:nr*nr/2], back[:nr*nr/2], nr/2)
			dst = dst[nr*nr/2:]
			continue
		}
		clear(block[rows*nr : nr*nr])
		f.w.read(block, p, f.taps.at(tap), half, panel*nr, rows)
		if f.w.format == bytes && to == pairs {
			rounded.write(block, block[:rows*nr])
		}
		asm.Transpose(back, block, nr, nr, nr, nr)
		if to != pairs {
			copy(dst[:cols*nr], back)
		} else {
			for r := 0; r < cols; r += 2 { // outputs beyond the last are zeros
				asm.JoinPairs(dst[r/2*nr:][:nr], back[r*nr:][:nr], back[(r+1)*nr:][:nr])
			}
		}
		dst = dst[to.words(cols)*nr:]
	}
}

// block is a part of the sum of a product: some taps, or words of one.
type block struct{ tap, taps, from, words int }

// get is where the weights of a block of a panel lie.
func (f *factor) get(s *scratch, panel int, b block) []float32 {
	nr := asm.NR()
	if !f.turned && f.w.format == f.format {
		return f.w.data[panel*f.w.size+(b.tap*f.format.words(f.ins)+b.from)*nr:]
	}
	dst := s.floats(3, (b.taps*b.words+1)*nr) // see layout.read
	for t := range b.taps {
		if !f.turned {
			f.convert(s, dst[t*b.words*nr:], panel, b.tap+t, b.from, b.words)
			continue
		}
		f.turn(s, dst[t*b.words*nr:][:b.words*nr], f.format, panel, b.tap+t, b.from)
	}
	return dst
}

// convert writes words of a tap and a panel of a weight that is not turned in the format of the products, from one on
// (an even one). There must be room for one row [NR] more.
func (f *factor) convert(s *scratch, dst []float32, panel, tap, from, words int) {
	nr := asm.NR()
	if f.format != pairs {
		f.w.read(dst, panel, tap, 0, from, words)
		return
	}
	rows := s.floats(5, 2*words*nr)
	n := min(2*words, f.ins-2*from)
	f.w.read(rows, panel, tap, 0, 2*from, n)
	clear(rows[n*nr:])
	rounded.write(rows, rows[:n*nr])
	for r := range words {
		asm.JoinPairs(dst[r*nr:][:nr], rows[2*r*nr:][:nr], rows[(2*r+1)*nr:][:nr])
	}
}

// product is what the tasks of a convolution share. A window is segs segments, segStride words apart, of kw pixels
// each.
type product struct {
	f           factor
	e           epilogue
	y           []float32
	outs        int // channels of y: half those of f where e is gated
	segs, kw    int
	words       int // of a pixel
	aCol, aLine int // between windows of a line, and between lines, in words
	segStride   int
	cLine       int // between lines of y
}

// blockWords is the length of a sum for which a panel stays in L2 beside the rows.
const blockWords = 1280

// cut tells how the sums are cut where they are too long for L2: in so many blocks, of some taps each or, if one
// tap is too long, of pieces of it.
func (g *product) cut() (count, taps, pieces int) {
	taps = g.f.taps.count()
	switch {
	case taps*g.words <= blockWords:
		return 1, taps, 1
	case g.kw*g.words <= blockWords:
		return taps / g.kw, g.kw, 1
	case g.f.format == split:
		return taps, 1, 1
	}
	pieces = (g.words + blockWords - 1) / blockWords
	return taps * pieces, 1, pieces
}

// block is block i of those.
func (g *product) block(i, taps, pieces int) block {
	nr := asm.NR()
	piece := i % pieces
	from := min(g.words, roundUp(g.words*piece/pieces, nr))
	to := min(g.words, roundUp(g.words*(piece+1)/pieces, nr))
	return block{i / pieces * taps, taps, from, to - from}
}

// panels is the number of panels of the result.
func (g *product) panels() int { return (g.outs + asm.NR() - 1) / asm.NR() }

// finishWords is the size of a piece of the result that is still in L2 when its epilogue is computed.
const finishWords = 64 << 10

// run computes lines of cols windows each, for panels lo to hi: at is where the first is in y, a where the windows
// begin.
func (g *product) run(s *scratch, at int, a []float32, lines, cols, lo, hi int) {
	nr, step := asm.NR(), 1
	if !g.e.none() { // several panels, so that memory is read in long runs
		step = max(1, finishWords/(lines*cols*nr))
	}
	for p := lo; p < hi; p += step {
		q := min(p+step, hi)
		at, n := at+p*nr, min(q*nr, g.outs)-p*nr
		all := (q - p) * nr
		sums, line, row, width := g.y[at:], g.cLine, g.outs, n
		switch {
		case g.e.gated:
			row, width = 2*all, 2*n
			sums, line = s.floats(0, lines*cols*row), cols*row
		case n < all: // the last is too narrow for the tile
			sums, line, row = s.floats(0, lines*cols*all), cols*all, all
		}
		for panel := p; panel < q; panel++ {
			to := sums[(panel-p)*nr:]
			g.sums(s, to, line, row, a, lines, cols, panel)
			if g.e.gated {
				g.sums(s, to[all:], line, row, a, lines, cols, g.outs/nr+panel)
			}
		}
		if n == all && g.e.none() {
			continue
		}
		for l := range lines {
			for r := range cols {
				g.e.finish(g.y, at+l*g.cLine+r*g.outs, n, sums[l*line+r*row:][:width])
			}
		}
	}
}

// sums computes the sums of a panel of f, with their bias, to c, whose lines and rows are cLine and cRow apart.
func (g *product) sums(s *scratch, c []float32, cLine, cRow int, a []float32, lines, cols, panel int) {
	nr := asm.NR()
	t := &s.tile
	mr := asm.MR()
	if g.f.format.paired() {
		mr = asm.PairsMR()
	}
	tile := tileRows(cols, mr)
	if g.f.format.paired() && mr%32 == 0 { // in whole blocks, if the rest is not worth a tile of its own
		tile = min(mr, roundUp(tile, 32))
	}
	count, taps, pieces := g.cut()
	for i := range count {
		b := g.block(i, taps, pieces)
		weights := g.f.get(s, panel, b)
		*t = asm.Tile{ARow: 4 * g.aCol, ASeg: 4 * g.segStride, CRow: 4 * cRow, Segs: 1, K: b.taps * b.words, B: ptr(weights)}
		t.Parts = b.taps
		if b.taps > g.kw {
			t.Segs, t.K, t.Parts = g.segs, g.kw*b.words, g.kw
		}
		if i > 0 {
			t.Accumulate = 1
		} else if g.e.bias != nil {
			bias := s.floats(4, nr)
			copy(bias, g.e.bias[panel*nr:min((panel+1)*nr, g.f.outs)])
			t.Bias = ptr(bias)
		}
		from := b.tap/g.kw*g.segStride + b.tap%g.kw*g.words + b.from
		together := 1 // lines of a call
		if g.f.format.paired() {
			together, t.Lines, t.ALine, t.CLine = lines, lines, 4*g.aLine, 4*cLine
		}
		for line := 0; line < lines; line += together {
			for r := 0; r < cols; r += tile {
				t.A, t.C = ptr(a[line*g.aLine+r*g.aCol+from:]), ptr(c[line*cLine+r*cRow:])
				s.run(min(tile, cols-r), g.f.format)
			}
		}
	}
}

// tasks is the number of tasks from which on a loop keeps all processors busy.
const tasks = 16

// share cuts the panels in groups, so that with so many parts of the rows there is work for all.
func (g *product) share(parts int) (groups int) {
	return min(g.panels(), (tasks+parts-1)/parts)
}

// rows is a product with rows of memory as they lie.
type rows struct {
	product
	x            []float32
	converted    []float32 // x in the format of the product, where several groups need it
	convert      bool
	count, block int // of all, of a task
	groups       int // of panels
}

// write converts rows lo to hi.
func (g *rows) write(dst []float32, lo, hi int) {
	for r := lo; r < hi; r++ {
		g.f.format.write(dst[(r-lo)*g.aCol:][:g.words], g.x[r*g.f.ins:][:g.f.ins])
	}
}

func (g *rows) task(task, _ int, s *scratch) {
	group, panels := task%g.groups, g.panels()
	r := task / g.groups * g.block
	n := min(g.block, g.count-r)
	var a []float32
	switch {
	case g.converted != nil:
		a = g.converted[r*g.aCol:]
	case g.convert:
		a = s.floats(1, n*g.aCol)
		g.write(a, r, r+n)
	default:
		a = g.x[r*g.aCol:]
	}
	g.run(s, r*g.outs, a, 1, n, group*panels/g.groups, (group+1)*panels/g.groups)
}

// linear is conv for windows of one pixel: y[count][outs] from x[count][ins]. e may be gated if half the panels of
// f are whole.
func (d *device) linear(y, x []float32, outs, count int, f *factor, e epilogue) {
	defer runtime.KeepAlive(f.owner)
	g := rows{x: x, count: count}
	g.product = product{f: *f, e: e, y: y, outs: outs, segs: 1, kw: 1, words: f.format.words(f.ins)}
	g.aCol = g.words
	g.convert = f.format != single
	if g.words%1024 == 0 { // rows would lie on the same few lines of the cache
		g.aCol += 16
		g.convert = true
	}
	parts := (count + 223) / 224
	if f.turned && parts == 2 {
		parts = 1 // weights are turned once
	}
	g.block = roundUp((count+parts-1)/parts, asm.MR())
	parts = (count + g.block - 1) / g.block
	if f.turned && parts > 2 {
		g.f = f.whole()
		defer d.give(g.f.w.data)
	}
	g.groups = g.share(parts)
	if g.convert && g.groups > 1 { // once for all groups
		g.converted = d.take(count * g.aCol)
		defer d.give(g.converted)
		parallelWith(count, 8, g, func(g *rows, lo, hi int, _ *scratch) { g.write(g.converted[lo*g.aCol:], lo, hi) })
	}
	parallelWith(parts*g.groups, 1, g, (*rows).task)
}
