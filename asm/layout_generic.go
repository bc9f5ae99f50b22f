package asm

import (
	"math"
	"unsafe"
)

var layoutGeneric = layoutKernels{
	transpose8: func(dst, src *float32, ldd, lds, n int) {
		d, s := unsafe.Slice(dst, (8*n-1)*ldd+8), unsafe.Slice(src, 7*lds+8*n)
		for j := range 8 * n {
			row := d[j*ldd:][:8]
			for i := range row {
				row[i] = s[i*lds+j]
			}
		}
	},
	split: func(even, odd, words *float32, n int) {
		e, o := unsafe.Slice(even, n), unsafe.Slice(odd, n)
		for i, w := range unsafe.Slice(words, n) {
			b := math.Float32bits(w)
			e[i], o[i] = math.Float32frombits(b<<16), math.Float32frombits(b&^0xffff)
		}
	},
	cross: func(dst, src *float32, width, n int) {
		d, s := unsafe.Slice(dst, 2*width*n), unsafe.Slice(src, 2*width*n)
		for r := 0; r < len(s); r += 2 * width {
			for i := range width {
				a, b := math.Float32bits(s[r+i]), math.Float32bits(s[r+width+i])
				d[r+2*i] = math.Float32frombits(a&0xffff | b<<16)
				d[r+2*i+1] = math.Float32frombits(a>>16 | b&^0xffff)
			}
		}
	},
	join: func(words, even, odd *float32, n int) {
		w, o := unsafe.Slice(words, n), unsafe.Slice(odd, n)
		for i, e := range unsafe.Slice(even, n) {
			w[i] = math.Float32frombits(math.Float32bits(e)>>16 | math.Float32bits(o[i])&^0xffff)
		}
	},
}
