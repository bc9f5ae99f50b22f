//go:build ignore

// Command winograd writes the transforms of Winograd's F(4x4, 3x3) for AVX-512, AVX2 and NEON:
// winograd_amd64.s and winograd_arm64.s, with the formulas of winograd.go. Run it by
// `go generate ./asm`.
//
// A kernel takes one vector of every element of the square: columns first, into a square on
// the stack, then rows.
package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
)

const pa, pb = 0.625, 1.5

// The constants, by name, in the order of the table in memory.
var names = []string{"a", "b", "aa", "bb", "aaa", "bbb", "s", "p", "w0", "wa0", "wa1", "wa2", "wb0", "wb1", "wb2"}

var values = map[string]float64{
	"a": pa, "b": pb, "aa": pa * pa, "bb": pb * pb, "aaa": pa * pa * pa, "bbb": pb * pb * pb,
	"s": pa*pa + pb*pb, "p": pa * pa * pb * pb, "w0": 1 / (pa * pa * pb * pb),
	"wa0": 1 / na, "wa1": pa / na, "wa2": pa * pa / na,
	"wb0": 1 / nb, "wb1": pb / nb, "wb2": pb * pb / nb,
}

const na, nb = 2 * pa * pa * (pa*pa - pb*pb), 2 * pb * pb * (pb*pb - pa*pa)

// Byte offsets of the fields of Grid.
const (
	fSrc = iota * 8
	fDst
	fBias
	fSrcRow
	fSrcCol
	fDstRow
	fDstCol
	fN
)

var buf bytes.Buffer

func p(format string, a ...any) { fmt.Fprintf(&buf, format+"\n", a...) }

// op is one instruction on vector registers: d = a, d = c*a, d += c*a, d -= c*a (c a constant), d = a + b, d = a - b.
type op struct {
	kind, c string
	d, a, b int
}

// A line transforms in registers 0..in-1 to the registers in out, using registers below 14.
type line struct {
	name    string
	in      int
	ops     []op
	out     []int
	consts  []string
	addBias bool
}

func mov(d, a int) op               { return op{"mov", "", d, a, 0} }
func mul(d int, c string, a int) op { return op{"mul", c, d, a, 0} }
func fma(d int, c string, a int) op { return op{"fma", c, d, a, 0} }
func fms(d int, c string, a int) op { return op{"fms", c, d, a, 0} }
func add(d, a, b int) op            { return op{"add", "", d, a, b} }
func sub(d, a, b int) op            { return op{"sub", "", d, a, b} }

var lines = []line{
	{"Input", 6, []op{
		mov(6, 4), fms(6, "s", 2), fma(6, "p", 0),
		mov(11, 5), fms(11, "s", 3), fma(11, "p", 1),
		mov(8, 4), fms(8, "bb", 2), mov(12, 3), fms(12, "bb", 1),
		mov(7, 8), fma(7, "a", 12), fms(8, "a", 12),
		mov(10, 4), fms(10, "aa", 2), mov(13, 3), fms(13, "aa", 1),
		mov(9, 10), fma(9, "b", 13), fms(10, "b", 13),
	}, []int{6, 7, 8, 9, 10, 11}, []string{"s", "p", "aa", "bb", "a", "b"}, false},
	{"Weight", 3, []op{
		mul(6, "w0", 0),
		mul(8, "wa0", 0), fma(8, "wa2", 2), mov(7, 8), fma(7, "wa1", 1), fms(8, "wa1", 1),
		mul(10, "wb0", 0), fma(10, "wb2", 2), mov(9, 10), fma(9, "wb1", 1), fms(10, "wb1", 1),
	}, []int{6, 7, 8, 9, 10, 2}, []string{"w0", "wa0", "wa1", "wa2", "wb0", "wb1", "wb2"}, false},
	{"Output", 6, []op{
		add(6, 1, 2), sub(7, 1, 2), add(8, 3, 4), sub(9, 3, 4),
		add(0, 0, 6), add(0, 0, 8),
		mul(10, "a", 7), fma(10, "b", 9),
		mul(11, "aa", 6), fma(11, "bb", 8),
		fma(5, "aaa", 7), fma(5, "bbb", 9),
	}, []int{0, 10, 11, 5}, []string{"a", "b", "aa", "bb", "aaa", "bbb"}, true},
}

func index(c string) int {
	for i, n := range names {
		if n == c {
			return i
		}
	}
	panic(c)
}

