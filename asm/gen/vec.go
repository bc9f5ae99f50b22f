//go:build ignore

// Vec writes the vector kernels: vec_avx2_amd64.s, vec_avx512_amd64.s and their
// Go declarations. Run it with go generate in the package's folder.
//
// A kernel is given once, for both tiers, as the work on one vector register:
// inputs arrive in V0, V1, ... in the order of the slices, results are stored
// from the registers that the kernel names. V is Y or Z, S.x the broadcast
// scalar x, C.x the constant x and M.x the elements of slice x (both only as
// first operand: they become memory operands), ACC the accumulator of a
// reduction. Operands stand in the order of Go's assembler: sources first, last
// the destination.
//
// Registers: AVX2 has 16, of which V15 is the mask of the tail and the scalars
// go down from V14; accumulators are V10..V13. AVX-512 keeps to the same and
// has its mask in K1.
package main

import (
	"fmt"
	"go/format"
	"log"
	"math"
	"os"
	"regexp"
	"strings"
)

type kernel struct {
	name    string
	doc     string
	slices  string // in the order of the arguments; the first gives the length
	cols    string // those of them that are one row long and used for each row
	in      string // slices loaded into V0, V1, ...
	out     string // slices stored, as slice=register
	scalars string // float32 arguments
	body    string
	acc     string // accumulation, after body
	reduce  string // ADD or MAX: how accumulators are combined; the result is returned
	fill    string // constant in the lanes beyond the end; 0 when empty
	maskV0  bool   // clear V0 beyond the end before acc
	unroll  int
}

// e^V0 in V0, using V1..V3. n = round(x/ln 2), r = x - n ln 2, a polynomial of
// degree 6 for e^r (fitted to 3e-9), times 2^n.
const exp = `
	VMOVUPS C.expHi, V1
	VMINPS V0, V1, V0 // a NaN in V0 stays
	VMOVUPS C.expLo, V1
	VMAXPS V0, V1, V0
	VMULPS C.log2e, V0, V1
	ROUND V1
	VFNMADD231PS C.ln2hi, N, V0
	VFNMADD231PS C.ln2lo, N, V0
	VMOVUPS C.e6, V2
	VFMADD213PS C.e5, V0, V2
	VFMADD213PS C.e4, V0, V2
	VFMADD213PS C.e3, V0, V2
	VFMADD213PS C.e2, V0, V2
	VFMADD213PS C.one, V0, V2
	VFMADD213PS C.one, V0, V2
	LDEXP V1, V2, V0`

// What ROUND and LDEXP stand for. AVX2 multiplies by 2^(n/2) twice, so that n
// may pass the exponent range at both ends.
var roundLdexp = map[string][2]string{
	"avx2": {`
	VCVTPS2DQ V1, V1
	VCVTDQ2PS V1, V2`, `
	VPSRAD $1, V1, V3
	VPSUBD V3, V1, V1
	VPSLLD $23, V3, V3
	VPADDD C.one, V3, V3
	VPSLLD $23, V1, V1
	VPADDD C.one, V1, V1
	VMULPS V3, V2, V0
	VMULPS V1, V0, V0`},
	"avx512": {`
	VRNDSCALEPS $8, V1, V1`, `
	VSCALEFPS V1, V2, V0`},
}

const sigmoid = `
	VXORPS C.sign, V0, V0` + exp + `
	VADDPS C.one, V0, V0
	VMOVUPS C.one, V1
	VDIVPS V0, V1, V0`

// The lower limit keeps e^-x finite, hence Inf/Inf away.
const silu = `
	VMOVUPS C.actLo, V1
	VMAXPS V0, V1, V4 // x
	VXORPS C.sign, V4, V0` + exp + `
	VADDPS C.one, V0, V0
	VDIVPS V0, V4, V0`

// V0 = silu'(V0) = s*(1 + x*(1-s)) with 1-s = e^-x * s; uses V1..V4.
const siluGrad = `
	VMOVUPS C.actLo, V1
	VMAXPS V0, V1, V0
	VMOVUPS C.actHi, V1
	VMINPS V0, V1, V4 // x
	VXORPS C.sign, V4, V0` + exp + `
	VADDPS C.one, V0, V1
	VMOVUPS C.one, V2
	VDIVPS V1, V2, V2 // s
	VMULPS V2, V0, V0 // 1-s
	VFMADD213PS C.one, V4, V0
	VMULPS V2, V0, V0`

