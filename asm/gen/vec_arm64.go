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
	tail    string // in Go's syntax: after body where only lane 0 is an element; the other lanes of a load are 0
	acc     string // accumulation, after body
	reduce  string // fadd or fmax: how sums are combined; the result is returned
	fill    string // constant that sums start from; 0 when empty
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

// The tail of gen/vec.go. Of x in V4: a = |x|, at most 13, in V5, e^(-a*a/2) in
// V0 and the normal distribution's tail beyond a in V2, using V1 and V3.
const normalTail = `
	fabs V5, V4
	fmin V5, V5, C.normHi
	fmul V0, V5, V5
	fmul V0, V0, C.minusHalf` + expNormal + `
	ldr V1, C.one
	fmla V1, V5, C.millsP
	fdiv V1, C.one, V1 // t
	ldr V2, C.m7
	fmla V2, V1, C.m8
	ldr V3, C.m6
	fmla V3, V2, V1
	ldr V2, C.m5
	fmla V2, V3, V1
	ldr V3, C.m4
	fmla V3, V2, V1
	ldr V2, C.m3
	fmla V2, V3, V1
	ldr V3, C.m2
	fmla V3, V2, V1
	ldr V2, C.m1
	fmla V2, V3, V1
	ldr V3, C.m0
	fmla V3, V2, V1
	fmul V2, V3, V1
	fmul V2, V2, V0`

const timesDy = `
	ldr V1, M.dy
	fmul V0, V0, V1`

// Unlike FMAX and FMAXNM a comparison passes over every kind of NaN.
const larger = `
	fcmgt V1, V0, ACC
	bit ACC, V0, V1`

