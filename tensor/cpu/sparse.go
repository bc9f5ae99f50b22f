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
	for lo < hi {
		o, r := lo/t.rows, lo%t.rows
		n := min(hi-lo, t.rows-r) // rows of one item
		x, y := t.x[o*t.m.In:(o+1)*t.m.In], t.y[lo*t.m.Inner:(lo+n)*t.m.Inner]
		if t.m.Inner == 3 {
			sparseTriples(y, x, t.m, r)
		} else {
			sparseNumbers(y, x, t.m, r)
		}
		lo += n
	}
}

// sparseTriples computes the rows from r on with three numbers side by side, as many as fill y.
func sparseTriples(y, x []float32, m *tensor.Sparse, r int) {
	for i := 0; i+3 <= len(y); i += 3 {
		from, to := m.Start[r], m.Start[r+1]
		at, w := m.At[from:to], m.W[from:to]
		var s0, s1, s2 float32
		for k, j := range at {
			p, v := x[int(j):int(j)+3:int(j)+3], w[k]
			s0 += v * p[0]
			s1 += v * p[1]
			s2 += v * p[2]
		}
		y[i], y[i+1], y[i+2] = s0, s1, s2
		r++
	}
}

// sparseNumbers is the same for few numbers of any count.
func sparseNumbers(y, x []float32, m *tensor.Sparse, r int) {
	for i := 0; i < len(y); i += m.Inner {
		from, to := m.Start[r], m.Start[r+1]
		at, w := m.At[from:to], m.W[from:to]
		for c := range m.Inner {
			var s float32
			for k, j := range at {
				s += w[k] * x[int(j)+c]
			}
			y[i+c] = s
		}
		r++
	}
}