// Of x in V4: a = |x|, at most 13, in V5, e^(-a*a/2) in V0 and the normal
// distribution's tail beyond a in V2, using V1 and V3. The tail over e^(-a*a/2)
// (Mills' ratio) is t times a polynomial of degree 8 in t = 1/(1+0.27a), fitted
// at Chebyshev points for a up to 13.2; relative error 3e-8.
const normalTail = `
	VMOVUPS C.sign, V1
	VANDNPS V4, V1, V5
	VMOVUPS C.normHi, V1
	VMINPS V5, V1, V5
	VMULPS V5, V5, V0
	VMULPS C.minusHalf, V0, V0` + exp + `
	VMOVUPS C.millsP, V1
	VFMADD213PS C.one, V5, V1
	VMOVUPS C.one, V2
	VDIVPS V1, V2, V1 // t
	VMOVUPS C.m8, V2
	VFMADD213PS C.m7, V1, V2
	VFMADD213PS C.m6, V1, V2
	VFMADD213PS C.m5, V1, V2
	VFMADD213PS C.m4, V1, V2
	VFMADD213PS C.m3, V1, V2
	VFMADD213PS C.m2, V1, V2
	VFMADD213PS C.m1, V1, V2
	VFMADD213PS C.m0, V1, V2
	VMULPS V1, V2, V2
	VMULPS V0, V2, V2`

