package asm

import "unsafe"

//go:generate go run gen/gemm.go gen/loops.go
//go:generate gofmt -w gemm_amd64.go
//go:generate go run gen/amx.go
//go:generate go run gen/gemm_arm64.go gen/loops.go

// Tile describes one register tile of a matrix product: m rows of C, [NR]
// columns wide, with k running over Segs segments of K steps each. Strides are
// in bytes. Two forms read A and B differently:
//
//	Run:  A[i*ARow + seg*ASeg + 4*k], B packed: NR values for every k in turn
//	RunT: A[4*i + seg*ASeg + k*ACol], B[seg*BSeg + k*BRow], NR values each
//
// A segment is a run of k over which addresses advance evenly: a plain matrix
// product has one; a convolution has one for each row of its window, because
// there the window's columns and channels are contiguous.
//
// C starts from its own values when Accumulate is 1, else from Bias (NR
// values) when that is not nil, else from zero. All m*NR values of C are written.
type Tile struct {
	A, B, C, Bias unsafe.Pointer
	ARow, ACol    int
	ASeg          int
	BRow, BSeg    int
	CRow          int
	Segs, K       int // both at least 1
	Accumulate    int
	Parts         int // a segment is this many equal runs (0 counts as 1), one for each column of a window; see RunSplit
	// Of RunPairs and RunSplit: the m rows are computed of so many lines (0 counts as 1), whose windows and rows of C lie
	// ALine and CLine bytes apart.
	Lines, ALine, CLine int
	APart               int // of RunPairs, with BSeg: bytes from a run of A to the next; 0: they are neighbours
}

// gemmKernels is the micro-kernel table of one tier; n[m] and t[m] compute m rows, pairs and split as many as they
// are told.
type gemmKernels struct {
	mr, nr       int
	n, t         []func(*Tile)
	pairs, split func(t *Tile, m int) // nil where the processor multiplies no bfloat16, or too slowly for a split
	pairsMR      int
}

var gemm *gemmKernels

// MR is the largest number of rows of a tile of the active tier.
func MR() int { return gemm.mr }

// NR is the number of columns of a tile of the active tier; packed matrices
// are padded to it.
func NR() int { return gemm.nr }

// Run computes m rows, 1 <= m <= MR, with A row-major and B packed.
//
//	for s := range t.Segs {
//		for k := range t.K {
//			for i := range m {
//				for j := range NR {
//					C[i*CRow+j] += A[i*ARow+s*ASeg+k] * B[(s*K+k)*NR+j]
//				}
//			}
//		}
//	}
func (t *Tile) Run(m int) { gemm.n[m](t) }

// RunT computes m rows, 1 <= m <= MR, with A transposed and B strided.
//
//	for s := range t.Segs {
//		for k := range t.K {
//			for i := range m {
//				for j := range NR {
//					C[i*CRow+j] += A[i+s*ASeg+k*ACol] * B[s*BSeg+k*BRow+j]
//				}
//			}
//		}
//	}
func (t *Tile) RunT(m int) { gemm.t[m](t) }

// HasPairs tells whether the active tier has [Tile.RunPairs].
func HasPairs() bool { return gemm.pairs != nil }

// PairsMR is the largest number of rows of [Tile.RunPairs] and [Tile.RunSplit].
func PairsMR() int {
	if gemm.pairs == nil {
		return gemm.mr
	}
	return gemm.pairsMR
}

// RunPairs is Run on bfloat16: every 4 bytes of A are the elements 2k and 2k+1 of a
// row, every 4 bytes of B the same two elements of a column, and K counts pairs.
// Products are added in float32; subnormal numbers count as zero. C and Bias stay float32. 1 <= m <= PairsMR.
//
//	for s := range t.Segs {
//		for k := range t.K { // pairs of bfloat16
//			for i := range m {
//				for j := range NR {
//					a, b := A[i*ARow+s*ASeg+k], B[(s*K+k)*NR+j]
//					C[i*CRow+j] += low(a)*low(b) + high(a)*high(b)
//				}
//			}
//		}
//	}
//
// Where Lines is set, this is done for each line. Where APart is set, the runs of a segment of A lie that far apart,
// and segments of B, in which the runs are neighbours, BSeg bytes.
//
// On tiers that do not have it the loop itself runs, for tests.
func (t *Tile) RunPairs(m int) {
	if gemm.pairs == nil {
		runParts(func(t *Tile) { pairsGeneric(t, m) }, t)
		return
	}
	gemm.pairs(t, m)
}

// HasSplit tells whether the active tier has [Tile.RunSplit].
func HasSplit() bool { return gemm.split != nil }

// RunSplit is RunPairs on numbers that are split in two bfloat16: the first half of each of the Parts runs of
// K/Parts words (an even number) holds the elements rounded to bfloat16, in pairs, the second half what the
// rounding left, rounded itself. High times high, high times low and low times high are added. The product of two
// numbers has a relative error of about 2^-17: halves of 8 bits each hold 17 bits of a number, with the sign of the
// lower one, and the product of the low halves, which is left out, is as large. 1 <= m <= PairsMR. In one segment
// and part, with H = K/2:
//
//	for k := range H {
//		for i := range m {
//			for j := range NR {
//				a, b := A[i*ARow+k], B[k*NR+j]            // high halves of two numbers each
//				aLow, bLow := A[i*ARow+H+k], B[(H+k)*NR+j] // what they leave
//				C[i*CRow+j] += dot(a, b) + dot(a, bLow) + dot(aLow, b)
//			}
//		}
//	}
func (t *Tile) RunSplit(m int) { gemm.split(t, m) }

// runParts calls a kernel of RunPairs that knows no Lines and no APart, for each line, and each segment whose runs
// lie apart, which are segments to it.
func runParts(kernel func(*Tile), t *Tile) {
	whole := *t
	for line := range max(1, t.Lines) {
		a, c := unsafe.Add(whole.A, line*whole.ALine), unsafe.Add(whole.C, line*whole.CLine)
		t.A, t.C = a, c
		if whole.APart == 0 {
			kernel(t)
			continue
		}
		t.Segs, t.K, t.ASeg, t.Accumulate = whole.Parts, whole.K/whole.Parts, whole.APart, whole.Accumulate
		for seg := range whole.Segs {
			t.A, t.B = unsafe.Add(a, seg*whole.ASeg), unsafe.Add(whole.B, seg*whole.BSeg)
			kernel(t)
			t.Accumulate = 1
		}
	}
	*t = whole
}
