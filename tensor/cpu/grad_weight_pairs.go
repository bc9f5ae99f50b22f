package cpu

import (
	"psld/asm"
	"psld/tensor"
)

// The gradient to the weights on bfloat16: for each tap a matrix product over all pixels,
//
//	sum[tap][o][i] = sum over k of dy[k][o] x[k + offset(tap)][i],
//
// on words of two bfloat16 that hold the same pixel of two strips: parts of the pictures of equal height, two of each
// picture where their number is odd. All strips are side by side at each pixel, so that k runs through a line of all
// of them, that a tap moves by whole words, and that small pictures make long lines too. x lies as panels of inputs,
// with those columns of a line together that leave the same remainder by the stride, and dy as tiles of 16 words for
// each output. Both are packed some lines at a time, which stay in the caches for all taps. The splits depend on
// shapes alone.

// stripGrad is one call.
type stripGrad struct {
	x, dy         pictures
	p             tensor.Conv
	width         int // of a line of dy
	strips        int // of a picture
	height        int // of a strip of dy
	n             int // words of a pixel: pairs of strips
	cols, phase   int // of a padded line of x, and those of one remainder
	parts         int // tiles of a line of dy
	lines         int // of a chunk
	from          int // the chunk's first line
	kept          int // lines of x that the chunk before has packed
	panels, tiles int // of 32 inputs and, in rows, of outputs
	rows          int // of a tile of outputs
	pointwise     bool
	packedX       []float32 // [panels][xLines(lines)][Stride][phase][n][NR] words, and an end that zeros multiply
	packedY       []float32 // [lines][parts][O][16] words
	sum           []float32 // [taps][O][panels*NR]
}

const (
	stripTile   = 16      // words that the units multiply by
	stripChunk  = 1 << 18 // words of packed lines of a chunk, about: they stay in L2
	stripWords  = 1024    // least number of words of a sum between loads and stores of C
	stripLong   = 1 << 14 // and the largest, since a kernel is never preempted
	stripPixels = 512     // of a line that pixels are cut to where taps know no neighbours
)

// gradWeightPairs is Conv2dGradWeight without the bias.
func (d *device) gradWeightPairs(dw, x, dy *tensor.Tensor, p tensor.Conv) {
	g := stripGrad{x: picturesOf(x), dy: picturesOf(dy), p: p, pointwise: p.Pointwise()}
	if g.pointwise { // pairs of neighbours, in lines of any length
		pixels := dy.Rows()
		g.height = (pixels + stripPixels - 1) / stripPixels
		g.width = (pixels + 2*g.height - 1) / (2 * g.height)
		g.n, g.strips = 1, 1
	} else {
		g.strips = 1 + g.dy.n%2
		g.height = (g.dy.h + g.strips - 1) / g.strips
		g.width = g.dy.w
		g.n = g.dy.n * g.strips / 2
	}
	g.cols = (g.width-1)*p.Stride + p.KW
	g.phase = (g.cols + p.Stride - 1) / p.Stride
	g.parts = (g.width*g.n + stripTile - 1) / stripTile
	nr, taps := asm.NR(), p.KH*p.KW
	g.panels = (g.x.c + nr - 1) / nr
	g.rows = tileRows(g.dy.c, asm.PairsMR())
	g.tiles = (g.dy.c + g.rows - 1) / g.rows
	line := g.parts * stripTile
	g.lines = max(stripChunk/(line*(g.x.c+g.dy.c)), (stripWords+line-1)/line)
	g.lines = max(1, min(g.lines, g.height, stripLong/line))

	g.packedX = d.take(g.panels*g.panel() + g.parts*stripTile*nr)
	defer d.give(g.packedX)
	if g.width*g.n%stripTile > 0 { // zeros of dy multiply what lies behind a line: it is to be finite
		clear(g.packedX)
	}
	g.packedY = d.take(g.lines * g.parts * stripTile * g.dy.c)
	defer d.give(g.packedY)
	g.sum = d.take(taps * g.dy.c * g.panels * nr)
	defer d.give(g.sum)
	for ; g.from < g.height; g.from += g.lines {
		if g.kept = 0; g.from > 0 && p.KH > p.Stride {
			g.kept = p.KH - p.Stride
			for panel := range g.panels {
				lines := g.packedX[panel*g.panel():][:g.panel()]
				copy(lines, lines[g.lines*p.Stride*g.line():])
			}
		}
		count := g.count()
		parallelWith(count+g.xLines(count)-g.kept, 1, g, (*stripGrad).pack)
		parallelWith(g.panels*g.tiles*taps, 1, g, (*stripGrad).task)
	}
	// [taps][O][panels*NR] to [O][I][taps]
	parallelWith(g.dy.c, 8, args{y: dw.Data, a: g.sum, w: taps, c: g.x.c}, func(t *args, lo, hi int, _ *scratch) {
		row := roundUp(t.c, asm.NR())
		outs := len(t.y) / (t.w * t.c)
		for o := lo; o < hi; o++ {
			asm.Transpose(t.y[o*t.c*t.w:], t.a[o*row:], t.w, t.c, t.w, outs*row)
		}
	})
}

// count is the number of lines of this chunk.
func (g *stripGrad) count() int { return min(g.lines, g.height-g.from) }

// xLines is the number of lines of x under so many of dy.
func (g *stripGrad) xLines(lines int) int { return (lines-1)*g.p.Stride + g.p.KH }