var kernels = []kernel{
	{name: "add", doc: "dst = a + b", slices: "dst a b", in: "a b", out: "dst=V0", unroll: 4, body: `VADDPS V1, V0, V0`},
	{name: "sub", doc: "dst = a - b", slices: "dst a b", in: "a b", out: "dst=V0", unroll: 4, body: `VSUBPS V1, V0, V0`},
	{name: "mul", doc: "dst = a * b", slices: "dst a b", in: "a b", out: "dst=V0", unroll: 4, body: `VMULPS V1, V0, V0`},
	{name: "axpy", doc: "dst += t*x", slices: "dst x", in: "dst x", out: "dst=V0", scalars: "t", unroll: 4, body: `VFMADD231PS S.t, V1, V0`},
	{name: "scale", doc: "dst = t*x", slices: "dst x", in: "x", out: "dst=V0", scalars: "t", unroll: 4, body: `VMULPS S.t, V0, V0`},
	{name: "lerp", doc: "dst += t*(x-dst)", slices: "dst x", in: "dst x", out: "dst=V0", scalars: "t", unroll: 4, body: `
	VSUBPS V0, V1, V1
	VFMADD231PS S.t, V1, V0`},

	{name: "dot", doc: "sum of a*b", slices: "a b", in: "a b", unroll: 4, reduce: "ADD", acc: `VFMADD231PS V1, V0, ACC`},
	{name: "sum", doc: "sum of x", slices: "x", in: "x", unroll: 4, reduce: "ADD", acc: `VADDPS V0, ACC, ACC`},
	{name: "sumSq", doc: "sum of x*x", slices: "x", in: "x", unroll: 4, reduce: "ADD", acc: `VFMADD231PS V0, V0, ACC`},
	// MAX gives its first operand here when one is NaN: the accumulator.
	{name: "max", doc: "largest x", slices: "x", in: "x", unroll: 4, reduce: "MAX", fill: "minusInf", acc: `VMAXPS ACC, V0, ACC`},
	{name: "maxAbs", doc: "largest |x|", slices: "x", in: "x", unroll: 4, reduce: "MAX", body: `
	VMOVUPS C.sign, V1
	VANDNPS V0, V1, V0`, acc: `VMAXPS ACC, V0, ACC`},
	{name: "zeroTimes", doc: "sum of 0*x", slices: "x", in: "x", unroll: 4, reduce: "ADD", acc: `VFMADD231PS C.zero, V0, ACC`},

	{name: "exp", doc: "dst = e^x", slices: "dst x", in: "x", out: "dst=V0", unroll: 1, body: exp},
	{name: "expSum", doc: "dst = e^(x-t), and its sum", slices: "dst x", in: "x", out: "dst=V0", scalars: "t", unroll: 2, reduce: "ADD", maskV0: true, body: `
	VSUBPS S.t, V0, V0` + exp, acc: `VADDPS V0, ACC, ACC`},
	{name: "sigmoid", doc: "dst = 1/(1+e^-x)", slices: "dst x", in: "x", out: "dst=V0", unroll: 1, body: sigmoid},
	{name: "silu", doc: "dst = x/(1+e^-x)", slices: "dst x", in: "x", out: "dst=V0", unroll: 1, body: silu},
	{name: "siluGrad", doc: "dst = dy*silu'(x)", slices: "dst x dy", in: "x", out: "dst=V0", unroll: 1, body: siluGrad + `
	VMULPS M.dy, V0, V0`},
	{name: "gelu", doc: "dst = x*Phi(x) = max(x, 0) - a*tail(a)", slices: "dst x", in: "x", out: "dst=V0", unroll: 1, body: `
	VMOVUPS V0, V4` + normalTail + `
	VXORPS V1, V1, V1
	VMAXPS V4, V1, V0
	VFNMADD231PS V2, V5, V0`},
	{name: "geluGrad", doc: "dst = dy*(Phi(x)+x*phi(x))", slices: "dst x dy", in: "x", out: "dst=V0", unroll: 1, body: `
	VMOVUPS V0, V4` + normalTail + `
	VANDPS C.sign, V4, V1
	VORPS V1, V5, V5 // x, within 13 of 0
	VXORPS V1, V2, V2
	VPSRAD $31, V4, V3
	VMOVUPS C.one, V1
	VANDNPS V1, V3, V3 // 1 where x is positive
	VSUBPS V2, V3, V3 // Phi(x): 1-tail, or tail where x is negative
	VMULPS C.rsqrt2pi, V0, V0
	VFMADD213PS V3, V5, V0
	VMULPS M.dy, V0, V0`},
	{name: "quickGELU", doc: "dst = x/(1+e^(-1.702x))", slices: "dst x", in: "x", out: "dst=V0", unroll: 1, body: `
	VMOVUPS C.quickLo, V1
	VMAXPS V0, V1, V4 // x
	VMULPS C.minusQuick, V4, V0` + exp + `
	VADDPS C.one, V0, V0
	VDIVPS V0, V4, V0`},
	{name: "quickGELUGrad", doc: "dst = dy*silu'(1.702x)", slices: "dst x dy", in: "x", out: "dst=V0", unroll: 1, body: `
	VMULPS C.quick, V0, V0` + siluGrad + `
	VMULPS M.dy, V0, V0`},

	{name: "scaleShiftRows", doc: "dst = x*scale[j] + shift[j]", slices: "dst x scale shift", cols: "scale shift", in: "x scale", out: "dst=V0", unroll: 4, body: `
	VFMADD213PS M.shift, V1, V0`},
	{name: "scaleShiftSiLURows", doc: "dst = silu(x*scale[j] + shift[j])", slices: "dst x scale shift", cols: "scale shift", in: "x scale", out: "dst=V0", unroll: 1, body: `
	VFMADD213PS M.shift, V1, V0` + silu},
	{name: "siluGradRows", doc: "dst = dy*silu'(x*scale[j] + shift[j])", slices: "dst x dy scale shift", cols: "scale shift", in: "x scale", out: "dst=V0", unroll: 1, body: `
	VFMADD213PS M.shift, V1, V0` + siluGrad + `
	VMULPS M.dy, V0, V0`},
	{name: "linearRows", doc: "dst = a[j]*u + b[j]*v + d[j]", slices: "dst u v a b d", cols: "a b d", in: "u a v b d", out: "dst=V4", unroll: 2, body: `
	VFMADD231PS V2, V3, V4
	VFMADD231PS V0, V1, V4`},
	{name: "addRows", doc: "dst = x + v[j]", slices: "dst x v", cols: "v", in: "x", out: "dst=V0", unroll: 4, body: `
	VADDPS M.v, V0, V0`},

	{name: "adamW", doc: "one AdamW step; nb = 1-b, ic = 1/c", slices: "p m v g", in: "p m v g", out: "p=V0 m=V1 v=V2", scalars: "lr b1 nb1 b2 nb2 eps wd ic1 ic2", unroll: 1, body: `
	VMULPS S.b1, V1, V1
	VFMADD231PS S.nb1, V3, V1
	VMULPS V3, V3, V3
	VMULPS S.b2, V2, V2
	VFMADD231PS S.nb2, V3, V2
	VMULPS S.ic2, V2, V4
	VSQRTPS V4, V4
	VADDPS S.eps, V4, V4
	VMULPS S.ic1, V1, V5
	VDIVPS V4, V5, V5
	VFMADD231PS S.wd, V0, V5
	VFNMADD231PS S.lr, V5, V0`},
}

