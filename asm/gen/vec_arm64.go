//go:build ignore

// Vec_arm64 writes the vector kernels for NEON: vec_arm64.s and vec_arm64.go.
// Run it with go generate in the package's folder. The kernels are those of
// gen/vec.go, by the same formulas and constants.
//
// A kernel is given as the work on one vector register of 4 lanes, in Arm's
// order of operands (the destination first). Inputs arrive in V0, V1, ... in
// the order of in, or in the registers named there. S.x is scalar x in all lanes
// and C.x constant x, both held in registers; "ldr V1, C.x" reads a constant
// from memory instead, which costs no copy where FMLA is to overwrite it. "ldr
// V1, M.x" loads elements of slice x. ACC is the sum of a reduction.
//
// The main loop does unroll vectors at a time, line by line, each in its own
// registers; single vectors follow, and then single elements in lane 0.
//
// Go's assembler has few NEON mnemonics: instructions are encoded here (Arm
// Architecture Reference Manual, C7.2) and written as WORD.
package main

import (
	"fmt"
	"go/format"
	"log"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type kernel struct {
	name    string
	doc     string
	slices  string // in the order of the arguments; the first gives the length
	cols    string // those of them, at the end, that are one row long and used for each row
	in      string // slices loaded, as slice or slice=register
	out     string // slices stored, as slice=register
	scalars string // float32 arguments
	body    string
	acc     string // accumulation, after body
	reduce  string // fadd: how sums are combined; the result is returned
	unroll  int
}

// The exponential of gen/vec.go, e^V0 in V0, using V1..V3: n = round(x/ln 2) in
// V1, and e^(x - n ln 2) in V3.
const expReduced = `
	fmul V1, V0, C.log2e
	frintn V1, V1
	fmls V0, V1, C.ln2hi
	fmls V0, V1, C.ln2lo
	fcvtns V1, V1
	ldr V2, C.e5
	fmla V2, V0, C.e6
	ldr V3, C.e4
	fmla V3, V2, V0
	ldr V2, C.e3
	fmla V2, V3, V0
	ldr V3, C.e2
	fmla V3, V2, V0
	ldr V2, C.one
	fmla V2, V3, V0
	ldr V3, C.one
	fmla V3, V2, V0`

// Any argument: n may pass the exponent range at both ends, so the factor 2^n is
// two.
const exp = `
	fmin V0, V0, C.expHi // a NaN stays
	fmax V0, V0, C.expLo` + expReduced + `
	sshr V2, V1, 1
	sub V1, V1, V2
	shl V2, V2, 23
	shl V1, V1, 23
	add V2, V2, C.one
	add V1, V1, C.one
	fmul V0, V3, V2
	fmul V0, V0, V1`

// Arguments within 87 of 0.
const expNormal = expReduced + `
	shl V1, V1, 23
	add V1, V1, C.one
	fmul V0, V3, V1`

// The first limit keeps e^-x finite, hence Inf/Inf away; the second keeps it normal.
const silu = `
	fmax V4, V0, C.actLo // x
	fneg V0, V4
	fmax V0, V0, C.actLo` + expNormal + `
	fadd V0, V0, C.one
	fdiv V0, V4, V0`

// V0 = silu'(V0) = s*(1 + x*(1-s)) with 1-s = e^-x * s; uses V1..V4.
const siluGrad = `
	fmax V0, V0, C.actLo
	fmin V4, V0, C.actHi // x
	fneg V0, V4` + expNormal + `
	fadd V1, V0, C.one
	fdiv V2, C.one, V1 // s
	fmul V0, V0, V2 // 1-s
	ldr V1, C.one
	fmla V1, V4, V0
	fmul V0, V1, V2`

// The tail of gen/vec_table.go. Of x in V4: a = |x|, at most 13, in V5, e^(-a*a/2) in
// V0 and the normal distribution's tail beyond a in V2, using V1 and V3.
const normalTail = `
	fabs V5, V4
	fmin V5, V5, C.normHi
	fmul V0, V5, V5
	fmul V0, V0, C.minusHalf` + expNormal + `
	ldr V2, C.p3
	fmla V2, V5, C.p4
	ldr V3, C.p2
	fmla V3, V2, V5
	ldr V2, C.p1
	fmla V2, V3, V5
	ldr V3, C.p0
	fmla V3, V2, V5
	fmul V3, V3, V0
	ldr V1, C.q4
	fmla V1, V5, C.q5
	ldr V2, C.q3
	fmla V2, V1, V5
	ldr V1, C.q2
	fmla V1, V2, V5
	ldr V2, C.q1
	fmla V2, V1, V5
	ldr V1, C.one
	fmla V1, V2, V5
	fdiv V2, V3, V1`

// Behind normalTail: GELU in V0.
const geluValue = `
	fmax V0, V4, C.zero
	fmls V0, V5, V2`

// Behind normalTail: the derivative of GELU in V3, using V0, V1, V2 and V5.
const geluSlope = `
	and V1, V4, C.sign
	orr V5, V5, V1 // x, within 13 of 0
	eor V2, V2, V1
	sshr V3, V4, 31
	bic V3, C.one, V3 // 1 where x is positive
	fsub V3, V3, V2 // Phi(x): 1-tail, or tail where x is negative
	fmul V0, V0, C.rsqrt2pi
	fmla V3, V5, V0`

// Of x in V4: e^(-2|x|) - 1 in V2, using V0, V1 and V3. Beyond 10 tanh is 1.
const expTanh = `
	fabs V0, V4
	fmin V0, V0, C.tanhHi
	fmul V0, V0, C.minusTwo
	fmul V1, V0, C.log2e
	frintn V1, V1
	fmls V0, V1, C.ln2hi
	fmls V0, V1, C.ln2lo
	fcvtns V1, V1
	ldr V2, C.e5
	fmla V2, V0, C.e6
	ldr V3, C.e4
	fmla V3, V2, V0
	ldr V2, C.e3
	fmla V2, V3, V0
	ldr V3, C.e2
	fmla V3, V2, V0
	fmul V2, V0, V0
	fmla V0, V2, V3
	shl V1, V1, 23
	add V1, V1, C.one // 2^n
	fsub V2, V1, C.one
	fmla V2, V0, V1`

const timesDy = `
	ldr V1, M.dy
	fmul V0, V0, V1`

var kernels = []kernel{
	{name: "add", doc: "dst = a + b", slices: "dst a b", in: "a b", out: "dst=V0", unroll: 4, body: `fadd V0, V0, V1`},
	{name: "sub", doc: "dst = a - b", slices: "dst a b", in: "a b", out: "dst=V0", unroll: 4, body: `fsub V0, V0, V1`},
	{name: "mul", doc: "dst = a * b", slices: "dst a b", in: "a b", out: "dst=V0", unroll: 4, body: `fmul V0, V0, V1`},
	{name: "axpy", doc: "dst += t*x", slices: "dst x", in: "dst x", out: "dst=V0", scalars: "t", unroll: 4,
		body: `fmla V0, V1, S.t`},
	{name: "scale", doc: "dst = t*x", slices: "dst x", in: "x", out: "dst=V0", scalars: "t", unroll: 4,
		body: `fmul V0, V0, S.t`},
	{name: "lerp", doc: "dst += t*(x-dst)", slices: "dst x", in: "dst x", out: "dst=V0", scalars: "t", unroll: 4, body: `
	fsub V1, V1, V0
	fmla V0, V1, S.t`},

	{name: "dot", doc: "sum of a*b", slices: "a b", in: "a b", unroll: 8, reduce: "fadd", acc: `fmla ACC, V0, V1`},
	{name: "sum", doc: "sum of x", slices: "x", in: "x", unroll: 8, reduce: "fadd", acc: `fadd ACC, ACC, V0`},
	{name: "sumSq", doc: "sum of x*x", slices: "x", in: "x", unroll: 8, reduce: "fadd", acc: `fmla ACC, V0, V0`},
	{name: "zeroTimes", doc: "sum of 0*x", slices: "x", in: "x", unroll: 8, reduce: "fadd", acc: `fmla ACC, V0, C.zero`},

	{name: "exp", doc: "dst = e^x", slices: "dst x", in: "x", out: "dst=V0", unroll: 4, body: exp},
	{name: "silu", doc: "dst = x/(1+e^-x)", slices: "dst x", in: "x", out: "dst=V0", unroll: 4, body: silu},
	{name: "siluGrad", doc: "dst = dy*silu'(x)", slices: "dst x dy", in: "x", out: "dst=V0", unroll: 4, body: siluGrad +
		timesDy},
	{name: "gelu", doc: "dst = x*Phi(x) = max(x, 0) - a*tail(a)", slices: "dst x", in: "x=V4", out: "dst=V0", unroll: 3,
		body: normalTail + geluValue},
	{name: "geluGrad", doc: "dst = dy*(Phi(x)+x*phi(x))", slices: "dst x dy", in: "x=V4", out: "dst=V0", unroll: 3,
		body: normalTail + geluSlope + `
	ldr V1, M.dy
	fmul V0, V3, V1`},
	{name: "quickGELU", doc: "dst = x/(1+e^(-1.702x))", slices: "dst x", in: "x", out: "dst=V0", unroll: 4, body: `
	fmax V4, V0, C.quickLo // x
	fmul V0, V4, C.minusQuick
	fmax V0, V0, C.actLo` + expNormal + `
	fadd V0, V0, C.one
	fdiv V0, V4, V0`},
	{name: "quickGELUGrad", doc: "dst = dy*silu'(1.702x)", slices: "dst x dy", in: "x", out: "dst=V0", unroll: 4, body: `
	fmul V0, V0, C.quick` + siluGrad + timesDy},

	{name: "expGrad", doc: "dst = dy*e^x", slices: "dst x dy", in: "x", out: "dst=V0", unroll: 4, body: exp + timesDy},
	{name: "tanh", doc: "dst = tanh(x)", slices: "dst x", in: "x=V4", out: "dst=V0", unroll: 3, body: expTanh + `
	fadd V1, V2, C.two
	fdiv V0, V2, V1 // -tanh|x|
	fabs V0, V0
	and V1, V4, C.sign
	orr V0, V0, V1`},
	{name: "tanhGrad", doc: "dst = dy*4e/(1+e)^2, e = e^(-2|x|)", slices: "dst x dy", in: "x=V4", out: "dst=V0",
		unroll: 3, body: expTanh + `
	fadd V1, V2, C.two
	fdiv V1, C.two, V1
	fadd V0, V2, C.one
	fmul V0, V0, V1
	fmul V0, V0, V1` + timesDy},
	{name: "abs", doc: "dst = |x|", slices: "dst x", in: "x", out: "dst=V0", unroll: 4, body: `fabs V0, V0`},
	{name: "absGrad", doc: "dst = dy, -dy or 0", slices: "dst x dy", in: "x dy", out: "dst=V1", unroll: 4, body: `
	and V2, V0, C.sign
	eor V1, V1, V2
	fabs V2, V0
	fcmgt V2, V2, C.zero
	and V1, V1, V2`},
	{name: "relu", doc: "dst = max(x, 0)", slices: "dst x", in: "x", out: "dst=V0", unroll: 4,
		body: `fmax V0, V0, C.zero`},
	{name: "reluGrad", doc: "dst = dy where x > 0, else 0", slices: "dst x dy", in: "x dy", out: "dst=V1", unroll: 4,
		body: `
	fcmgt V2, V0, C.zero
	and V1, V1, V2`},
	{name: "clamp", doc: "dst = x, at least lo, at most hi", slices: "dst x", in: "x", out: "dst=V0", scalars: "lo hi",
		unroll: 4, body: `
	fmax V0, V0, S.lo
	fmin V0, V0, S.hi`},
	{name: "clampGrad", doc: "dst = dy where lo <= x <= hi, else 0", slices: "dst x dy", in: "x dy", out: "dst=V1",
		scalars: "lo hi", unroll: 4, body: `
	fcmge V2, V0, S.lo
	fcmge V3, S.hi, V0
	and V1, V1, V2
	and V1, V1, V3`},

	{name: "scaleShiftRows", doc: "dst = x*scale[j] + shift[j]", slices: "dst x scale shift", cols: "scale shift",
		in: "x=V1 scale=V2 shift=V0", out: "dst=V0", unroll: 4, body: `fmla V0, V1, V2`},
	{name: "scaleShiftSiLURows", doc: "dst = silu(x*scale[j] + shift[j])", slices: "dst x scale shift",
		cols: "scale shift", in: "x=V1 scale=V2 shift=V0", out: "dst=V0", unroll: 4, body: `
	fmla V0, V1, V2` + silu},
	{name: "siluGradRows", doc: "dst = dy*silu'(x*scale[j] + shift[j])", slices: "dst x dy scale shift",
		cols: "scale shift", in: "x=V1 scale=V2 shift=V0", out: "dst=V0", unroll: 4, body: `
	fmla V0, V1, V2` + siluGrad + timesDy},
	{name: "linearRows", doc: "dst = a[j]*u + b[j]*v + d[j]", slices: "dst u v a b d", cols: "a b d", in: "u a v b d",
		out: "dst=V4", unroll: 4, body: `
	fmla V4, V2, V3
	fmla V4, V0, V1`},
	{name: "mulRows", doc: "dst *= scale[j]", slices: "dst scale", cols: "scale", in: "dst scale", out: "dst=V0",
		unroll: 4, body: `
	fmul V0, V0, V1`},
	{name: "addRows", doc: "dst = x + v[j]", slices: "dst x v", cols: "v", in: "x v", out: "dst=V0", unroll: 4,
		body: `fadd V0, V0, V1`},

	{name: "adamW", doc: "one AdamW step; nb = 1-b, ic = 1/c", slices: "p m v g", in: "p m v g", out: "p=V0 m=V1 v=V2",
		scalars: "lr b1 nb1 b2 nb2 eps wd ic1 ic2", unroll: 2, body: `
	fmul V1, V1, S.b1
	fmla V1, V3, S.nb1
	fmul V3, V3, V3
	fmul V2, V2, S.b2
	fmla V2, V3, S.nb2
	fmul V4, V2, S.ic2
	fsqrt V4, V4
	fadd V4, V4, S.eps
	fmul V5, V1, S.ic1
	fdiv V5, V5, V4
	fmla V5, V0, S.wd
	fmls V0, V5, S.lr`},
}

// rowKernel goes over each row of c elements several times, while it is in the cache.
// R.x are registers that a row keeps its values in, A and B the sums of a pass, whose
// totals text finds in all lanes of R.A and R.B. Between passes a line "GO ..." is Go's own
// syntax, with #x the number of R.x and P.x the pointer of slice x.
type rowKernel struct {
	name, doc string
	slices    string // as of a kernel
	cols      string // those that are the same for each row
	halves    string // those that advance by two rows: halves of a row of 2c
	pairs     string // the one that advances by two elements
	scalars   string
	first     string // text before the first pass of a row
	passes    []pass
}

type pass struct {
	// as of a kernel; tail, in Go's syntax, follows body where only lane 0 is an element, the other lanes being 0
	in, out, body, tail, acc string
	sums                     string // A, or A B
	reduce, fill             string // as of a kernel; fill is the constant that sums start from, 0 when empty
	unroll                   int
	then                     string // text after the pass
}

const rowStats = `
	GO VLD1R (P.stats), [V#mean.S4]
	GO ADD $4, P.stats, R9
	GO VLD1R (R9), [V#rstd.S4]`

var rowKernels = []rowKernel{
	{name: "softmaxRows", doc: "dst = e^(x-max) over the sum of that; tmp is one row", slices: "dst x tmp", cols: "tmp",
		passes: []pass{
			{in: "x", acc: `
	fcmgt V1, V0, A
	bit A, V0, V1`, sums: "A", reduce: "fmax", fill: "minusInf", tail: "VDUP V0.S[0], V0.S4", unroll: 4, then: `
	orr R.max, R.A, R.A`},
			{in: "x", out: "tmp=V0", body: `
	fsub V0, V0, R.max` + exp, tail: "FMOVS F0, F0", acc: `fadd A, A, V0`, sums: "A", reduce: "fadd", unroll: 4, then: `
	ldr V1, C.one
	fdiv R.inv, V1, R.A`},
			{in: "tmp", out: "dst=V0", body: `fmul V0, V0, R.inv`, unroll: 4},
		}},
	{name: "softmaxGradRows", doc: "dst = y*(dy - <y, dy>)", slices: "dst dy y", passes: []pass{
		{in: "y dy", acc: `fmla A, V0, V1`, sums: "A", reduce: "fadd", unroll: 4},
		{in: "dy y", out: "dst=V0", unroll: 4, body: `
	fsub V0, V0, R.A
	fmul V0, V0, V1`},
	}},
	// The mean of the deviations from the rounded mean m corrects it, and the variance.
	{name: "layerNormRows", doc: "stats = mean, rstd; dst = (x-mean)*rstd*gamma + beta", slices: "dst stats x gamma beta",
		cols: "gamma beta", pairs: "stats", scalars: "eps invC", passes: []pass{
			{in: "x", acc: `fadd A, A, V0`, sums: "A", reduce: "fadd", unroll: 4, then: `
	fmul R.m, R.A, S.invC`},
			{in: "x", body: `fsub V0, V0, R.m`, tail: "FMOVS F0, F0", acc: `
	fadd A, A, V0
	fmla B, V0, V0`, sums: "A B", reduce: "fadd", unroll: 4, then: `
	fmul V0, R.A, S.invC // mean - m
	fmul V1, R.B, S.invC
	fmls V1, V0, V0
	fmax V1, V1, C.zero // the variance
	fadd V1, V1, S.eps
	fsqrt V1, V1
	ldr V2, C.one
	fdiv R.rstd, V2, V1
	fmul V1, R.rstd, V0
	fneg R.shift, V1
	fadd V2, R.m, V0
	GO FMOVS F2, (P.stats)
	GO FMOVS F#rstd, 4(P.stats)`},
			{in: "x=V1 gamma=V2 beta=V0", out: "dst=V0", unroll: 4, body: `
	fsub V1, V1, R.m
	fmul V1, V1, R.rstd
	fadd V1, V1, R.shift
	fmla V0, V1, V2`},
		}},
	// With g = dy*gamma, its mean a and the mean b of g*(x-mean): rstd*(g - a) - rstd^3*b*(x-mean).
	{name: "layerNormGradRows", doc: "dst, the gradient to x", slices: "dst dy x stats gamma", cols: "gamma",
		pairs: "stats", scalars: "invC", first: rowStats, passes: []pass{
			{in: "x dy gamma", body: `
	fsub V0, V0, R.mean
	fmul V1, V1, V2`, acc: `
	fadd A, A, V1
	fmla B, V1, V0`, sums: "A B", reduce: "fadd", unroll: 4, then: `
	fmul V1, R.rstd, S.invC
	fmul V0, V1, R.A
	fneg R.a, V0
	fmul V1, V1, R.rstd
	fmul V1, V1, R.rstd
	fmul V1, V1, R.B
	fneg R.b, V1`},
			{in: "x dy gamma", out: "dst=V3", unroll: 4, body: `
	fsub V0, V0, R.mean
	fmul V1, V1, V2
	orr V3, R.a, R.a
	fmla V3, V0, R.b
	fmla V3, V1, R.rstd`},
		}},
	{name: "layerNormGammaRows", doc: "dst = dy*(x-mean)*rstd", slices: "dst dy x stats", pairs: "stats", first: rowStats,
		passes: []pass{
			{in: "x dy", out: "dst=V0", unroll: 4, body: `
	fsub V0, V0, R.mean
	fmul V0, V0, R.rstd
	fmul V0, V0, V1`},
		}},
	{name: "gegluRows", doc: "dst = x*gelu(gate)", slices: "dst x gate", halves: "x gate", passes: []pass{
		{in: "gate=V4", out: "dst=V0", unroll: 3, body: normalTail + geluValue + `
	ldr V1, M.x
	fmul V0, V0, V1`},
	}},
	{name: "gegluGradRows", doc: "dx = dy*gelu(gate), dgate = dy*x*gelu'(gate)", slices: "dx dgate dy x gate",
		halves: "dx dgate x gate", passes: []pass{
			{in: "gate=V4", out: "dx=V4 dgate=V3", unroll: 2, body: normalTail + `
	fmax V3, V4, C.zero
	fmls V3, V5, V2
	ldr V1, M.dy
	fmul V6, V3, V1` + geluSlope + `
	ldr V1, M.dy
	ldr V2, M.x
	fmul V3, V3, V1
	fmul V3, V3, V2
	orr V4, V6, V6`},
		}},
}

// colKernel adds up columns: unroll vectors of columns at a time, row by row, in
// registers. S1 and S2 are the sums, MEAN the means, V0 and V1 are free.
type colKernel struct {
	name, doc string
	slices    string // sums first, then mean, then the data
	unroll    int
	body      string
}

var colKernels = []colKernel{
	{"colSum", "sum[j] += x", "sum x", 8, `
	ldr V0, M.x
	fadd S1, S1, V0`},
	{"colMoments", "s1[j] += x-mean[j], s2[j] += (x-mean[j])^2", "s1 s2 mean x", 4, `
	ldr V0, M.x
	fsub V0, V0, MEAN
	fadd S1, S1, V0
	fmla S2, V0, V0`},
	{"colSum2", "s1[j] += dy, s2[j] += dy*(x-mean[j])", "s1 s2 mean dy x", 4, `
	ldr V0, M.x
	ldr V1, M.dy
	fsub V0, V0, MEAN
	fadd S1, S1, V1
	fmla S2, V1, V0`},
}

// Conversions work on whole groups of 16: src is loaded into V0.., dst stored
// from the registers of out.
var conversions = []struct {
	name, dst, src string
	out            []int
	body           string
}{
	{"f16ToF32", "float32", "uint16", []int{2, 3, 4, 5}, `
	fcvtl V2, V0
	fcvtl2 V3, V0
	fcvtl V4, V1
	fcvtl2 V5, V1`},
	{"bf16ToF32", "float32", "uint16", []int{2, 3, 4, 5}, `
	shll V2, V0
	shll2 V3, V0
	shll V4, V1
	shll2 V5, V1`},
	{"i8ToF32", "float32", "int8", []int{2, 3, 4, 5}, `
	sxtl.b V6, V0
	sxtl2.b V7, V0
	sxtl V2, V6
	sxtl2 V3, V6
	sxtl V4, V7
	sxtl2 V5, V7
	scvtf V2, V2
	scvtf V3, V3
	scvtf V4, V4
	scvtf V5, V5`},
	{"f32ToF16", "uint16", "float32", []int{4, 5}, `
	fcvtn V4, V0
	fcvtn2 V4, V1
	fcvtn V5, V2
	fcvtn2 V5, V3`},
	{"f32ToBF16", "uint16", "float32", []int{4, 6}, toBF16(0) + toBF16(1) + toBF16(2) + toBF16(3) + `
	uzp2 V4, V4, V5
	uzp2 V6, V6, V7`},
}

// toBF16 rounds register v to the upper halves of register v+4:
// u + 0x7fff + (bit 16 of u), or a quiet NaN.
func toBF16(v int) string {
	return strings.NewReplacer("IN", fmt.Sprintf("V%d", v), "OUT", fmt.Sprintf("V%d", v+4)).Replace(`
	ushr OUT, IN, 16
	and OUT, OUT, C.i1
	add OUT, OUT, C.i7fff
	add OUT, OUT, IN
	orr V8, IN, C.quiet
	fcmeq V9, IN, IN
	bif OUT, V8, V9`)
}

// instructions gives the code of each, with all registers 0, and what its
// operands hold.
var instructions = map[string]struct {
	code     uint32
	operands string
}{
	"fadd":   {0x4e20d400, "4s 4s 4s"},
	"fsub":   {0x4ea0d400, "4s 4s 4s"},
	"fmul":   {0x6e20dc00, "4s 4s 4s"},
	"fdiv":   {0x6e20fc00, "4s 4s 4s"},
	"fmla":   {0x4e20cc00, "4s 4s 4s"},
	"fmls":   {0x4ea0cc00, "4s 4s 4s"},
	"fmax":   {0x4e20f400, "4s 4s 4s"},
	"fmin":   {0x4ea0f400, "4s 4s 4s"},
	"faddp":  {0x6e20d400, "4s 4s 4s"},
	"fmaxp":  {0x6e20f400, "4s 4s 4s"},
	"fcmeq":  {0x4e20e400, "4s 4s 4s"},
	"fcmge":  {0x6e20e400, "4s 4s 4s"},
	"fcmgt":  {0x6ea0e400, "4s 4s 4s"},
	"add":    {0x4ea08400, "4s 4s 4s"},
	"sub":    {0x6ea08400, "4s 4s 4s"},
	"and":    {0x4e201c00, "16b 16b 16b"},
	"bic":    {0x4e601c00, "16b 16b 16b"},
	"orr":    {0x4ea01c00, "16b 16b 16b"},
	"eor":    {0x6e201c00, "16b 16b 16b"},
	"bit":    {0x6ea01c00, "16b 16b 16b"}, // take the bits of the second where the third has 1
	"bif":    {0x6ee01c00, "16b 16b 16b"}, // where it has 0
	"uzp2":   {0x4e405800, "8h 8h 8h"},    // the odd elements: upper halves of words
	"fneg":   {0x6ea0f800, "4s 4s"},
	"fabs":   {0x4ea0f800, "4s 4s"},
	"fsqrt":  {0x6ea1f800, "4s 4s"},
	"frintn": {0x4e218800, "4s 4s"},
	"fcvtns": {0x4e21a800, "4s 4s"},
	"fcvtl":  {0x0e217800, "4s 4h"},
	"fcvtl2": {0x4e217800, "4s 8h"},
	"fcvtn":  {0x0e216800, "4h 4s"},
	"fcvtn2": {0x4e216800, "8h 4s"},
	"shll":   {0x2e613800, "4s 4h 16"},
	"shll2":  {0x6e613800, "4s 8h 16"},
	"scvtf":  {0x4e21d800, "4s 4s"},
	"sxtl":   {0x0f10a400, "4s 4h"},
	"sxtl2":  {0x4f10a400, "4s 8h"},
	// the same of bytes
	"sxtl.b":  {0x0f08a400, "8h 8b"},
	"sxtl2.b": {0x4f08a400, "8h 16b"},
	"shl":     {0x4f205400, "4s 4s #"},
	"sshr":    {0x4f400400, "4s 4s #"},
	"ushr":    {0x6f400400, "4s 4s #"},
}

// encode gives the code of an instruction and its text as a disassembler writes it.
func encode(name string, args []int) (code uint32, text string) {
	ins, ok := instructions[name]
	operands := strings.Fields(ins.operands)
	if !ok || len(args) != len(strings.Fields(strings.TrimSuffix(ins.operands, " 16"))) {
		log.Fatalf("no instruction %s of %d operands", name, len(args))
	}
	code = ins.code
	at := []int{0, 5, 16} // of the registers
	for i, o := range operands {
		switch o {
		case "16":
			operands[i] = "#16"
		case "#": // left shifts count up, right shifts down
			operands[i] = fmt.Sprintf("#%d", args[i])
			if name == "shl" {
				code += uint32(args[i]) << 16
			} else {
				code -= uint32(args[i]) << 16
			}
		default:
			operands[i] = fmt.Sprintf("v%d.%s", args[i], o)
			code |= uint32(args[i]) << at[i]
		}
	}
	return code, strings.TrimSuffix(name, ".b") + " " + strings.Join(operands, ", ")
}

// file collects the output; used are the constants, in the order of their first use.
var (
	file, decl strings.Builder
	used       []string
)

func p(f string, a ...any) { fmt.Fprintf(&file, f+"\n", a...) }

// constantAt is the offset of a constant in the table, to which R19 points.
func constantAt(name string) int {
	i := slices.Index(used, name)
	if i < 0 {
		i = len(used)
		used = append(used, name)
	}
	return 16 * i
}

// function is the state of the kernel being written: which registers hold what.
type function struct {
	ptr    map[string]string // pointer register of each slice
	scalar map[string]int    // vector registers of scalars,
	consts map[string]int    // of constants
	row    map[string]int    // and of a row's values
	free   int               // all registers from here on are taken
}

// begin writes the head of a function and loads its slices' pointers, scalars (with c, an
// integer stands between the two) and those constants of the texts that have a register.
func begin(name, doc string, slices []string, typ func(string) string, c bool, scalars []string, result bool,
	texts ...string) *function {
	params := make([]string, 0, len(slices))
	for i, s := range slices {
		if i+1 < len(slices) && typ(slices[i+1]) == typ(s) { // it follows, once for all of them
			params = append(params, s)
		} else {
			params = append(params, s+" "+typ(s))
		}
	}
	size := 24 * len(slices)
	if c {
		params = append(params, "c int")
		size += 8
	}
	behind := size
	if len(scalars) > 0 {
		params = append(params, strings.Join(scalars, ", ")+" float32")
		size += 4 * len(scalars)
	}
	ret := ""
	if result {
		size = (size+7)&^7 + 8
		ret = " float64"
	}
	decl.WriteString(declaration(name, name+"NEON", "("+strings.Join(params, ", ")+")"+ret, 0) + "\n")
	p("\n// %s\nTEXT ·%sNEON(SB), NOSPLIT, $0-%d", doc, name, size)
	f := &function{map[string]string{}, map[string]int{}, map[string]int{}, map[string]int{}, 32}
	for i, s := range slices {
		f.ptr[s] = fmt.Sprintf("R%d", i)
		p("\tMOVD %s_base+%d(FP), R%d", s, 24*i, i)
	}
	for i, s := range scalars {
		f.free--
		f.scalar[s] = f.free
		p("\tFMOVS %s+%d(FP), F%d", s, behind+4*i, f.free)
		p("\tVDUP V%d.S[0], V%d.S4", f.free, f.free)
	}
	lines := strings.Join(texts, "\n")
	if cRef.MatchString(lines) {
		p("\tMOVD $constants<>(SB), R19")
	}
	for _, l := range strings.Split(lines, "\n") {
		if strings.Contains(l, "ldr") {
			continue
		}
		for _, m := range cRef.FindAllStringSubmatch(l, -1) {
			if _, ok := f.consts[m[1]]; !ok {
				f.free--
				f.consts[m[1]] = f.free
				p("\tFMOVQ %d(R19), F%d // %s", constantAt(m[1]), f.free, m[1])
			}
		}
	}
	return f
}

var (
	vReg = regexp.MustCompile(`\bV(\d+)\b`)
	cRef = regexp.MustCompile(`\bC\.(\w+)`)
)

// move loads ("FLDPQ" and so on) or stores registers at consecutive vectors
// behind pointer ptr; one element each if not whole.
func move(store bool, regs []int, ptr string, whole bool) {
	for i := 0; i < len(regs); i++ {
		op, reg := "FMOVS", fmt.Sprintf("F%d", regs[i])
		mem := fmt.Sprintf("%d(%s)", 16*i, ptr)
		if whole {
			op = "FMOVQ"
			if i+1 < len(regs) {
				op = map[bool]string{false: "FLDPQ", true: "FSTPQ"}[store]
				reg = fmt.Sprintf("(F%d, F%d)", regs[i], regs[i+1])
				i++
			}
		}
		if store {
			p("\t%s %s, %s", op, reg, mem)
		} else {
			p("\t%s %s, %s", op, mem, reg)
		}
	}
}

// text writes a body for n vectors, line by line. reg gives the register that a
// name other than S.x and C.x stands for in the u-th vector.
func (f *function) text(body string, n int, whole bool, reg func(name string, u int) int) {
	for _, l := range strings.Split(body, "\n") {
		l, _, _ = strings.Cut(l, "//")
		name, list, _ := strings.Cut(strings.TrimSpace(l), " ")
		if name == "" {
			continue
		}
		operands := strings.Split(strings.ReplaceAll(list, " ", ""), ",")
		if name == "ldr" {
			var regs []int
			for u := range n {
				regs = append(regs, reg(operands[0], u))
			}
			if from, ok := strings.CutPrefix(operands[1], "M."); ok {
				move(false, regs, f.ptr[from], whole)
				continue
			}
			for _, r := range regs {
				p("\tFMOVQ %d(R19), F%d // %s", constantAt(operands[1][2:]), r, operands[1][2:])
			}
			continue
		}
		for u := range n {
			var args []int
			for _, o := range operands {
				kind, of, _ := strings.Cut(o, ".")
				switch {
				case kind == "S":
					args = append(args, f.scalar[of])
				case kind == "C":
					args = append(args, f.consts[of])
				case kind == "R":
					args = append(args, f.row[of])
				default:
					v, err := strconv.Atoi(o)
					if err != nil {
						v = reg(o, u)
					}
					args = append(args, v)
				}
			}
			code, text := encode(name, args)
			p("\tWORD $%#08x // %s", code, text)
		}
	}
}

// number is the number of a register V0, V1, ...
func number(name string) int {
	n, err := strconv.Atoi(name[1:])
	if err != nil || name[0] != 'V' {
		log.Fatalf("no register %s", name)
	}
	return n
}

// binding splits slice=register; without a register it is that of the index.
func binding(s string, index int) (slice string, reg int) {
	slice, r, ok := strings.Cut(s, "=")
	if !ok {
		return slice, index
	}
	return slice, number(r)
}

func float32s(string) string { return "[]float32" }

func (k kernel) write() {
	names, cols, inputs := strings.Fields(k.slices), strings.Fields(k.cols), strings.Fields(k.in)
	start := "eor ACC, ACC, ACC"
	f := begin(k.name, k.doc, names, float32s, false, strings.Fields(k.scalars), k.reduce != "", k.body, k.acc, start)

	// Registers of a vector's work, then sums.
	size := len(inputs)
	for _, m := range vReg.FindAllString(k.in+" "+k.body+" "+k.acc, -1) {
		size = max(size, number(m)+1)
	}
	sums := size * k.unroll
	reg := func(name string, u int) int {
		if name == "ACC" {
			return sums + u
		}
		return size*u + number(name)
	}
	last := sums
	if k.reduce != "" {
		last += k.unroll
		f.text(start, k.unroll, true, reg)
	}
	if last > f.free {
		log.Fatalf("%s needs %d registers more", k.name, last-f.free)
	}

	// R6 counts the elements of a row, R8 those of all rows; the columns' pointers start from R10, R11, ...
	if len(cols) > 0 {
		p("\tMOVD %s_len+%d(FP), R7", cols[0], 24*(len(names)-len(cols))+8)
		p("\tMOVD %s_len+8(FP), R8", names[0])
		for i, s := range cols {
			p("\tMOVD %s, R%d", f.ptr[s], 10+i)
		}
		p("\tCBZ R8, done\nrow:")
		for i, s := range cols {
			p("\tMOVD R%d, %s", 10+i, f.ptr[s])
		}
		p("\tMOVD R7, R6")
	} else {
		p("\tMOVD %s_len+8(FP), R6", names[0])
	}
	loops("", k.unroll, func(_ string, n int, whole bool) {
		f.step(pass{in: k.in, out: k.out, body: k.body, acc: k.acc}, n, whole, size, reg)
		for _, s := range names {
			p("\tADD $%d, %s", bytesOf(n, whole), f.ptr[s])
		}
	})
	p("end:")
	if len(cols) > 0 {
		p("\tSUBS R7, R8\n\tBNE row\ndone:")
	}
	if k.reduce != "" {
		combine(k.reduce, sums, k.unroll)
		p("\tFMOVS F%d, F0", sums)
		p("\tFCVTSD F0, F0")
		p("\tFMOVD F0, ret+%d(FP)", (24*len(names)+4*len(f.scalar)+7)&^7)
	}
	p("\tRET")
}

func (k colKernel) write() {
	names := strings.Fields(k.slices)
	f := begin(k.name, k.doc, names, float32s, false, nil, false, k.body)
	bound := map[string]string{"sum": "S1", "s1": "S1", "s2": "S2", "mean": "MEAN"}
	reg := func(name string, u int) int {
		return k.unroll*slices.Index([]string{"S1", "S2", "MEAN", "V0", "V1"}, name) + u
	}
	last := names[len(names)-1]
	p("\tMOVD %s_len+8(FP), R6 // columns left", names[0])
	p("\tMOVD %s_len+%d(FP), R8", last, 24*(len(names)-1)+8)
	p("\tCBZ R8, end")
	p("\tLSL $2, R6, R7 // bytes of a row")
	p("\tADD R8<<2, %s, R8 // end of the data", f.ptr[last])

	group := func(label string, n int, whole bool) {
		transfer := func(store bool) {
			for _, s := range names {
				if bound[s] == "" || store && s == "mean" {
					continue
				}
				var regs []int
				for u := range n {
					regs = append(regs, reg(bound[s], u))
				}
				move(store, regs, f.ptr[s], whole)
			}
		}
		transfer(false)
		// Down the rows, with pointers of their own.
		down := &function{ptr: map[string]string{}}
		for i, s := range names {
			if bound[s] == "" {
				down.ptr[s] = fmt.Sprintf("R%d", 10+i)
				p("\tMOVD %s, %s", f.ptr[s], down.ptr[s])
			}
		}
		p("%srow:", label)
		down.text(k.body, n, whole, reg)
		for _, s := range names {
			if bound[s] == "" {
				p("\tADD R7, %s", down.ptr[s])
			}
		}
		p("\tCMP R8, %s\n\tBLT %srow", down.ptr[last], label)
		transfer(true)
		for _, s := range names {
			p("\tADD $%d, %s", bytesOf(n, whole), f.ptr[s])
		}
	}
	loops("", k.unroll, group)
	p("end:\n\tRET")
}

// bytesOf is the size of n vectors, or of one element.
func bytesOf(n int, whole bool) int {
	if !whole {
		return 4
	}
	return 16 * n
}

// step does the work of pass k on n vectors of size registers each, or on one element.
func (f *function) step(k pass, n int, whole bool, size int, reg func(name string, u int) int) {
	transfer := func(store bool, list []string) {
		for i, s := range list {
			slice, r := binding(s, i)
			var regs []int
			for u := range n {
				regs = append(regs, size*u+r)
			}
			move(store, regs, f.ptr[slice], whole)
		}
	}
	transfer(false, strings.Fields(k.in))
	f.text(k.body, n, whole, reg)
	if !whole && k.tail != "" {
		p("\t%s", k.tail)
	}
	f.text(k.acc, n, whole, reg)
	transfer(true, strings.Fields(k.out))
}

var (
	rRef = regexp.MustCompile(`(?:R\.|#)(\w+)`)
	pRef = regexp.MustCompile(`\bP\.(\w+)`)
)

func (k rowKernel) write() {
	names := strings.Fields(k.slices)
	texts := []string{k.first}
	for _, q := range k.passes {
		texts = append(texts, q.body, q.acc, q.then)
	}
	f := begin(k.name, k.doc, names, float32s, true, strings.Fields(k.scalars), false, texts...)
	for _, m := range rRef.FindAllStringSubmatch(strings.Join(texts, "\n"), -1) {
		if _, ok := f.row[m[1]]; !ok {
			f.free--
			f.row[m[1]] = f.free
		}
	}
	base, work := f.ptr, map[string]string{}
	for i, s := range names {
		work[s] = fmt.Sprintf("R%d", 10+i)
	}
	between := func(s string) { // text between passes
		for _, l := range strings.Split(s, "\n") {
			if raw, ok := strings.CutPrefix(strings.TrimSpace(l), "GO "); ok {
				raw = pRef.ReplaceAllStringFunc(raw, func(m string) string { return base[m[2:]] })
				p("\t%s", rRef.ReplaceAllStringFunc(raw, func(m string) string { return strconv.Itoa(f.row[m[1:]]) }))
				continue
			}
			f.text(l, 1, true, func(name string, _ int) int { return number(name) })
		}
	}
	// R7 counts the elements of a row, R8 those of all rows.
	p("\tMOVD c+%d(FP), R7\n\tMOVD %s_len+8(FP), R8", 24*len(names), names[0])
	if slices.Contains(strings.Fields(k.halves), names[0]) {
		p("\tLSR $1, R8")
	}
	p("\tCBZ R8, done\nrow:")
	between(k.first)
	for i, q := range k.passes {
		inputs, sums := strings.Fields(q.in), strings.Fields(q.sums)
		size := len(inputs)
		for _, m := range vReg.FindAllString(q.in+" "+q.body+" "+q.acc, -1) {
			size = max(size, number(m)+1)
		}
		reg := func(name string, u int) int {
			if at := slices.Index(sums, name); at >= 0 {
				return (size+at)*q.unroll + u
			}
			return size*u + number(name)
		}
		if last := (size + len(sums)) * q.unroll; last > f.free {
			log.Fatalf("%s needs %d registers more", k.name, last-f.free)
		}
		for _, s := range sums {
			start := fmt.Sprintf("eor %s, %s, %s", s, s, s)
			if q.fill != "" {
				start = "ldr " + s + ", C." + q.fill
			}
			f.text(start, q.unroll, true, reg)
		}
		var moving []string // slices of this pass
		for _, s := range names {
			if regexp.MustCompile(`\b` + s + `\b`).MatchString(q.in + " " + q.out + " " + q.body) {
				moving = append(moving, s)
				p("\tMOVD %s, %s", base[s], work[s])
			}
		}
		p("\tMOVD R7, R6")
		f.ptr = work
		label := fmt.Sprintf("%c", 'A'+i)
		loops(label, q.unroll, func(_ string, n int, whole bool) {
			f.step(q, n, whole, size, reg)
			for _, s := range moving {
				p("\tADD $%d, %s", bytesOf(n, whole), work[s])
			}
		})
		p("%send:", label)
		f.ptr = base
		for _, s := range sums {
			combine(q.reduce, reg(s, 0), q.unroll)
			p("\tVDUP V%d.S[0], V%d.S4", reg(s, 0), f.row[s])
		}
		between(q.then)
	}
	for _, s := range names {
		switch {
		case slices.Contains(strings.Fields(k.cols), s):
		case s == k.pairs:
			p("\tADD $8, %s", base[s])
		case slices.Contains(strings.Fields(k.halves), s):
			p("\tADD R7<<3, %s", base[s])
		default:
			p("\tADD R7<<2, %s", base[s])
		}
	}
	p("\tSUBS R7, R8\n\tBNE row\ndone:\n\tRET")
}

// combine reduces the n vectors from register first to one number, in all lanes of the first.
func combine(op string, first, n int) {
	word := func(name string, args ...int) {
		code, text := encode(name, args)
		p("\tWORD $%#08x // %s", code, text)
	}
	for n /= 2; n >= 1; n /= 2 {
		for u := range n {
			word(op, first+u, first+u, first+u+n)
		}
	}
	word(op+"p", first, first, first)
	word(op+"p", first, first, first)
}

// loops writes the loops over the R6 elements of a row: n vectors at a time,
// one vector, and one element.
func loops(prefix string, n int, step func(label string, n int, whole bool)) {
	l := func(format string) string { return strings.ReplaceAll(format, "@", prefix) }
	p(l("\tSUBS $%d, R6\n\tBLT @few\n@many:"), 4*n)
	step("many", n, true)
	p(l("\tSUBS $%d, R6\n\tBGE @many"), 4*n)
	p(l("@few:\n\tADDS $%d, R6\n\tBLT @rest\n@one:"), 4*n-4)
	step("one", 1, true)
	p(l("\tSUBS $4, R6\n\tBGE @one"))
	p(l("@rest:\n\tADDS $4, R6\n\tBEQ @end\n@element:"))
	step("element", 1, false)
	p(l("\tSUBS $1, R6\n\tBNE @element"))
}

func writeConversions() {
	for _, c := range conversions {
		names := []string{"dst", "src"}
		f := begin(c.name, c.name+" on whole groups of 16", names, func(s string) string {
			return "[]" + map[string]string{"dst": c.dst, "src": c.src}[s]
		}, false, nil, false, c.body)
		in := []int{0, 1}
		switch c.src {
		case "float32":
			in = []int{0, 1, 2, 3}
		case "int8":
			in = []int{0}
		}
		p("\tMOVD dst_len+8(FP), R6\n\tCBZ R6, end\nloop:")
		move(false, in, f.ptr["src"], true)
		f.text(c.body, 1, true, func(name string, _ int) int { return number(name) })
		move(true, c.out, f.ptr["dst"], true)
		p("\tADD $%d, %s\n\tADD $%d, %s", 16*len(in), f.ptr["src"], 16*len(c.out), f.ptr["dst"])
		p("\tSUBS $16, R6\n\tBNE loop\nend:\n\tRET")
	}
}

// writeConstants writes the table of constants, each in four lanes.
func writeConstants() {
	p("")
	for i, name := range used {
		bits, ok := integers[name]
		if !ok {
			v, ok := constants[name]
			if !ok {
				log.Fatalf("no constant %s", name)
			}
			bits = math.Float32bits(float32(v))
		}
		p("DATA constants<>+%d(SB)/8, $0x%08x%08x // %s", 16*i, bits, bits, name)
		p("DATA constants<>+%d(SB)/8, $0x%08x%08x", 16*i+8, bits, bits)
	}
	p("GLOBL constants<>(SB), RODATA|NOPTR, $%d", 16*len(used))
}

const notice = "// Code generated by gen/vec_arm64.go; DO NOT EDIT.\n\n//go:build arm64 && !noasm\n\n"

func main() {
	file.WriteString(notice + "#include \"textflag.h\"\n")
	decl.WriteString(notice + "package asm\n\n")
	table := "var vecTiers = [...]*vecKernels{\nGeneric: &genericVec,\nNEON: {\n"
	add := func(name string) { table += name + ": " + name + "NEON,\n" }
	for _, k := range kernels {
		k.write()
		add(k.name)
	}
	for _, k := range rowKernels {
		k.write()
		add(k.name)
	}
	for _, k := range colKernels {
		k.write()
		add(k.name)
	}
	writeConversions()
	for _, c := range conversions {
		add(c.name)
	}
	writeConstants()
	src, err := format.Source([]byte(decl.String() + table + "},\n}\n"))
	if err != nil {
		log.Fatal(err)
	}
	must(os.WriteFile("vec_arm64.s", []byte(file.String()), 0o644))
	must(os.WriteFile("vec_arm64.go", src, 0o644))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
