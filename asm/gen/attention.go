//go:build ignore

// Attention writes the kernels of attention: attention_avx2_amd64.s,
// attention_avx512_amd64.s and their Go declarations. Run it with go generate
// in the package's folder.
//
// They work on panels: rows of two vectors. V is Y or Z.
package main

import (
	"fmt"
	"go/format"
	"log"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
)

type isa struct {
	suffix, reg string
	bytes       int // of a vector
	b           strings.Builder
}

var (
	vReg = regexp.MustCompile(`\bV(\d+)\b`)
	decl strings.Builder
)

// p writes lines, with the registers of the tier.
func (t *isa) p(f string, a ...any) {
	for _, l := range strings.Split(strings.Trim(fmt.Sprintf(f, a...), "\n"), "\n") {
		l = strings.TrimSpace(l)
		if !strings.HasSuffix(l, ":") {
			l = "\t" + l
		}
		t.b.WriteString(vReg.ReplaceAllString(l, t.reg+"$1") + "\n")
	}
}

func (t *isa) fn(name, doc, params string, size int) {
	fmt.Fprintf(&t.b, "\n// %s\nTEXT ·%s%s(SB), NOSPLIT, $0-%d\n", doc, name, t.suffix, size)
	base := strings.TrimRight(name, "0123456789")
	m, _ := strconv.Atoi(name[len(base):])
	decl.WriteString(declaration(base, name+t.suffix, "("+params+")", m) + "\n")
}

func (t *isa) end() { t.p("VZEROUPPER\nRET") }

// Constants of 2^x, in the upper half of the registers: polynomials for 2^f, |f| <= 1/2,
// that are 1 at 0, with the least largest relative error: 9e-8, and 1.1e-4 for weights that are
// rounded to bfloat16. Small powers become 0: through the bits of the exponent at -127,
// through VSCALEFPS below -150.
var (
	constants = []string{"expLow", "expMagic", "expOne"}
	exact     = []float64{0.6931470036506653, 0.24022242426872253, 0.05550733581185341, 0.009671512991189957,
		0.001326472731307149}
	coarse = []float64{0.6932829022407532, 0.2422109693288803, 0.05500892922282219}
)

const (
	low = 8 + iota
	magic
	one
	coef // coef+i is the coefficient of f^(i+1)
)

func (t *isa) loadConstants(poly string, n int) {
	for i, c := range constants {
		t.p("VBROADCASTSS %s<>(SB), V%d", c, low+i)
	}
	for i := range n {
		t.p("VBROADCASTSS %s%d<>(SB), V%d", poly, i+1, coef+i)
	}
}

// exp2 turns V[x] into 2^V[x], with degree n; y and z are free. NaN stays.
func (t *isa) exp2(x, y, z, n int) {
	t.p("VMAXPS V%d, V%d, V%d // the first operand here if it is NaN", x, low, x)
	if t.reg == "Z" {
		t.p("VRNDSCALEPS $8, V%d, V%d", x, y)
		t.p("VSUBPS V%d, V%d, V%d", y, x, x)
	} else {
		t.p("VADDPS V%d, V%d, V%d // the integer nearest to x in its low bits", magic, x, y)
		t.p("VSUBPS V%d, V%d, V%d", magic, y, z)
		t.p("VSUBPS V%d, V%d, V%d", z, x, x)
	}
	t.p("VMOVAPS V%d, V%d", coef+n-1, z)
	for i := n - 2; i >= 0; i-- {
		t.p("VFMADD213PS V%d, V%d, V%d", coef+i, x, z)
	}
	t.p("VFMADD213PS V%d, V%d, V%d", one, x, z)
	if t.reg == "Z" {
		t.p("VSCALEFPS V%d, V%d, V%d", y, z, x)
		return
	}
	t.p("VPSLLD $23, V%d, V%d", y, y)
	t.p("VPADDD V%d, V%d, V%d", one, y, y)
	t.p("VMULPS V%d, V%d, V%d", y, z, x)
}

