package asm

import (
	"math"
	"unsafe"
)

// The generic tier: the loops that the assembly kernels are checked against.

const (
	genericMR = 4
	genericNR = 16
)

var gemmGeneric = gemmKernels{mr: genericMR, nr: genericNR, n: genericRows(false), t: genericRows(true)}

func genericRows(transposed bool) []func(*Tile) {
	f := make([]func(*Tile), genericMR+1)
	for m := 1; m <= genericMR; m++ {
		f[m] = func(t *Tile) { gemmTileGeneric(t, m, transposed) }
	}
	return f
}

type row = [genericNR]float32

func gemmTileGeneric(t *Tile, m int, transposed bool) {
	aRow, aCol, bRow := t.ARow, 4, 4*genericNR
	bSeg := t.K * bRow
	if transposed {
		aRow, aCol, bRow, bSeg = 4, t.ACol, t.BRow, t.BSeg
	}
	for i := range m {
		var acc row
		c := (*row)(unsafe.Add(t.C, i*t.CRow))
		switch {
		case t.Accumulate != 0:
			acc = *c
		case t.Bias != nil:
			acc = *(*row)(t.Bias)
		}
		for seg := range t.Segs {
			a := unsafe.Add(t.A, i*aRow+seg*t.ASeg)
			b := unsafe.Add(t.B, seg*bSeg)
			for k := range t.K {
				x := *(*float32)(unsafe.Add(a, k*aCol))
				w := (*row)(unsafe.Add(b, k*bRow))
				for j := range acc {
					acc[j] += x * w[j]
				}
			}
		}
		*c = acc
	}
}

// pairsGeneric is RunPairs without Lines and APart, on the panels of any tier.
func pairsGeneric(t *Tile, m int) {
	nr := NR()
	for i := range m {
		c := unsafe.Slice((*float32)(unsafe.Add(t.C, i*t.CRow)), nr)
		switch {
		case t.Accumulate != 0:
		case t.Bias != nil:
			copy(c, unsafe.Slice((*float32)(t.Bias), nr))
		default:
			clear(c)
		}
		for k := range t.Segs * t.K {
			a := *(*[2]uint16)(unsafe.Add(t.A, i*t.ARow+k/t.K*t.ASeg+4*(k%t.K)))
			for j := range c {
				b := *(*[2]uint16)(unsafe.Add(t.B, 4*(k*nr+j)))
				c[j] += wide(a[0])*wide(b[0]) + wide(a[1])*wide(b[1])
			}
		}
	}
}

// wide is a bfloat16 as float32.
func wide(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }
