//go:build ignore

// Command gemm writes gemm_amd64.s: the register-blocked matrix-product
// micro-kernels. Run it by `go generate ./asm`.
//
// A tile of C (m rows, two vectors wide) stays in registers while k runs over
// all segments. Two forms exist:
//
//	N: C[i][j] += A[i*ARow + k*4]    * B[k*(two vectors) + j]   A row-major, B packed
//	T: C[i][j] += A[i*4 + k*ACol]    * B[k*BRow + j]            A transposed, B strided
//
// The tier of pairs multiplies bfloat16: there k counts pairs, and a column of
// B holds one pair for each k.
//
// See Tile in gemm.go for the meaning of the fields.
package main

import (
	"bytes"
	"fmt"
	"os"
)

type isa struct {
	tier  string
	reg   string // vector register letter
	bytes int    // bytes per vector
	rows  int    // largest m
	b     [2]int // registers of the B row
	bc    [2]int // registers of the broadcast A element, used in turn
	move  string // unaligned vector move
	zero  string
	pairs bool // every 4 bytes are two bfloat16; form N only
}

// Byte offsets of the fields of Tile.
const (
	fA = iota * 8
	fB
	fC
	fBias
	fARow
	fACol
	fASeg
	fBRow
	fBSeg
	fCRow
	fSegs
	fK
	fAccumulate
)

var buf bytes.Buffer

func p(format string, a ...any) { fmt.Fprintf(&buf, format+"\n", a...) }

// bases point at rows 0, 3, 6, ...; the rows between are base+ARow and base+2*ARow.
var bases = []string{"SI", "DI", "R8", "R9", "R10"}

func (s isa) forms() []string {
	if s.pairs {
		return []string{"N"}
	}
	return []string{"N", "T"}
}

func (s isa) v(i int) string { return fmt.Sprintf("%s%d", s.reg, i) }

func (s isa) kernel(form string, m int) {
	p("// func gemm%s%s%d(t *Tile)", form, s.tier, m)
	p("TEXT ·gemm%s%s%d(SB), NOSPLIT, $0-8", form, s.tier, m)
	p("\tMOVQ t+0(FP), AX")
	p("\tMOVQ %d(AX), BX // B", fB)
	p("\tMOVQ %d(AX), DX // C", fC)
	p("\tMOVQ %d(AX), R12", fCRow)
	p("\tCMPQ %d(AX), $0", fAccumulate)
	p("\tJEQ  bias")
	for i := 0; i < m; i++ {
		p("\t%s (DX), %s", s.move, s.v(2*i))
		p("\t%s %d(DX), %s", s.move, s.bytes, s.v(2*i+1))
		if i < m-1 {
			p("\tADDQ R12, DX")
		}
	}
	p("\tJMP  start")
	p("bias:")
	p("\tMOVQ %d(AX), CX", fBias)
	p("\tTESTQ CX, CX")
	p("\tJEQ  zero")
	p("\t%s (CX), %s", s.move, s.v(0))
	p("\t%s %d(CX), %s", s.move, s.bytes, s.v(1))
	for i := 1; i < m; i++ {
		p("\tVMOVAPS %s, %s", s.v(0), s.v(2*i))
		p("\tVMOVAPS %s, %s", s.v(1), s.v(2*i+1))
	}
	p("\tJMP  start")
	p("zero:")
	for i := 0; i < 2*m; i++ {
		p("\t%s %s, %s, %s", s.zero, s.v(i), s.v(i), s.v(i))
	}
	p("start:")
	p("\tMOVQ %d(AX), SI // A", fA)
	p("\tMOVQ %d(AX), DX", fSegs)
	p("\tMOVQ %d(AX), R13", fK)
	if form == "N" {
		s.loopN(m)
	} else {
		s.loopT(m)
	}
	p("\tMOVQ %d(AX), DX", fC)
	p("\tMOVQ %d(AX), R12", fCRow)
	for i := 0; i < m; i++ {
		p("\t%s %s, (DX)", s.move, s.v(2*i))
		p("\t%s %s, %d(DX)", s.move, s.v(2*i+1), s.bytes)
		if i < m-1 {
			p("\tADDQ R12, DX")
		}
	}
	p("\tVZEROUPPER")
	p("\tRET\n")
}

