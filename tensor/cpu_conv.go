package tensor

import (
	"runtime"
	"unsafe"

	"psld/asm"
)

// Convolution without an im2col buffer: a task copies the input rows that it
// needs into a zero-padded scratch of a few rows, where the KW*I values under a
// window row are contiguous, and runs register tiles over it. A window is then
// KH segments of KW*I products each (see asm.Tile), for any stride.

// convInput describes how rows of a padded input are made from a tensor.
type convInput struct {
	x            []float32 // [H, W, C] of one picture
	h, w, c      int
	top, left    int // padding
	double       bool
	format       format
	words        int // of one pixel in the padded rows
	rowLen, cols int // rowLen = cols*words
}

// source maps a padded coordinate to an input index, or -1 for zero.
func (in *convInput) source(u, pad, n int) int {
	u -= pad
	if u < 0 {
		return -1
	}
	if in.double {
		u /= 2
	}
	if u >= n {
		return -1
	}
	return u
}

// rows writes padded rows [from, from+count) to dst.
func (in *convInput) rows(dst []float32, from, count int) {
	c, words := in.c, in.words
	whole := !in.format.paired() || in.format == pairs && c%2 == 0 // no word spans two pixels
	for r := range count {
		d := dst[r*in.rowLen:][:in.rowLen]
		sy := in.source(from+r, in.top, in.h)
		if sy < 0 {
			clear(d)
			continue
		}
		s := in.x[sy*in.w*c:][:in.w*c]
		if !in.double && in.left >= 0 && whole {
			left := min(in.left, in.cols)
			n := min(in.w, in.cols-left)
			clear(d[:left*words])
			in.format.write(d[left*words:], s[:n*c])
			clear(d[(left+n)*words:])
			continue
		}
		for u := range in.cols {
			if sx := in.source(u, in.left, in.w); sx >= 0 {
				in.format.write(d[u*words:][:words], s[sx*c:][:c])
			} else {
				clear(d[u*words:][:words])
			}
		}
	}
}

// tileRows splits n rows into near-equal tiles of at most mr rows.
func tileRows(n, mr int) (tile int) {
	tiles := (n + mr - 1) / mr
	return (n + tiles - 1) / tiles
}

func ptr(s []float32) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// Conv2d implements [Device].
func (d *cpu) Conv2d(y, x, w, b *Tensor, p Conv, e Epilogue) {
	if e.GEGLU && (!p.pointwise() || y.Dim(3)%asm.NR() > 0) { // not in one task
		all := d.Get(y.Dim(0), y.Dim(1), y.Dim(2), w.Dim(0))
		defer d.Put(all)
		d.Conv2d(all, x, w, b, p, Epilogue{Scale: e.Scale})
		d.GEGLU(y, all)
		if e.Add != nil {
			d.Add(y, y, e.Add)
		}
		if e.Func != Identity {
			d.Unary(e.Func, y, y)
		}
		return
	}
	in := convInput{h: x.Dim(1), w: x.Dim(2), c: x.Dim(3), top: p.PadTop, left: p.PadLeft, double: p.Upsample}
	d.conv(y, x, w.pack(d.format()).factor(), newEpilogue(b, e), p, in)
}

// Conv2dGradInput implements [Device].
func (d *cpu) Conv2dGradInput(dx, dy, w *Tensor, p Conv) {
	if p.PadTop >= p.KH || p.PadLeft >= p.KW {
		panic("tensor: convolution with padding wider than its window")
	}
	out := dx
	if p.Upsample {
		out = d.Get(dx.Dim(0), 2*dx.Dim(1), 2*dx.Dim(2), dx.Dim(3))
		defer d.Put(out)
	}
	forward := w.pack(d.format())
	// Pixels of out whose coordinates leave the same remainders by the stride see the same taps: each such
	// picture is a convolution of dy of stride 1.
	for row := range p.Stride {
		for col := range p.Stride {
			d.gradPhase(out, dy, forward, p, row, col)
		}
	}
	if p.Upsample {
		sum2x2(dx, out)
	}
}

// gradPhase writes the pixels (row + Stride*i, col + Stride*j) of dx.
func (d *cpu) gradPhase(dx, dy *Tensor, w *packed, p Conv, row, col int) {
	rows, top := phaseTaps(row, p.KH, p.PadTop, p.Stride)
	cols, left := phaseTaps(col, p.KW, p.PadLeft, p.Stride)
	var taps []int
	for _, r := range rows {
		for _, c := range cols {
			taps = append(taps, r*p.KW+c)
		}
	}
	n, h, wd, c := dx.Dim(0), dx.Dim(1), dx.Dim(2), dx.Dim(3)
	ph, pw := (h-row+p.Stride-1)/p.Stride, (wd-col+p.Stride-1)/p.Stride
	if ph <= 0 || pw <= 0 {
		return
	}
	part := dx
	if p.Stride > 1 {
		part = d.Get(n, ph, pw, c)
		defer d.Put(part)
	}
	if len(taps) == 0 {
		clear(part.Data)
	} else {
		in := convInput{h: dy.Dim(1), w: dy.Dim(2), c: dy.Dim(3), top: top, left: left}
		q := Conv{KH: len(rows), KW: len(cols), Stride: 1, PadTop: top, PadLeft: left}
		q.PadBottom, q.PadRight = ph-in.h-top+q.KH-1, pw-in.w-left+q.KW-1
		d.conv(part, dy, w.turnedFactor(d.format(), taps), newEpilogue(nil, Epilogue{}), q, in)
	}
	if p.Stride > 1 {
		parallel(n*ph, func(i int, _ *scratch) {
			img, r := i/ph, i%ph
			out := dx.Data[((img*h+row+r*p.Stride)*wd+col)*c:]
			for x := range pw {
				copy(out[x*p.Stride*c:][:c], part.Data[(i*pw+x)*c:])
			}
		})
	}
}

