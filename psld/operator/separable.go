package operator

import (
	"sync"

	"gonum.org/v1/gonum/blas/blas32"

	"psld/tensor"
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

// along is the table as a matrix along an axis of [outer, in, inner].
func (t table) along(outer, inner int) *tensor.Sparse {
	at := make([]int32, len(t.idx))
	for k, j := range t.idx {
		at[k] = j * int32(inner)
	}
	return tensor.NewSparse(outer, t.in*inner, inner, t.start, at, t.w)
}

// separable is A = V (x) H: the same table V along all columns and H along all rows, each channel by itself.
type separable struct {
	in, out          Shape
	v, h             table
	forward, adjoint []*tensor.Sparse

	svdOnce  sync.Once
	svd      *SVD
	proxOnce sync.Once
	prox     *gram // nil: too large
}

func newSeparable(c int, v, h table) *separable {
	return &separable{in: Shape{v.in, h.in, c}, out: Shape{v.out, h.out, c}, v: v, h: h,
		forward: twoPasses(c, v, h), adjoint: twoPasses(c, v.transpose(), h.transpose())}
}

func (s *separable) In() Shape  { return s.in }
func (s *separable) Out() Shape { return s.out }

// Factors implements Factored.
func (s *separable) Factors() (forward, adjoint []*tensor.Sparse, ok bool) {
	return s.forward, s.adjoint, true
}

func (s *separable) Apply(dst, x []float32) {
	check(dst, x, s.out, s.in)
	product(dst, x, s.forward)
}

func (s *separable) Adjoint(dst, y []float32) {
	check(dst, y, s.in, s.out)
	product(dst, y, s.adjoint)
}

// twoPasses is v along y and h along x, in the order that leaves fewer rows to the slower pass along x.
func twoPasses(c int, v, h table) []*tensor.Sparse {
	if v.out <= v.in {
		return []*tensor.Sparse{v.along(1, h.in*c), h.along(v.out, c)}
	}
	return []*tensor.Sparse{h.along(v.in, c), v.along(1, h.out*c)}
}

// axpy: y += a*x.
func axpy(a float32, x, y []float32) {
	blas32.Axpy(a, blas32.Vector{N: len(x), Inc: 1, Data: x}, blas32.Vector{N: len(x), Inc: 1, Data: y})
}