// step multiplies one k: the B row at BX+bOff with the m elements of A.
func (s isa) step(m, bOff int, a func(i int) string) {
	p("\t%s %d(BX), %s", s.move, bOff, s.v(s.b[0]))
	p("\t%s %d(BX), %s", s.move, bOff+s.bytes, s.v(s.b[1]))
	for i := 0; i < m; i++ {
		bc := s.v(s.bc[i%2])
		p("\tVBROADCASTSS %s, %s", a(i), bc)
		s.multiplyAdd(s.bc[i%2], s.b[0], 2*i)
		s.multiplyAdd(s.bc[i%2], s.b[1], 2*i+1)
	}
}

// multiplyAdd adds the products of registers a and b to acc.
func (s isa) multiplyAdd(a, b, acc int) {
	if !s.pairs {
		p("\tVFMADD231PS %s, %s, %s", s.v(b), s.v(a), s.v(acc))
		return
	}
	// The assembler lacks VDPBF16PS: EVEX.512.F3.0F38.W0 52 /r. Register
	// numbers have bits 3 and 4 in the prefix, inverted.
	not := func(v, bit int) int { return 1 - v>>bit&1 }
	p("\tBYTE $0x62; BYTE $%#02x; BYTE $%#02x; BYTE $%#02x; BYTE $0x52; BYTE $%#02x // VDPBF16PS Z%d, Z%d, Z%d",
		not(acc, 3)<<7|not(b, 4)<<6|not(b, 3)<<5|not(acc, 4)<<4|2,
		(^a&15)<<3|4|2,
		0x40|not(a, 4)<<3,
		0xc0|acc&7<<3|b&7, b, a, acc)
}

func (s isa) loopN(m int) {
	used := (m + 2) / 3
	p("\tMOVQ %d(AX), R11 // ARow", fARow)
	if used > 1 {
		p("\tLEAQ (R11)(R11*2), R12")
	}
	for i := 1; i < used; i++ {
		p("\tLEAQ (%s)(R12*1), %s", bases[i-1], bases[i])
	}
	p("\tMOVQ %d(AX), R12 // step from the end of a segment to the next", fASeg)
	p("\tLEAQ (R13*4), CX")
	p("\tSUBQ CX, R12")
	row := func(i, k int) string {
		return fmt.Sprintf("%d(%s)%s", 4*k, bases[i/3], []string{"", "(R11*1)", "(R11*2)"}[i%3])
	}
	p("segment:")
	p("\tMOVQ R13, CX")
	p("\tSHRQ $2, CX")
	p("\tJEQ  rest")
	p("four:")
	for k := 0; k < 4; k++ {
		s.step(m, 2*s.bytes*k, func(i int) string { return row(i, k) })
	}
	for i := 0; i < used; i++ {
		p("\tADDQ $16, %s", bases[i])
	}
	p("\tADDQ $%d, BX", 8*s.bytes)
	p("\tDECQ CX")
	p("\tJNE  four")
	p("rest:")
	p("\tMOVQ R13, CX")
	p("\tANDQ $3, CX")
	p("\tJEQ  next")
	p("one:")
	s.step(m, 0, func(i int) string { return row(i, 0) })
	for i := 0; i < used; i++ {
		p("\tADDQ $4, %s", bases[i])
	}
	p("\tADDQ $%d, BX", 2*s.bytes)
	p("\tDECQ CX")
	p("\tJNE  one")
	p("next:")
	for i := 0; i < used; i++ {
		p("\tADDQ R12, %s", bases[i])
	}
	p("\tDECQ DX")
	p("\tJNE  segment")
}

