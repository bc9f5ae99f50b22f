package tensor

import "psld/asm"

// The gradient to the weights of a convolution is a matrix product over all pixels: sum[o][tap*c + i] of
// dy[pixel][o] times x[pixel under the tap][i]. Some thousand pixels at a time, dy is packed in tiles of outputs; a
// task packs the inputs of NR columns, a few hundred pixels at a time so that they stay in L1, and multiplies them by all
// tiles. Pixels are shared among tasks, with partial sums, for small weights only. The splits depend on shapes alone.

const (
	gradChunk  = 256     // pixels of packed inputs
	gradPacked = 2 << 20 // floats of packed dy, about
)

// weightGrad is one call.
type weightGrad struct {
	x, dy     *Tensor
	p         Conv
	c, o      int
	cols      int // taps*c
	m, tiles  int // outputs of a tile, and their number
	packed    []float32
	from, len int // pixels in packed
}

// Conv2dGradWeight implements [Device].
func (d *cpu) Conv2dGradWeight(dw, db, x, dy *Tensor, p Conv) {
	o := dy.Dim(3)
	if db != nil {
		sumRows(db.Data, dy.Data, o)
	}
	nr, taps, pixels := asm.NR(), p.KH*p.KW, dy.Rows()
	g := &weightGrad{x: x, dy: dy, p: p, c: x.Dim(3), o: o, cols: taps * x.Dim(3), m: tileRows(o, asm.MR())}
	g.tiles = (o + g.m - 1) / g.m
	panels := (g.cols + nr - 1) / nr
	groups := min(g.tiles, (tasks+panels-1)/panels)
	parts := 1 // of the pixels
	if panels*groups < tasks/2 {
		parts = max(1, min(tasks/(panels*groups), pixels/1024))
	}
	span := min(pixels, max(1024, gradPacked/o)*parts)
	packed := d.Get(g.tiles * g.m * span)
	defer d.Put(packed)
	g.packed = packed.Data
	size := o * g.cols
	sum := dw.Data
	if taps > 1 || parts > 1 {
		memory := d.Get(parts, size)
		defer d.Put(memory)
		sum = memory.Data
	}
	for g.from = 0; g.from < pixels; g.from += span {
		g.len = min(span, pixels-g.from)
		chunks(g.len, 64, g.pack)
		parallel(parts*panels*groups, func(task int, s *scratch) {
			part, panel, group := task/(panels*groups), task/groups%panels, task%groups
			g.task(s, sum[part*size:][:size], part*g.len/parts, (part+1)*g.len/parts, panel, group*g.tiles/groups, (group+1)*g.tiles/groups)
		})
	}
	for part := 1; part < parts; part++ {
		elements(size, func(lo, hi int) { asm.Add(sum[lo:hi], sum[lo:hi], sum[part*size:][lo:hi]) })
	}
	switch {
	case taps > 1: // to [O, I, KH, KW]
		parallel(o, func(i int, _ *scratch) {
			asm.Transpose(dw.Data[i*g.cols:], sum[i*g.cols:], taps, g.c, taps, g.c)
		})
	case parts > 1:
		copy(dw.Data, sum)
	}
}

// pack writes pixels lo to hi of dy, after g.from, as [tiles][pixels][m].
func (g *weightGrad) pack(lo, hi int) {
	for px := lo; px < hi; px++ {
		row := g.dy.Data[(g.from+px)*g.o:][:g.o]
		for t := range g.tiles {
			n := copy(g.packed[(t*g.len+px)*g.m:][:g.m], row[t*g.m:])
			clear(g.packed[(t*g.len+px)*g.m+n:][:g.m-n])
		}
	}
}

// inputs writes NR columns of the inputs of n pixels from one on: [pixels][NR].
func (g *weightGrad) inputs(dst []float32, pixel, n, panel int) {
	nr := asm.NR()
	in := convInput{h: g.x.Dim(1), w: g.x.Dim(2), double: g.p.Upsample}
	oh, ow := g.dy.Dim(1), g.dy.Dim(2)
	for at := 0; at < nr; { // runs of channels of one tap
		col := panel*nr + at
		if col >= g.cols {
			for i := range n {
				clear(dst[i*nr+at:][:nr-at])
			}
			return
		}
		tap, ch := col/g.c, col%g.c
		run := min(nr-at, g.c-ch)
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
				copy(to, g.x.Data[((img*in.h+u)*in.w+v)*g.c+ch:])
			}
			if q, r = 0, r+1; r == oh {
				r, img = 0, img+1
			}
		}
		at += run
	}
}

// task adds up pixels lo to hi, after g.from, for a panel of columns and tiles first to last, in sum[o][cols].
func (g *weightGrad) task(s *scratch, sum []float32, lo, hi, panel, first, last int) {
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
			rows := min(g.m, g.o-tile*g.m)
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