// colKernel adds up columns: four vectors of columns at a time, row by row,
// in registers. The means are in V4.., the sums in V8.. and V0..; V12 and V13
// are free. U is the number of the vector in its group; MEAN, S1, S2 its
// registers; M.x its elements of slice x.
type colKernel struct {
	name, doc string
	slices    string // sums first, then mean, then the data
	body      string
}

var colKernels = []colKernel{
	{"colSum", "sum[j] += x", "sum x", `VADDPS M.x, S1, S1`},
	{"colSqDev", "sum[j] += (x-mean[j])^2", "sum mean x", `
	VMOVUPS M.x, V12
	VSUBPS MEAN, V12, V12
	VFMADD231PS V12, V12, S1`},
	{"colSum2", "s1[j] += dy, s2[j] += dy*(x-mean[j])", "s1 s2 mean dy x", `
	VMOVUPS M.dy, V13
	VMOVUPS M.x, V12
	VSUBPS MEAN, V12, V12
	VADDPS V13, S1, S1
	VFMADD231PS V13, V12, S2`},
}

// Conversions work on whole groups of 16: W elements at a time, from (SI) to
// (DI), AX the index.
var conversions = []struct{ name, dst, src, avx2, avx512 string }{
	{"f16ToF32", "float32", "uint16", `
	VCVTPH2PS (SI)(AX*2), Y0
	VMOVUPS Y0, (DI)(AX*4)`, `
	VCVTPH2PS (SI)(AX*2), Z0
	VMOVUPS Z0, (DI)(AX*4)`},
	{"bf16ToF32", "float32", "uint16", `
	VPMOVZXWD (SI)(AX*2), Y0
	VPSLLD $16, Y0, Y0
	VMOVUPS Y0, (DI)(AX*4)`, `
	VPMOVZXWD (SI)(AX*2), Z0
	VPSLLD $16, Z0, Z0
	VMOVUPS Z0, (DI)(AX*4)`},
	{"f32ToF16", "uint16", "float32", `
	VMOVUPS (SI)(AX*4), Y0
	VCVTPS2PH $0, Y0, (DI)(AX*2)`, `
	VMOVUPS (SI)(AX*4), Z0
	VCVTPS2PH $0, Z0, (DI)(AX*2)`},
	// u + 0x7fff + (bit 16 of u), then the upper half; NaN: upper half | 0x40.
	{"f32ToBF16", "uint16", "float32", `
	VMOVUPS (SI)(AX*4), Y0
	VPSRLD $16, Y0, Y1
	VANDPS C.i1, Y1, Y2
	VPADDD C.i7fff, Y2, Y2
	VPADDD Y0, Y2, Y2
	VPSRLD $16, Y2, Y2
	VORPS C.i40, Y1, Y1
	VCMPPS $3, Y0, Y0, Y3
	VBLENDVPS Y3, Y1, Y2, Y2
	VPACKUSDW Y2, Y2, Y2
	VPERMQ $8, Y2, Y2
	VMOVDQU X2, (DI)(AX*2)`, `
	VMOVUPS (SI)(AX*4), Z0
	VPSRLD $16, Z0, Z1
	VANDPS C.i1, Z1, Z2
	VPADDD C.i7fff, Z2, Z2
	VPADDD Z0, Z2, Z2
	VPSRLD $16, Z2, Z2
	VORPS C.i40, Z1, Z1
	VCMPPS $3, Z0, Z0, K1
	VMOVDQA32 Z1, K1, Z2
	VPMOVDW Z2, (DI)(AX*2)`},
}

// tier writes the assembly of one instruction set.
type tier struct {
	name, suffix, reg string
	w                 int // float32 lanes
	b, decl           strings.Builder
	used              []string // constants, in order of use
	scalar            map[string]string
}

