//go:build ignore

// Command amx writes amx_amd64.s: the matrix products of the tier amx, on tiles. Run it by `go generate ./asm`.
//
// Go's assembler knows no AMX, so that instructions are bytes here; the encodings are from Intel's Software
// Developer's Manual, volume 2, and the test of internal/amxemu holds them against a disassembler.
//
// A function has the tiles configured from its first instruction to its last and is never preempted between: Go
// preempts no assembly, and the kernel saves tiles when a signal comes.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

var buf bytes.Buffer

func p(format string, a ...any) { fmt.Fprintf(&buf, format+"\n", a...) }

// Byte offsets of the fields of amxJob.
const (
	fConfig = iota * 8
	fA
	fB
	fC
	fBias
	fARow
	fCRow
	fAHalf
	fCHalf
	fABlock
	fCBlock
	fALine
	fCLine
	fAccumulate
	fBlocks
	fLines
	fLeft
	fSteps
	fSegs
	fParts
	fAPart
	fASeg
	fAStep
	fBPart
	fBSeg
	fBStep
	fALow
	fBLow
)

var number = map[string]int{"AX": 0, "CX": 1, "DX": 2, "BX": 3, "SI": 6, "DI": 7,
	"R8": 8, "R9": 9, "R10": 10, "R11": 11, "R12": 12, "R13": 13}

func emit(text string, code ...int) {
	b := make([]string, len(code))
	for i, c := range code {
		b[i] = fmt.Sprintf("BYTE $%#02x", c)
	}
	p("\t%s // %s", strings.Join(b, "; "), text)
}

// The last two bits of the third byte of the VEX prefix tell instructions of one opcode apart.
const (
	hinted = 1 // TILELOADDT1: a load of what will not be used again soon
	store  = 2
	load   = 3
)

// move emits a load or store of a tile whose rows lie at base+disp, stride apart.
func move(kind, tile int, base, stride string, disp int) {
	b, s := number[base], number[stride]
	name := map[int]string{hinted: "TILELOADDT1", load: "TILELOADD", store: "TILESTORED"}[kind]
	code := []int{0xc4, 0x82 | (1-s>>3)<<6 | (1-b>>3)<<5, 0x78 | kind, 0x4b, 4 | tile<<3, s&7<<3 | b&7}
	if disp != 0 {
		code[4] |= 0x40
		code = append(code, disp)
	}
	emit(fmt.Sprintf("%s %d(%s)(%s*1), TMM%d", name, disp, base, stride, tile), code...)
}

func zero(tile int) { emit(fmt.Sprintf("TILEZERO TMM%d", tile), 0xc4, 0xe2, 0x7b, 0x49, 0xc0|tile<<3) }

func multiplyAdd(c, a, b int) {
	emit(fmt.Sprintf("TDPBF16PS TMM%d += TMM%d * TMM%d", c, a, b), 0xc4, 0xe2, 0x42|(7-b)<<3, 0x5c, 0xc0|c<<3|a)
}

