//go:build ignore

package main

// The kernels of amd64, as vec.go explains.

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
	reduce  string // ADD: how accumulators are combined; the result is returned
	unroll  int
}

// expMinus1 is e^V0 - 1 in V0 for |V0| <= ln(2)/2, by a polynomial of degree 6 for
// e^r (fitted to 3e-9); uses V2, V3 and V7. Pairs of terms keep the chain short.
const expMinus1 = `
	VMULPS V0, V0, V2
	VMOVUPS C.e5, V3
	VFMADD213PS C.e4, V0, V3
	VMOVUPS C.e3, V7
	VFMADD213PS C.e2, V0, V7
	VFMADD231PS C.e6, V2, V3
	VFMADD231PS V3, V2, V7
	VFMADD231PS V7, V2, V0`

// e^V0 in V0, using V1..V3 and V7. n = round(x/ln 2), r = x - n ln 2, e^r times 2^n.
const exp = `
	VMOVUPS C.expHi, V1
	VMINPS V0, V1, V0 // a NaN in V0 stays` + expNotLarge

// The same of arguments up to 88.
const expNotLarge = `
	VMOVUPS C.expLo, V1
	VMAXPS V0, V1, V0
	VMULPS C.log2e, V0, V1
	ROUND V1
	VFNMADD231PS C.ln2hi, N, V0
	VFNMADD231PS C.ln2lo, N, V0` + expMinus1 + `
	VADDPS C.one, V0, V0
	LDEXP V1, V0`

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
	VMULPS V3, V0, V0
	VMULPS V1, V0, V0`},
	"avx512": {`
	VRNDSCALEPS $8, V1, V1`, `
	VSCALEFPS V1, V0, V0`},
}

// reduced is r in V0 and n shifted to the exponent's place in V1, for an argument
// V0 within 87 of 0: adding 1.5*2^23 rounds x/ln 2 and leaves n in the low bits. A
// NaN in V0 stays there, but makes V1 anything.
const reduced = nearly + `
	VFNMADD231PS C.ln2lo, V2, V0`

// The same with an error of up to 2e-9 n.
const nearly = `
	VMOVUPS C.log2e, V1
	VFMADD213PS C.magic, V0, V1
	VSUBPS C.magic, V1, V2
	VPSLLD $23, V1, V1
	VFNMADD231PS C.ln2hi, V2, V0`

// e^V0 of an argument within 87 of 0, where result and power are normal numbers. Of
// a NaN it makes anything: what follows has to bring the NaN back.
const expNormal = reduced + expMinus1 + power

const power = `
	VADDPS C.one, V0, V0
	VPADDD V1, V0, V0`

// The first limit keeps e^-x finite, hence Inf/Inf away; the second keeps it normal.
const silu = `
	VMOVUPS C.actLo, V1
	VMAXPS V0, V1, V4 // x
	VXORPS C.sign, V4, V0
	VMAXPS V0, V1, V0` + expNormal + `
	VADDPS C.one, V0, V0
	VDIVPS V0, V4, V0`

// V0 = silu'(V0) = s*(1 + x*(1-s)) with 1-s = e^-x * s; uses V1..V4 and V7.
const siluGrad = `
	VMOVUPS C.actLo, V1
	VMAXPS V0, V1, V0
	VMOVUPS C.actHi, V1
	VMINPS V0, V1, V4 // x
	VXORPS C.sign, V4, V0` + expNormal + `
	VADDPS C.one, V0, V1
	VMOVUPS C.one, V2
	VDIVPS V1, V2, V2 // s
	VMULPS V2, V0, V0 // 1-s
	VFMADD213PS C.one, V4, V0
	VMULPS V2, V0, V0`

// Of x in V0: x in V4, a = |x|, at most 13, in V5, e^(-a*a/2) in V0 and the normal
// distribution's tail beyond a in V2, using V1, V3 and V7. The tail over e^(-a*a/2)
// (Mills' ratio) is a quotient of polynomials in a, of degrees 4 and 5 with positive coefficients, fitted
// up to 13.2 with a relative error of 5e-9.
const normalTail = `
	VMOVUPS V0, V4
	VMOVUPS C.sign, V1
	VANDNPS V4, V1, V5
	VMOVUPS C.normHi, V1
	VMINPS V5, V1, V5
	VMULPS V5, V5, V0
	VMULPS C.minusHalf, V0, V0` + nearly + expMinus1 + power + ` // a*a is off by more than this
	VMOVUPS C.p4, V2
	VFMADD213PS C.p3, V5, V2
	VFMADD213PS C.p2, V5, V2
	VFMADD213PS C.p1, V5, V2
	VFMADD213PS C.p0, V5, V2
	VMOVUPS C.q5, V3
	VFMADD213PS C.q4, V5, V3
	VFMADD213PS C.q3, V5, V3
	VFMADD213PS C.q2, V5, V3
	VFMADD213PS C.q1, V5, V3
	VFMADD213PS C.one, V5, V3
	VMULPS V0, V2, V2
	VDIVPS V3, V2, V2`

// The derivative of GELU behind normalTail, in V0, using V1, V2, V5 and V7.
const geluSlope = `
	VANDPS C.sign, V4, V1
	VORPS V1, V5, V5 // x, within 13 of 0
	VXORPS V1, V2, V2
	VPSRAD $31, V4, V7
	VMOVUPS C.one, V1
	VANDNPS V1, V7, V7 // 1 where x is positive
	VSUBPS V2, V7, V7 // Phi(x): 1-tail, or tail where x is negative
	VMULPS C.rsqrt2pi, V0, V0
	VFMADD213PS V7, V5, V0`

// Of x in V0: x in V4, e^(-2|x|) - 1 in V0; uses V1..V3 and V7. Beyond 10 tanh is 1.
const expTanh = `
	VMOVUPS V0, V4
	VMOVUPS C.sign, V1
	VANDNPS V0, V1, V0
	VMOVUPS C.tanhHi, V1
	VMINPS V0, V1, V0
	VMULPS C.minusTwo, V0, V0` + reduced + expMinus1 + `
	VPADDD C.one, V1, V1 // 2^n
	VSUBPS C.one, V1, V2
	VFMADD213PS V2, V1, V0`

var kernels = []kernel{
	{name: "add", doc: "dst = a + b", slices: "dst a b", in: "a b", out: "dst=V0", unroll: 4, body: `VADDPS V1, V0, V0`},
	{name: "sub", doc: "dst = a - b", slices: "dst a b", in: "a b", out: "dst=V0", unroll: 4, body: `VSUBPS V1, V0, V0`},
	{name: "mul", doc: "dst = a * b", slices: "dst a b", in: "a b", out: "dst=V0", unroll: 4, body: `VMULPS V1, V0, V0`},
	{name: "axpy", doc: "dst += t*x", slices: "dst x", in: "dst x", out: "dst=V0", scalars: "t", unroll: 4,
		body: `VFMADD231PS S.t, V1, V0`},
	{name: "scale", doc: "dst = t*x", slices: "dst x", in: "x", out: "dst=V0", scalars: "t", unroll: 4,
		body: `VMULPS S.t, V0, V0`},
	{name: "lerp", doc: "dst += t*(x-dst)", slices: "dst x", in: "dst x", out: "dst=V0", scalars: "t", unroll: 4, body: `
	VSUBPS V0, V1, V1
	VFMADD231PS S.t, V1, V0`},

	{name: "dot", doc: "sum of a*b", slices: "a b", in: "a b", unroll: 4, reduce: "ADD", acc: `VFMADD231PS V1, V0, ACC`},
	{name: "sum", doc: "sum of x", slices: "x", in: "x", unroll: 4, reduce: "ADD", acc: `VADDPS V0, ACC, ACC`},
	{name: "sumSq", doc: "sum of x*x", slices: "x", in: "x", unroll: 4, reduce: "ADD", acc: `VFMADD231PS V0, V0, ACC`},
	{name: "zeroTimes", doc: "sum of 0*x", slices: "x", in: "x", unroll: 4, reduce: "ADD",
		acc: `VFMADD231PS C.zero, V0, ACC`},

	{name: "exp", doc: "dst = e^x", slices: "dst x", in: "x", out: "dst=V0", unroll: 1, body: exp},
	{name: "expGrad", doc: "dst = dy*e^x", slices: "dst x dy", in: "x", out: "dst=V0", unroll: 1, body: exp + `
	VMULPS M.dy, V0, V0`},
	{name: "silu", doc: "dst = x/(1+e^-x)", slices: "dst x", in: "x", out: "dst=V0", unroll: 1, body: silu},
	{name: "siluGrad", doc: "dst = dy*silu'(x)", slices: "dst x dy", in: "x", out: "dst=V0", unroll: 1, body: siluGrad + `
	VMULPS M.dy, V0, V0`},
	{name: "gelu", doc: "dst = x*Phi(x) = max(x, 0) - a*tail(a)", slices: "dst x", in: "x", out: "dst=V0", unroll: 1,
		body: normalTail + `
	VXORPS V1, V1, V1
	VMAXPS V4, V1, V0
	VFNMADD231PS V2, V5, V0`},
	{name: "geluGrad", doc: "dst = dy*(Phi(x)+x*phi(x))", slices: "dst x dy", in: "x", out: "dst=V0", unroll: 1,
		body: normalTail + geluSlope + `
	VMULPS M.dy, V0, V0`},
	{name: "quickGELU", doc: "dst = x/(1+e^(-1.702x))", slices: "dst x", in: "x", out: "dst=V0", unroll: 1, body: `
	VMOVUPS C.quickLo, V1
	VMAXPS V0, V1, V4 // x
	VMULPS C.minusQuick, V4, V0
	VMOVUPS C.actLo, V1
	VMAXPS V0, V1, V0
	VMOVUPS C.actHi, V1
	VMINPS V0, V1, V0` + expNormal + `
	VADDPS C.one, V0, V0
	VDIVPS V0, V4, V0`},
	{name: "quickGELUGrad", doc: "dst = dy*silu'(1.702x)", slices: "dst x dy", in: "x", out: "dst=V0", unroll: 1, body: `
	VMULPS C.quick, V0, V0` + siluGrad + `
	VMULPS M.dy, V0, V0`},
	{name: "tanh", doc: "dst = tanh(x)", slices: "dst x", in: "x", out: "dst=V0", unroll: 1, body: expTanh + `
	VADDPS C.two, V0, V1
	VDIVPS V1, V0, V0 // -tanh|x|
	VXORPS C.sign, V0, V0
	VANDPS C.sign, V4, V1
	VORPS V1, V0, V0`},
	{name: "tanhGrad", doc: "dst = dy*4e/(1+e)^2, e = e^(-2|x|)", slices: "dst x dy", in: "x", out: "dst=V0", unroll: 1,
		body: expTanh + `
	VADDPS C.two, V0, V1
	VMOVUPS C.two, V2
	VDIVPS V1, V2, V2
	VADDPS C.one, V0, V0
	VMULPS V2, V0, V0
	VMULPS V2, V0, V0
	VMULPS M.dy, V0, V0`},
	{name: "abs", doc: "dst = |x|", slices: "dst x", in: "x", out: "dst=V0", unroll: 4, body: `
	VMOVUPS C.sign, V1
	VANDNPS V0, V1, V0`},
	{name: "absGrad", doc: "dst = dy, -dy or 0", slices: "dst x dy", in: "x dy", out: "dst=V1", unroll: 4, body: `
	VANDPS C.sign, V0, V2
	VXORPS V2, V1, V1
	VXORPS V2, V2, V2
	KEEP 12, V2, V0, V1 // unequal, and no NaN`},
	{name: "relu", doc: "dst = max(x, 0)", slices: "dst x", in: "x", out: "dst=V0", unroll: 4, body: `
	VXORPS V1, V1, V1
	VMAXPS V0, V1, V0 // a NaN in V0 stays`},
	{name: "reluGrad", doc: "dst = dy where x > 0, else 0", slices: "dst x dy", in: "x dy", out: "dst=V1", unroll: 4,
		body: `
	VXORPS V2, V2, V2
	KEEP 30, V2, V0, V1`},
	{name: "clamp", doc: "dst = x, at least lo, at most hi", slices: "dst x", in: "x", out: "dst=V0", scalars: "lo hi",
		unroll: 4, body: `
	VMAXPS V0, S.lo, V0
	VMINPS V0, S.hi, V0`},
	{name: "clampGrad", doc: "dst = dy where lo <= x <= hi, else 0", slices: "dst x dy", in: "x dy", out: "dst=V1",
		scalars: "lo hi", unroll: 4, body: `
	KEEP 29, S.lo, V0, V1
	KEEP 18, S.hi, V0, V1`},

	{name: "scaleShiftRows", doc: "dst = x*scale[j] + shift[j]", slices: "dst x scale shift", cols: "scale shift",
		in: "x scale", out: "dst=V0", unroll: 4, body: `
	VFMADD213PS M.shift, V1, V0`},
	{name: "scaleShiftSiLURows", doc: "dst = silu(x*scale[j] + shift[j])", slices: "dst x scale shift",
		cols: "scale shift", in: "x scale", out: "dst=V0", unroll: 1, body: `
	VFMADD213PS M.shift, V1, V0` + silu},
	{name: "siluGradRows", doc: "dst = dy*silu'(x*scale[j] + shift[j])", slices: "dst x dy scale shift",
		cols: "scale shift", in: "x scale", out: "dst=V0", unroll: 1, body: `
	VFMADD213PS M.shift, V1, V0` + siluGrad + `
	VMULPS M.dy, V0, V0`},
	{name: "linearRows", doc: "dst = a[j]*u + b[j]*v + d[j]", slices: "dst u v a b d", cols: "a b d", in: "u a v b d",
		out: "dst=V4", unroll: 2, body: `
	VFMADD231PS V2, V3, V4
	VFMADD231PS V0, V1, V4`},
	{name: "mulRows", doc: "dst *= scale[j]", slices: "dst scale", cols: "scale", in: "dst", out: "dst=V0", unroll: 4,
		body: `
	VMULPS M.scale, V0, V0`},
	{name: "addRows", doc: "dst = x + v[j]", slices: "dst x v", cols: "v", in: "x", out: "dst=V0", unroll: 4, body: `
	VADDPS M.v, V0, V0`},

	{name: "adamW", doc: "one AdamW step; nb = 1-b, ic = 1/c", slices: "p m v g", in: "p m v g", out: "p=V0 m=V1 v=V2",
		scalars: "lr b1 nb1 b2 nb2 eps wd ic1 ic2", unroll: 1, body: `
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

// rowKernel goes over each row of c elements several times, while it is in the
// cache. Registers: V12..V14 keep what the whole row shares, A and B are sums of
// a pass (V8.. and V10..), whose totals text finds in all lanes of V8 and V10.
type rowKernel struct {
	name, doc string
	slices    string // as of a kernel
	cols      string // those that are the same for each row
	halves    string // those that advance by two rows: halves of a row of 2c
	pairs     string // the one that advances by two elements
	scalars   string // only for "VBROADCASTSS S.x, V0" between passes
	first     string // text before the first pass of a row
	passes    []pass
}

type pass struct {
	in, out, body string
	acc           string // with A and B
	reduce        string // ADD or MAX
	fill          string
	maskV0        bool
	ahead         string // slice whose next row is fetched meanwhile
	unroll        int    // at most 4 with A alone, 2 with B
	then          string // text after the pass
}

var rowKernels = []rowKernel{
	{name: "softmaxRows", doc: "dst = e^(x-max) over the sum of that; tmp is one row", slices: "dst x tmp", cols: "tmp",
		passes: []pass{
			{in: "x", acc: `VMAXPS A, V0, A`, reduce: "MAX", fill: "minusInf", unroll: 4, then: `
	VMOVUPS V8, V12`},
			{in: "x", out: "tmp=V0", ahead: "x", maskV0: true, body: `
	VSUBPS V12, V0, V0` + expNotLarge, acc: `VADDPS V0, A, A`, reduce: "ADD", unroll: 2, then: `
	VMOVUPS C.one, V1
	VDIVPS V8, V1, V13`},
			{in: "tmp", out: "dst=V0", body: `VMULPS V13, V0, V0`, unroll: 4},
		}},
	{name: "softmaxGradRows", doc: "dst = y*(dy - <y, dy>)", slices: "dst dy y", passes: []pass{
		{in: "y dy", acc: `VFMADD231PS V1, V0, A`, reduce: "ADD", unroll: 4, then: `
	VMOVUPS V8, V12`},
		{in: "dy y", out: "dst=V0", unroll: 4, body: `
	VSUBPS V12, V0, V0
	VMULPS V1, V0, V0`},
	}},
	// The mean of the deviations from the rounded mean m corrects it, and the variance.
	{name: "layerNormRows", doc: "stats = mean, rstd; dst = (x-mean)*rstd*gamma + beta", slices: "dst stats x gamma beta",
		cols: "gamma beta", pairs: "stats", scalars: "eps invC", passes: []pass{
			{in: "x", acc: `VADDPS V0, A, A`, reduce: "ADD", unroll: 4, then: `
	VBROADCASTSS S.invC, V12
	VMULPS V8, V12, V12`},
			{in: "x", maskV0: true, body: `VSUBPS V12, V0, V0`, acc: `
	VADDPS V0, A, A
	VFMADD231PS V0, V0, B`, reduce: "ADD", unroll: 2, then: `
	VBROADCASTSS S.invC, V1
	VMULPS V1, V8, V0 // mean - m
	VMULPS V1, V10, V1
	VFNMADD231PS V0, V0, V1
	VXORPS V2, V2, V2
	VMAXPS V1, V2, V1 // the variance; NaN stays
	VBROADCASTSS S.eps, V2
	VADDPS V2, V1, V1
	VSQRTPS V1, V1
	VMOVUPS C.one, V2
	VDIVPS V1, V2, V13 // rstd
	VMULPS V13, V0, V14
	VXORPS C.sign, V14, V14
	VADDPS V0, V12, V2
	VMOVSS X2, 0@stats
	VMOVSS X13, 4@stats`},
			{in: "x gamma", out: "dst=V0", unroll: 4, body: `
	VSUBPS V12, V0, V0
	VFMADD213PS V14, V13, V0
	VFMADD213PS M.beta, V1, V0`},
		}},
	// With g = dy*gamma, its mean a and the mean b of g*(x-mean): rstd*(g - a) - rstd^3*b*(x-mean).
	{name: "layerNormGradRows", doc: "dst, the gradient to x", slices: "dst dy x stats gamma", cols: "gamma",
		pairs: "stats", scalars: "invC", first: `
	VBROADCASTSS 0@stats, V12
	VBROADCASTSS 4@stats, V13`, passes: []pass{
			{in: "x dy", body: `
	VSUBPS V12, V0, V0
	VMULPS M.gamma, V1, V1`, acc: `
	VADDPS V1, A, A
	VFMADD231PS V1, V0, B`, reduce: "ADD", unroll: 2, then: `
	VBROADCASTSS S.invC, V1
	VXORPS C.sign, V1, V1
	VMULPS V13, V1, V1
	VMULPS V1, V8, V9 // -rstd*a
	VMULPS V13, V1, V1
	VMULPS V13, V1, V1
	VMULPS V1, V10, V14 // -rstd^3*b`},
			{in: "x dy", out: "dst=V0", unroll: 4, body: `
	VSUBPS V12, V0, V0
	VMULPS M.gamma, V1, V1
	VFMADD213PS V9, V14, V0
	VFMADD231PS V13, V1, V0`},
		}},
	{name: "layerNormGammaRows", doc: "dst = dy*(x-mean)*rstd", slices: "dst dy x stats", pairs: "stats", first: `
	VBROADCASTSS 0@stats, V12
	VBROADCASTSS 4@stats, V13`, passes: []pass{
		{in: "x dy", out: "dst=V0", unroll: 4, body: `
	VSUBPS V12, V0, V0
	VMULPS V13, V0, V0
	VMULPS V1, V0, V0`},
	}},
	{name: "gegluRows", doc: "dst = x*gelu(gate)", slices: "dst x gate", halves: "x gate", passes: []pass{
		{in: "gate", out: "dst=V0", unroll: 1, body: normalTail + `
	VXORPS V1, V1, V1
	VMAXPS V4, V1, V0
	VFNMADD231PS V2, V5, V0
	VMULPS M.x, V0, V0`},
	}},
	{name: "gegluGradRows", doc: "dx = dy*gelu(gate), dgate = dy*x*gelu'(gate)", slices: "dx dgate dy x gate",
		halves: "dx dgate x gate", passes: []pass{
			{in: "gate", out: "dx=V3 dgate=V0", unroll: 1, body: normalTail + `
	VXORPS V1, V1, V1
	VMAXPS V4, V1, V3
	VFNMADD231PS V2, V5, V3
	VMULPS M.dy, V3, V3` + geluSlope + `
	VMULPS M.dy, V0, V0
	VMULPS M.x, V0, V0`},
		}},
}