func (t *tier) p(f string, a ...any) { fmt.Fprintf(&t.b, f+"\n", a...) }

var (
	vReg   = regexp.MustCompile(`\bV(\d+)\b`)
	sRef   = regexp.MustCompile(`\bS\.(\w+)`)
	cRef   = regexp.MustCompile(`\bC\.(\w+)`)
	opName = regexp.MustCompile(`^V\w+`)
	ptrs   = []string{"DI", "SI", "DX", "BX", "R8", "R9"}
)

// text writes lines of kernel text, replacing what stands for registers,
// scalars and constants.
func (t *tier) text(s string) {
	for _, l := range strings.Split(s, "\n") {
		l = strings.TrimSpace(l)
		switch {
		case l == "":
			continue
		case l == "ROUND V1":
			t.text(roundLdexp[t.name][0])
			continue
		case strings.HasPrefix(l, "LDEXP"):
			t.text(roundLdexp[t.name][1])
			continue
		}
		l = strings.Replace(l, ", N,", map[string]string{"avx2": ", V2,", "avx512": ", V1,"}[t.name], 1)
		if m := cRef.FindStringSubmatch(l); m != nil {
			l = strings.Replace(l, m[0], t.constant(m[1]), 1)
			if t.w == 16 { // one float32, broadcast by the instruction itself
				if strings.HasPrefix(l, "VMOVUPS") {
					l = strings.Replace(l, "VMOVUPS", "VBROADCASTSS", 1)
				} else {
					l = opName.ReplaceAllString(l, "$0.BCST")
				}
			}
		}
		l = sRef.ReplaceAllStringFunc(l, func(m string) string { return t.scalar[m[2:]] })
		t.p("\t%s", vReg.ReplaceAllString(l, t.reg+"$1"))
	}
}

func (t *tier) constant(name string) string {
	known := false
	for _, u := range t.used {
		known = known || u == name
	}
	if !known {
		t.used = append(t.used, name)
	}
	return name + "<>(SB)"
}

// header starts a function: its declaration, TEXT, and slice pointers; it
// gives the offset of the arguments behind the slices.
func (t *tier) header(name, doc string, slices []string, typ func(string) string, scalars []string, result bool) {
	params := make([]string, 0, len(slices))
	for _, s := range slices {
		params = append(params, s+" "+typ(s))
	}
	if len(scalars) > 0 {
		params = append(params, strings.Join(scalars, ", ")+" float32")
	}
	size := 24*len(slices) + 4*len(scalars)
	ret := ""
	if result {
		size = (size+7)&^7 + 8
		ret = " float64"
	}
	fmt.Fprintf(&t.decl, "//go:noescape\nfunc %s%s(%s)%s\n\n", name, t.suffix, strings.Join(params, ", "), ret)
	t.p("\n// %s\nTEXT ·%s%s(SB), NOSPLIT, $0-%d", doc, name, t.suffix, size)
	for i, s := range slices {
		t.p("\tMOVQ %s_base+%d(FP), %s", s, 24*i, ptrs[i])
	}
	t.scalar = map[string]string{}
	for i, s := range scalars {
		r := fmt.Sprintf("%s%d", t.reg, 14-i)
		t.scalar[s] = r
		t.p("\tVBROADCASTSS %s+%d(FP), %s", s, 24*len(slices)+4*i, r)
	}
}

// mask sets the tail's mask for a length in R11, using AX and CX.
func (t *tier) mask() {
	t.p("\tMOVQ R11, CX")
	t.p("\tANDQ $%d, CX", t.w-1)
	if t.w == 16 {
		t.p("\tMOVL $1, AX")
		t.p("\tSHLL CX, AX")
		t.p("\tDECL AX")
		t.p("\tKMOVW AX, K1")
		return
	}
	t.p("\tNEGQ CX")
	t.p("\tLEAQ tail<>+32(SB), AX")
	t.p("\tVMOVUPS (AX)(CX*4), Y15")
}

func (t *tier) load(mem, reg string, masked bool) {
	switch {
	case !masked:
		t.p("\tVMOVUPS %s, %s", mem, reg)
	case t.w == 16:
		t.p("\tVMOVUPS.Z %s, K1, %s", mem, reg)
	default:
		t.p("\tVMASKMOVPS %s, Y15, %s", mem, reg)
	}
}

