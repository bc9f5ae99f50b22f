package asm

import (
	"math"
	"unsafe"
)

//go:generate go run gen/attention.go gen/loops.go

// attentionKernels is one tier's work between the matrix products of attention. A panel is
// [rows][NR], a column for a query, a row for a key or a channel; see the exported functions.
// Rows are at least 1.
type attentionKernels struct {
	softmax func(p *float32, rows int, stats *float32)
	grad    func(p, ds *float32, rows int)
	scale   func(x *float32, rows int, by *float32)

	wide []func(*Tile) // nil where the tier has none

	// Where the tier multiplies bfloat16. Rows are even, n is at least 1.
	softmaxPairs func(dst, p *float32, rows int, stats *float32)
	gradPairs    func(pRows, dsRows, dsPairs, p, ds *float32, rows int)
	interleave   func(dst, a, b *float32, n int)
	tPairs       []func(*Tile)
	widePairs    []func(*Tile)
}

var attention *attentionKernels

// panelRows is the number of rows of a panel of n elements.
func panelRows(name string, n int, per ...int) int {
	nr := NR()
	if n == 0 || n%nr != 0 {
		panic("asm: " + name + ": not whole rows of NR elements")
	}
	for _, l := range per {
		if l < nr {
			panic("asm: " + name + ": too few elements for a row")
		}
	}
	return n / nr
}

// SoftmaxPanel takes the next rows of a softmax down the columns of a panel, in powers of two:
// stats is [3][NR], the largest value of each column so far, the sum of 2^(value-largest), and,
// written only, the factor by which the sum and all powers made before have to be multiplied because of
// a new largest value. Then p = 2^(p-largest). To begin with, the first is -Inf and the
// second 0. Powers are within 2 ulp where they are above 2^-126, 0 below 2^-150 in all tiers. A NaN
// makes the sum of its column NaN.
//
//	for j := range NR {
//		top := max(stats[0][j], p[0][j], p[1][j], ...)
//		stats[2][j] = exp2(stats[0][j] - top)
//		stats[0][j], stats[1][j] = top, stats[1][j]*stats[2][j]
//		for r := range rows {
//			p[r][j] = exp2(p[r][j] - top)
//			stats[1][j] += p[r][j]
//		}
//	}
func SoftmaxPanel(p, stats []float32) {
	rows := panelRows("SoftmaxPanel", len(p), len(stats)/3)
	attention.softmax(&p[0], rows, &stats[0])
}

// WeightsGradPanel computes p = 2^p and ds = ds*2^p.
//
//	for i := range p {
//		p[i] = exp2(p[i])
//		ds[i] *= p[i]
//	}
func WeightsGradPanel(p, ds []float32) {
	same("WeightsGradPanel", len(p), len(ds))
	attention.grad(&p[0], &ds[0], panelRows("WeightsGradPanel", len(p)))
}

// ScalePanel multiplies every row of the panel x by the row by.
//
//	for r := range rows {
//		for j := range NR {
//			x[r][j] *= by[j]
//		}
//	}
func ScalePanel(x, by []float32) {
	attention.scale(&x[0], panelRows("ScalePanel", len(x), len(by)), &by[0])
}

// SoftmaxPanelPairs is [SoftmaxPanel] where [HasPairs], for an even number of rows. It
// leaves p alone, and rounds the powers to bfloat16: word [k][j] of dst [rows/2][NR] has those
// of rows 2k and 2k+1. Before that they are within 1.2e-4 of their value; the sum is of these.
//
//	for j := range NR { // top and stats[0], stats[2] as in softmaxPanel
//		for r := 0; r < rows; r += 2 {
//			e, o := exp2(p[r][j]-top), exp2(p[r+1][j]-top)
//			stats[1][j] += e + o
//			dst[r/2][j] = [2]uint16{bfloat16(e), bfloat16(o)}
//		}
//	}
func SoftmaxPanelPairs(dst, p, stats []float32) {
	rows := panelRows("SoftmaxPanelPairs", len(p), len(stats)/3)
	_ = dst[len(p)/2-1]
	attention.softmaxPairs(&dst[0], &p[0], rows, &stats[0])
}

