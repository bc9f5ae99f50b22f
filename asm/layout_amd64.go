//go:build amd64 && !noasm

package asm

// transpose8AVX2 computes
//
//	for i := range 8 {
//		for j := range 8 * n {
//			dst[j*ldd+i] = src[i*lds+j]
//		}
//	}
//
//go:noescape
func transpose8AVX2(dst, src *float32, ldd, lds, n int)

// splitAVX2 computes
//
//	for i := range n { // words are [2]uint16
//		even[i] = bfloat16ToFloat32(words[i][0])
//		odd[i] = bfloat16ToFloat32(words[i][1])
//	}
//
//go:noescape
func splitAVX2(even, odd, words *float32, n int)

// joinAVX2 computes
//
//	for i := range n { // words are [2]uint16
//		words[i][0] = uint16(math.Float32bits(even[i]) >> 16)
//		words[i][1] = uint16(math.Float32bits(odd[i]) >> 16)
//	}
//
//go:noescape
func joinAVX2(words, even, odd *float32, n int)

// crossAVX2 computes
//
//	for r := range n {
//		for j := range width { // words are [2]uint16
//			a, b := src[2*r*width+j], src[(2*r+1)*width+j]
//			dst[2*(r*width+j)] = [2]uint16{a[0], b[0]}
//			dst[2*(r*width+j)+1] = [2]uint16{a[1], b[1]}
//		}
//	}
//
//go:noescape
func crossAVX2(dst, src *float32, width, n int)

var layoutAVX2 = layoutKernels{transpose8: transpose8AVX2, split: splitAVX2, join: joinAVX2, cross: crossAVX2}

// Moves are bound by loads and stores: wider vectors would gain nothing.
var layoutTiers = [...]*layoutKernels{Generic: &layoutGeneric, AVX2: &layoutAVX2, AVX512: &layoutAVX2}