func (t *tier) store(reg, mem string, masked bool) {
	switch {
	case !masked:
		t.p("\tVMOVUPS %s, %s", reg, mem)
	case t.w == 16:
		t.p("\tVMOVUPS %s, K1, %s", reg, mem)
	default:
		t.p("\tVMASKMOVPS %s, Y15, %s", reg, mem)
	}
}

func (t *tier) v(n int) string { return fmt.Sprintf("%s%d", t.reg, n) }

// body writes text with M.x references; in a tail each is loaded with the mask
// into register free just before its use.
func (t *tier) body(s string, at func(slice string) string, masked bool, free int) {
	ref := regexp.MustCompile(`\bM\.(\w+)`)
	for _, l := range strings.Split(s, "\n") {
		if m := ref.FindStringSubmatch(l); m != nil {
			if masked {
				t.load(at(m[1]), t.v(free), true)
				l = strings.Replace(l, m[0], t.v(free), 1)
			} else {
				l = strings.Replace(l, m[0], at(m[1]), 1)
			}
		}
		t.text(l)
	}
}

func float32s(string) string { return "[]float32" }

func (t *tier) kernel(k kernel) {
	slices := strings.Fields(k.slices)
	t.header(k.name, k.doc, slices, float32s, strings.Fields(k.scalars), k.reduce != "")
	cols := strings.Fields(k.cols)
	ptr := map[string]string{}
	for i, s := range slices {
		ptr[s] = ptrs[i]
	}
	if len(cols) > 0 { // R11 = c, R13 = bytes of a row, R12 = end of dst
		t.p("\tMOVQ %s_len+%d(FP), R11", cols[0], 24*(len(slices)-len(cols))+8)
		t.p("\tMOVQ %s_len+8(FP), R12", slices[0])
		t.p("\tLEAQ (R11*4), R13")
		t.p("\tLEAQ (DI)(R12*4), R12")
	} else {
		t.p("\tMOVQ %s_len+8(FP), R11", slices[0])
	}
	t.mask()
	accs := 0
	if k.reduce != "" {
		accs = k.unroll
		for u := range accs {
			if k.fill != "" {
				t.text(fmt.Sprintf("VMOVUPS C.%s, V%d", k.fill, 10+u))
			} else {
				t.text(fmt.Sprintf("VXORPS V%d, V%d, V%d", 10+u, 10+u, 10+u))
			}
		}
	}
	if len(cols) > 0 {
		t.p("\tCMPQ DI, R12\n\tJGE done\nrow:")
	}
	step := func(u int, masked bool) {
		at := func(s string) string {
			if u == 0 {
				return fmt.Sprintf("(%s)(AX*4)", ptr[s])
			}
			return fmt.Sprintf("%d(%s)(AX*4)", 4*t.w*u, ptr[s])
		}
		for i, s := range strings.Fields(k.in) {
			switch {
			case masked && k.fill != "" && t.w == 16:
				t.text("VMOVUPS C." + k.fill + ", V0")
				t.p("\tVMOVUPS %s, K1, Z0", at(s))
			case masked && k.fill != "":
				t.load(at(s), "Y0", true)
				t.text("VMOVUPS C." + k.fill + ", V1")
				t.p("\tVBLENDVPS Y15, Y0, Y1, Y0")
			default:
				t.load(at(s), t.v(i), masked)
			}
		}
		t.body(k.body, at, masked, 6)
		if masked && k.maskV0 {
			if t.w == 16 {
				t.p("\tVMOVAPS.Z Z0, K1, Z0")
			} else {
				t.p("\tVANDPS Y15, Y0, Y0")
			}
		}
		t.text(strings.ReplaceAll(k.acc, "ACC", fmt.Sprintf("V%d", 10+u)))
		for _, o := range strings.Fields(k.out) {
			s, r, _ := strings.Cut(o, "=")
			t.store(vReg.ReplaceAllString(r, t.reg+"$1"), at(s), masked)
		}
	}
	// AX = index, CX = elements left, less those of the step.
	t.p("\tXORQ AX, AX")
	t.p("\tMOVQ R11, CX")
	w := t.w
	for _, n := range []int{k.unroll, 1} {
		label, next := "many", "few"
		if n == 1 {
			label, next = "one", "rest"
		}
		if label == "many" && n == 1 {
			continue
		}
		if label == "many" || k.unroll == 1 {
			t.p("\tSUBQ $%d, CX", n*w)
		} else {
			t.p("\tADDQ $%d, CX", (k.unroll-1)*w)
		}
		t.p("\tJLT %s", next)
		t.p("%s:", label)
		for u := range n {
			step(u, false)
		}
		t.p("\tADDQ $%d, AX", n*w)
		t.p("\tSUBQ $%d, CX", n*w)
		t.p("\tJGE %s", label)
		t.p("%s:", next)
		if n == 1 {
			break
		}
	}
	t.p("\tADDQ $%d, CX", w)
	t.p("\tJEQ end")
	step(0, true)
	t.p("end:")
	if len(cols) > 0 {
		for _, s := range slices[:len(slices)-len(cols)] {
			t.p("\tADDQ R13, %s", ptr[s])
		}
		t.p("\tCMPQ DI, R12\n\tJLT row\ndone:")
	}
	if k.reduce != "" {
		t.reduce(k.reduce, accs)
		t.p("\tVCVTSS2SD X0, X0, X0")
		t.p("\tVMOVSD X0, ret+%d(FP)", (24*len(slices)+4*len(strings.Fields(k.scalars))+7)&^7)
	}
	t.p("\tVZEROUPPER\n\tRET")
}