// maxima: (SI) = new maxima V6, V7 over the rows at DI, 2^(old-new) to 2W.. of stats, and the sums
// so far times that in V4, V5. CX rows, kept.
func (t *isa) maxima(poly string, degree int) {
	w := t.bytes
	t.p(`
		VMOVUPS (SI), V6
		VMOVUPS %d(SI), V7
		VMOVAPS V6, V4
		VMOVAPS V7, V5
		MOVQ DI, R8
		MOVQ CX, R9
		SHRQ $1, R9
		JEQ oddmax
		twomax:
		VMAXPS (R8), V6, V6
		VMAXPS %d(R8), V7, V7
		VMAXPS %d(R8), V4, V4
		VMAXPS %d(R8), V5, V5
		ADDQ $%d, R8
		DECQ R9
		JNE twomax
		oddmax:
		TESTQ $1, CX
		JEQ maxdone
		VMAXPS (R8), V6, V6
		VMAXPS %d(R8), V7, V7
		maxdone:
		VMAXPS V4, V6, V6
		VMAXPS V5, V7, V7`, w, w, 2*w, 3*w, 4*w, w)
	t.loadConstants(poly, degree)
	for i := range 2 {
		t.p("VMOVUPS %d(SI), V0", i*w)
		t.p("VSUBPS V%d, V0, V0", 6+i)
		t.exp2(0, 1, 2, degree)
		t.p("VMOVUPS V0, %d(SI)", 4*w+i*w)
		t.p("VMULPS %d(SI), V0, V%d", 2*w+i*w, 4+i)
		t.p("VMOVUPS V%d, %d(SI)", 6+i, i*w)
	}
}

func (t *isa) kernels() {
	w := t.bytes
	t.fn("softmaxPanel", "see attentionKernels.softmax", "p *float32, rows int, stats *float32", 24)
	t.p("MOVQ p+0(FP), DI\nMOVQ rows+8(FP), CX\nMOVQ stats+16(FP), SI")
	t.maxima("exact", 5)
	t.p("row:")
	for i := range 2 {
		t.p("VMOVUPS %d(DI), V0\nVSUBPS V%d, V0, V0", i*w, 6+i)
		t.exp2(0, 1, 2, 5)
		t.p("VADDPS V0, V%d, V%d\nVMOVUPS V0, %d(DI)", 4+i, 4+i, i*w)
	}
	t.p("ADDQ $%d, DI\nDECQ CX\nJNE row", 2*w)
	t.p("VMOVUPS V4, %d(SI)\nVMOVUPS V5, %d(SI)", 2*w, 3*w)
	t.end()

	t.fn("weightsGradPanel", "see attentionKernels.grad", "p, ds *float32, rows int", 24)
	t.p("MOVQ p+0(FP), DI\nMOVQ ds+8(FP), SI\nMOVQ rows+16(FP), CX")
	t.loadConstants("exact", 5)
	t.p("row:")
	for i := range 2 {
		t.p("VMOVUPS %d(DI), V0", i*w)
		t.exp2(0, 1, 2, 5)
		t.p("VMOVUPS V0, %d(DI)\nVMULPS %d(SI), V0, V0\nVMOVUPS V0, %d(SI)", i*w, i*w, i*w)
	}
	t.p("ADDQ $%d, DI\nADDQ $%d, SI\nDECQ CX\nJNE row", 2*w, 2*w)
	t.end()

	t.fn("scalePanel", "see attentionKernels.scale", "x *float32, rows int, by *float32", 24)
	t.p("MOVQ x+0(FP), DI\nMOVQ rows+8(FP), CX\nMOVQ by+16(FP), SI")
	t.p("VMOVUPS (SI), V0\nVMOVUPS %d(SI), V1\nrow:", w)
	t.p("VMULPS (DI), V0, V2\nVMOVUPS V2, (DI)\nVMULPS %d(DI), V1, V3\nVMOVUPS V3, %d(DI)", w, w)
	t.p("ADDQ $%d, DI\nDECQ CX\nJNE row", 2*w)
	t.end()
}

// raw is an instruction EVEX.<bits>.<pp>.0F38.W0 <op> dst, v, rm, which the assembler lacks.
func (t *isa) raw(name string, bits, pp, op, rm, v, dst int) {
	not := func(v, bit int) int { return 1 - v>>bit&1 }
	t.p("BYTE $0x62; BYTE $%#02x; BYTE $%#02x; BYTE $%#02x; BYTE $%#02x; BYTE $%#02x // %s, %d bits: %d, %d, %d",
		not(dst, 3)<<7|not(rm, 4)<<6|not(rm, 3)<<5|not(dst, 4)<<4|2, (^v&15)<<3|4|pp, bits>>3|not(v, 4)<<3, op,
		0xc0|dst&7<<3|rm&7, name, bits, rm, v, dst)
}

