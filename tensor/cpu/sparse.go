package cpu

import (
	"gonum.org/v1/gonum/blas/blas32"

	"psld/tensor"
)

// sparse is what the parts of a sparse product know.
type sparse struct {
	y, x []float32
	m    *tensor.Sparse
	rows int
}

// longInner is the number of numbers side by side from which on rows are added up as vectors.
const longInner = 16

// Sparse implements [tensor.Device]. Products are rounded before they are added, as the published results were made.
func (d *device) Sparse(y, x *tensor.Tensor, m *tensor.Sparse) {
	rows := m.Rows()
	work := max(1, len(m.W)*m.Inner/max(1, rows)) // of a row
	part := sparseRows
	if m.Inner < longInner {
		part = sparsePixels
	}
	parallelWith(m.Outer*rows, max(1, 2*grain/work), sparse{y.Data, x.Data, m, rows}, part)
}

func sparseRows(t *sparse, lo, hi int, _ *scratch) {
	n := t.m.Inner
	o, r := lo/t.rows, lo%t.rows
	for i := lo; i < hi; i++ {
		x, y := t.x[o*t.m.In:(o+1)*t.m.In], t.y[i*n:(i+1)*n]
		clear(y)
		for e := t.m.Start[r]; e < t.m.Start[r+1]; e++ {
			blas32.Axpy(t.m.W[e], blas32.Vector{N: n, Inc: 1, Data: x[t.m.At[e]:][:n]}, blas32.Vector{N: n, Inc: 1, Data: y})
		}
		if r++; r == t.rows {
			o, r = o+1, 0
		}
	}
}

func sparsePixels(t *sparse, lo, hi int, _ *scratch) {
	n := t.m.Inner
	o, r := lo/t.rows, lo%t.rows
	for i := lo; i < hi; i++ {
		x, y := t.x[o*t.m.In:(o+1)*t.m.In], t.y[i*n:(i+1)*n]
		from, to := t.m.Start[r], t.m.Start[r+1]
		at, w := t.m.At[from:to], t.m.W[from:to]
		if r++; r == t.rows {
			o, r = o+1, 0
		}
		if n == 3 {
			var s0, s1, s2 float32
			for k, j := range at {
				p := x[j : j+3 : j+3]
				s0 += w[k] * p[0]
				s1 += w[k] * p[1]
				s2 += w[k] * p[2]
			}
			y[0], y[1], y[2] = s0, s1, s2
			continue
		}
		for c := range y {
			var s float32
			for k, j := range at {
				s += w[k] * x[int(j)+c]
			}
			y[c] = s
		}
	}
}