// reduce combines the accumulators V10.. and then the lanes, into X0.
func (t *tier) reduce(op string, accs int) {
	for n := accs / 2; n >= 1; n /= 2 {
		for u := range n {
			t.text(fmt.Sprintf("V%sPS V%d, V%d, V%d", op, 10+u+n, 10+u, 10+u))
		}
	}
	t.text("VMOVUPS V10, V0")
	if t.w == 16 {
		t.p("\tVEXTRACTF64X4 $1, Z0, Y1\n\tV%sPS Y1, Y0, Y0", op)
	}
	t.p("\tVEXTRACTF128 $1, Y0, X1\n\tV%sPS X1, X0, X0", op)
	t.p("\tVPERMILPS $0x4e, X0, X1\n\tV%sPS X1, X0, X0", op)
	t.p("\tVPERMILPS $0xb1, X0, X1\n\tV%sPS X1, X0, X0", op)
}

func (t *tier) colKernel(k colKernel) {
	slices := strings.Fields(k.slices)
	t.header(k.name, k.doc, slices, float32s, nil, false)
	ptr := map[string]string{}
	for i, s := range slices {
		ptr[s] = ptrs[i]
	}
	last := slices[len(slices)-1]
	t.p("\tMOVQ %s_len+8(FP), R11 // columns", slices[0])
	t.p("\tMOVQ %s_len+%d(FP), R12", last, 24*(len(slices)-1)+8)
	t.p("\tSHLQ $2, R12 // bytes of data")
	t.p("\tJEQ end")
	t.p("\tLEAQ (R11*4), R13 // bytes of a row")
	t.mask()
	t.p("\tXORQ R10, R10 // offset of the column\n\tMOVQ R11, CX")
	group := func(label string, n int, masked bool) {
		at := func(index string, u int) func(s string) string {
			return func(s string) string { return fmt.Sprintf("%d(%s)(%s*1)", 4*t.w*u, ptr[s], index) }
		}
		sums := []string{}
		for _, s := range slices {
			first := map[string]int{"sum": 8, "s1": 8, "s2": 0, "mean": 4}
			if r, ok := first[s]; ok {
				for u := range n {
					t.load(at("R10", u)(s), t.v(r+u), masked)
				}
				if s != "mean" {
					sums = append(sums, s)
				}
			}
		}
		t.p("\tMOVQ R10, AX")
		t.p("%srow:", label)
		for u := range n {
			body := strings.NewReplacer("MEAN", fmt.Sprintf("V%d", 4+u), "S1", fmt.Sprintf("V%d", 8+u), "S2", fmt.Sprintf("V%d", u)).Replace(k.body)
			t.body(body, at("AX", u), masked, 14)
		}
		t.p("\tADDQ R13, AX\n\tCMPQ AX, R12\n\tJLT %srow", label)
		for i, s := range sums {
			for u := range n {
				t.store(t.v(8-8*i+u), at("R10", u)(s), masked)
			}
		}
	}
	t.p("\tSUBQ $%d, CX\n\tJLT few\nmany:", 4*t.w)
	group("many", 4, false)
	t.p("\tADDQ $%d, R10\n\tSUBQ $%d, CX\n\tJGE many", 16*t.w, 4*t.w)
	t.p("few:\n\tADDQ $%d, CX\n\tJLT rest\none:", 3*t.w)
	group("one", 1, false)
	t.p("\tADDQ $%d, R10\n\tSUBQ $%d, CX\n\tJGE one", 4*t.w, t.w)
	t.p("rest:\n\tADDQ $%d, CX\n\tJEQ end", t.w)
	group("tail", 1, true)
	t.p("end:\n\tVZEROUPPER\n\tRET")
}