// narrow rounds two vectors to bfloat16: lo to the lower half of dst, hi to the upper one.
func (t *isa) narrow(hi, lo, dst int) { t.raw("VCVTNE2PS2BF16", 512, 3, 0x72, lo, hi, dst) }

// multiplyPairs adds the products of a and b to dst.
func (t *isa) multiplyPairs(bits, b, a, dst int) { t.raw("VDPBF16PS", bits, 2, 0x52, b, a, dst) }

// narrowPairs rounds a and b to bfloat16 and lays a[i] beside b[i]; V31 holds the order.
func (t *isa) narrowPairs(a, b, dst int) {
	t.narrow(b, a, dst)
	t.p("VPERMW V%d, V31, V%d", dst, dst)
}

// pairs are the kernels with bfloat16 products.
func (t *isa) pairs() {
	t.fn("softmaxPanelPairs", "see attentionKernels.softmaxPairs", "dst, p *float32, rows int, stats *float32", 32)
	t.p("MOVQ dst+0(FP), BX\nMOVQ p+8(FP), DI\nMOVQ rows+16(FP), CX\nMOVQ stats+24(FP), SI")
	t.maxima("coarse", 3)
	t.p("VMOVDQU64 neighbours<>(SB), V31\nSHRQ $1, CX\nrow:")
	for i := range 2 {
		t.p("VMOVUPS %d(DI), V0\nVSUBPS V%d, V0, V0", i*64, 6+i)
		t.p("VMOVUPS %d(DI), V16\nVSUBPS V%d, V16, V16", 128+i*64, 6+i)
		t.exp2(0, 1, 2, 3)
		t.exp2(16, 17, 18, 3)
		t.p("VADDPS V0, V16, V1\nVADDPS V1, V%d, V%d", 4+i, 4+i)
		t.narrowPairs(0, 16, 0)
		t.p("VMOVDQU64 V0, %d(BX)", i*64)
	}
	t.p("ADDQ $256, DI\nADDQ $128, BX\nDECQ CX\nJNE row")
	t.p("VMOVUPS V4, 128(SI)\nVMOVUPS V5, 192(SI)")
	t.end()

	t.fn("weightsGradPanelPairs", "see attentionKernels.gradPairs", "pRows, dsRows, dsPairs, p, ds *float32, rows int",
		48)
	t.p("MOVQ pRows+0(FP), R8\nMOVQ dsRows+8(FP), R9\nMOVQ dsPairs+16(FP), R10\nMOVQ p+24(FP), DI\nMOVQ ds+32(FP), " +
		"SI\nMOVQ rows+40(FP), CX")
	t.loadConstants("coarse", 3)
	t.p("VMOVDQU64 neighbours<>(SB), V31\nSHRQ $1, CX\nrow:")
	for i := range 4 { // two rows of two vectors: weights in 20.., their gradients in 24..
		t.p("VMOVUPS %d(DI), V%d", i*64, 20+i)
		t.exp2(20+i, 0, 1, 3)
		t.p("VMULPS %d(SI), V%d, V%d", i*64, 20+i, 24+i)
	}
	for r := range 2 {
		t.narrow(21+2*r, 20+2*r, 0)
		t.p("VMOVDQU64 V0, %d(R8)", 64*r)
		t.narrow(25+2*r, 24+2*r, 1)
		t.p("VMOVDQU64 V1, %d(R9)", 64*r)
	}
	for i := range 2 {
		t.narrowPairs(24+i, 26+i, 0)
		t.p("VMOVDQU64 V0, %d(R10)", 64*i)
	}
	t.p("ADDQ $256, DI\nADDQ $256, SI\nADDQ $128, R8\nADDQ $128, R9\nADDQ $128, R10\nDECQ CX\nJNE row")
	t.end()

	t.fn("interleavePairs", "see attentionKernels.interleave", "dst, a, b *float32, n int", 32)
	t.p(`
		MOVQ dst+0(FP), DI
		MOVQ a+8(FP), SI
		MOVQ b+16(FP), DX
		MOVQ n+24(FP), CX
		VMOVDQU64 neighbours<>(SB), V31
		SUBQ $16, CX
		JLT rest
		loop:
		VMOVUPS (SI), V0
		VMOVUPS (DX), V1`)
	t.narrowPairs(0, 1, 0)
	t.p(`
		VMOVDQU64 V0, (DI)
		ADDQ $64, SI
		ADDQ $64, DX
		ADDQ $64, DI
		SUBQ $16, CX
		JGE loop
		rest:
		ADDQ $16, CX
		JEQ end
		MOVL $1, AX
		SHLL CX, AX
		DECL AX
		KMOVW AX, K1
		VMOVUPS.Z (SI), K1, V0
		VMOVUPS.Z (DX), K1, V1`)
	t.narrowPairs(0, 1, 0)
	t.p("VMOVDQU32 V0, K1, (DI)\nend:")
	t.end()

	// The product of form T with pairs, see gen/gemm.go.
	for m := 1; m <= 14; m++ {
		t.fn(fmt.Sprintf("runPairsT%d", m), "see Tile.RunPairsT", "t *Tile", 8)
		t.p(`
			MOVQ t+0(FP), AX
			MOVQ Tile_A(AX), SI
			MOVQ Tile_B(AX), BX
			MOVQ Tile_C(AX), DI
			MOVQ Tile_CRow(AX), R12
			MOVQ DI, DX
			CMPQ Tile_Accumulate(AX), $0
			JEQ zero`)
		for i := range m {
			t.p("VMOVUPS (DX), V%d\nVMOVUPS 64(DX), V%d", 2*i, 2*i+1)
			if i < m-1 {
				t.p("ADDQ R12, DX")
			}
		}
		t.p("JMP start\nzero:")
		for i := range 2 * m {
			t.p("VPXORQ V%d, V%d, V%d", i, i, i)
		}
		t.p("start:\nMOVQ Tile_ACol(AX), R8\nMOVQ Tile_BRow(AX), R9\nMOVQ Tile_K(AX), CX\nloop:")
		t.p("VMOVUPS (BX), V28\nVMOVUPS 64(BX), V29")
		for i := range m {
			t.p("VBROADCASTSS %d(SI), V%d", 4*i, 30+i%2)
			for j := range 2 {
				t.multiplyPairs(512, 28+j, 30+i%2, 2*i+j)
			}
		}
		t.p("ADDQ R8, SI\nADDQ R9, BX\nDECQ CX\nJNE loop")
		for i := range m {
			t.p("VMOVUPS V%d, (DI)\nVMOVUPS V%d, 64(DI)", 2*i, 2*i+1)
			if i < m-1 {
				t.p("ADDQ R12, DI")
			}
		}
		t.end()
	}
}

