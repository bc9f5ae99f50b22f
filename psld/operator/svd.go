package operator

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/mat"
)

// Decomposed is an operator that knows its singular value decomposition; see SVDOf.
type Decomposed interface {
	Linear
	// SVD returns the decomposition, or nil where this one is too large to be found. It may take long the first time.
	SVD() *SVD
}

// SVDOf returns the decomposition of operators whose singular vectors are known: the identity, masks, circular blurs,
// and all that is separable (resizes, block means, blurs with a kernel of rank one). For others it returns nil. A
// separable operator takes O(H^3 + W^3) once, and then O(H W (H + W)) for each product; with a side over 512 pixels
// the answer is nil as well.
func SVDOf(a Linear) *SVD {
	if d, ok := a.(Decomposed); ok {
		return d.SVD()
	}
	return nil
}

// SVD is the singular value decomposition A = U diag(S) V' of an operator, with U and V orthogonal: V maps spectral
// coefficients to pictures of shape A.In(), U to measurements of shape A.Out(). S has one value (>= 0, in no order)
// for each coefficient of V, laid out as A.In(); zero means that A does not see it. Coefficient (i, j, channel) of V
// belongs to coefficient (i, j, channel) of U; those outside the shape of A.Out(), channels too, have S = 0.
type SVD struct {
	U, V Linear
	S    []float32
}

// SVD implements Decomposed.
func (a identity) SVD() *SVD {
	s := make([]float32, a.shape.Len())
	for i := range s {
		s[i] = 1
	}
	return &SVD{a, a, s}
}

// SVD implements Decomposed.
func (m *Mask) SVD() *SVD {
	s := make([]float32, m.shape.Len())
	for i := range s {
		if m.known[i/m.shape.C] {
			s[i] = 1
		}
	}
	return &SVD{Identity(m.shape), Identity(m.shape), s}
}

// maxSVD is the longest side that a separable operator decomposes: 512 pixels take about a second, and the time grows
// with the third power.
const maxSVD = 512

// SVD implements Decomposed. It is computed once.
func (s *separable) SVD() *SVD {
	s.svdOnce.Do(func() { s.svd = s.decompose() })
	return s.svd
}

func (s *separable) decompose() *SVD {
	if max(s.in.H, s.in.W, s.out.H, s.out.W) > maxSVD {
		return nil
	}
	uv, sv, vv, ok1 := svdAxis(s.v)
	uh, sh, vh, ok2 := svdAxis(s.h)
	if !ok1 || !ok2 {
		return nil
	}
	d := &SVD{U: &dense{s.out, uv, uh}, V: &dense{s.in, vv, vh}, S: make([]float32, s.in.Len())}
	for i := range d.S {
		y, x := i/s.in.C/s.in.W, i/s.in.C%s.in.W
		if y < len(sv) && x < len(sh) {
			d.S[i] = float32(sv[y] * sh[x])
		}
	}
	return d
}

// svdAxis decomposes the matrix of one axis: u [out,out], s (min(out,in) values), v [in,in], both orthogonal.
func svdAxis(t table) (u []float32, s []float64, v []float32, ok bool) {
	var d mat.SVD
	if !d.Factorize(mat.NewDense(t.out, t.in, t.dense()), mat.SVDFull) {
		return nil, nil, nil, false
	}
	var mu, mv mat.Dense
	d.UTo(&mu)
	d.VTo(&mv)
	return narrow(mu.RawMatrix().Data), d.Values(nil), narrow(mv.RawMatrix().Data), true
}

func narrow(a []float64) []float32 {
	r := make([]float32, len(a))
	for i, v := range a {
		r[i] = float32(v)
	}
	return r
}

// dense is an orthogonal separable map: square matrices v [H,H] along y and h [W,W] along x.
type dense struct {
	shape Shape
	v, h  []float32
}

func (d *dense) In() Shape                { return d.shape }
func (d *dense) Out() Shape               { return d.shape }
func (d *dense) Apply(dst, x []float32)   { d.product(dst, x, blas.NoTrans) }
func (d *dense) Adjoint(dst, y []float32) { d.product(dst, y, blas.Trans) }

func (d *dense) product(dst, x []float32, tr blas.Transpose) {
	check(dst, x, d.shape, d.shape)
	h, w, c := d.shape.H, d.shape.W, d.shape.C
	t, s := make([]float32, len(x)), make([]float32, len(x))
	gemm(tr, d.v, x, t, h, w*c)
	swapXY(s, t, h, w, c)
	gemm(tr, d.h, s, t, w, h*c)
	swapXY(dst, t, w, h, c)
}

// gemm: out [n,m] = a x or a' x with a [n,n], x [n,m].
func gemm(tr blas.Transpose, a, x, out []float32, n, m int) {
	blas32.Gemm(tr, blas.NoTrans, 1, blas32.General{Rows: n, Cols: n, Stride: n, Data: a},
		blas32.General{Rows: n, Cols: m, Stride: m, Data: x}, 0,
		blas32.General{Rows: n, Cols: m, Stride: m, Data: out})
}

// swapXY turns [h, w, c] into [w, h, c].
func swapXY(dst, src []float32, h, w, c int) {
	for y := range h {
		for x := range w {
			copy(dst[(x*h+y)*c:(x*h+y+1)*c], src[(y*w+x)*c:])
		}
	}
}
