//go:build amd64 && !noasm

package asm

import (
	"math"
	"os"
	"sync"
	"unsafe"

	"github.com/klauspost/cpuid/v2"
)

// Products of bfloat16 on the tile unit (AMX). Eight tile registers hold 16 rows of 64 bytes each; TDPBF16PS adds the
// product of a tile of A (16 rows of 16 pairs) and one of B (16 pairs of 16 columns) to a tile of float32. Four tiles
// of C, two of A and two of B make a block of 32 x 32. A is loaded as it lies, B from the panels of 32 columns.

// amxBlock is the height of a block; amxRows, the height of a Tile, is some of them: a part of B that
// stays in the L1 cache then serves them all.
const (
	amxBlock = 32
	amxRows  = 4 * amxBlock
	amxDepth = 16 // pairs that one step multiplies
)

// amxJob is what a kernel reads: C = or += the products of steps x segs x parts tiles, in that order of loops, for
// blocks of rows on some lines. aPart, aSeg and aStep are added to the address in A behind each round of the inner,
// middle and outer loop, aBlock and cBlock behind a block, aLine and cLine behind the last of a line. The second tile
// of A and those of C lie aHalf and cHalf behind the first. The kernel changes a, c, left and lines.
type amxJob struct {
	config             *[64]byte
	a, b, c, bias      unsafe.Pointer
	aRow, cRow         int
	aHalf, cHalf       int
	aBlock, cBlock     int
	aLine, cLine       int
	accumulate         int
	blocks, lines      int
	left               int // blocks of the line
	steps, segs, parts int
	aPart, aSeg, aStep int
	bPart, bSeg, bStep int
	aLow, bLow         int // from the high to the low halves
}

// amxCeiling multiplies tiles of its own, whose rows are those of 64 bytes at a and b:
//
//	for range rounds {
//		for n := range 4 {
//			acc[n] += a x b // tiles [16][16][2] of bfloat16, to [16][16] of float32
//		}
//	}
//
//go:noescape
func amxCeiling(config, a, b *[64]byte, rounds int)

// The kernels of a job have one loop, with tiles of bfloat16 [rows][16][2] for A and [16][2][32] for B (a last step
// may have fewer than 16 pairs):
//
//	for block := range j.lines * j.blocks { // of rows of C
//		c := *j.c or bias or 0 // [rows][32] of float32
//		a, b := j.a, j.b
//		for range j.steps {
//			for range j.segs {
//				for range j.parts {
//					c += a x b
//					a, b = a+j.aPart, b+j.bPart
//				}
//				a, b = a+j.aSeg, b+j.bSeg
//			}
//			a, b = a+j.aStep, b+j.bStep
//		}
//		*j.c = c
//		if (block+1)%j.blocks > 0 {
//			j.a, j.c = j.a+j.aBlock, j.c+j.cBlock
//		} else {
//			j.a, j.c = j.a+j.aLine, j.c+j.cLine
//		}
//	}
//
// Names end in 1 for blocks of up to 16 rows, in 2 for up to 32. In amxStreamA, A passes and B is expected in the L1
// cache; in amxStreamB the other way round. In amxSplit a product is three: of the high halves at a and b, and of each
// with the other's low half, at a+aLow and b+bLow.

// amxStreamA1 computes the loop above.
//
//go:noescape
func amxStreamA1(j *amxJob)

// amxStreamA2 computes the loop above.
//
//go:noescape
func amxStreamA2(j *amxJob)

// amxStreamB1 computes the loop above.
//
//go:noescape
func amxStreamB1(j *amxJob)

// amxStreamB2 computes the loop above.
//
//go:noescape
func amxStreamB2(j *amxJob)

// amxSplit1 computes the loop above.
//
//go:noescape
func amxSplit1(j *amxJob)

// amxSplit2 computes the loop above.
//
//go:noescape
func amxSplit2(j *amxJob)

// amxConfigs are tile configurations by rows of the first and the second tiles of C and pairs of a step.
var amxConfigs [amxBlock/2 + 1][amxBlock/2 + 1][amxDepth + 1][64]byte

func fillAMXConfigs() {
	for first := 1; first <= amxBlock/2; first++ {
		for second := range amxBlock/2 + 1 {
			for pairs := 1; pairs <= amxDepth; pairs++ {
				cfg := &amxConfigs[first][second][pairs]
				cfg[0] = 1 // the palette
				tile := func(i, rows, bytes int) {
					if rows > 0 {
						cfg[16+2*i], cfg[48+i] = byte(bytes), byte(rows)
					}
				}
				for i, n := range [2]int{first, second} {
					tile(2*i, n, 64)
					tile(2*i+1, n, 64)
					tile(4+i, n, 4*pairs)
					tile(6+i, pairs, 64)
				}
			}
		}
	}
}

func amxPairs(t *Tile, m int) { amxRun(t, m, false) }

func amxSplit(t *Tile, m int) { amxRun(t, m, true) }

