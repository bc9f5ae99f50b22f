package cpu

import (
	"math"
	"runtime"
	"sync"
	"unsafe"

	"psld/asm"
	"psld/tensor"
)

// format is how the factors of a matrix product lie in 4-byte words.
type format int

const (
	single format = iota // one float32
	// two bfloat16 for each value: a run's halves of more weight in pairs, then what they leave, see
	// asm.Tile.RunSplit
	split
	rounded // one float32 rounded to bfloat16, where the tier multiplies no bfloat16
	pairs   // two bfloat16, neighbours along k; a zero after an odd last one
	// four integers of 8 bits, neighbours across outputs, to be multiplied by a scale of the output: packed weights
	// only, which become another format where they are multiplied
	bytes
)

// words is the length of a run of c values.
func (f format) words(c int) int {
	switch f {
	case pairs:
		return (c + 1) / 2
	case split:
		return (c + 1) / 2 * 2
	}
	return c
}

// paired tells whether words hold two bfloat16.
func (f format) paired() bool { return f == pairs || f == split }

// write stores src in dst, words(len(src)) long.
func (f format) write(dst, src []float32) {
	switch f {
	case single:
		copy(dst, src)
	case rounded:
		half := halfRows.Get().(*[512]uint16)
		defer halfRows.Put(half)
		for len(src) > 0 {
			n := min(len(src), len(half))
			asm.F32ToBF16(half[:n], src[:n])
			asm.BF16ToF32(dst[:n], half[:n])
			dst, src = dst[n:], src[n:]
		}
	case pairs:
		h := halves(dst)
		asm.F32ToBF16(h[:len(src)], src)
		clear(h[len(src) : len(src)+len(src)%2])
	case split:
		n := len(src)
		half := (n + 1) / 2
		hi, lo := halves(dst[:half]), halves(dst[half:2*half])
		clear(hi[n:])
		clear(lo[n:])
		rest := restRows.Get().(*[512]float32)
		defer restRows.Put(rest)
		for len(src) > 0 {
			k := min(len(src), len(rest))
			r := rest[:k]
			asm.F32ToBF16(hi[:k], src[:k])
			asm.BF16ToF32(r, hi[:k])
			asm.Sub(r, src[:k], r)
			asm.F32ToBF16(lo[:k], r)
			hi, lo, src = hi[k:], lo[k:], src[k:]
		}
	}
}

var (
	halfRows = sync.Pool{New: func() any { return new([512]uint16) }}
	restRows = sync.Pool{New: func() any { return new([512]float32) }}
)

// halves is the view of words as bfloat16.
func halves(words []float32) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(words))), 2*len(words))
}