// kernel writes a product with C of high x 2 tiles in TMM0 to TMM3; tiles of A are TMM4 and TMM5, of B
// TMM6 and TMM7.
//
// AX job, BX B, DX C, SI A, DI scratch, R8 bytes between rows of A, R9 those of B (R8, R9 of C outside of the
// loop), R10, R11, CX counters, R12 from A's first tile to its second, R13 from the high to the low halves of A.
func kernel(name string, high int, split bool, a, b int) {
	p("// func %s(j *amxJob)", name)
	p("TEXT ·%s(SB), NOSPLIT, $0-8", name)
	p("\tMOVQ j+0(FP), AX")
	p("\tMOVQ %d(AX), CX", fConfig)
	emit("LDTILECFG (CX)", 0xc4, 0xe2, 0x78, 0x49, 0x01)
	p("block:")
	p("\tMOVQ %d(AX), DX // C", fC)
	tilesOfC := func(kind int) {
		p("\tMOVQ %d(AX), R9", fCRow)
		for i := 0; i < high; i++ {
			if i == 1 {
				p("\tADDQ %d(AX), DX", fCHalf)
			}
			move(kind, 2*i, "DX", "R9", 0)
			move(kind, 2*i+1, "DX", "R9", 64)
		}
	}
	p("\tCMPQ %d(AX), $0", fAccumulate)
	p("\tJEQ  bias")
	tilesOfC(load)
	p("\tJMP  start")
	p("bias:")
	p("\tMOVQ %d(AX), CX", fBias)
	p("\tTESTQ CX, CX")
	p("\tJEQ  zero")
	p("\tXORL R10, R10 // every row is the same")
	for i := 0; i < 2*high; i++ {
		move(load, i, "CX", "R10", 64*(i%2))
	}
	p("\tJMP  start")
	p("zero:")
	for i := 0; i < 2*high; i++ {
		zero(i)
	}
	p("start:")
	p("\tMOVQ %d(AX), SI // A", fA)
	p("\tMOVQ %d(AX), BX // B", fB)
	p("\tMOVQ %d(AX), R8", fARow)
	p("\tMOVQ $128, R9")
	p("\tMOVQ %d(AX), R12", fAHalf)
	if split {
		p("\tMOVQ %d(AX), R13", fALow)
	}
	p("\tMOVQ %d(AX), R11", fSteps)
	p("step:")
	p("\tMOVQ %d(AX), R10", fSegs)
	p("segment:")
	p("\tMOVQ %d(AX), CX", fParts)
	p("part:")
	if split {
		// Low * high and high * low halves, then high * high, with few loads.
		loadA := func(from string) {
			move(a, 4, from, "R8", 0)
			if high == 2 {
				p("\tLEAQ (%s)(R12*1), DI", from)
				move(a, 5, "DI", "R8", 0)
			}
		}
		loadB := func(from string) {
			move(b, 6, from, "R9", 0)
			move(b, 7, from, "R9", 64)
		}
		products := func() {
			for i := 0; i < high; i++ {
				multiplyAdd(2*i, 4+i, 6)
				multiplyAdd(2*i+1, 4+i, 7)
			}
		}
		p("\tLEAQ (SI)(R13*1), DI")
		loadA("DI")
		loadB("BX")
		products()
		loadA("SI")
		products()
		p("\tMOVQ BX, DI")
		p("\tADDQ %d(AX), DI", fBLow)
		loadB("DI")
		products()
	} else {
		move(b, 6, "BX", "R9", 0)
		move(a, 4, "SI", "R8", 0)
		multiplyAdd(0, 4, 6)
		move(b, 7, "BX", "R9", 64)
		multiplyAdd(1, 4, 7)
		if high == 2 {
			p("\tLEAQ (SI)(R12*1), DI")
			move(a, 5, "DI", "R8", 0)
			multiplyAdd(2, 5, 6)
			multiplyAdd(3, 5, 7)
		}
	}
	for _, level := range []struct {
		a, b         int
		count, label string
	}{{fAPart, fBPart, "CX", "part"}, {fASeg, fBSeg, "R10", "segment"}, {fAStep, fBStep, "R11", "step"}} {
		p("\tADDQ %d(AX), SI", level.a)
		p("\tADDQ %d(AX), BX", level.b)
		p("\tDECQ %s", level.count)
		p("\tJNE  %s", level.label)
	}
	p("\tMOVQ %d(AX), DX", fC)
	tilesOfC(store)
	next := func(by ...[2]int) {
		for _, f := range by {
			p("\tMOVQ %d(AX), CX", f[0])
			p("\tADDQ CX, %d(AX)", f[1])
		}
		p("\tJMP  block")
	}
	p("\tDECQ %d(AX)", fLeft)
	p("\tJEQ  line")
	next([2]int{fABlock, fA}, [2]int{fCBlock, fC})
	p("line:")
	p("\tDECQ %d(AX)", fLines)
	p("\tJEQ  done")
	p("\tMOVQ %d(AX), CX", fBlocks)
	p("\tMOVQ CX, %d(AX)", fLeft)
	next([2]int{fALine, fA}, [2]int{fCLine, fC})
	p("done:")
	emit("TILERELEASE", 0xc4, 0xe2, 0x78, 0x49, 0xc0)
	p("\tRET\n")
}

// ceiling writes the loop on registers alone.
func ceiling() {
	p("// func amxCeiling(config, a, b *[64]byte, rounds int)")
	p("TEXT ·amxCeiling(SB), NOSPLIT, $0-32")
	p("\tMOVQ config+0(FP), CX")
	p("\tMOVQ a+8(FP), SI")
	p("\tMOVQ b+16(FP), DI")
	p("\tXORL R8, R8 // every row is the same")
	emit("LDTILECFG (CX)", 0xc4, 0xe2, 0x78, 0x49, 0x01)
	p("\tMOVQ rounds+24(FP), CX")
	for i := 0; i < 4; i++ {
		zero(i)
	}
	for i := 0; i < 2; i++ {
		move(load, 4+i, "SI", "R8", 0)
		move(load, 6+i, "DI", "R8", 0)
	}
	p("loop:")
	for i := 0; i < 4; i++ {
		multiplyAdd(i, 4+i/2, 6+i%2)
	}
	p("\tDECQ CX")
	p("\tJNE  loop")
	emit("TILERELEASE", 0xc4, 0xe2, 0x78, 0x49, 0xc0)
	p("\tRET\n")
}

func main() {
	p("// Code generated by gen/amx.go; DO NOT EDIT.\n")
	p("//go:build amd64 && !noasm\n")
	p("#include \"textflag.h\"\n")
	for high := 1; high <= 2; high++ {
		kernel(fmt.Sprintf("amxStreamA%d", high), high, false, hinted, load)
		kernel(fmt.Sprintf("amxStreamB%d", high), high, false, load, hinted)
		kernel(fmt.Sprintf("amxSplit%d", high), high, true, load, hinted)
	}
	ceiling()
	if err := os.WriteFile("amx_amd64.s", buf.Bytes(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
