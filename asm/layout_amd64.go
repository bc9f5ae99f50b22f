//go:build amd64 && !noasm

package asm

//go:noescape
func transpose8AVX2(dst, src *float32, ldd, lds, n int)

//go:noescape
func splitAVX2(even, odd, words *float32, n int)

//go:noescape
func joinAVX2(words, even, odd *float32, n int)

//go:noescape
func crossAVX2(dst, src *float32, width, n int)

var layoutAVX2 = layoutKernels{transpose8: transpose8AVX2, split: splitAVX2, join: joinAVX2, cross: crossAVX2}

// Moves are bound by loads and stores: wider vectors would gain nothing.
var layoutTiers = [...]*layoutKernels{Generic: &layoutGeneric, AVX2: &layoutAVX2, AVX512: &layoutAVX2}
