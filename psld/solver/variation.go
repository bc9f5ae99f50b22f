package solver

import (
	"math"

	"psld/psld/operator"
)

// field holds the differences of a picture: [0] to the right, [1] down, each HWC.
type field [2][]float32

func newField(n int) field { return field{make([]float32, n), make([]float32, n)} }

// gradient: d = D x, forward differences, zero at the last column and row.
func gradient(d field, x []float32, s operator.Shape) {
	row := s.W * s.C
	for y := range s.H {
		r, dx := x[y*row:(y+1)*row], d[0][y*row:(y+1)*row]
		for i := range row - s.C {
			dx[i] = r[i+s.C] - r[i]
		}
		clear(dx[row-s.C:])
	}
	last := len(x) - row
	for i := range last {
		d[1][i] = x[i+row] - x[i]
	}
	clear(d[1][last:])
}

// gradientAdjoint: x = D' d. What d holds in the last column and row is ignored, as D never writes there.
func gradientAdjoint(x []float32, d field, s operator.Shape) {
	row := s.W * s.C
	clear(x)
	for y := range s.H {
		r, dx := x[y*row:(y+1)*row], d[0][y*row:(y+1)*row]
		for i := range row - s.C {
			r[i] -= dx[i]
			r[i+s.C] += dx[i]
		}
	}
	for i := range len(x) - row {
		x[i] -= d[1][i]
		x[i+row] += d[1][i]
	}
}

// addLaplacian: q += rho D'D p.
func addLaplacian(q, p []float32, s operator.Shape, rho float32) {
	row := s.W * s.C
	for y := range s.H {
		r, d := p[y*row:(y+1)*row], q[y*row:(y+1)*row]
		for i := range row - s.C {
			g := rho * (r[i+s.C] - r[i])
			d[i] -= g
			d[i+s.C] += g
		}
	}
	for i := range len(p) - row {
		g := rho * (p[i+row] - p[i])
		q[i] -= g
		q[i+row] += g
	}
}

// relax is the over-relaxation of ADMM: 1 is none, 1.5 to 1.8 is usual.
const relax = 1.7

// shrink does the z and u steps: with v = relax*Dx + (1-relax)*z + u, z becomes the block soft threshold of v at t
// (one block a pixel: both differences of all channels) and u = v - z. It returns the relative primal and dual
// residuals; tmp is room for a picture.
func shrink(dx, z, u field, s operator.Shape, t float64, tmp []float32) (primal, dual float64) {
	var rr, xx, zz float64
	change := newField(len(tmp))
	for p := 0; p < len(tmp); p += s.C {
		var norm float64
		for d := range dx {
			for i := p; i < p+s.C; i++ {
				v := relax*dx[d][i] + (1-relax)*z[d][i] + u[d][i]
				u[d][i] = v
				norm += float64(v) * float64(v)
			}
		}
		keep := float32(0)
		if norm = math.Sqrt(norm); norm > t {
			keep = float32(1 - t/norm)
		}
		for d := range dx {
			for i := p; i < p+s.C; i++ {
				zn := keep * u[d][i]
				change[d][i] = zn - z[d][i]
				z[d][i] = zn
				u[d][i] -= zn
				g := float64(dx[d][i])
				rr += (g - float64(zn)) * (g - float64(zn))
				xx += g * g
				zz += float64(zn) * float64(zn)
			}
		}
	}
	gradientAdjoint(tmp, change, s)
	cc := operator.Dot(tmp, tmp)
	gradientAdjoint(tmp, u, s)
	return ratio(rr, max(xx, zz)), ratio(cc, operator.Dot(tmp, tmp))
}

// ratio is sqrt(a/b), 0 for 0/0.
func ratio(a, b float64) float64 {
	if a == 0 {
		return 0
	}
	return math.Sqrt(a / b)
}
