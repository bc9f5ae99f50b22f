package asm

import "unsafe"

//go:generate go run gen/winograd.go gen/loops.go
//go:generate gofmt -w winograd_amd64.go winograd_arm64.go

// Winograd's minimal filtering F(4x4, 3x3): 16 outputs of a 3x3 convolution of stride 1 from a
// 6x6 piece of the input by 36 multiplications in place of 144. With d a piece of the input and
// g a filter,
//
//	y = A' [ (G g G') * (B' d B) ] A
//
// where * is the product element by element, summed over channels: 36 matrix products over
// pieces, channels and filters (Lavin and Gray, Fast Algorithms for Convolutional Neural
// Networks, 2015). The interpolation points are 0, ±5/8, ±3/2 and infinity: of the pairs tried,
// they lose least (relative L2 error 1.1e-6 over 512 channels, against 2.6e-6 for the usual ±1, ±2).

// Grid is the argument of the transforms of [WinogradInput], [WinogradWeight] and
// [WinogradOutput]: each reads a square of vectors at Src and writes one at Dst. Steps from row to row and
// from column to column of the squares are in bytes. N is the length of a vector, a positive multiple of 16.
// Bias, used by WinogradOutput only, may be nil.
type Grid struct {
	Src, Dst, Bias unsafe.Pointer
	SrcRow, SrcCol int
	DstRow, DstCol int
	N              int
}

// winogradKernels are the transforms of one tier.
type winogradKernels struct {
	input, weight, output func(*Grid)
}

var winograd *winogradKernels

// WinogradInput writes B' d B, 6x6, of 6x6 vectors.
//
//	for k := range g.N {
//		y := B' x B'' // x [6][6] at Src, of number k of each vector
//		for i := range 6 {
//			for j := range 6 {
//				Dst[i][j][k] = y[i][j]
//			}
//		}
//	}
func WinogradInput(g *Grid) { winograd.input(g) }

// WinogradWeight writes G g G', 6x6, of 3x3 vectors.
//
//	for k := range g.N {
//		y := G x G' // x [3][3] at Src, of number k of each vector
//		for i := range 6 {
//			for j := range 6 {
//				Dst[i][j][k] = y[i][j]
//			}
//		}
//	}
func WinogradWeight(g *Grid) { winograd.weight(g) }

// WinogradOutput writes A' m A + bias, 4x4, of 6x6 vectors.
//
//	for k := range g.N {
//		y := A' x A'' // x [6][6] at Src, of number k of each vector
//		for i := range 4 {
//			for j := range 4 {
//				Dst[i][j][k] = y[i][j] + Bias[k]
//			}
//		}
//	}
func WinogradOutput(g *Grid) { winograd.output(g) }

// The points ±pa and ±pb.
const pa, pb = 0.625, 1.5

var winogradGeneric = winogradKernels{
	input:  func(g *Grid) { g.apply(6, 6) },
	weight: func(g *Grid) { g.apply(3, 6) },
	output: func(g *Grid) { g.apply(6, 4) },
}

// inputLine is B' of six numbers.
func inputLine(d, r *[6]float32) {
	const s, p = pa*pa + pb*pb, pa * pa * pb * pb
	r[0] = d[4] - s*d[2] + p*d[0]
	r[5] = d[5] - s*d[3] + p*d[1]
	t, u := d[4]-pb*pb*d[2], pa*(d[3]-pb*pb*d[1])
	r[1], r[2] = t+u, t-u
	t, u = d[4]-pa*pa*d[2], pb*(d[3]-pa*pa*d[1])
	r[3], r[4] = t+u, t-u
}

// weightLine is G of three numbers.
func weightLine(g, r *[6]float32) {
	const na, nb = 2 * pa * pa * (pa*pa - pb*pb), 2 * pb * pb * (pb*pb - pa*pa)
	r[0] = 1 / (pa * pa * pb * pb) * g[0]
	t, u := 1/na*g[0]+pa*pa/na*g[2], pa/na*g[1]
	r[1], r[2] = t+u, t-u
	t, u = 1/nb*g[0]+pb*pb/nb*g[2], pb/nb*g[1]
	r[3], r[4] = t+u, t-u
	r[5] = g[2]
}

// outputLine is A' of six numbers.
func outputLine(m, y *[6]float32) {
	s1, e1, s2, e2 := m[1]+m[2], m[1]-m[2], m[3]+m[4], m[3]-m[4]
	y[0] = m[0] + s1 + s2
	y[1] = pa*e1 + pb*e2
	y[2] = pa*pa*s1 + pb*pb*s2
	y[3] = m[5] + pa*pa*pa*e1 + pb*pb*pb*e2
}

// line is the transform from in to out numbers. No function values: their arguments would be allocated.
func line(in, out int, x, y *[6]float32) {
	switch {
	case in == 3:
		weightLine(x, y)
	case out == 4:
		outputLine(x, y)
	default:
		inputLine(x, y)
	}
}

// apply transforms the columns and then the rows of a square.
func (g *Grid) apply(in, out int) {
	for k := range g.N {
		var mid [6][6]float32 // [column][row]
		var x, y [6]float32
		for j := range in {
			for i := range in {
				x[i] = *(*float32)(unsafe.Add(g.Src, i*g.SrcRow+j*g.SrcCol+4*k))
			}
			line(in, out, &x, &mid[j])
		}
		var bias float32
		if g.Bias != nil {
			bias = *(*float32)(unsafe.Add(g.Bias, 4*k))
		}
		for i := range out {
			for j := range in {
				x[j] = mid[j][i]
			}
			line(in, out, &x, &y)
			for j := range out {
				*(*float32)(unsafe.Add(g.Dst, i*g.DstRow+j*g.DstCol+4*k)) = y[j] + bias
			}
		}
	}
}
