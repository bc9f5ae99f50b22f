package solver

import (
	"math"

	"psld/psld/operator"
)

// field holds the differences of a picture: [0] to the right, [1] down, each HWC.
type field [2][]float32

func newField(n int) field { return field{make([]float32, n), make([]float32, n)} }

// difference is D x at value i: 0 to the right or 1 down, zero at the last column and row.
func difference(x []float32, s operator.Shape, way, i int) float32 {
	row := s.W * s.C
	switch {
	case way == 0 && i%row < row-s.C:
		return x[i+s.C] - x[i]
	case way == 1 && i+row < len(x):
		return x[i+row] - x[i]
	}
	return 0
}

// gradient: d = D x, forward differences, zero at the last column and row.
func gradient(d field, x []float32, s operator.Shape) {
	for way, v := range d {
		for i := range v {
			v[i] = difference(x, s, way, i)
		}
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

// A dual is the pair of z and u in one field v: z is the block soft threshold of v at t (one block a pixel: both
// differences of all channels), and u what that takes away.
type dual struct {
	v field
	t float64
}

// keep is the share of v that is z at the pixel whose first value is p, of c channels.
func (d dual) keep(p, c int) float32 {
	var norm float64
	for _, v := range d.v {
		for _, v := range v[p : p+c] {
			norm += float64(v) * float64(v)
		}
	}
	if norm = math.Sqrt(norm); norm > d.t {
		return float32(1 - d.t/norm)
	}
	return 0
}

// scatter adds a difference g of value i, 0 to the right or 1 down, to x by D', but where D never writes.
func scatter(x []float32, s operator.Shape, d, i int, g float32) {
	row, step := s.W*s.C, s.C
	if d == 1 {
		step = row
	}
	if d == 0 && i%row < row-s.C || d == 1 && i+row < len(x) {
		x[i] -= g
		x[i+step] += g
	}
}

// addAdjoint: x += rho D'(z - u).
func (d dual) addAdjoint(x []float32, s operator.Shape, rho float32) {
	for p := 0; p < len(x); p += s.C {
		keep := d.keep(p, s.C)
		for way, v := range d.v {
			for i := p; i < p+s.C; i++ {
				z := keep * v[i]
				scatter(x, s, way, i, rho*(z-(v[i]-z)))
			}
		}
	}
}

// update does the z and u steps for the picture x: v = relax*Dx + (1-relax)*z + u, which is thresholded at t from here
// on. It returns the relative primal and dual residuals; tmp is room for a picture.
func (d dual) update(x []float32, s operator.Shape, t float64, tmp []float32) (primal, residual float64) {
	next := dual{d.v, t}
	old := make([]float32, 2*s.C) // z
	var rr, xx, zz float64
	clear(tmp) // D' of the change of z
	for p := 0; p < len(x); p += s.C {
		keep := d.keep(p, s.C)
		for way, v := range d.v {
			for i := p; i < p+s.C; i++ {
				z := keep * v[i]
				old[way*s.C+i-p] = z
				v[i] = relax*difference(x, s, way, i) + (1-relax)*z + (v[i] - z)
			}
		}
		keep = next.keep(p, s.C)
		for way, v := range d.v {
			for i := p; i < p+s.C; i++ {
				z, g := keep*v[i], float64(difference(x, s, way, i))
				scatter(tmp, s, way, i, z-old[way*s.C+i-p])
				rr += (g - float64(z)) * (g - float64(z))
				xx += g * g
				zz += float64(z) * float64(z)
			}
		}
	}
	change := operator.Dot(tmp, tmp)
	clear(tmp) // D'u
	for p := 0; p < len(x); p += s.C {
		keep := next.keep(p, s.C)
		for way, v := range d.v {
			for i := p; i < p+s.C; i++ {
				scatter(tmp, s, way, i, v[i]-keep*v[i])
			}
		}
	}
	return ratio(rr, max(xx, zz)), ratio(change, operator.Dot(tmp, tmp))
}

// ratio is sqrt(a/b), 0 for 0/0.
func ratio(a, b float64) float64 {
	if a == 0 {
		return 0
	}
	return math.Sqrt(a / b)
}
