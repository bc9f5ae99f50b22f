package tensor

import (
	"math"
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
		src = t.unpack()
	}
	o, i, taps := filter(t)
	w := packWeight(src, o, i, taps, key)
	if t.packed == nil {
		t.packed = map[packKey]*packed{}
	}
	t.packed[key] = w
	return w
}

func packWeight(src []float32, o, i, taps int, key packKey) *packed {
	nr := key.nr
	outs, ins := o, i
	so, si := i*taps, taps // strides of src
	if key.backward {
		outs, ins, so, si = i, o, taps, i*taps
	}
	words := key.format.words(ins)
	panels := (outs + nr - 1) / nr
	w := &packed{data: make([]float32, panels*taps*words*nr), size: taps * words * nr, format: key.format}
	parallel(panels, func(pi int, _ *scratch) {
		n := min(nr, outs-pi*nr)
		dst := w.data[pi*w.size:][:w.size]
		half := halves(dst)
		for c := range ins {
			for tap := range taps {
				from := tap
				if key.backward {
					from = taps - 1 - tap
				}
				s := src[pi*nr*so+c*si+from:]
				if key.format == pairs {
					d := half[((tap*words+c/2)*nr)*2+c%2:]
					for j := range n {
						d[2*j] = bfloat16(s[j*so])
					}
					continue
				}
				d := dst[(tap*words+c)*nr:][:n]
				for j := range d {
					d[j] = s[j*so]
				}
			}
		}
		if key.format == rounded {
			rounded.write(dst, dst)
		}
	})
	return w
}

// unpack gives the elements of a weight whose Data is gone, in their own order. It is called
// with t.mu held.
func (t *Tensor) unpack() []float32 {
	for key, w := range t.packed {
		if key.backward {
			continue
		}
		o, i, taps := filter(t)
		nr, words := key.nr, key.format.words(i)
		out := make([]float32, o*i*taps)
		parallel((o+nr-1)/nr, func(pi int, _ *scratch) {
			panel := w.data[pi*w.size:][:w.size]
			half := halves(panel)
			for j := range min(nr, o-pi*nr) {
				row := out[(pi*nr+j)*i*taps:][:i*taps]
				for c := range i {
					for tap := range taps {
						if key.format == pairs {
							row[c*taps+tap] = math.Float32frombits(uint32(half[((tap*words+c/2)*nr+j)*2+c%2]) << 16)
						} else {
							row[c*taps+tap] = panel[(tap*words+c)*nr+j]
						}
					}
				}
			}
		})
		return out
	}
	panic("tensor: a tensor without elements")
}
