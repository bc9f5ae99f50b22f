//go:build ignore

// Vec writes the vector kernels: vec_avx2_amd64.s, vec_avx512_amd64.s and their
// Go declarations. Run it with go generate in the package's folder.
//
// A kernel (vec_table.go) is given once, for both tiers, as the work on one vector register:
// inputs arrive in V0, V1, ... in the order of the slices, results are stored
// from the registers that the kernel names. V is Y or Z, S.x the broadcast
// scalar x, C.x the constant x and M.x the elements of slice x (both only as
// first operand: they become memory operands), ACC the accumulator of a
// reduction. "KEEP p, Va, Vb, Vc" clears lanes of Vc unless Vb compares with Va by predicate
// p of VCMPPS. Operands stand in the order of Go's assembler: sources first, last
// the destination.
//
// Registers: AVX2 has 16, of which V15 is the mask of the tail and the scalars
// go down from V14; accumulators are V10..V13. AVX-512 keeps to the same, has its
// mask in K1, and its constants in whatever registers are left: a broadcast
// from memory would take a load, of which there is only one a cycle.
//
// Results of many elements are stored past the caches, where alignment allows.
package main

import (
	"fmt"
	"go/format"
	"log"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
)

// streamFrom is the number of elements in a result from which on it is stored past the caches.
const streamFrom = 1 << 16

// tier writes the assembly of one instruction set.
type tier struct {
	name, suffix, reg string
	w                 int // float32 lanes
	b, decl           strings.Builder
	used              []string          // constants, in order of use
	scalar            map[string]string // of the kernel being written: registers or memory of its scalars,
	held              map[string]string // registers of its constants
	ptr               map[string]string // and pointers of its slices
}

func (t *tier) p(f string, a ...any) { fmt.Fprintf(&t.b, f+"\n", a...) }

var (
	vReg   = regexp.MustCompile(`\bV(\d+)\b`)
	sRef   = regexp.MustCompile(`\bS\.(\w+)`)
	cRef   = regexp.MustCompile(`\bC\.(\w+)`)
	mRef   = regexp.MustCompile(`\bM\.(\w+)`)
	opName = regexp.MustCompile(`^V\w+`)
	keep   = regexp.MustCompile(`KEEP (\d+), (\S+), (\S+), (\S+)`)
	ptrs   = []string{"DI", "SI", "DX", "BX", "R8", "R9"}
)

// text writes lines of kernel text, replacing what stands for registers,
// scalars and constants.
func (t *tier) text(s string) {
	for _, l := range strings.Split(s, "\n") {
		l, _, _ = strings.Cut(l, "//")
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
		case strings.HasPrefix(l, "KEEP") && t.w == 8:
			t.text(keep.ReplaceAllString(l, "VCMPPS $$$1, $2, $3, V3\nVANDPS V3, $4, $4"))
			continue
		case strings.HasPrefix(l, "KEEP"):
			t.text(keep.ReplaceAllString(l, "VCMPPS $$$1, $2, $3, K2\nVMOVAPS.Z $4, K2, $4"))
			continue
		}
		l = strings.Replace(l, ", N,", map[string]string{"avx2": ", V2,", "avx512": ", V1,"}[t.name], 1)
		if m := cRef.FindStringSubmatch(l); m != nil {
			if r := t.held[m[1]]; r != "" {
				l = strings.Replace(l, m[0], r, 1)
			} else {
				l = strings.Replace(l, m[0], t.constant(m[1]), 1)
				if t.w == 16 { // one float32, broadcast by the instruction itself
					if strings.HasPrefix(l, "VMOVUPS") {
						l = strings.Replace(l, "VMOVUPS", "VBROADCASTSS", 1)
					} else {
						l = opName.ReplaceAllString(l, "$0.BCST")
					}
				}
			}
		}
		l = sRef.ReplaceAllStringFunc(l, func(m string) string { return t.scalar[m[2:]] })
		t.p("\t%s", vReg.ReplaceAllString(l, t.reg+"$1"))
	}
}

func (t *tier) constant(name string) string {
	if !slices.Contains(t.used, name) {
		t.used = append(t.used, name)
	}
	return name + "<>(SB)"
}

