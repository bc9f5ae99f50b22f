package asm

import "unsafe"

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