// phaseTaps gives the taps, last first, that reach positions of the given remainder, and the padding
// before the gradient under them.
func phaseTaps(remainder, k, pad, stride int) (taps []int, before int) {
	for tap := k - 1; tap >= 0; tap-- {
		if (tap-remainder-pad)%stride == 0 {
			taps = append(taps, tap)
		}
	}
	if len(taps) > 0 {
		before = (taps[0] - remainder - pad) / stride
	}
	return taps, before
}

// conv is the driver of both: y[N,OH,OW,O] from x[N,...] through the weight f.
func (d *cpu) conv(y, x *Tensor, f *factor, e *epilogue, p Conv, in convInput) {
	if in.winograd(f, p, y.Dim(1), y.Dim(2)) {
		d.convWinograd(y, x, f, e, in)
		return
	}
	n, oh, ow, o := y.Dim(0), y.Dim(1), y.Dim(2), y.Dim(3)
	if p.pointwise() && !in.double {
		d.linear(y.Data, x.Data, o, n*oh*ow, f, e)
		return
	}
	if f.thin(p) {
		d.convThin(y, x, f, e, p, in)
		return
	}
	defer runtime.KeepAlive(f.w) // its data is not Go's memory
	in.format, in.words = f.format, f.format.words(in.c)
	in.cols = (ow-1)*p.Stride + p.KW
	in.rowLen = in.cols * in.words
	g := &product{f: f, e: e, y: y.Data, outs: o, segs: p.KH, kw: p.KW, words: in.words, aCol: p.Stride * in.words, aLine: p.Stride * in.rowLen,
		segStride: in.rowLen, cLine: ow * o}
	g.split()
	rb := convRows(in.rowLen, oh, p)
	rb = max(1, min(rb, 96<<10/(ow*o))) // and the result in L2
	blocks := (oh + rb - 1) / rb
	if f.turned && n*blocks > 2 {
		var memory *Tensor
		g.f, memory = f.whole()
		defer d.Put(memory)
	}
	groups, panels := g.share(n*blocks), g.panels()
	padded := func(dst []float32, img, from, count int) {
		view := in
		view.x = x.Data[img*in.h*in.w*in.c:][:in.h*in.w*in.c]
		view.rows(dst, from, count)
	}
	height := (oh-1)*p.Stride + p.KH // of a padded picture
	var all []float32
	if groups > 1 { // padded once for all groups
		memory := d.Get(n, height, in.rowLen)
		defer d.Put(memory)
		all = memory.Data
		parallel(n*height, func(i int, _ *scratch) { padded(all[i*in.rowLen:], i/height, i%height, 1) })
	}
	parallel(n*blocks*groups, func(task int, s *scratch) {
		part, group := task/groups, task%groups
		img, r0 := part/blocks, part%blocks*rb
		rows := min(rb, oh-r0)
		var pad []float32
		if all != nil {
			pad = all[(img*height+r0*p.Stride)*in.rowLen:]
		} else {
			need := (rows-1)*p.Stride + p.KH
			pad = s.floats(1, need*in.rowLen)
			padded(pad, img, r0*p.Stride, need)
		}
		g.run(s, (img*oh+r0)*ow*o, pad, rows, ow, group*panels/groups, (group+1)*panels/groups)
	})
}

// convRows chooses how many output rows a task computes: its padded input should
// stay in L2 (256 KiB of it), and there should be tasks enough to share.
func convRows(rowLen, oh int, p Conv) int {
	rb := (64<<10/rowLen - p.KH) / p.Stride
	return max(1, min(rb, (oh+3)/4))
}

// sum2x2 is the transpose of the nearest two-fold enlargement.
func sum2x2(dx, up *Tensor) {
	h, w, c := dx.Dim(1), dx.Dim(2), dx.Dim(3)
	parallel(dx.Dim(0)*h, func(r int, _ *scratch) {
		a := up.Data[2*r*2*w*c:][:2*w*c]
		b := up.Data[(2*r+1)*2*w*c:][:2*w*c]
		out := dx.Data[r*w*c:][:w*c]
		asm.Add(a, a, b)
		for x := range w {
			asm.Add(out[x*c:][:c], a[2*x*c:][:c], a[(2*x+1)*c:][:c])
		}
	})
}
