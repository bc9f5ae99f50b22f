package operator

import (
	"sync"

	"gonum.org/v1/gonum/blas/blas32"
)

// table is a sparse matrix [out, in] for one axis: row i holds the taps idx[start[i]:start[i+1]] with their weights w.
type table struct {
	in, out int
	start   []int32
	idx     []int32
	w       []float32
}

// newTable builds a table from taps(i), which lists the source indices and weights of output i.
// Taps of weight zero are dropped; the same index may occur more than once (mirrored borders).
func newTable(out, in int, taps func(i int) (idx []int, w []float64)) table {
	t := table{in: in, out: out, start: make([]int32, 1, out+1)}
	for i := range out {
		idx, w := taps(i)
		for k, j := range idx {
			if w[k] != 0 {
				t.idx = append(t.idx, int32(j))
				t.w = append(t.w, float32(w[k]))
			}
		}
		t.start = append(t.start, int32(len(t.idx)))
	}
	return t
}

// transpose returns the table of the transposed matrix.
func (t table) transpose() table {
	type tap struct {
		i int32
		w float32
	}
	lists := make([][]tap, t.in)
	for i := range t.out {
		for k := t.start[i]; k < t.start[i+1]; k++ {
			lists[t.idx[k]] = append(lists[t.idx[k]], tap{int32(i), t.w[k]})
		}
	}
	r := table{in: t.out, out: t.in, start: make([]int32, 1, t.in+1)}
	for _, l := range lists {
		for _, p := range l {
			r.idx, r.w = append(r.idx, p.i), append(r.w, p.w)
		}
		r.start = append(r.start, int32(len(r.idx)))
	}
	return r
}

// dense returns the table as a row-major float64 matrix [out, in].
func (t table) dense() []float64 {
	m := make([]float64, t.out*t.in)
	for i := range t.out {
		for k := t.start[i]; k < t.start[i+1]; k++ {
			m[i*t.in+int(t.idx[k])] += float64(t.w[k])
		}
	}
	return m
}

// separable is A = V (x) H: the same table V along all columns and H along all rows, each channel by itself.
type separable struct {
	in, out    Shape
	v, h       table
	vAdj, hAdj table

	svdOnce  sync.Once
	svd      *SVD
	proxOnce sync.Once
	prox     *gram // nil: too large
}

func newSeparable(c int, v, h table) *separable {
	return &separable{
		in: Shape{v.in, h.in, c}, out: Shape{v.out, h.out, c},
		v: v, h: h, vAdj: v.transpose(), hAdj: h.transpose(),
	}
}

func (s *separable) In() Shape  { return s.in }
func (s *separable) Out() Shape { return s.out }

func (s *separable) Apply(dst, x []float32) {
	check(dst, x, s.out, s.in)
	twoPasses(dst, x, s.in.C, s.v, s.h)
}

func (s *separable) Adjoint(dst, y []float32) {
	check(dst, y, s.in, s.out)
	twoPasses(dst, y, s.in.C, s.vAdj, s.hAdj)
}

// twoPasses applies v along y and h along x, in the order that leaves fewer rows to the slower pass along x.
func twoPasses(dst, x []float32, c int, v, h table) {
	if v.out <= v.in {
		t := make([]float32, v.out*h.in*c)
		alongY(t, x, h.in*c, v)
		alongX(dst, t, v.out, c, h)
		return
	}
	t := make([]float32, v.in*h.out*c)
	alongX(t, x, v.in, c, h)
	alongY(dst, t, h.out*c, v)
}

// alongY: dst row i = sum of w * x row j; rows have n values.
func alongY(dst, x []float32, n int, t table) {
	rows(t.out, len(t.w)*n/4, func(i int) {
		d := dst[i*n : (i+1)*n]
		clear(d)
		for k := t.start[i]; k < t.start[i+1]; k++ {
			j := int(t.idx[k])
			axpy(t.w[k], x[j*n:(j+1)*n], d)
		}
	})
}

// alongX: the same along the pixels of each of the height rows.
func alongX(dst, x []float32, height, c int, t table) {
	rows(height, height*len(t.w)*c, func(r int) {
		src, d := x[r*t.in*c:(r+1)*t.in*c], dst[r*t.out*c:(r+1)*t.out*c]
		for i := range t.out {
			lo, hi := t.start[i], t.start[i+1]
			idx, w := t.idx[lo:hi], t.w[lo:hi]
			if c == 3 {
				var s0, s1, s2 float32
				for k, j := range idx {
					p := src[int(j)*3 : int(j)*3+3 : int(j)*3+3]
					s0 += w[k] * p[0]
					s1 += w[k] * p[1]
					s2 += w[k] * p[2]
				}
				d[i*3], d[i*3+1], d[i*3+2] = s0, s1, s2
				continue
			}
			for ch := range c {
				var s float32
				for k, j := range idx {
					s += w[k] * src[int(j)*c+ch]
				}
				d[i*c+ch] = s
			}
		}
	})
}

// axpy: y += a*x.
func axpy(a float32, x, y []float32) {
	blas32.Axpy(a, blas32.Vector{N: len(x), Inc: 1, Data: x}, blas32.Vector{N: len(x), Inc: 1, Data: y})
}