// hold loads the constants of texts into the registers that neither they nor reserved use.
func (t *tier) hold(reserved string, texts ...string) {
	t.held = map[string]string{}
	if t.w == 8 {
		return
	}
	all := strings.Join(texts, "\n")
	taken := map[string]bool{}
	for _, m := range vReg.FindAllStringSubmatch(all+" "+reserved, -1) {
		taken[m[1]] = true
	}
	free := 31
	for _, m := range cRef.FindAllStringSubmatch(all, -1) {
		for free >= 0 && taken[fmt.Sprint(free)] {
			free--
		}
		if free < 0 {
			return
		}
		if t.held[m[1]] == "" {
			r := t.v(free)
			t.p("\tVBROADCASTSS %s, %s", t.constant(m[1]), r)
			t.held[m[1]] = r
			free--
		}
	}
}

// header starts a function: its declaration, TEXT, and slice pointers. Scalars go into
// registers, or with c, an integer between slices and scalars, stay in memory.
func (t *tier) header(name, doc string, names []string, typ func(string) string, c bool, scalars []string,
	result bool) {
	params := make([]string, 0, len(names))
	for i, s := range names {
		if i+1 < len(names) && typ(names[i+1]) == typ(s) { // it follows, once for all of them
			params = append(params, s)
		} else {
			params = append(params, s+" "+typ(s))
		}
	}
	size := 24 * len(names)
	if c {
		params = append(params, "c int")
		size += 8
	}
	t.scalar, t.held, t.ptr = map[string]string{}, nil, map[string]string{}
	at := map[string]string{}
	for _, s := range scalars {
		at[s] = fmt.Sprintf("%s+%d(FP)", s, size)
		size += 4
	}
	if len(scalars) > 0 {
		params = append(params, strings.Join(scalars, ", ")+" float32")
	}
	ret := ""
	if result {
		size = (size+7)&^7 + 8
		ret = " float64"
	}
	t.decl.WriteString(declaration(name, name+t.suffix, "("+strings.Join(params, ", ")+")"+ret, 0) + "\n")
	t.p("\n// %s\nTEXT ·%s%s(SB), NOSPLIT, $0-%d", doc, name, t.suffix, size)
	for i, s := range names {
		t.ptr[s] = ptrs[i]
		t.p("\tMOVQ %s_base+%d(FP), %s", s, 24*i, ptrs[i])
	}
	for i, s := range scalars {
		if c {
			t.scalar[s] = at[s]
			continue
		}
		t.scalar[s] = t.v(14 - i)
		t.p("\tVBROADCASTSS %s, %s", at[s], t.scalar[s])
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

func (t *tier) store(reg, mem string, masked, stream bool) {
	switch {
	case !masked && stream:
		t.p("\tVMOVNTPS %s, %s", reg, mem)
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
func (t *tier) body(s string, at func(slice string) string, masked bool, free string) {
	for _, l := range strings.Split(s, "\n") {
		if m := mRef.FindStringSubmatch(l); m != nil {
			if masked {
				t.load(at(m[1]), free, true)
				l = strings.Replace(l, m[0], free, 1)
			} else {
				l = strings.Replace(l, m[0], at(m[1]), 1)
			}
		}
		t.text(l)
	}
}

func float32s(string) string { return "[]float32" }

// step does the work of pass p on vector u from index AX. It may use V6 for itself.
func (t *tier) step(p pass, u int, masked bool, stream string) {
	at := func(s string) string {
		if u == 0 {
			return fmt.Sprintf("(%s)(AX*4)", t.ptr[s])
		}
		return fmt.Sprintf("%d(%s)(AX*4)", 4*t.w*u, t.ptr[s])
	}
	if p.ahead != "" && !masked {
		t.p("\tPREFETCHT1 (R10)(AX*4)")
	}
	for i, s := range strings.Fields(p.in) {
		switch {
		case masked && p.fill != "" && t.w == 16:
			t.text("VMOVUPS C." + p.fill + ", V0")
			t.p("\tVMOVUPS %s, K1, Z0", at(s))
		case masked && p.fill != "":
			t.load(at(s), "Y0", true)
			t.text("VMOVUPS C." + p.fill + ", V1")
			t.p("\tVBLENDVPS Y15, Y0, Y1, Y0")
		default:
			t.load(at(s), t.v(i), masked)
		}
	}
	t.body(p.body, at, masked, t.v(6))
	if masked && p.maskV0 {
		if t.w == 16 {
			t.p("\tVMOVAPS.Z Z0, K1, Z0")
		} else {
			t.p("\tVANDPS Y15, Y0, Y0")
		}
	}
	t.text(p.acc)
	for _, o := range strings.Fields(p.out) {
		s, r, _ := strings.Cut(o, "=")
		t.store(vReg.ReplaceAllString(r, t.reg+"$1"), at(s), masked, strings.Contains(stream, s))
	}
}

// loops writes the loops over the R11 elements of a row: unroll vectors at a time, one, and
// the tail. AX is the index, CX the elements left, less those of a step.
func (t *tier) loops(label string, unroll int, step func(u int, masked bool)) {
	t.p("\tXORQ AX, AX\n\tMOVQ R11, CX")
	if unroll > 1 {
		t.p("\tSUBQ $%d, CX\n\tJLT %sfew\n%smany:", unroll*t.w, label, label)
		for u := range unroll {
			step(u, false)
		}
		t.p("\tADDQ $%d, AX\n\tSUBQ $%d, CX\n\tJGE %smany\n%sfew:", unroll*t.w, unroll*t.w, label, label)
		t.p("\tADDQ $%d, CX", (unroll-1)*t.w)
	} else {
		t.p("\tSUBQ $%d, CX", t.w)
	}
	t.p("\tJLT %srest\n%sone:", label, label)
	step(0, false)
	t.p("\tADDQ $%d, AX\n\tSUBQ $%d, CX\n\tJGE %sone", t.w, t.w, label)
	t.p("%srest:\n\tADDQ $%d, CX\n\tJEQ %send", label, t.w, label)
	step(0, true)
	t.p("%send:", label)
}

// twice writes body for ordinary stores and then, if any, for results that are stored past the caches:
// where there are many, and every row (R13 bytes) of them is aligned.
func (t *tier) twice(results []string, rows bool, length string, body func(label, stream string)) {
	if len(results) == 0 {
		body("", "")
		return
	}
	t.p("\tCMPQ %s, $%d\n\tJLT plain", length, streamFrom)
	t.p("\tMOVQ %s, AX", t.ptr[results[0]])
	for _, s := range results[1:] {
		t.p("\tORQ %s, AX", t.ptr[s])
	}
	if rows {
		t.p("\tORQ R13, AX")
	}
	t.p("\tTESTQ $%d, AX\n\tJNE plain", 4*t.w-1)
	body("past", strings.Join(results, " "))
	t.p("\tSFENCE\n\tJMP done\nplain:")
	body("", "")
	t.p("done:")
}

// streamed are the results of a pass with outputs out that are not inputs of it.
func streamed(in, out string) (list []string) {
	for _, o := range strings.Fields(out) {
		s, _, _ := strings.Cut(o, "=")
		if slices.Contains(strings.Fields(in), s) {
			return nil
		}
		list = append(list, s)
	}
	return list
}

func (t *tier) kernel(k kernel) {
	names := strings.Fields(k.slices)
	t.header(k.name, k.doc, names, float32s, false, strings.Fields(k.scalars), k.reduce != "")
	cols := strings.Fields(k.cols)
	t.p("\tMOVQ %s_len+8(FP), R12", names[0])
	if len(cols) > 0 { // R11 = c, R13 = bytes of a row, R12 = end of dst
		t.p("\tMOVQ %s_len+%d(FP), R11", cols[0], 24*(len(names)-len(cols))+8)
		t.p("\tLEAQ (R11*4), R13")
	} else {
		t.p("\tMOVQ R12, R11")
	}
	t.mask()
	reserved := "V6"
	for i := range strings.Fields(k.scalars) {
		reserved += fmt.Sprintf(" V%d", 14-i)
	}
	p := pass{in: k.in, out: k.out, body: k.body, acc: k.acc, reduce: k.reduce, unroll: k.unroll}
	if k.reduce != "" {
		reserved += " V10 V11 V12 V13"
	}
	t.hold(reserved, p.body, p.acc)
	if k.reduce != "" {
		t.clear(10, k.unroll, "")
	}
	t.twice(streamed(k.in, k.out), len(cols) > 0, "R12", func(label, stream string) {
		if len(cols) > 0 {
			t.p("\tLEAQ (DI)(R12*4), R12")
			t.p("\tCMPQ DI, R12\n\tJGE %sall\n%srow:", label, label)
		}
		t.loops(label, k.unroll, func(u int, masked bool) {
			p := p
			p.acc = strings.ReplaceAll(p.acc, "ACC", fmt.Sprintf("V%d", 10+u))
			t.step(p, u, masked, stream)
		})
		if len(cols) > 0 {
			for _, s := range names[:len(names)-len(cols)] {
				t.p("\tADDQ R13, %s", t.ptr[s])
			}
			t.p("\tCMPQ DI, R12\n\tJLT %srow\n%sall:", label, label)
		}
	})
	if k.reduce != "" {
		t.reduce(k.reduce, 10, k.unroll)
		t.p("\tVCVTSS2SD X0, X0, X0")
		t.p("\tVMOVSD X0, ret+%d(FP)", (24*len(names)+4*len(strings.Fields(k.scalars))+7)&^7)
	}
	t.p("\tVZEROUPPER\n\tRET")
}

func (t *tier) rowKernel(k rowKernel) {
	names := strings.Fields(k.slices)
	t.header(k.name, k.doc, names, float32s, true, strings.Fields(k.scalars), false)
	t.p("\tMOVQ c+%d(FP), R11", 24*len(names))
	t.p("\tLEAQ (R11*4), R13")
	t.p("\tMOVQ %s_len+8(FP), R12", names[0])
	t.mask()
	texts := []string{k.first}
	for _, p := range k.passes {
		fill := ""
		if p.fill != "" {
			fill = "C." + p.fill
		}
		texts = append(texts, p.body, p.acc, p.then, fill)
	}
	t.hold("V0 V1 V2 V3 V4 V5 V6 V8 V9 V10 V11 V12 V13 V14", texts...)
	between := func(s string) { // text between passes
		t.text(strings.ReplaceAll(s, "@"+k.pairs, "("+t.ptr[k.pairs]+")"))
	}
	last := k.passes[len(k.passes)-1]
	t.twice(streamed(k.passes[0].in, last.out), true, "R12", func(label, stream string) {
		t.p("\tLEAQ (DI)(R12*4), R12")
		t.p("\tCMPQ DI, R12\n\tJGE %sall\n%srow:", label, label)
		between(k.first)
		for i, p := range k.passes {
			lanes := 0
			if p.ahead != "" {
				t.p("\tLEAQ (%s)(R13*1), R10", t.ptr[p.ahead])
			}
			if p.reduce != "" {
				lanes = p.unroll
				t.clear(8, lanes, p.fill)
				if strings.Contains(p.acc, "B") {
					t.clear(10, lanes, "")
				}
			}
			t.loops(fmt.Sprintf("%s%c", label, 'A'+i), p.unroll, func(u int, masked bool) {
				p := p
				p.acc = sumA.ReplaceAllString(p.acc, fmt.Sprintf("V%d", 8+u))
				p.acc = sumB.ReplaceAllString(p.acc, fmt.Sprintf("V%d", 10+u))
				t.step(p, u, masked, stream)
			})
			if p.reduce != "" {
				t.reduce(p.reduce, 8, lanes)
				t.p("\tVBROADCASTSS X0, %s", t.v(8))
				if strings.Contains(p.acc, "B") {
					t.reduce(p.reduce, 10, lanes)
					t.p("\tVBROADCASTSS X0, %s", t.v(10))
				}
			}
			between(p.then)
		}
		for _, s := range names {
			switch {
			case slices.Contains(strings.Fields(k.cols), s):
			case s == k.pairs:
				t.p("\tADDQ $8, %s", t.ptr[s])
			case slices.Contains(strings.Fields(k.halves), s):
				t.p("\tLEAQ (%s)(R13*2), %s", t.ptr[s], t.ptr[s])
			default:
				t.p("\tADDQ R13, %s", t.ptr[s])
			}
		}
		t.p("\tCMPQ DI, R12\n\tJLT %srow\n%sall:", label, label)
	})
	t.p("\tVZEROUPPER\n\tRET")
}

var sumA, sumB = regexp.MustCompile(`\bA\b`), regexp.MustCompile(`\bB\b`)

// clear starts n accumulators from register first with the constant fill, or 0.
func (t *tier) clear(first, n int, fill string) {
	for u := range n {
		if fill != "" {
			t.text(fmt.Sprintf("VMOVUPS C.%s, V%d", fill, first+u))
		} else {
			t.text(fmt.Sprintf("VXORPS V%d, V%d, V%d", first+u, first+u, first+u))
		}
	}
}

// reduce combines n accumulators from register first, and then the lanes, into X0.
func (t *tier) reduce(op string, first, n int) {
	for n /= 2; n >= 1; n /= 2 {
		for u := range n {
			t.text(fmt.Sprintf("V%sPS V%d, V%d, V%d", op, first+u+n, first+u, first+u))
		}
	}
	t.text(fmt.Sprintf("VMOVUPS V%d, V0", first))
	if t.w == 16 {
		t.p("\tVEXTRACTF64X4 $1, Z0, Y1\n\tV%sPS Y1, Y0, Y0", op)
	}
	t.p("\tVEXTRACTF128 $1, Y0, X1\n\tV%sPS X1, X0, X0", op)
	t.p("\tVPERMILPS $0x4e, X0, X1\n\tV%sPS X1, X0, X0", op)
	t.p("\tVPERMILPS $0xb1, X0, X1\n\tV%sPS X1, X0, X0", op)
}

func (t *tier) colKernel(k colKernel) {
	names := strings.Fields(k.slices)
	t.header(k.name, k.doc, names, float32s, false, nil, false)
	last := names[len(names)-1]
	t.p("\tMOVQ %s_len+8(FP), R11 // columns", names[0])
	t.p("\tMOVQ %s_len+%d(FP), R12", last, 24*(len(names)-1)+8)
	t.p("\tSHLQ $2, R12 // bytes of data")
	t.p("\tJEQ end")
	t.p("\tLEAQ (R11*4), R13 // bytes of a row")
	t.mask()
	t.p("\tXORQ R10, R10 // offset of the column\n\tMOVQ R11, CX")
	wide := t.w / 2 // vectors in a group
	free := 3 * wide
	if wide == 8 {
		free = 24
	}
	first := map[string]int{"sum": 0, "s1": 0, "s2": wide, "mean": 2 * wide}
	group := func(label string, n int, masked bool) {
		at := func(index string, u int) func(s string) string {
			return func(s string) string { return fmt.Sprintf("%d(%s)(%s*1)", 4*t.w*u, t.ptr[s], index) }
		}
		for _, s := range names {
			if r, ok := first[s]; ok {
				for u := range n {
					t.load(at("R10", u)(s), t.v(r+u), masked)
				}
			}
		}
		t.p("\tMOVQ R10, AX")
		t.p("%srow:", label)
		for u := range n {
			reg := func(r int) string { return fmt.Sprintf("V%d", r) }
			body := strings.NewReplacer("MEAN", reg(2*wide+u), "S1", reg(u), "S2", reg(wide+u), "T0", reg(free), "T1",
				reg(free+1)).Replace(k.body)
			t.body(body, at("AX", u), masked, t.v(free+2))
		}
		t.p("\tADDQ R13, AX\n\tCMPQ AX, R12\n\tJLT %srow", label)
		for _, s := range names {
			if r, ok := first[s]; ok && s != "mean" {
				for u := range n {
					t.store(t.v(r+u), at("R10", u)(s), masked, false)
				}
			}
		}
	}
	t.p("\tSUBQ $%d, CX\n\tJLT few\nmany:", wide*t.w)
	group("many", wide, false)
	t.p("\tADDQ $%d, R10\n\tSUBQ $%d, CX\n\tJGE many", 4*wide*t.w, wide*t.w)
	t.p("few:\n\tADDQ $%d, CX\n\tJLT rest\none:", (wide-1)*t.w)
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
		}, false, nil, false)
		body := c.avx2
		if t.w == 16 {
			body = c.avx512
		}
		t.hold("", body)
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
		for _, k := range rowKernels {
			t.rowKernel(k)
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
