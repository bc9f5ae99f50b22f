package cpu

import (
	"psld/asm"
	"psld/tensor"
)

// The gradient to the weights of a convolution is a matrix product over all pixels: sum[o][tap*c + i] of
// dy[pixel][o] times x[pixel under the tap][i]. Some thousand pixels at a time, dy is packed in tiles of outputs; a
// task packs the inputs of NR columns, a few hundred pixels at a time so that they stay in L1, and multiplies them
// by all tiles. Pixels are shared among tasks, with partial sums, for small weights only. The splits depend on
// shapes alone.

const (
	gradChunk  = 256     // pixels of packed inputs
	gradPacked = 2 << 20 // floats of packed dy, about
)

// weightGrad is one call.
type weightGrad struct {
	x, dy     pictures
	p         tensor.Conv
	cols      int // taps*channels of x
	m, tiles  int // outputs of a tile, and their number
	panels    int // of columns
	groups    int // of tiles
	parts     int // of the pixels
	packed    []float32
	from, len int       // pixels in packed
	sum       []float32 // [parts][O][cols]
}

// Conv2dGradWeight implements [tensor.Device].
func (d *device) Conv2dGradWeight(dw, db, x, dy *tensor.Tensor, p tensor.Conv) {
	o := dy.Dim(3)
	if db != nil {
		sumRows(db.Data, dy.Data, o)
	}
	if d.bf16 && asm.HasPairs() {
		d.gradWeightPairs(dw, x, dy, p)
		return
	}
	nr, taps, pixels := asm.NR(), p.KH*p.KW, dy.Rows()
	g := weightGrad{x: picturesOf(x), dy: picturesOf(dy), p: p, cols: taps * x.Dim(3), m: tileRows(o, asm.MR())}
	g.tiles = (o + g.m - 1) / g.m
	g.panels = (g.cols + nr - 1) / nr
	g.groups = min(g.tiles, (tasks+g.panels-1)/g.panels)
	g.parts = 1
	if g.panels*g.groups < tasks/2 {
		g.parts = max(1, min(tasks/(g.panels*g.groups), pixels/1024))
	}
	span := min(pixels, max(1024, gradPacked/o)*g.parts)
	g.packed = d.take(g.tiles * g.m * span)
	defer d.give(g.packed)
	size := o * g.cols
	g.sum = dw.Data
	if taps > 1 || g.parts > 1 {
		g.sum = d.take(g.parts * size)
		defer d.give(g.sum)
	}
	for g.from = 0; g.from < pixels; g.from += span {
		g.len = min(span, pixels-g.from)
		parallelWith(g.len, 64, g, (*weightGrad).pack)
		parallelWith(g.parts*g.panels*g.groups, 1, g, (*weightGrad).task)
	}
	for part := 1; part < g.parts; part++ {
		addTo(g.sum[:size], g.sum[:size], g.sum[part*size:][:size])
	}
	switch {
	case taps > 1: // to [O, I, KH, KW]
		parallelWith(o, 1, args{y: dw.Data, a: g.sum, w: taps, c: x.Dim(3)}, func(t *args, i, _ int, _ *scratch) {
			at := i * t.w * t.c
			asm.Transpose(t.y[at:], t.a[at:], t.w, t.c, t.w, t.c)
		})
	case g.parts > 1:
		copy(dw.Data, g.sum)
	}
}

// pack writes pixels lo to hi of dy, after g.from, as [tiles][pixels][m].
func (g *weightGrad) pack(lo, hi int, _ *scratch) {
	for px := lo; px < hi; px++ {
		row := g.dy.data[(g.from+px)*g.dy.c:][:g.dy.c]
		for t := range g.tiles {
			n := copy(g.packed[(t*g.len+px)*g.m:][:g.m], row[t*g.m:])
			clear(g.packed[(t*g.len+px)*g.m+n:][:g.m-n])
		}
	}
}

// inputs writes NR columns of the inputs of n pixels from one on: [pixels][NR].
func (g *weightGrad) inputs(dst []float32, pixel, n, panel int) {
	nr := asm.NR()
	in := convInput{pictures: g.x, double: g.p.Upsample}
	oh, ow := g.dy.h, g.dy.w
	for at := 0; at < nr; { // runs of channels of one tap
		col := panel*nr + at
		if col >= g.cols {
			for i := range n {
				clear(dst[i*nr+at:][:nr-at])
			}
			return
		}
		tap, ch := col/in.c, col%in.c
		run := min(nr-at, in.c-ch)
		r, q, img := pixel/ow%oh, pixel%ow, pixel/(oh*ow)
		for i := 0; i < n; { // lines of the output
			u := in.source(r*g.p.Stride+tap/g.p.KW, g.p.PadTop, in.h)
			for ; i < n && q < ow; i, q = i+1, q+1 {
				to := dst[i*nr+at:][:run]
				v := in.source(q*g.p.Stride+tap%g.p.KW, g.p.PadLeft, in.w)
				if u < 0 || v < 0 {
					clear(to)
					continue
				}
				copy(to, in.data[((img*in.h+u)*in.w+v)*in.c+ch:])
			}
			if q, r = 0, r+1; r == oh {
				r, img = 0, img+1
			}
		}
		at += run
	}
}

// task adds up a part of the pixels for a panel of columns and a group of the tiles.
func (g *weightGrad) task(task, _ int, s *scratch) {
	part, panel, group := task/(g.panels*g.groups), task/g.groups%g.panels, task%g.groups
	sum := g.sum[part*g.dy.c*g.cols:]
	lo, hi := part*g.len/g.parts, (part+1)*g.len/g.parts // pixels, after g.from
	first, last := group*g.tiles/g.groups, (group+1)*g.tiles/g.groups
	nr := asm.NR()
	width := min(nr, g.cols-panel*nr)
	b := s.floats(1, gradChunk*nr)
	narrow := s.floats(2, (last-first)*g.m*nr) // for panels and tiles that are not whole
	for from := lo; from < hi; from += gradChunk {
		n := min(gradChunk, hi-from)
		g.inputs(b, g.from+from, n, panel)
		t := &s.tile
		*t = asm.Tile{ACol: 4 * g.m, BRow: 4 * nr, B: ptr(b), Segs: 1, K: n}
		if from > lo || g.from > 0 {
			t.Accumulate = 1
		}
		for tile := first; tile < last; tile++ {
			t.A = ptr(g.packed[(tile*g.len+from)*g.m:])
			rows := min(g.m, g.dy.c-tile*g.m)
			if width == nr {
				t.C, t.CRow = ptr(sum[tile*g.m*g.cols+panel*nr:]), 4*g.cols
				t.RunT(rows)
				continue
			}
			c := narrow[(tile-first)*g.m*nr:]
			if t.Accumulate == 1 && from == lo {
				for i := range rows {
					copy(c[i*nr:][:nr], sum[(tile*g.m+i)*g.cols+panel*nr:][:width])
				}
			}
			t.C, t.CRow = ptr(c), 4*nr
			t.RunT(rows)
			if from+n == hi {
				for i := range rows {
					copy(sum[(tile*g.m+i)*g.cols+panel*nr:][:width], c[i*nr:])
				}
			}
		}
	}
}