// x86 writes a kernel for vectors of size bytes; constants are registers where there are 32, memory elsewhere.
func x86(l line, tier, reg string, size int) {
	many := size == 64
	r := func(i int) string { return fmt.Sprintf("%s%d", reg, i) }
	c := func(name string) string {
		if many {
			for i, n := range l.consts {
				if n == name {
					return r(20 + i)
				}
			}
		}
		return fmt.Sprintf("winogradConst<>+%d(SB)", 32*index(name))
	}
	run := func() {
		for _, o := range l.ops {
			switch o.kind {
			case "mov":
				p("\tVMOVAPS %s, %s", r(o.a), r(o.d))
			case "mul":
				p("\tVMULPS %s, %s, %s", c(o.c), r(o.a), r(o.d))
			case "fma":
				p("\tVFMADD231PS %s, %s, %s", c(o.c), r(o.a), r(o.d))
			case "fms":
				p("\tVFNMADD231PS %s, %s, %s", c(o.c), r(o.a), r(o.d))
			case "add":
				p("\tVADDPS %s, %s, %s", r(o.b), r(o.a), r(o.d))
			case "sub":
				p("\tVSUBPS %s, %s, %s", r(o.b), r(o.a), r(o.d))
			}
		}
	}
	steps := func(base string, one, three, five string) []string {
		return []string{"(" + base + ")", fmt.Sprintf("(%s)(%s*1)", base, one), fmt.Sprintf("(%s)(%s*2)", base, one),
			fmt.Sprintf("(%s)(%s*1)", base, three), fmt.Sprintf("(%s)(%s*4)", base, one), fmt.Sprintf("(%s)(%s*1)", base, five)}
	}
	out := len(l.out)
	frame := out*l.in*size + 64
	p("// func winograd%s%s(grid *Grid)", l.name, tier)
	p("TEXT ·winograd%s%s(SB), 0, $%d-8", l.name, tier, frame)
	p("\tMOVQ grid+0(FP), AX")
	p("\tLEAQ 63(SP), DX // the square, aligned")
	p("\tANDQ $~63, DX")
	if many {
		for i, n := range l.consts {
			p("\tVBROADCASTSS winogradConst<>+%d(SB), %s", 32*index(n), r(20+i))
		}
	}
	p("\tMOVQ %d(AX), SI", fSrc)
	p("\tMOVQ %d(AX), DI", fDst)
	p("\tMOVQ %d(AX), BX", fBias)
	p("\tMOVQ %d(AX), R8", fSrcRow)
	p("\tLEAQ (R8)(R8*2), R9")
	p("\tLEAQ (R8)(R8*4), R10")
	p("\tMOVQ %d(AX), R11", fDstCol)
	p("\tLEAQ (R11)(R11*2), R12")
	p("\tLEAQ (R11)(R11*4), R13")
	p("\tMOVQ %d(AX), CX", fN)
	p("loop:")
	for j := range l.in {
		for i, a := range steps("SI", "R8", "R9", "R10")[:l.in] {
			p("\tVMOVUPS %s, %s", a, r(i))
		}
		run()
		for i, o := range l.out {
			p("\tVMOVAPS %s, %d(DX)", r(o), (i*l.in+j)*size)
		}
		if j < l.in-1 {
			p("\tADDQ %d(AX), SI", fSrcCol)
		}
	}
	for range l.in - 1 {
		p("\tSUBQ %d(AX), SI", fSrcCol)
	}
	p("\tADDQ $%d, SI", size)
	if l.addBias {
		zero := r(15)
		p("\tVXORPS Y15, Y15, Y15")
		p("\tTESTQ BX, BX")
		p("\tJEQ  rows")
		p("\tVMOVUPS (BX), %s", zero)
		p("\tADDQ $%d, BX", size)
		p("rows:")
	}
	for i := range out {
		for j := range l.in {
			p("\tVMOVAPS %d(DX), %s", (i*l.in+j)*size, r(j))
		}
		run()
		for k, a := range steps("DI", "R11", "R12", "R13")[:out] {
			if l.addBias {
				p("\tVADDPS %s, %s, %s", r(15), r(l.out[k]), r(l.out[k]))
			}
			p("\tVMOVUPS %s, %s", r(l.out[k]), a)
		}
		if i < out-1 {
			p("\tADDQ %d(AX), DI", fDstRow)
		}
	}
	for range out - 1 {
		p("\tSUBQ %d(AX), DI", fDstRow)
	}
	p("\tADDQ $%d, DI", size)
	p("\tSUBQ $%d, CX", size/4)
	p("\tJNE  loop")
	p("\tVZEROUPPER")
	p("\tRET\n")
}

