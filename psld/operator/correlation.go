package operator

import (
	"sync"

	"psld/tensor"
)

// chains are the sparse matrices of an operator that are made when they are asked for.
type chains struct {
	once             sync.Once
	forward, adjoint []*tensor.Sparse
}

// tap is one non-zero kernel element at an offset from the centre.
type tap struct {
	dy, dx int
	w      float32
}

// correlation is a correlation with few taps of pictures of shape s, whose border fold continues, and then every
// stride-th pixel of both axes. Forward, it pads both axes by what fold says, adds up parts of the padded rows, and
// picks columns; backward, it puts zeros between and around the columns, adds up parts of those rows, and folds both
// axes back.
func correlation(s Shape, taps []tap, stride int, fold func(j, n int) int) (forward, adjoint []*tensor.Sparse) {
	py, px := 0, 0
	for _, t := range taps {
		py, px = max(py, t.dy, -t.dy), max(px, t.dx, -t.dx)
	}
	pad := func(n, p int) table {
		return newTable(n+2*p, n, func(i int) ([]int, []float64) { return []int{fold(i-p, n)}, []float64{1} })
	}
	padY, padX := pad(s.H, py), pad(s.W, px)
	pick := newTable(s.W/stride, s.W, func(i int) ([]int, []float64) { return []int{i * stride}, []float64{1} })
	space := newTable(s.W+4*px, s.W/stride, func(i int) ([]int, []float64) {
		if j := i - 2*px; j >= 0 && j < s.W && j%stride == 0 {
			return []int{j / stride}, []float64{1}
		}
		return nil, nil
	})
	oh, high, wide, spaced := s.H/stride, s.H+2*py, s.W+2*px, (s.W+4*px)*s.C

	start, at, w := []int32{0}, []int32(nil), []float32(nil)
	for i := range oh {
		for _, t := range taps {
			at, w = append(at, int32(((i*stride+py+t.dy)*wide+px+t.dx)*s.C)), append(w, t.w)
		}
		start = append(start, int32(len(at)))
	}
	sum := tensor.NewSparse(1, high*wide*s.C, s.W*s.C, start, at, w)

	start, at, w = []int32{0}, nil, nil
	for r := range high {
		for _, t := range taps {
			if i := r - py - t.dy; i >= 0 && i < s.H && i%stride == 0 {
				at, w = append(at, int32(i/stride*spaced+(px-t.dx)*s.C)), append(w, t.w)
			}
		}
		start = append(start, int32(len(at)))
	}
	back := tensor.NewSparse(1, oh*spaced, wide*s.C, start, at, w)

	forward = []*tensor.Sparse{padY.along(1, s.W*s.C), padX.along(high, s.C), sum}
	if stride > 1 {
		forward = append(forward, pick.along(oh, s.C))
	}
	return forward, []*tensor.Sparse{space.along(oh, s.C), back, padX.transpose().along(high, s.C),
		padY.transpose().along(1, s.W*s.C)}
}
