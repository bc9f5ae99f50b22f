package metric

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Frechet is the Frechet distance between two normal distributions (Dowson and Landau 1982),
//
//	|m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^1/2
//
// With C1 = U'U (Cholesky's, which by pivots stands covariances without full rank) the eigenvalues of C1 C2 are those
// of the symmetric U C2 U', at least 0 but for rounding, and the trace of the root is the sum of their roots.
func Frechet(m1 []float64, c1 *mat.SymDense, m2 []float64, c2 *mat.SymDense) (float64, error) {
	n := len(m1)
	var chol mat.PivotedCholesky
	chol.Factorize(c1, -1) // false for less than full rank
	rank, order := chol.Rank(), chol.ColumnPivots(nil)
	var tri mat.TriDense
	chol.UTo(&tri)
	u, other := mat.NewDense(n, n, nil), mat.NewDense(n, n, nil)
	for i := range n {
		for j := range n {
			if i < rank && j >= i {
				u.Set(i, j, tri.At(i, j))
			}
			other.Set(i, j, c2.At(order[i], order[j]))
		}
	}
	other.Mul(u, other)
	other.Mul(other, u.T())
	s := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			s.SetSym(i, j, (other.At(i, j)+other.At(j, i))/2)
		}
	}
	var e mat.EigenSym
	if !e.Factorize(s, false) {
		return 0, errNoEigen
	}
	var trace float64
	for _, x := range e.Values(nil) {
		trace += math.Sqrt(max(x, 0))
	}
	return apart(m1, m2) + mat.Trace(c1) + mat.Trace(c2) - 2*trace, nil
}

var errNoEigen = errors.New("metric: a covariance has no eigendecomposition: it holds numbers that are not finite")

// FrechetRows is Frechet of the means and sample covariances of the rows of x and y, without the covariances: of the
// centred rows X and Y the trace of the root is the sum of the singular values of X Y' over sqrt((n-1)(m-1)). It suits
// fewer rows than columns. Each has at least two rows.
func FrechetRows(x, y *mat.Dense) (float64, error) {
	m1, t1 := centre(x)
	m2, t2 := centre(y)
	var xy mat.Dense
	xy.Mul(x, y.T())
	var d mat.SVD
	if !d.Factorize(&xy, mat.SVDNone) {
		return 0, errNoEigen
	}
	var sum float64
	for _, v := range d.Values(nil) {
		sum += v
	}
	n, _ := x.Dims()
	m, _ := y.Dims()
	return apart(m1, m2) + t1 + t2 - 2*sum/math.Sqrt(float64(n-1)*float64(m-1)), nil
}

// centre takes their mean from the rows, and returns it and the trace of their sample covariance.
func centre(x *mat.Dense) (mean []float64, trace float64) {
	n, d := x.Dims()
	mean = make([]float64, d)
	for i := range n {
		for j, v := range x.RawRowView(i) {
			mean[j] += v / float64(n)
		}
	}
	for i := range n {
		for j := range d {
			v := x.At(i, j) - mean[j]
			x.Set(i, j, v)
			trace += v * v
		}
	}
	return mean, trace / float64(n-1)
}

// apart is |a - b|^2.
func apart(a, b []float64) (sum float64) {
	for i, v := range a {
		sum += (v - b[i]) * (v - b[i])
	}
	return sum
}