// line is the size of a line of a panel of x in words, panel that of all.
func (g *stripGrad) line() int { return g.p.Stride * g.phase * g.n * asm.NR() }

func (g *stripGrad) panel() int { return g.xLines(g.lines) * g.line() }

// pack packs a line of the chunk: first those of dy, then those of x that are new.
func (g *stripGrad) pack(i, _ int, s *scratch) {
	if lines := g.count(); i >= lines {
		g.packX(i-lines+g.kept, s)
	} else {
		g.packY(i, s)
	}
}

// neighbours is pixel k of a line where taps know no neighbours, or nil behind the last one.
func (g *stripGrad) neighbours(from *pictures, k int) []float32 {
	if k >= from.n*from.h*from.w {
		return nil
	}
	return from.data[k*from.c:][:from.c]
}

// input is the pixel of x of a strip, in a line and a column of its padded pixels, or nil.
func (g *stripGrad) input(strip, line, col int) []float32 {
	if g.pointwise {
		return g.neighbours(&g.x, (line*g.width+col)*2+strip)
	}
	in := convInput{pictures: g.x, double: g.p.Upsample}
	u := in.source(strip%g.strips*g.height*g.p.Stride+line, g.p.PadTop, in.h)
	v := in.source(col, g.p.PadLeft, in.w)
	if u < 0 || v < 0 {
		return nil
	}
	return in.data[((strip/g.strips*in.h+u)*in.w+v)*in.c:][:in.c]
}

// output is the pixel of dy of a strip, or nil.
func (g *stripGrad) output(strip, line, col int) []float32 {
	if g.pointwise {
		return g.neighbours(&g.dy, (line*g.width+col)*2+strip)
	}
	if line += strip % g.strips * g.height; line >= g.dy.h {
		return nil
	}
	return g.dy.data[((strip/g.strips*g.dy.h+line)*g.dy.w+col)*g.dy.c:][:g.dy.c]
}

// orElse is a, or b where a is nil.
func orElse(a, b []float32) []float32 {
	if a == nil {
		return b
	}
	return a
}

// packX packs a padded line of x.
func (g *stripGrad) packX(line int, s *scratch) {
	nr, c := asm.NR(), g.x.c
	wide := s.floats(0, 2*nr)
	zero := s.floats(1, c)
	clear(zero)
	for col := range g.cols {
		for k := range g.n {
			row := g.from*g.p.Stride + line
			a, b := orElse(g.input(2*k, row, col), zero), orElse(g.input(2*k+1, row, col), zero)
			at := line*g.line() + ((col%g.p.Stride*g.phase+col/g.p.Stride)*g.n+k)*nr
			for panel := range g.panels {
				to := g.packedX[panel*g.panel()+at:][:nr]
				if from := panel * nr; from+nr <= c {
					asm.InterleavePairs(to, a[from:from+nr], b[from:from+nr])
				} else {
					clear(wide)
					copy(wide, a[from:])
					copy(wide[nr:], b[from:])
					asm.InterleavePairs(to, wide[:nr], wide[nr:])
				}
			}
		}
	}
}

// packY packs a line of dy.
func (g *stripGrad) packY(line int, s *scratch) {
	o := g.dy.c
	width := roundUp(o, asm.NR())
	zero, words, wide := s.floats(0, o), s.floats(1, stripTile*width), s.floats(2, 2*width)
	clear(zero)
	clear(wide)
	for part := range g.parts {
		for i := range stripTile {
			word := words[i*width:][:width]
			k := part*stripTile + i
			if k >= g.width*g.n {
				clear(word)
				continue
			}
			strip, row, col := k%g.n*2, g.from+line, k/g.n
			a, b := orElse(g.output(strip, row, col), zero), orElse(g.output(strip+1, row, col), zero)
			if o < width {
				copy(wide, a)
				copy(wide[width:], b)
				a, b = wide[:width], wide[width:]
			}
			asm.InterleavePairs(word, a, b)
		}
		asm.Transpose(g.packedY[(line*g.parts+part)*stripTile*o:], words, stripTile, o, stripTile, width)
	}
}

// task adds the chunk's products to a panel of inputs and a tile of outputs of a tap.
func (g *stripGrad) task(task, _ int, s *scratch) {
	nr, taps, o := asm.NR(), g.p.KH*g.p.KW, g.dy.c
	panel, tile, tap := task/(g.tiles*taps), task/taps%g.tiles, task%taps
	down, right := tap/g.p.KW, tap%g.p.KW
	x := g.packedX[panel*g.panel()+down*g.line()+(right%g.p.Stride*g.phase+right/g.p.Stride)*g.n*nr:]
	t := &s.tile
	*t = asm.Tile{ARow: 4 * stripTile, APart: 4 * stripTile * o, ASeg: 4 * stripTile * o * g.parts,
		BSeg: 4 * g.p.Stride * g.line(), CRow: 4 * g.panels * nr, Segs: g.count(),
		K: g.parts * stripTile, Parts: g.parts, A: ptr(g.packedY[tile*g.rows*stripTile:]), B: ptr(x),
		C: ptr(g.sum[(tap*o+tile*g.rows)*g.panels*nr+panel*nr:])}
	if g.from > 0 {
		t.Accumulate = 1
	}
	t.RunPairs(min(g.rows, o-tile*g.rows))
}
