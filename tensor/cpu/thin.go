package cpu

import (
	"runtime"

	"psld/asm"
	"psld/tensor"
)

// Convolutions to few channels, such as the last of a network and the gradient to the picture: a panel of NR
// outputs would be almost empty. Instead every input pixel is multiplied by the weights of all taps at once, as a
// linear layer to taps*O outputs, and an output pixel adds up those of its window.

// thin tells whether this pays.
func (f *factor) thin(p tensor.Conv) bool {
	taps := f.taps.count()
	return taps > 1 && p.Stride == 1 && 4*f.outs <= asm.NR() && taps*f.outs <= 2*asm.NR()
}

// across makes the factor to all taps, [taps][O] outputs, in memory of the pool.
func (f *factor) across() factor {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	nr, o, words := asm.NR(), f.outs, f.format.words(f.ins)
	to := f.made(f.taps.count()*o, 1)
	w := &to.w
	clear(w.data)
	for i := range f.taps.count() {
		src := f.get(s, 0, block{tap: i, taps: 1, words: words})
		for k := range words {
			for j, v := range src[k*nr:][:o] {
				to := i*o + j
				w.data[to/nr*w.size+k*nr+to%nr] = v
			}
		}
	}
	return to
}

// thinConv is a convolution in that form.
type thinConv struct {
	product // the linear layer
	end     epilogue
	in      convInput
	to      pictures
	p       tensor.Conv
	lines   int // of a task
	blocks  int // of lines, in a picture
	width   int // of the sums of a pixel
}

// convThin is conv in that form.
func (d *device) convThin(y pictures, f *factor, e epilogue, p tensor.Conv, in convInput) {
	defer runtime.KeepAlive(f.owner)
	in.format, in.words = f.format, f.format.words(in.c)
	in.cols = y.w + p.KW - 1
	in.rowLen = in.cols * in.words
	t := thinConv{end: e, in: in, to: y, p: p}
	t.product = product{f: f.across(), e: epilogue{scale: 1}, segs: 1, kw: 1, words: in.words, aCol: in.words}
	defer d.give(t.f.w.data)
	t.width = t.f.panels() * asm.NR()
	t.lines = max(1, min(16, (y.n*y.h+tasks-1)/tasks))
	t.blocks = (y.h + t.lines - 1) / t.lines
	parallelWith(y.n*t.blocks, 1, t, (*thinConv).task)
}

func (t *thinConv) task(task, _ int, s *scratch) {
	img, from := task/t.blocks, task%t.blocks*t.lines
	o, kh, kw, cols, width := t.to.c, t.p.KH, t.p.KW, t.in.cols, t.width
	pad, sums := s.floats(1, t.in.rowLen), s.floats(0, kh*cols*width)
	line := func(i int) []float32 { return sums[i%kh*cols*width:][:cols*width] }
	to := min(t.to.h, from+t.lines)
	for i := from; i < to+kh-1; i++ { // lines of the padded picture
		t.in.rows(pad, img, i, 1)
		for panel := range t.f.panels() {
			t.sums(s, line(i)[panel*asm.NR():], 0, width, pad, 1, cols, panel)
		}
		row := i - kh + 1
		if row < from {
			continue
		}
		at := (img*t.to.h + row) * t.to.w * o
		out := t.to.data[at:][:t.to.w*o]
		for j := range o {
			var bias float32
			if t.end.bias != nil {
				bias = t.end.bias[j]
			}
			for c := j; c < len(out); c += o {
				out[c] = bias
			}
		}
		for tap := range kh * kw {
			addColumns(out, line(row + tap/kw)[tap%kw*width+tap*o:], o, width)
		}
		if !t.end.none() {
			t.end.finish(t.to.data, at, len(out), out)
		}
	}
}

// addColumns adds the first o of the columns of x[][width] to y[][o].
func addColumns(y, x []float32, o, width int) {
	switch o {
	case 3:
		for i := 0; i+3 <= len(y); i += 3 {
			a, b := y[i:i+3:i+3], x[i/3*width:]
			b = b[:3:3]
			a[0] += b[0]
			a[1] += b[1]
			a[2] += b[2]
		}
	case 4:
		for i := 0; i+4 <= len(y); i += 4 {
			a, b := y[i:i+4:i+4], x[i/4*width:]
			b = b[:4:4]
			a[0] += b[0]
			a[1] += b[1]
			a[2] += b[2]
			a[3] += b[3]
		}
	default:
		for i := 0; i < len(y); i += o {
			for j, v := range x[i/o*width:][:o] {
				y[i+j] += v
			}
		}
	}
}
