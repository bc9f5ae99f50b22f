package tensor

import "fmt"

// Sparse is a sparse matrix that serves many numbers side by side at once: it maps x [Outer, In] to
// y [Outer, Rows(), Inner],
//
//	y[o,r,k] = sum of W[e] * x[o, At[e]+k] over the entries e of row r: Start[r] <= e < Start[r+1]
//
// Where In is a multiple of Inner, and so are all of At, it is a matrix along one axis of a picture: along y of
// [H,W,C] with Outer 1 and Inner W*C, along x with Outer H and Inner C. With other offsets, rows are sums of parts of
// x that overlap: a correlation with few taps. Make one with [NewSparse]; it is not written to afterwards, and a
// device keeps its copy with it (Keep).
type Sparse struct {
	Outer, In, Inner int
	Start, At        []int32
	W                []float32
	kept
}

// NewSparse makes a matrix of its parts, which it keeps. It panics where they do not fit together: a programmer's
// mistake.
func NewSparse(outer, in, inner int, start, at []int32, w []float32) *Sparse {
	m := &Sparse{Outer: outer, In: in, Inner: inner, Start: start, At: at, W: w}
	if outer < 1 || in < 1 || inner < 1 || len(start) < 1 || start[0] != 0 || len(at) != len(w) ||
		int(start[len(start)-1]) != len(at) {
		panic(fmt.Sprintf("tensor: NewSparse of %d x %d numbers, %d side by side, %d rows, %d offsets, %d weights", outer,
			in, inner, len(start)-1, len(at), len(w)))
	}
	for r := range m.Rows() {
		if start[r] > start[r+1] {
			panic(fmt.Sprintf("tensor: NewSparse: row %d ends before it begins", r))
		}
	}
	for e, i := range at {
		if i < 0 || int(i)+inner > in {
			panic(fmt.Sprintf("tensor: NewSparse: entry %d takes numbers %d to %d of %d", e, i, int(i)+inner-1, in))
		}
	}
	return m
}

// Rows is the number of rows.
func (m *Sparse) Rows() int { return len(m.Start) - 1 }