// bfloat16 rounds to nearest even; NaNs stay NaNs.
func bfloat16(v float32) uint16 {
	if v != v {
		return 0x7fc0
	}
	b := math.Float32bits(v)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// packKey names a layout of a weight.
type packKey struct {
	format format
	nr     int
}

// packed is a weight as panels of NR outputs: [ceil(outs/NR)][taps][words(ins)][NR] words, padded
// with zeros.
type packed struct{ layout }

// layout says how a packed weight lies, and where. Of bytes a panel is [taps][ins][NR] integers.
type layout struct {
	data            []float32
	scales          []float32 // of bytes: [panels][NR]
	size            int       // words of one panel
	format          format
	outs, ins, taps int
}

// newLayout describes a layout in memory that is still to come.
func newLayout(f format, outs, ins, taps int) layout {
	w := layout{size: taps * f.words(ins) * asm.NR(), format: f, outs: outs, ins: ins, taps: taps}
	if f == bytes {
		w.size /= 4
		w.scales = make([]float32, w.panels()*asm.NR())
	}
	return w
}

func (w *layout) panels() int { return (w.outs + asm.NR() - 1) / asm.NR() }

// filter reads a weight's shape [O,I] or [O,I,KH,KW].
func filter(t *tensor.Tensor) (o, i, taps int) {
	return t.Dim(0), t.Dim(1), tensor.Len(t.Shape[2:])
}

// layouts are those of one weight, which its tensor keeps for the devices of this package together.
type layouts map[packKey]*packed

// pack gives a layout of the weight t, made at the first use.
func pack(t *tensor.Tensor, f format) (w *packed) {
	key := packKey{f, asm.NR()}
	t.Keep(&pool, func(kept any) any {
		all, _ := kept.(layouts)
		if w = all[key]; w != nil {
			return kept
		}
		src := t.Data
		if src == nil {
			src = pool.take(t.Len())
			defer pool.give(src)
			unpack(t, all, src)
		}
		o, i, taps := filter(t)
		w, _ = packWeight(o, i, taps, f, func(_ *scratch, from, n int) ([]float32, error) {
			return src[from*i*taps:][:n*i*taps], nil
		})
		if all == nil {
			all = layouts{}
		}
		all[key] = w
		return all
	})
	return w
}

// packRows is pack of a weight that has no elements yet: read writes those of outputs from, from+1, ... to dst. No
// more than a panel for each thread is in memory besides.
func packRows(t *tensor.Tensor, f format, read func(dst []float32, from int) error) (err error) {
	o, i, taps := filter(t)
	w, err := packWeight(o, i, taps, f, func(s *scratch, from, n int) ([]float32, error) {
		rows := s.floats(0, n*i*taps)
		return rows, read(rows, from)
	})
	if err != nil {
		return err
	}
	t.Keep(&pool, func(any) any {
		t.Data = nil
		return layouts{packKey{f, asm.NR()}: w}
	})
	return nil
}

// packWeight turns the inputs of a panel, some at a time, so that the values of its outputs are neighbours. rows gives
// the elements of n outputs.
func packWeight(o, i, taps int, f format, rows func(s *scratch, from, n int) ([]float32, error)) (*packed, error) {
	w := &packed{newLayout(f, o, i, taps)}
	var free func()
	if w.data, free = allocLarge(w.panels() * w.size); free != nil {
		runtime.AddCleanup(w, func(free func()) { free() }, free)
	}
	if w.data == nil {
		panic(noMemory(w.panels() * w.size))
	}
	const inputs = 16
	nr := asm.NR()
	errs := make([]error, w.panels())
	parallel(w.panels(), func(panel int, s *scratch) {
		outs := min(nr, o-panel*nr)
		src, err := rows(s, panel*nr, outs)
		if errs[panel] = err; err != nil {
			return
		}
		if f == bytes {
			w.choose(src, panel, outs)
		}
		block := s.floats(5, inputs*taps*nr) // [inputs][taps][NR]
		clear(block)
		for c := 0; c < i; c += inputs {
			n := min(inputs, i-c)
			clear(block[n*taps*nr:]) // what is left of others
			asm.Transpose(block, src[c*taps:], outs, n*taps, nr, i*taps)
			w.write(s, block, panel, c, n)
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

// choose sets the scales of a panel, of which src are the elements: the largest value of an output becomes 127.
func (w *layout) choose(src []float32, panel, outs int) {
	n := w.ins * w.taps
	for j := range outs {
		var most float32
		for _, v := range src[j*n:][:n] {
			most = max(most, v, -v)
		}
		w.scales[panel*asm.NR()+j] = most / 127
	}
}

// write stores rows [n][taps][NR], which it may change, as inputs c (even), c+1, ... of a panel. Behind an odd last
// one there is another, of zeros.
func (w *layout) write(s *scratch, rows []float32, panel, c, n int) {
	nr, to := asm.NR(), w.data[panel*w.size:][:w.size]
	if w.format == bytes {
		steps := s.floats(4, nr) // one over the scales
		for j, v := range w.scales[panel*nr:][:nr] {
			if steps[j] = 0; v > 0 {
				steps[j] = 1 / v
			}
		}
		asm.MulRows(rows[:n*w.taps*nr], steps)
	}
	if !w.format.paired() {
		for k := range n {
			for tap := range w.taps {
				row, at := rows[(k*w.taps+tap)*nr:][:nr], (tap*w.ins+c+k)*nr
				if w.format == bytes {
					toIntegers(integers(to)[at:][:nr], row)
				} else {
					w.format.write(to[at:], row)
				}
			}
		}
		return
	}
	words := w.format.words(w.ins)
	join := func(rows, to []float32) {
		for k := 0; k < n; k += 2 {
			for tap := range w.taps {
				a, b := rows[(k*w.taps+tap)*nr:], rows[((k+1)*w.taps+tap)*nr:]
				asm.JoinPairs(to[(tap*words+(c+k)/2)*nr:][:nr], a[:nr], b[:nr])
			}
		}
	}
	if w.format == pairs {
		rounded.write(rows, rows)
		join(rows, to)
		return
	}
	high := s.floats(4, len(rows))
	rounded.write(high, rows)
	join(high, to)
	asm.Sub(rows, rows, high)
	rounded.write(rows, rows)
	join(rows, to[words/2*nr:])
}

// integers is the view of words as integers of 8 bits.
func integers(words []float32) []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(words))), 4*len(words))
}

// toIntegers rounds x, which is within 127 of zero, to the nearest.
func toIntegers(dst []int8, x []float32) {
	const shift = 3 << 22 // from here to twice as far float32 has no fractions
	for j, v := range x[:len(dst)] {
		dst[j] = int8(math.Float32bits(v + shift))
	}
}

// read writes n rows [NR] of panel p as float32: those of inputs from, from+1, ... (from is even) at a tap. There
// must be room for one row more. Of split weights it takes one half, 0 for that of more weight.
func (w *layout) read(dst []float32, p, tap, half, from, n int) {
	nr := asm.NR()
	if w.format == bytes {
		dst = dst[:n*nr]
		asm.I8ToF32(dst, integers(w.data[p*w.size:])[(tap*w.ins+from)*nr:][:n*nr])
		asm.MulRows(dst, w.scales[p*nr:][:nr])
		return
	}
	words := w.format.words(w.ins)
	src := w.data[p*w.size+(tap*words+half*words/2)*nr:]
	if !w.format.paired() {
		copy(dst[:n*nr], src[from*nr:])
		return
	}
	for r := 0; r < n; r += 2 {
		asm.SplitPairs(dst[r*nr:][:nr], dst[(r+1)*nr:][:nr], src[(from+r)/2*nr:][:nr])
	}
}

// unpack writes the elements of a weight whose Data is gone to out, in their own order. It is called
// with t.mu held.
func unpack(t *tensor.Tensor, all layouts, out []float32) {
	var from packKey
	var w *packed
	for key, p := range all { // the most exact one, whatever the order
		if w == nil || key.format < from.format || key.format == from.format && key.nr < from.nr {
			from, w = key, p
		}
	}
	if w == nil {
		panic("tensor: a tensor without elements")
	}
	o, i, taps := filter(t)
	nr, words := from.nr, from.format.words(i)
	parallel((o+nr-1)/nr, func(pi int, _ *scratch) {
		panel := w.data[pi*w.size:][:w.size]
		half := halves(panel)
		for j := range min(nr, o-pi*nr) {
			row := out[(pi*nr+j)*i*taps:][:i*taps]
			for c := range i {
				for tap := range taps {
					switch {
					case from.format == bytes:
						row[c*taps+tap] = w.scales[pi*nr+j] * float32(integers(panel)[(tap*i+c)*nr+j])
						continue
					case !from.format.paired():
						row[c*taps+tap] = panel[(tap*words+c)*nr+j]
						continue
					}
					at := ((tap*words+c/2)*nr+j)*2 + c%2
					row[c*taps+tap] = math.Float32frombits(uint32(half[at]) << 16)
					if from.format == split {
						row[c*taps+tap] += math.Float32frombits(uint32(half[at+words*nr]) << 16)
					}
				}
			}
		}
	})
	runtime.KeepAlive(w)
}