func (t *tier) conversions() {
	for _, c := range conversions {
		t.header(c.name, c.name+" on whole groups of 16", []string{"dst", "src"}, func(s string) string {
			if s == "dst" {
				return "[]" + c.dst
			}
			return "[]" + c.src
		}, nil, false)
		body := c.avx2
		if t.w == 16 {
			body = c.avx512
		}
		t.p("\tMOVQ dst_len+8(FP), CX\n\tXORQ AX, AX\n\tTESTQ CX, CX\n\tJEQ end\nloop:")
		t.text(body)
		t.p("\tADDQ $%d, AX\n\tCMPQ AX, CX\n\tJLT loop\nend:\n\tVZEROUPPER\n\tRET", t.w)
	}
}

// constants writes the constants in use: one lane for AVX-512, which
// broadcasts them as it reads, eight for AVX2.
func (t *tier) constants() {
	lanes := 1
	if t.w == 8 {
		lanes = 8
	}
	for _, name := range t.used {
		bits, ok := integers[name]
		if !ok {
			v, ok := constants[name]
			if !ok {
				log.Fatalf("no constant %s", name)
			}
			bits = math.Float32bits(float32(v))
		}
		t.p("")
		for i := range (lanes + 1) / 2 {
			if lanes == 1 {
				t.p("DATA %s<>+0(SB)/4, $0x%08x", name, bits)
			} else {
				t.p("DATA %s<>+%d(SB)/8, $0x%08x%08x", name, 8*i, bits, bits)
			}
		}
		t.p("GLOBL %s<>(SB), RODATA|NOPTR, $%d", name, 4*lanes)
	}
	if t.w == 8 {
		t.p("\n// A load that ends n lanes before the middle has n lanes set.")
		for i := range 8 {
			v := "0"
			if i < 4 {
				v = "-1"
			}
			t.p("DATA tail<>+%d(SB)/8, $%s", 8*i, v)
		}
		t.p("GLOBL tail<>(SB), RODATA|NOPTR, $64")
	}
}

const notice = "// Code generated by gen/vec.go; DO NOT EDIT.\n\n//go:build amd64 && !noasm\n\n"

func main() {
	var decl strings.Builder
	decl.WriteString(notice + "package asm\n\n")
	table := "var vecTiers = [...]*vecKernels{\nGeneric: &genericVec,\n"
	for _, t := range []*tier{
		{name: "avx2", suffix: "AVX2", reg: "Y", w: 8},
		{name: "avx512", suffix: "AVX512", reg: "Z", w: 16},
	} {
		t.b.WriteString(notice + "#include \"textflag.h\"\n")
		var names []string
		for _, k := range kernels {
			t.kernel(k)
			names = append(names, k.name)
		}
		for _, k := range colKernels {
			t.colKernel(k)
			names = append(names, k.name)
		}
		t.conversions()
		for _, c := range conversions {
			names = append(names, c.name)
		}
		t.constants()
		if err := os.WriteFile("vec_"+t.name+"_amd64.s", []byte(t.b.String()), 0o644); err != nil {
			log.Fatal(err)
		}
		decl.WriteString(t.decl.String())
		table += t.suffix + ": {\n"
		for _, n := range names {
			table += n + ": " + n + t.suffix + ",\n"
		}
		table += "},\n"
	}
	decl.WriteString(table + "}\n")
	src, err := format.Source([]byte(decl.String()))
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("vec_amd64.go", src, 0o644); err != nil {
		log.Fatal(err)
	}
}
