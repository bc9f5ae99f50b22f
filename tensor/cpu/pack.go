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

// layout says how a packed weight lies, and where.
type layout struct {
	data            []float32
	size            int // words of one panel
	format          format
	outs, ins, taps int
}

// newLayout describes a layout in memory that is still to come.
func newLayout(f format, outs, ins, taps int) layout {
	return layout{size: taps * f.words(ins) * asm.NR(), format: f, outs: outs, ins: ins, taps: taps}
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
		w = packWeight(src, o, i, taps, f)
		if all == nil {
			all = layouts{}
		}
		all[key] = w
		return all
	})
	return w
}

// packWeight reads src in runs of neighbours, which it spreads over a part of a panel that stays in L1.
func packWeight(src []float32, o, i, taps int, f format) *packed {
	w := &packed{newLayout(f, o, i, taps)}
	var free func()
	if w.data, free = allocLarge(w.panels() * w.size); free != nil {
		runtime.AddCleanup(w, func(free func()) { free() }, free)
	}
	if w.data == nil {
		panic(noMemory(w.panels() * w.size))
	}
	// A run is all taps of 16 inputs for one output; to is where its elements go, in elements of the format.
	const inputs = 16
	nr, words := asm.NR(), f.words(i)
	at := func(tap, c, j int) int {
		if f.paired() {
			return ((tap*words+c/2)*nr+j)*2 + c%2
		}
		return (tap*words+c)*nr + j
	}
	to := make([]int32, inputs*taps)
	for x := range to {
		to[x] = int32(at(x%taps, x/taps, 0))
	}
	parallel(w.panels(), func(pi int, _ *scratch) {
		panel := w.data[pi*w.size:][:w.size]
		for c := 0; c < i; c += inputs {
			for j := range min(nr, o-pi*nr) {
				run := src[((pi*nr+j)*i+c)*taps:][:min(inputs, i-c)*taps]
				switch f {
				case pairs:
					d := halves(panel)[at(0, c, j):]
					for x, v := range run {
						d[to[x]] = bfloat16(v)
					}
				case split:
					d := halves(panel)[at(0, c, j):]
					low := d[words*nr:] // of words/2 rows of pairs
					for x, v := range run {
						hi := bfloat16(v)
						d[to[x]], low[to[x]] = hi, bfloat16(v-math.Float32frombits(uint32(hi)<<16))
					}
				default:
					d := panel[at(0, c, j):]
					for x, v := range run {
						d[to[x]] = v
					}
				}
			}
		}
		if f == rounded {
			rounded.write(panel, panel)
		}
	})
	return w
}

// read writes n rows [NR] of panel p as float32: those of inputs from, from+1, ... (from is even) at a tap. There
// must be room for one row more. Of split weights it takes one half, 0 for that of more weight.
func (w *layout) read(dst []float32, p, tap, half, from, n int) {
	nr := asm.NR()
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
					if !from.format.paired() {
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