func (s isa) loopT(m int) {
	p("\tMOVQ %d(AX), R8 // ACol", fACol)
	p("\tMOVQ %d(AX), R9 // BRow", fBRow)
	p("\tMOVQ %d(AX), R10", fASeg)
	p("\tMOVQ %d(AX), R11", fBSeg)
	p("\tMOVQ R8, CX")
	p("\tIMULQ R13, CX")
	p("\tSUBQ CX, R10 // step from the end of a segment of A to the next")
	p("\tMOVQ R9, CX")
	p("\tIMULQ R13, CX")
	p("\tSUBQ CX, R11")
	p("segment:")
	p("\tMOVQ R13, CX")
	p("one:")
	s.step(m, 0, func(i int) string { return fmt.Sprintf("%d(SI)", 4*i) })
	p("\tADDQ R8, SI")
	p("\tADDQ R9, BX")
	p("\tDECQ CX")
	p("\tJNE  one")
	p("\tADDQ R10, SI")
	p("\tADDQ R11, BX")
	p("\tDECQ DX")
	p("\tJNE  segment")
}

func main() {
	p("// Code generated by gen/gemm.go; DO NOT EDIT.\n")
	p("//go:build amd64 && !noasm\n")
	p("#include \"textflag.h\"\n")
	tiers := []isa{
		{"AVX512", "Z", 64, 14, [2]int{28, 29}, [2]int{30, 31}, "VMOVUPS", "VPXORQ", false},
		{"AVX2", "Y", 32, 6, [2]int{12, 13}, [2]int{14, 15}, "VMOVUPS", "VXORPS", false},
		{"BF16", "Z", 64, 14, [2]int{28, 29}, [2]int{30, 31}, "VMOVUPS", "VPXORQ", true},
	}
	for _, s := range tiers {
		for _, form := range s.forms() {
			for m := 1; m <= s.rows; m++ {
				s.kernel(form, m)
			}
		}
	}
	must(os.WriteFile("gemm_amd64.s", buf.Bytes(), 0o644))

	buf.Reset()
	p("// Code generated by gen/gemm.go; DO NOT EDIT.\n")
	p("//go:build amd64 && !noasm\n")
	p("package asm\n")
	for _, s := range tiers {
		for _, form := range s.forms() {
			for m := 1; m <= s.rows; m++ {
				base := "gemm" + form
				if s.pairs {
					base = "gemmBF16"
				}
				p("%s", declaration(base, fmt.Sprintf("gemm%s%s%d", form, s.tier, m), "(t *Tile)", m))
			}
		}
	}
	for _, s := range tiers {
		for _, form := range s.forms() {
			p("var gemm%s%s = [...]func(*Tile){nil,", form, s.tier)
			for m := 1; m <= s.rows; m++ {
				p("\tgemm%s%s%d,", form, s.tier, m)
			}
			p("}\n")
		}
	}
	p("func pairsBF16(t *Tile, m int) { runParts(gemmNBF16[m], t) }\n")
	p("var gemmTiers = [...]*gemmKernels{")
	p("\tGeneric: &gemmGeneric,")
	for _, s := range tiers {
		if !s.pairs {
			p("\t%s: {mr: %d, nr: %d, n: gemmN%s[:], t: gemmT%s[:]},", s.tier, s.rows, s.bytes/2, s.tier, s.tier)
		}
	}
	p("\tAVX512BF16: {mr: 14, nr: 32, n: gemmNAVX512[:], t: gemmTAVX512[:], pairs: pairsBF16, pairsMR: 14},")
	p("\tAMX: {mr: 14, nr: 32, n: gemmNAVX512[:], t: gemmTAVX512[:], pairs: amxPairs, split: amxSplit,\n" +
		"\t\tpairsMR: amxRows},")
	p("}")
	must(os.WriteFile("gemm_amd64.go", buf.Bytes(), 0o644))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