// wide are products of form N, see gen/gemm.go, with eight columns more than two vectors: their
// accumulators are Y registers. C is always added to.
func (t *isa) wide(pairs bool) {
	rows, cast := 4, []int{15, 15}
	if t.reg == "Z" {
		rows, cast = 9, []int{30, 31}
	}
	name, b, w := "runWide", 3*rows, t.bytes
	if pairs {
		name = "runWidePairs"
	}
	bases := []string{"SI", "DI", "R8"} // rows 0, 3, 6
	for m := 1; m <= rows; m++ {
		t.fn(fmt.Sprintf("%s%d", name, m), "see Tile.RunWide", "t *Tile", 8)
		t.p("MOVQ t+0(FP), AX\nMOVQ Tile_A(AX), SI\nMOVQ Tile_B(AX), BX\nMOVQ Tile_C(AX), DX\nMOVQ Tile_CRow(AX), R12")
		for i := range m {
			t.p("VMOVUPS (DX), V%d\nVMOVUPS %d(DX), V%d\nVMOVUPS %d(DX), Y%d", 2*i, w, 2*i+1, 2*w, 2*rows+i)
			if i < m-1 {
				t.p("ADDQ R12, DX")
			}
		}
		t.p("MOVQ Tile_ARow(AX), R11\nMOVQ Tile_K(AX), R13\nMOVQ Tile_Segs(AX), DX")
		t.p("LEAQ (R11)(R11*2), R9\nLEAQ (SI)(R9*1), DI\nLEAQ (DI)(R9*1), R8")
		t.p("MOVQ Tile_ASeg(AX), R12\nLEAQ (R13*4), CX\nSUBQ CX, R12 // from the end of a segment to the next")
		t.p("segment:\nMOVQ R13, CX\none:")
		t.p("VMOVUPS (BX), V%d\nVMOVUPS %d(BX), V%d\nVMOVUPS %d(BX), Y%d", b, w, b+1, 2*w, b+2)
		for i := range m {
			a := cast[i%2]
			t.p("VBROADCASTSS (%s)%s, V%d", bases[i/3], []string{"", "(R11*1)", "(R11*2)"}[i%3], a)
			if pairs {
				t.multiplyPairs(512, b, a, 2*i)
				t.multiplyPairs(512, b+1, a, 2*i+1)
				t.multiplyPairs(256, b+2, a, 2*rows+i)
			} else {
				t.p("VFMADD231PS V%d, V%d, V%d\nVFMADD231PS V%d, V%d, V%d\nVFMADD231PS Y%d, Y%d, Y%d", b, a, 2*i, b+1, a, 2*i+1,
					b+2, a, 2*rows+i)
			}
		}
		t.p("ADDQ $4, SI\nADDQ $4, DI\nADDQ $4, R8\nADDQ $%d, BX\nDECQ CX\nJNE one", 2*w+32)
		t.p("ADDQ R12, SI\nADDQ R12, DI\nADDQ R12, R8\nDECQ DX\nJNE segment\nMOVQ Tile_C(AX), DX\nMOVQ Tile_CRow(AX), R12")
		for i := range m {
			t.p("VMOVUPS V%d, (DX)\nVMOVUPS V%d, %d(DX)\nVMOVUPS Y%d, %d(DX)", 2*i, 2*i+1, w, 2*rows+i, 2*w)
			if i < m-1 {
				t.p("ADDQ R12, DX")
			}
		}
		t.end()
	}
}