var kernels = []kernel{
	{name: "add", doc: "dst = a + b", slices: "dst a b", in: "a b", out: "dst=V0", unroll: 4, body: `fadd V0, V0, V1`},
	{name: "sub", doc: "dst = a - b", slices: "dst a b", in: "a b", out: "dst=V0", unroll: 4, body: `fsub V0, V0, V1`},
	{name: "mul", doc: "dst = a * b", slices: "dst a b", in: "a b", out: "dst=V0", unroll: 4, body: `fmul V0, V0, V1`},
	{name: "axpy", doc: "dst += t*x", slices: "dst x", in: "dst x", out: "dst=V0", scalars: "t", unroll: 4, body: `fmla V0, V1, S.t`},
	{name: "scale", doc: "dst = t*x", slices: "dst x", in: "x", out: "dst=V0", scalars: "t", unroll: 4, body: `fmul V0, V0, S.t`},
	{name: "lerp", doc: "dst += t*(x-dst)", slices: "dst x", in: "dst x", out: "dst=V0", scalars: "t", unroll: 4, body: `
	fsub V1, V1, V0
	fmla V0, V1, S.t`},

	{name: "dot", doc: "sum of a*b", slices: "a b", in: "a b", unroll: 8, reduce: "fadd", acc: `fmla ACC, V0, V1`},
	{name: "sum", doc: "sum of x", slices: "x", in: "x", unroll: 8, reduce: "fadd", acc: `fadd ACC, ACC, V0`},
	{name: "sumSq", doc: "sum of x*x", slices: "x", in: "x", unroll: 8, reduce: "fadd", acc: `fmla ACC, V0, V0`},
	{name: "max", doc: "largest x", slices: "x", in: "x", unroll: 8, reduce: "fmax", fill: "minusInf", tail: "VDUP V0.S[0], V0.S4", acc: larger},
	{name: "maxAbs", doc: "largest |x|", slices: "x", in: "x", unroll: 8, reduce: "fmax", body: `fabs V0, V0`, acc: larger},
	{name: "zeroTimes", doc: "sum of 0*x", slices: "x", in: "x", unroll: 8, reduce: "fadd", acc: `fmla ACC, V0, C.zero`},

	{name: "exp", doc: "dst = e^x", slices: "dst x", in: "x", out: "dst=V0", unroll: 4, body: exp},
	{name: "expSum", doc: "dst = e^(x-t), and its sum", slices: "dst x", in: "x", out: "dst=V0", scalars: "t", unroll: 4, reduce: "fadd", body: `
	fsub V0, V0, S.t` + exp, tail: "FMOVS F0, F0", acc: `fadd ACC, ACC, V0`},
	{name: "sigmoid", doc: "dst = 1/(1+e^-x)", slices: "dst x", in: "x", out: "dst=V0", unroll: 4, body: `
	fneg V0, V0
	fmin V0, V0, C.actHi
	fmax V0, V0, C.actLo` + expNormal + `
	fadd V0, V0, C.one
	fdiv V0, C.one, V0`},
	{name: "silu", doc: "dst = x/(1+e^-x)", slices: "dst x", in: "x", out: "dst=V0", unroll: 4, body: silu},
	{name: "siluGrad", doc: "dst = dy*silu'(x)", slices: "dst x dy", in: "x", out: "dst=V0", unroll: 4, body: siluGrad + timesDy},
	{name: "gelu", doc: "dst = x*Phi(x) = max(x, 0) - a*tail(a)", slices: "dst x", in: "x=V4", out: "dst=V0", unroll: 3, body: normalTail + `
	fmax V0, V4, C.zero
	fmls V0, V5, V2`},
	{name: "geluGrad", doc: "dst = dy*(Phi(x)+x*phi(x))", slices: "dst x dy", in: "x=V4", out: "dst=V0", unroll: 3, body: normalTail + `
	and V1, V4, C.sign
	orr V5, V5, V1 // x, within 13 of 0
	eor V2, V2, V1
	sshr V3, V4, 31
	bic V3, C.one, V3 // 1 where x is positive
	fsub V3, V3, V2 // Phi(x): 1-tail, or tail where x is negative
	fmul V0, V0, C.rsqrt2pi
	fmla V3, V5, V0
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

	{name: "scaleShiftRows", doc: "dst = x*scale[j] + shift[j]", slices: "dst x scale shift", cols: "scale shift", in: "x=V1 scale=V2 shift=V0", out: "dst=V0", unroll: 4, body: `fmla V0, V1, V2`},
	{name: "scaleShiftSiLURows", doc: "dst = silu(x*scale[j] + shift[j])", slices: "dst x scale shift", cols: "scale shift", in: "x=V1 scale=V2 shift=V0", out: "dst=V0", unroll: 4, body: `
	fmla V0, V1, V2` + silu},
	{name: "siluGradRows", doc: "dst = dy*silu'(x*scale[j] + shift[j])", slices: "dst x dy scale shift", cols: "scale shift", in: "x=V1 scale=V2 shift=V0", out: "dst=V0", unroll: 4, body: `
	fmla V0, V1, V2` + siluGrad + timesDy},
	{name: "linearRows", doc: "dst = a[j]*u + b[j]*v + d[j]", slices: "dst u v a b d", cols: "a b d", in: "u a v b d", out: "dst=V4", unroll: 4, body: `
	fmla V4, V2, V3
	fmla V4, V0, V1`},
	{name: "addRows", doc: "dst = x + v[j]", slices: "dst x v", cols: "v", in: "x v", out: "dst=V0", unroll: 4, body: `fadd V0, V0, V1`},

	{name: "adamW", doc: "one AdamW step; nb = 1-b, ic = 1/c", slices: "p m v g", in: "p m v g", out: "p=V0 m=V1 v=V2", scalars: "lr b1 nb1 b2 nb2 eps wd ic1 ic2", unroll: 2, body: `
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
	{"colSqDev", "sum[j] += (x-mean[j])^2", "sum mean x", 8, `
	ldr V0, M.x
	fsub V0, V0, MEAN
	fmla S1, V0, V0`},
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
	"shl":    {0x4f205400, "4s 4s #"},
	"sshr":   {0x4f400400, "4s 4s #"},
	"ushr":   {0x6f400400, "4s 4s #"},
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
	return code, name + " " + strings.Join(operands, ", ")
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
	consts map[string]int    // and of constants
	free   int               // all registers from here on are taken
}

// begin writes the head of a function and loads its slices' pointers, scalars
// and those constants of the texts that have a register.
func begin(name, doc string, slices []string, typ func(string) string, scalars []string, result bool, texts ...string) *function {
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
	fmt.Fprintf(&decl, "//go:noescape\nfunc %sNEON(%s)%s\n\n", name, strings.Join(params, ", "), ret)
	p("\n// %s\nTEXT ·%sNEON(SB), NOSPLIT, $0-%d", doc, name, size)
	f := &function{map[string]string{}, map[string]int{}, map[string]int{}, 32}
	for i, s := range slices {
		f.ptr[s] = fmt.Sprintf("R%d", i)
		p("\tMOVD %s_base+%d(FP), R%d", s, 24*i, i)
	}
	for i, s := range scalars {
		f.free--
		f.scalar[s] = f.free
		p("\tFMOVS %s+%d(FP), F%d", s, 24*len(slices)+4*i, f.free)
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
	if k.fill != "" {
		start = "ldr ACC, C." + k.fill
	}
	f := begin(k.name, k.doc, names, float32s, strings.Fields(k.scalars), k.reduce != "", k.body, k.acc, start)

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
	loops(k.unroll, func(_ string, n int, whole bool) {
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
		transfer(false, inputs)
		f.text(k.body, n, whole, reg)
		if !whole && k.tail != "" {
			p("\t%s", k.tail)
		}
		f.text(k.acc, n, whole, reg)
		transfer(true, strings.Fields(k.out))
		bytes := 16 * n
		if !whole {
			bytes = 4
		}
		for _, s := range names {
			p("\tADD $%d, %s", bytes, f.ptr[s])
		}
	})
	p("end:")
	if len(cols) > 0 {
		p("\tSUBS R7, R8\n\tBNE row\ndone:")
	}
	if k.reduce != "" {
		word := func(name string, args ...int) {
			code, text := encode(name, args)
			p("\tWORD $%#08x // %s", code, text)
		}
		for n := k.unroll / 2; n >= 1; n /= 2 {
			for u := range n {
				word(k.reduce, sums+u, sums+u, sums+u+n)
			}
		}
		word(k.reduce+"p", 0, sums, sums)
		word(k.reduce+"p", 0, 0, 0)
		p("\tFCVTSD F0, F0")
		p("\tFMOVD F0, ret+%d(FP)", (24*len(names)+4*len(f.scalar)+7)&^7)
	}
	p("\tRET")
}

func (k colKernel) write() {
	names := strings.Fields(k.slices)
	f := begin(k.name, k.doc, names, float32s, nil, false, k.body)
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
		bytes := 16 * n
		if !whole {
			bytes = 4
		}
		for _, s := range names {
			p("\tADD $%d, %s", bytes, f.ptr[s])
		}
	}
	loops(k.unroll, group)
	p("end:\n\tRET")
}

// loops writes the loops over the R6 elements of a row: n vectors at a time,
// one vector, and one element.
func loops(n int, step func(label string, n int, whole bool)) {
	p("\tSUBS $%d, R6\n\tBLT few\nmany:", 4*n)
	step("many", n, true)
	p("\tSUBS $%d, R6\n\tBGE many", 4*n)
	p("few:\n\tADDS $%d, R6\n\tBLT rest\none:", 4*n-4)
	step("one", 1, true)
	p("\tSUBS $4, R6\n\tBGE one")
	p("rest:\n\tADDS $4, R6\n\tBEQ end\nelement:")
	step("element", 1, false)
	p("\tSUBS $1, R6\n\tBNE element")
}

func writeConversions() {
	for _, c := range conversions {
		names := []string{"dst", "src"}
		f := begin(c.name, c.name+" on whole groups of 16", names, func(s string) string {
			return "[]" + map[string]string{"dst": c.dst, "src": c.src}[s]
		}, nil, false, c.body)
		in := []int{0, 1}
		if c.src == "float32" {
			in = []int{0, 1, 2, 3}
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