// arm64 writes a kernel for NEON. Vector instructions are encoded here, since Go's assembler lacks most of them
// (Arm Architecture Reference Manual, C7.2).
func arm64(l line) {
	word := func(code uint32, text string, a ...any) { p("\tWORD $0x%08x // %s", code, fmt.Sprintf(text, a...)) }
	three := func(base uint32, name string, d, n, m int) {
		word(base|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.4s, v%d.4s", name, d, n, m)
	}
	ldr := func(t, base, off int) {
		word(0x3CE06800|uint32(off)<<16|uint32(base)<<5|uint32(t), "ldr q%d, [x%d, x%d]", t, base, off)
	}
	str := func(t, base, off int) {
		word(0x3CA06800|uint32(off)<<16|uint32(base)<<5|uint32(t), "str q%d, [x%d, x%d]", t, base, off)
	}
	at := func(op uint32, name string, t, base, bytes int) {
		word(op|uint32(bytes/16)<<10|uint32(base)<<5|uint32(t), "%s q%d, [x%d, #%d]", name, t, base, bytes)
	}
	c := func(name string) int {
		for i, n := range l.consts {
			if n == name {
				return 20 + i
			}
		}
		panic(name)
	}
	run := func() {
		for _, o := range l.ops {
			switch o.kind {
			case "mov":
				three(0x4EA01C00, "orr", o.d, o.a, o.a)
			case "mul":
				three(0x6E20DC00, "fmul", o.d, o.a, c(o.c))
			case "fma":
				three(0x4E20CC00, "fmla", o.d, o.a, c(o.c))
			case "fms":
				three(0x4EA0CC00, "fmls", o.d, o.a, c(o.c))
			case "add":
				three(0x4E20D400, "fadd", o.d, o.a, o.b)
			case "sub":
				three(0x4EA0D400, "fsub", o.d, o.a, o.b)
			}
		}
	}
	out := len(l.out)
	p("// func winograd%sNEON(grid *Grid)", l.name)
	p("TEXT ·winograd%sNEON(SB), 0, $%d-8", l.name, out*l.in*16+32)
	p("\tMOVD grid+0(FP), R0")
	p("\tADD $24, RSP, R1 // the square")
	p("\tAND $~15, R1, R1")
	p("\tMOVD $winogradConst<>(SB), R2")
	for i, n := range l.consts {
		at(0x3DC00000, "ldr", 20+i, 2, 16*index(n))
	}
	p("\tMOVD %d(R0), R3 // Src", fSrc)
	p("\tMOVD %d(R0), R4 // Dst", fDst)
	p("\tMOVD %d(R0), R5 // Bias", fBias)
	p("\tMOVD %d(R0), R6", fSrcRow)
	p("\tMOVD %d(R0), R7", fSrcCol)
	p("\tMOVD %d(R0), R8", fDstRow)
	p("\tMOVD %d(R0), R9", fDstCol)
	p("\tMOVD %d(R0), R10", fN)
	// Offsets of rows or columns 0..5 in R11..R16.
	offsets := func(step int) {
		p("\tMOVD ZR, R11")
		for i := 1; i < 6; i++ {
			p("\tADD R%d, R%d, R%d", step, 10+i, 11+i)
		}
	}
	p("loop:")
	offsets(6)
	p("\tMOVD R3, R17")
	for j := range l.in {
		for i := range l.in {
			ldr(i, 17, 11+i)
		}
		run()
		for i, o := range l.out {
			at(0x3D800000, "str", o, 1, (i*l.in+j)*16)
		}
		p("\tADD R7, R17")
	}
	p("\tADD $16, R3")
	offsets(9)
	if l.addBias {
		three(0x6E201C00, "eor", 16, 16, 16)
		p("\tCBZ R5, rows")
		at(0x3DC00000, "ldr", 16, 5, 0)
		p("\tADD $16, R5")
		p("rows:")
	}
	p("\tMOVD R4, R17")
	for i := range out {
		for j := range l.in {
			at(0x3DC00000, "ldr", j, 1, (i*l.in+j)*16)
		}
		run()
		for k, o := range l.out {
			if l.addBias {
				three(0x4E20D400, "fadd", o, o, 16)
			}
			str(o, 17, 11+k)
		}
		p("\tADD R8, R17")
	}
	p("\tADD $16, R4")
	p("\tSUBS $4, R10")
	p("\tBNE loop")
	p("\tRET\n")
}

// table writes every constant n times.
func table(n int) {
	for i, name := range names {
		for k := range n {
			p("DATA winogradConst<>+%d(SB)/4, $0x%08x // %s", 4*(n*i+k), math.Float32bits(float32(values[name])), name)
		}
	}
	p("GLOBL winogradConst<>(SB), RODATA|NOPTR, $%d\n", 4*n*len(names))
}

func head(arch string) {
	buf.Reset()
	p("// Code generated by gen/winograd.go; DO NOT EDIT.\n")
	p("//go:build %s && !noasm\n", arch)
}

func declare(tiers ...string) {
	p("package asm\n")
	for _, t := range tiers {
		for _, l := range lines {
			p("%s", declaration("winograd"+l.name, "winograd"+l.name+t, "(grid *Grid)", 0))
		}
	}
	p("var winogradTiers = [...]*winogradKernels{\n\tGeneric: &winogradGeneric,")
	for _, t := range tiers {
		p("\t%s: {winogradInput%s, winogradWeight%s, winogradOutput%s},", t, t, t, t)
	}
	p("}")
}

func write(name string) {
	if err := os.WriteFile(name, buf.Bytes(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	head("amd64")
	p("#include \"textflag.h\"\n")
	table(8)
	for _, l := range lines {
		x86(l, "AVX512", "Z", 64)
		x86(l, "AVX2", "Y", 32)
	}
	write("winograd_amd64.s")
	head("amd64")
	declare("AVX2", "AVX512")
	write("winograd_amd64.go")

	head("arm64")
	p("#include \"textflag.h\"\n")
	table(4)
	for _, l := range lines {
		arm64(l)
	}
	write("winograd_arm64.s")
	head("arm64")
	declare("NEON")
	write("winograd_arm64.go")
}
