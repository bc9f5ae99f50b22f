package tensor

import (
	"math"
	"runtime"
	"unsafe"

	"psld/asm"
)

// format is how the factors of a matrix product lie in 4-byte words.
type format int

const (
	single  format = iota // one float32
	rounded               // one float32 rounded to bfloat16, where the tier multiplies no bfloat16
	pairs                 // two bfloat16, neighbours along k; a zero after an odd last one
)

// words is the length of a run of c values.
func (f format) words(c int) int {
	if f == pairs {
		return (c + 1) / 2
	}
	return c
}

// write stores src in dst, words(len(src)) long.
func (f format) write(dst, src []float32) {
	switch f {
	case single:
		copy(dst, src)
	case rounded:
		var half [512]uint16
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
	}
}

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
	format   format
	nr       int
	backward bool
}

// packed is a weight as panels of NR outputs: [ceil(O/NR)][KH][KW*words(I)][NR] words, padded
// with zeros. The backward layout swaps O and I and turns the window by 180 degrees.
type packed struct {
	data   []float32
	size   int // words of one panel
	format format
}

// filter reads a weight's shape [O,I] or [O,I,KH,KW].
func filter(t *Tensor) (o, i, taps int) {
	return t.Dim(0), t.Dim(1), Len(t.Shape[2:])
}

// pack gives a layout of the weight t, made at the first use.
func (t *Tensor) pack(f format, backward bool) *packed {
	key := packKey{f, asm.NR(), backward}
	t.mu.Lock()
	defer t.mu.Unlock()
	if w, ok := t.packed[key]; ok {
		return w
	}
	src := t.Data
	if src == nil {
		elements := pool.Get(t.Shape...)
		defer pool.Put(elements)
		src = elements.Data
		t.unpack(src)
	}
	o, i, taps := filter(t)
	w := packWeight(src, o, i, taps, key)
	if t.packed == nil {
		t.packed = map[packKey]*packed{}
	}
	t.packed[key] = w
	return w
}

// packWeight reads src in runs of neighbours, which it spreads over a part of a panel that stays in L1.
func packWeight(src []float32, o, i, taps int, key packKey) *packed {
	nr := key.nr
	outs, ins := o, i
	if key.backward {
		outs, ins = i, o
	}
	words := key.format.words(ins)
	panels := (outs + nr - 1) / nr
	data, free := allocLarge(panels * taps * words * nr)
	w := &packed{data: data, size: taps * words * nr, format: key.format}
	if free != nil {
		runtime.AddCleanup(w, func(free func()) { free() }, free)
	}
	// Where the elements of a run go in the panel, in elements of the format. Forward, a run is
	// all taps of 16 inputs for one output; backward, it is all taps of the panel's outputs
	// (the weight's inputs) for one input.
	const inputs = 16
	run := inputs * taps
	if key.backward {
		run = nr * taps
	}
	at := func(tap, c, j int) int {
		if key.format == pairs {
			return ((tap*words+c/2)*nr+j)*2 + c%2
		}
		return (tap*words+c)*nr + j
	}
	to := make([]int32, run)
	for x := range to {
		to[x] = int32(at(x%taps, x/taps, 0))
		if key.backward {
			to[x] = int32(at(taps-1-x%taps, 0, x/taps))
		}
	}
	parallel(panels, func(pi int, _ *scratch) {
		n := min(nr, outs-pi*nr)
		panel := w.data[pi*w.size:][:w.size]
		spread := func(run []float32, first int) {
			if key.format == pairs {
				d := halves(panel)[first:]
				for x, v := range run {
					d[to[x]] = bfloat16(v)
				}
				return
			}
			d := panel[first:]
			for x, v := range run {
				d[to[x]] = v
			}
		}
		if key.backward {
			for c := range ins {
				spread(src[(c*outs+pi*nr)*taps:][:n*taps], at(0, c, 0))
			}
		} else {
			for c := 0; c < ins; c += inputs {
				for j := range n {
					spread(src[((pi*nr+j)*ins+c)*taps:][:min(inputs, ins-c)*taps], at(0, c, j))
				}
			}
		}
		if key.format == rounded {
			rounded.write(panel, panel)
		}
	})
	return w
}

// unpack writes the elements of a weight whose Data is gone to out, in their own order. It is called
// with t.mu held.
func (t *Tensor) unpack(out []float32) {
	var from packKey
	var w *packed
	for key, p := range t.packed { // the most exact one, whatever the order
		if !key.backward && (w == nil || key.format < from.format || key.format == from.format && key.nr < from.nr) {
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
					if from.format == pairs {
						row[c*taps+tap] = math.Float32frombits(uint32(half[((tap*words+c/2)*nr+j)*2+c%2]) << 16)
					} else {
						row[c*taps+tap] = panel[(tap*words+c)*nr+j]
					}
				}
			}
		}
	})
	runtime.KeepAlive(w)
}
