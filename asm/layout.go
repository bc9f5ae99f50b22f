package asm

// layoutKernels of one tier move numbers without changing them.
type layoutKernels struct {
	// transpose8: dst[j*ldd+i] = src[i*lds+j] for i < 8 and j < 8*n; strides in elements.
	transpose8 func(dst, src *float32, ldd, lds, n int)
	split      func(even, odd, words *float32, n int) // n a positive multiple of 8
	join       func(words, even, odd *float32, n int)
	cross      func(dst, src *float32, width, n int) // width a positive multiple of 8, n rows of dst
}

var layout *layoutKernels

// Transpose writes the transpose of src (rows x cols, rows lds apart) to dst (cols x rows, rows ldd
// apart). It is quick for squares of 8.
//
//	for r := range rows {
//		for c := range cols {
//			dst[c*ldd+r] = src[r*lds+c]
//		}
//	}
func Transpose(dst, src []float32, rows, cols, ldd, lds int) {
	if rows < 1 || cols < 1 {
		return
	}
	_, _ = dst[(cols-1)*ldd+rows-1], src[(rows-1)*lds+cols-1]
	r8, c8 := rows&^7, cols&^7
	for i := 0; i < r8 && c8 > 0; i += 8 {
		layout.transpose8(&dst[i], &src[i*lds], ldd, lds, c8/8)
	}
	for r := range rows {
		from := c8
		if r >= r8 {
			from = 0
		}
		for c := from; c < cols; c++ {
			dst[c*ldd+r] = src[r*lds+c]
		}
	}
}

// SplitPairs separates words of two bfloat16 each into two rows of float32. All have the same length, a
// positive multiple of 8.
//
//	for i, w := range words {
//		even[i] = math.Float32frombits(math.Float32bits(w) << 16)
//		odd[i] = math.Float32frombits(math.Float32bits(w) &^ 0xffff)
//	}
func SplitPairs(even, odd, words []float32) {
	same("SplitPairs", len(words), len(even), len(odd))
	multipleOf8("SplitPairs", len(words))
	layout.split(&even[0], &odd[0], &words[0], len(words))
}

// JoinPairs is the reverse of [SplitPairs]: it takes the upper halves of float32 numbers, without rounding.
//
//	for i := range words {
//		e, o := math.Float32bits(even[i]), math.Float32bits(odd[i])
//		words[i] = math.Float32frombits(e>>16 | o&^0xffff)
//	}
func JoinPairs(words, even, odd []float32) {
	same("JoinPairs", len(words), len(even), len(odd))
	multipleOf8("JoinPairs", len(words))
	layout.join(&words[0], &even[0], &odd[0], len(words))
}

// CrossPairs turns pairs of bfloat16 into pairs across them: words a and b at a place of two neighbouring rows of
// src, rows width long, become the words (lower a, lower b) and (upper a, upper b), neighbours in a row of dst,
// rows 2*width long. Together with [Transpose] it transposes a matrix of bfloat16. width is a positive multiple of
// 8.
//
//	for r := 0; r < len(src)/width; r += 2 {
//		for j := range width {
//			a, b := src[r*width+j], src[(r+1)*width+j] // each [2]uint16
//			dst[r*width+2*j], dst[r*width+2*j+1] = {a[0], b[0]}, {a[1], b[1]}
//		}
//	}
func CrossPairs(dst, src []float32, width int) {
	multipleOf8("CrossPairs", width)
	same("CrossPairs", len(dst), len(src))
	if len(src)%(2*width) != 0 || len(src) == 0 {
		panic("asm: CrossPairs: not pairs of rows")
	}
	layout.cross(&dst[0], &src[0], width, len(src)/(2*width))
}

func multipleOf8(name string, n int) {
	if n < 8 || n%8 != 0 {
		panic("asm: " + name + ": length is not a multiple of 8")
	}
}