// colKernel adds up columns: groups of vectors of columns (4, with AVX-512 8), row by
// row, in registers. MEAN, S1, S2 are the registers of a vector's mean and sums, T0 and T1 are
// free; M.x are its elements of slice x.
type colKernel struct {
	name, doc string
	slices    string // sums first, then mean, then the data
	body      string
}

var colKernels = []colKernel{
	{"colSum", "sum[j] += x", "sum x", `VADDPS M.x, S1, S1`},
	{"colMoments", "s1[j] += x-mean[j], s2[j] += (x-mean[j])^2", "s1 s2 mean x", `
	VMOVUPS M.x, T0
	VSUBPS MEAN, T0, T0
	VADDPS T0, S1, S1
	VFMADD231PS T0, T0, S2`},
	{"colSum2", "s1[j] += dy, s2[j] += dy*(x-mean[j])", "s1 s2 mean dy x", `
	VMOVUPS M.dy, T1
	VMOVUPS M.x, T0
	VSUBPS MEAN, T0, T0
	VADDPS T1, S1, S1
	VFMADD231PS T1, T0, S2`},
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
	{"i8ToF32", "float32", "int8", `
	VPMOVSXBD (SI)(AX*1), Y0
	VCVTDQ2PS Y0, Y0
	VMOVUPS Y0, (DI)(AX*4)`, `
	VPMOVSXBD (SI)(AX*1), Z0
	VCVTDQ2PS Z0, Z0
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