// WeightsGradPanelPairs is [WeightsGradPanel] where [HasPairs], for an even number of rows, with
// results in bfloat16: both with the neighbours of a row in a word, [rows][NR/2], and the
// second also with the neighbours of a column in a word, [rows/2][NR]. p and ds stay.
//
//	for r := range rows {
//		for j := range NR {
//			w := exp2(p[r][j])
//			pRows[r][j/2][j%2] = bfloat16(w)
//			dsRows[r][j/2][j%2] = bfloat16(w * ds[r][j])
//			dsPairs[r/2][j][r%2] = bfloat16(w * ds[r][j])
//		}
//	}
func WeightsGradPanelPairs(pRows, dsRows, dsPairs, p, ds []float32) {
	same("WeightsGradPanelPairs", len(p), len(ds))
	rows := panelRows("WeightsGradPanelPairs", len(p))
	_, _, _ = pRows[len(p)/2-1], dsRows[len(p)/2-1], dsPairs[len(p)/2-1]
	attention.gradPairs(&pRows[0], &dsRows[0], &dsPairs[0], &p[0], &ds[0], rows)
}

// InterleavePairs rounds a and b to bfloat16, side by side in a word of dst, where [HasPairs]. Subnormal
// numbers become zero.
//
//	for i := range n {
//		dst[i] = [2]uint16{bfloat16(a[i]), bfloat16(b[i])}
//	}
func InterleavePairs(dst, a, b []float32) {
	same("InterleavePairs", len(dst), len(a), len(b))
	attention.interleave(&dst[0], &a[0], &b[0], len(a))
}

// RunPairsT is [Tile.RunT] on bfloat16 where [HasPairs]: every 4 bytes of A and B are two neighbours
// along k, and K counts pairs. One segment, no bias.
//
//	for k := range t.K { // pairs of bfloat16
//		for i := range m {
//			for j := range NR {
//				a, b := A[i+k*ACol], B[k*BRow+j]
//				C[i*CRow+j] += low(a)*low(b) + high(a)*high(b)
//			}
//		}
//	}
func (t *Tile) RunPairsT(m int) { attention.tPairs[m](t) }

// WideMR is the largest number of rows of [Tile.RunWide], 0 where the tier has none.
func WideMR() int { return max(0, len(attention.wide)-1) }

// RunWide is [Tile.Run] with NR+8 columns of B and C, as heads of 40 numbers want them, and always
// adds to C.
//
//	for s := range t.Segs {
//		for k := range t.K {
//			for i := range m {
//				for j := range NR + 8 {
//					C[i*CRow+j] += A[i*ARow+s*ASeg+k] * B[(s*K+k)*(NR+8)+j]
//				}
//			}
//		}
//	}
func (t *Tile) RunWide(m int) { attention.wide[m](t) }

// RunWidePairs is RunWide on bfloat16, as [Tile.RunPairs], where [HasPairs].
//
//	for s := range t.Segs {
//		for k := range t.K { // pairs of bfloat16
//			for i := range m {
//				for j := range NR + 8 {
//					a, b := A[i*ARow+s*ASeg+k], B[(s*K+k)*(NR+8)+j]
//					C[i*CRow+j] += low(a)*low(b) + high(a)*high(b)
//				}
//			}
//		}
//	}
func (t *Tile) RunWidePairs(m int) { attention.widePairs[m](t) }

// attentionGeneric serves the tiers without kernels of their own: it is made of those for rows.
var attentionGeneric = attentionKernels{softmax: softmaxGeneric, grad: gradGeneric, scale: scaleGeneric}

// powers computes x = 2^x.
func powers(x []float32) {
	vec.scale(x, x, math.Ln2)
	vec.exp(x, x)
}

func softmaxGeneric(p *float32, rows int, stats *float32) {
	nr := NR()
	x, s := unsafe.Slice(p, rows*nr), unsafe.Slice(stats, 3*nr)
	top, sum, factor := s[:nr], s[nr:2*nr], s[2*nr:]
	copy(factor, top)
	for r := 0; r < len(x); r += nr {
		for j, v := range x[r:][:nr] {
			if v > top[j] {
				top[j] = v
			}
		}
	}
	vec.sub(factor, factor, top)
	powers(factor)
	vec.mul(sum, sum, factor)
	for r := 0; r < len(x); r += nr {
		vec.sub(x[r:][:nr], x[r:][:nr], top)
	}
	powers(x)
	vec.colSum(sum, x)
}

func gradGeneric(p, ds *float32, rows int) {
	x, g := unsafe.Slice(p, rows*NR()), unsafe.Slice(ds, rows*NR())
	powers(x)
	vec.mul(g, g, x)
}

func scaleGeneric(x *float32, rows int, by *float32) {
	nr := NR()
	v, f := unsafe.Slice(x, rows*nr), unsafe.Slice(by, nr)
	for r := 0; r < len(v); r += nr {
		vec.mul(v[r:][:nr], v[r:][:nr], f)
	}
}
