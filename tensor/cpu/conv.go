package cpu

import (
	"runtime"
	"unsafe"

	"psld/asm"
	"psld/tensor"
)

// Convolution without an im2col buffer: a task copies the input rows that it
// needs into a zero-padded scratch of a few rows, where the KW*I values under a
// window row are contiguous, and runs register tiles over it. A window is then
// KH segments of KW*I products each (see asm.Tile), for any stride.

// convInput describes how rows of a padded input are made from a tensor.
type convInput struct {
	pictures
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

// rows writes padded rows [from, from+count) of a picture to dst.
func (in *convInput) rows(dst []float32, img, from, count int) {
	c, words := in.c, in.words
	whole := !in.format.paired() || in.format == pairs && c%2 == 0 // no word spans two pixels
	for r := range count {
		d := dst[r*in.rowLen:][:in.rowLen]
		sy := in.source(from+r, in.top, in.h)
		if sy < 0 {
			clear(d)
			continue
		}
		s := in.data[(img*in.h+sy)*in.w*c:][:in.w*c]
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

// Conv2d implements [tensor.Device].
func (d *device) Conv2d(y, x, w, b *tensor.Tensor, p tensor.Conv, e tensor.Epilogue) {
	if e.GEGLU && (!p.Pointwise() || y.Dim(3)%asm.NR() > 0) { // not in one task
		all := d.Get(y.Dim(0), y.Dim(1), y.Dim(2), w.Dim(0))
		defer d.Put(all)
		d.Conv2d(all, x, w, b, p, tensor.Epilogue{Scale: e.Scale})
		d.GEGLU(y, all)
		if e.Add != nil {
			d.Add(y, y, e.Add)
		}
		if e.Func != tensor.Identity {
			d.Unary(e.Func, y, y)
		}
		return
	}
	f := pack(w, d.weights()).factor(d.format())
	d.conv(picturesOf(y), picturesOf(x), &f, newEpilogue(b, e), p)
}

// Conv2dGradInput implements [tensor.Device].
func (d *device) Conv2dGradInput(dx, dy, w *tensor.Tensor, p tensor.Conv) {
	if p.PadTop >= p.KH || p.PadLeft >= p.KW {
		panic("tensor: convolution with padding wider than its window")
	}
	out := picturesOf(dx)
	if p.Upsample {
		out.h, out.w = 2*out.h, 2*out.w
		out.data = d.take(4 * dx.Len())
		defer d.give(out.data)
	}
	forward := pack(w, d.weights())
	// Pixels of out whose coordinates leave the same remainders by the stride see the same taps: each such
	// picture is a convolution of dy of stride 1.
	for row := range p.Stride {
		for col := range p.Stride {
			d.gradPhase(out, dy, forward, p, row, col)
		}
	}
	if p.Upsample {
		sum2x2(dx, out.data)
	}
}

// pictures is memory with n pictures of h x w pixels of c channels.
type pictures struct {
	data       []float32
	n, h, w, c int
}

func picturesOf(t *tensor.Tensor) pictures {
	return pictures{t.Data, t.Dim(0), t.Dim(1), t.Dim(2), t.Dim(3)}
}

// gradPhase writes the pixels (row + Stride*i, col + Stride*j) of dx.
func (d *device) gradPhase(dx pictures, dy *tensor.Tensor, w *packed, p tensor.Conv, row, col int) {
	t := taps{down: -p.Stride * p.KW, right: -p.Stride}
	bottom, lines, top := phaseTaps(row, p.KH, p.PadTop, p.Stride)
	right, line, left := phaseTaps(col, p.KW, p.PadLeft, p.Stride)
	t.lines, t.line, t.first = lines, line, bottom*p.KW+right
	part := dx
	part.h, part.w = (dx.h-row+p.Stride-1)/p.Stride, (dx.w-col+p.Stride-1)/p.Stride
	if part.h <= 0 || part.w <= 0 {
		return
	}
	if p.Stride > 1 {
		part.data = d.take(part.n * part.h * part.w * part.c)
		defer d.give(part.data)
	}
	if t.count() == 0 {
		clear(part.data)
	} else {
		from := picturesOf(dy)
		q := tensor.Conv{KH: lines, KW: line, Stride: 1, PadTop: top, PadLeft: left}
		q.PadBottom, q.PadRight = part.h-from.h-top+q.KH-1, part.w-from.w-left+q.KW-1
		f := w.turnedFactor(d.format(), t)
		d.conv(part, from, &f, newEpilogue(nil, tensor.Epilogue{}), q)
	}
	if p.Stride > 1 {
		type spreading struct {
			to, from         pictures
			row, col, stride int
		}
		parallelWith(part.n*part.h, 1, spreading{dx, part, row, col, p.Stride}, func(t *spreading, i, _ int, _ *scratch) {
			c := t.to.c
			out := t.to.data[((i/t.from.h*t.to.h+t.row+i%t.from.h*t.stride)*t.to.w+t.col)*c:]
			for x := range t.from.w {
				copy(out[x*t.stride*c:][:c], t.from.data[(i*t.from.w+x)*c:])
			}
		})
	}
}

// phaseTaps gives the taps of a line, the last first and the stride apart, that reach positions of the given
// remainder, how many they are, and the padding before the gradient under them.
func phaseTaps(remainder, k, pad, stride int) (first, count, before int) {
	first = k - 1 - (k-1-(remainder+pad)%stride+stride)%stride
	if first < 0 {
		return 0, 0, 0
	}
	return first, first/stride + 1, (first - remainder - pad) / stride
}

// convolution is a product with windows of pictures.
type convolution struct {
	product
	in     convInput
	all    []float32 // pictures with their padding, where several groups need them
	height int       // of one
	stride int
	oh, ow int
	rb     int // lines of a task
	blocks int // of lines, in a picture
	groups int // of panels
}

func (g *convolution) task(task, _ int, s *scratch) {
	part, group, panels := task/g.groups, task%g.groups, g.panels()
	img, r0 := part/g.blocks, part%g.blocks*g.rb
	rows := min(g.rb, g.oh-r0)
	var pad []float32
	if g.all != nil {
		pad = g.all[(img*g.height+r0*g.stride)*g.in.rowLen:]
	} else {
		need := (rows-1)*g.stride + g.segs
		pad = s.floats(1, need*g.in.rowLen)
		g.in.rows(pad, img, r0*g.stride, need)
	}
	g.run(s, (img*g.oh+r0)*g.ow*g.outs, pad, rows, g.ow, group*panels/g.groups, (group+1)*panels/g.groups)
}

// conv is the driver of both: y[N,OH,OW,O] from x[N,...] through the weight f. p's padding at the bottom and on the
// right is in y's size.
func (d *device) conv(y, x pictures, f *factor, e epilogue, p tensor.Conv) {
	in := convInput{pictures: x, top: p.PadTop, left: p.PadLeft, double: p.Upsample}
	if in.winograd(f, p, y.h, y.w, d.fast) {
		factors := single
		if d.fast {
			factors = f.format
		}
		d.convWinograd(y, f, e, in, factors)
		return
	}
	if p.Pointwise() {
		d.linear(y.data, x.data, y.c, y.n*y.h*y.w, f, e)
		return
	}
	if f.thin(p) {
		d.convThin(y, f, e, p, in)
		return
	}
	defer runtime.KeepAlive(f.owner)
	in.format, in.words = f.format, f.format.words(in.c)
	in.cols = (y.w-1)*p.Stride + p.KW
	in.rowLen = in.cols * in.words
	g := convolution{in: in, height: (y.h-1)*p.Stride + p.KH, stride: p.Stride, oh: y.h, ow: y.w}
	g.product = product{f: *f, e: e, y: y.data, outs: y.c, segs: p.KH, kw: p.KW, words: in.words,
		aCol: p.Stride * in.words, aLine: p.Stride * in.rowLen,
		segStride: in.rowLen, cLine: y.w * y.c}
	g.rb = max(1, min(convRows(in.rowLen, y.h, p), 96<<10/(y.w*y.c))) // and the result in L2
	g.blocks = (y.h + g.rb - 1) / g.rb
	if f.turned && y.n*g.blocks > 2 {
		g.f = f.whole()
		defer d.give(g.f.w.data)
	}
	g.groups = g.share(y.n * g.blocks)
	if g.groups > 1 { // padded once for all groups
		g.all = d.take(y.n * g.height * in.rowLen)
		defer d.give(g.all)
		parallelWith(y.n*g.height, 1, g, func(g *convolution, i, _ int, _ *scratch) {
			g.in.rows(g.all[i*g.in.rowLen:], i/g.height, i%g.height, 1)
		})
	}
	parallelWith(y.n*g.blocks*g.groups, 1, g, (*convolution).task)
}

// convRows chooses how many output rows a task computes: its padded input should
// stay in L2 (256 KiB of it), and there should be tasks enough to share.
func convRows(rowLen, oh int, p tensor.Conv) int {
	rb := (64<<10/rowLen - p.KH) / p.Stride
	return max(1, min(rb, (oh+3)/4))
}

// sum2x2 is the transpose of the nearest two-fold enlargement.
func sum2x2(dx *tensor.Tensor, up []float32) {
	parallelWith(dx.Dim(0)*dx.Dim(1), 1, args{y: dx.Data, a: up, c: dx.Dim(3), w: dx.Dim(2)},
		func(t *args, r, _ int, _ *scratch) {
			w, c := t.w, t.c
			a := t.a[2*r*2*w*c:][:2*w*c]
			b := t.a[(2*r+1)*2*w*c:][:2*w*c]
			out := t.y[r*w*c:][:w*c]
			asm.Add(a, a, b)
			for x := range w {
				asm.Add(out[x*c:][:c], a[2*x*c:][:c], a[(2*x+1)*c:][:c])
			}
		})
}

// Enlarge2x implements [tensor.Device].
func (d *device) Enlarge2x(y, x *tensor.Tensor) {
	parallelWith(x.Dim(0)*x.Dim(1), 1, args{y: y.Data, a: x.Data, c: x.Dim(3), w: x.Dim(2)},
		func(t *args, r, _ int, _ *scratch) {
			row := t.w * t.c
			out := t.y[4*r*row:][:4*row]
			for x := range t.w {
				px := t.a[r*row+x*t.c:][:t.c]
				copy(out[2*x*t.c:], px)
				copy(out[(2*x+1)*t.c:], px)
			}
			copy(out[2*row:], out[:2*row])
		})
}

// Mean2x2 implements [tensor.Device].
func (d *device) Mean2x2(y, x *tensor.Tensor) {
	parallelWith(y.Dim(0)*y.Dim(1), 1, args{y: y.Data, a: x.Data, c: y.Dim(3), w: y.Dim(2)},
		func(t *args, r, _ int, s *scratch) {
			w, c := t.w, t.c
			sum := s.floats(0, 2*w*c)
			asm.Add(sum, t.a[4*r*w*c:][:2*w*c], t.a[(4*r+2)*w*c:][:2*w*c])
			out := t.y[r*w*c:][:w*c]
			for x := range w {
				asm.Add(out[x*c:][:c], sum[2*x*c:][:c], sum[(2*x+1)*c:][:c])
			}
			asm.Scale(out, 0.25, out)
		})
}
