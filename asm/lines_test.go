package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// TestPairsLines compares products on several lines, whose runs may lie apart, with the plain loops. The factors are
// small whole numbers, whose sums are exact.
func TestPairsLines(t *testing.T) {
	for _, tier := range Available() {
		t.Run(tier.String(), func(t *testing.T) {
			defer Use(Use(tier))
			if !HasPairs() {
				t.Skip("this tier multiplies no bfloat16")
			}
			r := rand.New(rand.NewPCG(5, 6))
			for _, m := range []int{1, 4, 14, 15, 16, 17, 32, 40, 48, 64, 80} {
				for lines := range 6 {
					for _, apart := range []bool{false, true} {
						if m <= PairsMR() {
							t.Run(fmt.Sprint(m, lines, apart), func(t *testing.T) { checkLines(t, r, m, lines, apart) })
						}
					}
				}
			}
		})
	}
}

func checkLines(t *testing.T, r *rand.Rand, m, lines int, apart bool) {
	const segs, parts, words = 3, 2, 16
	const row, seg, line = 40, 7, 1700 // of A, in words
	const bSeg, guard = 37 * 32, 1.5   // apart: runs of B overlap nothing, and have a gap behind them
	nr := NR()
	a, b := make([]uint32, 6*line+80*row+8192), make([]uint32, segs*bSeg*2)
	for _, x := range [][]uint32{a, b} {
		for i := range x {
			x[i] = math.Float32bits(float32(r.IntN(7)-3))>>16 | math.Float32bits(float32(r.IntN(7)-3))&^0xffff
		}
	}
	cRow, cLine := nr+3, 81*(nr+3)
	c := make([]float32, 7*cLine)
	for i := range c {
		c[i] = guard
	}
	tile := Tile{A: unsafe.Pointer(&a[0]), B: unsafe.Pointer(&b[0]), C: unsafe.Pointer(&c[0]), ARow: 4 * row,
		ASeg: 4 * seg, CRow: 4 * cRow, Segs: segs, K: parts * words, Parts: parts, Accumulate: 1,
		Lines: lines, ALine: 4 * line, CLine: 4 * cLine}
	aPart, bNext := words, parts*words*nr
	if apart {
		aPart, bNext = 4096, bSeg
		tile.APart, tile.BSeg = 4*aPart, 4*bSeg
	}
	before := tile
	tile.RunPairs(m)
	if tile != before {
		t.Errorf("the tile has changed: %+v, was %+v", tile, before)
	}
	low := func(w uint32) float64 { return float64(math.Float32frombits(w << 16)) }
	high := func(w uint32) float64 { return float64(math.Float32frombits(w &^ 0xffff)) }
	for i, got := range c {
		l, y, x := i/cLine, i%cLine/cRow, i%cRow
		want := guard
		if l < max(1, lines) && y < m && i%cLine < m*cRow && x < nr {
			for k := range segs * parts * words {
				s, p, w := k/(parts*words), k/words%parts, k%words
				u, v := a[l*line+y*row+s*seg+p*aPart+w], b[s*bNext+(p*words+w)*nr+x]
				want += low(u)*low(v) + high(u)*high(v)
			}
		}
		if float64(got) != want {
			t.Fatalf("line %d, row %d, column %d: %v, want %v", l, y, x, got, want)
		}
	}
}