// amxRun cuts a tile product into calls of the kernels: K into whole steps and the rest, rows into
// blocks and the rest, and all so that a call is short, because the garbage collector waits for it.
func amxRun(t *Tile, m int, split bool) {
	const (
		longest = 1024 // products of tiles a call, about 20 us at full speed
		tall    = amxBlock / 2
	)
	parts, k := max(1, t.Parts), t.K
	words := k / parts // of a part
	if split {
		k = words / 2 // of its high half
	} else if words%amxDepth == 0 {
		k = words
	} else {
		parts, words = 1, k
	}
	j := amxJob{a: t.A, b: t.B, c: t.C, bias: t.Bias, aRow: t.ARow, cRow: t.CRow, accumulate: t.Accumulate,
		aBlock: amxBlock * t.ARow, cBlock: amxBlock * t.CRow, segs: t.Segs, parts: parts,
		aPart: 4 * words, aSeg: t.ASeg - parts*4*words, aStep: 4*amxDepth - t.Segs*t.ASeg,
		bPart: 128 * words, bSeg: 0, bStep: 128*amxDepth - t.Segs*parts*128*words,
		aLow: 4 * k, bLow: 128 * k}
	if t.APart > 0 {
		j.aPart, j.aSeg, j.bSeg = t.APart, t.ASeg-parts*t.APart, t.BSeg-parts*j.bPart
		j.bStep = 128*amxDepth - t.Segs*t.BSeg
	}
	// Either a part of B stays in L1 while blocks of A pass, or, in a convolution, the input under a block stays,
	// whose windows overlap, while B passes.
	around := parts * t.Segs
	streamA := around == 1 && m > amxBlock
	chunk := max(1, longest/around)
	if streamA {
		chunk = 16
	}
	if split {
		chunk = max(1, chunk/2)
	}
	lines := max(1, t.Lines)
	for first := 0; first < k; {
		j.steps = min(chunk, (k-first)/amxDepth)
		depth := amxDepth
		if j.steps == 0 {
			j.steps, depth = 1, k-first
		}
		j.b = unsafe.Add(t.B, 128*first)
		limit := max(1, longest/(around*j.steps)) // of blocks in a call
		for r := 0; r < m; {
			top, n := min(m-r, tall), 1
			low := min(m-r-top, tall)
			if low == tall {
				n = min((m-r)/amxBlock, limit)
			}
			two := low == 0 && lines > 1 // a block is of two lines
			for line := 0; line < lines; {
				step := 1
				j.aHalf, j.cHalf = tall*t.ARow, tall*t.CRow
				if two && line+1 < lines {
					low, step, j.aHalf, j.cHalf = top, 2, t.ALine, t.CLine
				} else if two {
					low = 0
				}
				j.lines = min((lines-line)/step, max(1, limit/n))
				j.blocks, j.left = n, n
				j.aLine, j.cLine = step*t.ALine-(n-1)*j.aBlock, step*t.CLine-(n-1)*j.cBlock
				j.a = unsafe.Add(t.A, line*t.ALine+r*t.ARow+4*first)
				j.c = unsafe.Add(t.C, line*t.CLine+r*t.CRow)
				j.config = &amxConfigs[top][low][depth]
				line += j.lines * step
				j.run(low > 0, split, streamA)
			}
			r += n * amxBlock
		}
		first += j.steps * depth
		j.accumulate = 1
	}
}

// run calls the kernel by height, number format and the operand that streams. It names each, where a table of
// functions would be shorter: what a call through a variable is given, the compiler puts on the heap.
func (j *amxJob) run(tall, split, streamA bool) {
	switch {
	case split && tall:
		amxSplit2(j)
	case split:
		amxSplit1(j)
	case streamA && tall:
		amxStreamA2(j)
	case streamA:
		amxStreamA1(j)
	case tall:
		amxStreamB2(j)
	default:
		amxStreamB1(j)
	}
}

// hasAMX tells whether the tile unit is there, may be used, and multiplies as it should: a machine
// that none of this was ever tried on falls back to AVX-512.
var hasAMX = sync.OnceValue(func() bool {
	// See internal/amxemu: without it the variable leads to a question that the system answers with no.
	emulated := os.Getenv("PSLD_AMX_EMULATED") == "1"
	if !emulated && !cpuid.CPU.Supports(cpuid.AMXTILE, cpuid.AMXBF16) {
		return false
	}
	if !permitTiles() {
		return false
	}
	fillAMXConfigs()
	return testAMX(false) && testAMX(true)
})

// testAMX multiplies small whole numbers, whose sums are exact in any order, by the paths of amxRun.
func testAMX(split bool) bool {
	const m, parts, segs = 2*amxBlock + 19, 2, 2
	for _, half := range []int{5, 2*amxDepth + 5, 2 * amxDepth} { // pairs of a part, or of its high half
		words := half
		if split {
			words *= 2
		}
		k := parts * words
		a, b := make([]uint32, m*segs*k), make([]uint32, segs*k*32)
		number := func(x int) uint32 { return math.Float32bits(float32(x%7-3)) >> 16 }
		for i := range a {
			a[i] = number(i*i+i/5) | number(3*i+i/11)<<16
		}
		for i := range b {
			b[i] = number(i*5+i/13) | number(i*i+i/3)<<16
		}
		value := func(v uint32) (even, odd float32) {
			return math.Float32frombits(v << 16), math.Float32frombits(v &^ 0xffff)
		}
		c := make([]float32, m*32)
		t := Tile{A: unsafe.Pointer(&a[0]), B: unsafe.Pointer(&b[0]), C: unsafe.Pointer(&c[0]),
			ARow: 4 * segs * k, ASeg: 4 * k, CRow: 4 * 32, Segs: segs, K: k, Parts: parts}
		amxRun(&t, m, split)
		for i := range m {
			for n := range 32 {
				var sum float32
				for at := range segs * k {
					a0, a1 := value(a[i*segs*k+at])
					add := func(at int) {
						b0, b1 := value(b[at*32+n])
						sum += a0*b0 + a1*b1
					}
					switch {
					case !split:
						add(at)
					case at%words < half: // a high half times both
						add(at)
						add(at + half)
					default: // a low half
						add(at - half)
					}
				}
				if c[i*32+n] != sum {
					return false
				}
			}
		}
	}
	return true
}