func (t *isa) data(name string, v float64) {
	fmt.Fprintf(&t.b, "\nDATA %s<>+0(SB)/4, $0x%08x\nGLOBL %s<>(SB), RODATA|NOPTR, $4\n", name,
		math.Float32bits(float32(v)), name)
}

const notice = "// Code generated by gen/attention.go; DO NOT EDIT.\n\n//go:build amd64 && !noasm\n\n"

func main() {
	decl.WriteString(notice + "package asm\n\n")
	for _, t := range []*isa{{suffix: "AVX2", reg: "Y", bytes: 32}, {suffix: "AVX512", reg: "Z", bytes: 64}} {
		t.b.WriteString(notice + "#include \"go_asm.h\"\n#include \"textflag.h\"\n")
		t.kernels()
		t.wide(false)
		if t.reg == "Z" {
			t.pairs()
			t.wide(true)
			for i, c := range coarse {
				t.data(fmt.Sprintf("coarse%d", i+1), c)
			}
			t.b.WriteString("\n// Word i of the one half beside word i of the other.\n")
			for i := range 8 {
				t.p("DATA neighbours<>+%d(SB)/8, $%#04x%04x%04x%04x", 8*i, 16+2*i+1, 2*i+1, 16+2*i, 2*i)
			}
			t.p("GLOBL neighbours<>(SB), RODATA|NOPTR, $64")
		}
		low := -127.0
		if t.reg == "Z" {
			low = -152
		}
		for i, v := range []float64{low, 3 << 22, 1} {
			t.data(constants[i], v)
		}
		for i, c := range exact {
			t.data(fmt.Sprintf("exact%d", i+1), c)
		}
		if err := os.WriteFile("attention_"+strings.ToLower(t.suffix)+"_amd64.s", []byte(t.b.String()), 0o644); err != nil {
			log.Fatal(err)
		}
	}
	table := func(name, suffix string, n int) string {
		s := "[]func(*Tile){nil"
		for m := 1; m <= n; m++ {
			space := " "
			if m%5 == 4 {
				space = "\n"
			}
			s += fmt.Sprintf(",%s%s%d%s", space, name, m, suffix)
		}
		return s + "}"
	}
	f32 := func(suffix string, rows int) string {
		return fmt.Sprintf("softmax: softmaxPanel%s, grad: weightsGradPanel%s, scale: scalePanel%s,\nwide: %s,\n",
			suffix, suffix, suffix, table("runWide", suffix, rows))
	}
	fmt.Fprintf(&decl, "var attentionTiers = [...]*attentionKernels{\nGeneric: &attentionGeneric,\nAVX2: "+
		"{%s},\nAVX512: {%s},\n", f32("AVX2", 4), f32("AVX512", 9))
	fmt.Fprintf(&decl, "AVX512BF16: {%ssoftmaxPairs: softmaxPanelPairsAVX512, gradPairs: weightsGradPanelPairsAVX512, "+
		"interleave: interleavePairsAVX512,\n"+
		"tPairs: %s,\nwidePairs: %s,\n},\n}\n", f32("AVX512", 9), table("runPairsT", "AVX512", 14), table("runWidePairs",
		"AVX512", 9))
	src, err := format.Source([]byte(decl.String()))
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("attention_amd64.go", src, 0o644); err != nil {
		log.Fatal(err)
	}
}
