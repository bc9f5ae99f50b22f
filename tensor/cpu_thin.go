package tensor

import (
	"runtime"

	"psld/asm"
)

// Convolutions to few channels, such as the last of a network and the gradient to the picture: a panel of NR outputs would
// be almost empty. Instead every input pixel is multiplied by the weights of all taps at once, as a linear layer to
// taps*O outputs, and an output pixel adds up those of its window.

// thin tells whether this pays.
func (f *factor) thin(p Conv) bool {
	return len(f.taps) > 1 && p.Stride == 1 && 4*f.outs <= asm.NR() && len(f.taps)*f.outs <= 2*asm.NR()
}

// across makes the factor to all taps, [taps][O] outputs, in memory of the pool.
func (f *factor) across(s *scratch) (*factor, *Tensor) {
	nr, o, words := asm.NR(), f.outs, f.format.words(f.ins)
	w := newPacked(f.format, len(f.taps)*o, f.ins, 1)
	memory := pool.Get(w.panels() * w.size)
	w.data = memory.Data
	clear(w.data)
	tap := s.floats(1, words*nr)
	for i := range f.taps {
		src := tap
		if f.turned {
			f.turn(s, tap, f.format, 0, i, 0)
		} else {
			src = f.w.data[i*words*nr:]
		}
		for k := range words {
			for j, v := range src[k*nr:][:o] {
				to := i*o + j
				w.data[to/nr*w.size+k*nr+to%nr] = v
			}
		}
	}
	return w.factor(), memory
}

// convThin is conv in that form.
func (d *cpu) convThin(y, x *Tensor, f *factor, e *epilogue, p Conv, in convInput) {
	defer runtime.KeepAlive(f.w)
	n, oh, ow, o := y.Dim(0), y.Dim(1), y.Dim(2), y.Dim(3)
	in.format, in.words = f.format, f.format.words(in.c)
	in.cols = ow + p.KW - 1
	in.rowLen = in.cols * in.words
	s := scratches.Get().(*scratch)
	all, memory := f.across(s)
	scratches.Put(s)
	defer d.Put(memory)
	g := &product{f: all, e: &epilogue{scale: 1}, segs: 1, kw: 1, words: in.words, aCol: in.words}
	g.split()
	width := all.panels() * asm.NR() // of the sums of a pixel
	lines := max(1, min(16, (n*oh+tasks-1)/tasks))
	blocks := (oh + lines - 1) / lines
	parallel(n*blocks, func(task int, s *scratch) {
		img, from := task/blocks, task%blocks*lines
		view := in
		view.x = x.Data[img*in.h*in.w*in.c:][:in.h*in.w*in.c]
		pad, sums := s.floats(1, in.rowLen), s.floats(0, p.KH*in.cols*width)
		line := func(i int) []float32 { return sums[i%p.KH*in.cols*width:][:in.cols*width] }
		to := min(oh, from+lines)
		for i := from; i < to+p.KH-1; i++ { // lines of the padded picture
			view.rows(pad, i, 1)
			for panel := range all.panels() {
				g.sums(s, line(i)[panel*asm.NR():], 0, width, pad, 1, in.cols, panel)
			}
			row := i - p.KH + 1
			if row < from {
				continue
			}
			at := (img*oh + row) * ow * o
			out := y.Data[at:][:ow*o]
			for j := range o {
				var bias float32
				if e.bias != nil {
					bias = e.bias[j]
				}
				for c := j; c < len(out); c += o {
					out[c] = bias
				}
			}
			for tap := range all.outs / o {
				src := line(row + tap/p.KW)[tap%p.KW*width+tap*o:]
				addColumns(out, src, o, width)
			}
			if !e.none() {
				e.finish(y.Data, at, len(out), out)
			}
		}
	})
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
