package psld

import (
	"math"
	"slices"

	"psld/psld/operator"
	"psld/psld/solver"
)

// finish moves the decoded picture x towards the measurement in pixel space, where the
// autoencoder's bottleneck does not limit it:
//
//	x + (A'A + lambda I)^-1 A' (y - A x),  lambda = sigma^2 / tau^2,
//
// the least-squares estimate when y has noise of deviation sigma and x an error of tau. What the
// residual y - A x has over the noise tells tau: tau^2 = mean square - sigma^2.
// Where the picture fits the measurement up to its noise, nothing is left to do. Unknown
// values must be zero in y.
func finish(x []float32, p solver.Problem, sigma float64) error {
	r, dx := make([]float32, len(p.Y)), make([]float32, len(x))
	p.A.Apply(r, x)
	var sq float64
	for i, v := range p.Y {
		r[i] = v - r[i]
		sq += float64(r[i]) * float64(r[i])
	}
	tau2 := sq/float64(max(1, p.Measured())) - sigma*sigma
	if tau2 <= 1e-6 {
		return nil
	}
	b, err := operator.NewPseudoInverse(p.A, max(1e-3, sigma*sigma/tau2), 30)
	if err != nil {
		return err
	}
	b.Apply(dx, r)
	for i, v := range dx {
		x[i] += v
	}
	return nil
}

// EstimateNoise is the deviation of white noise in a picture y[h,w,3], from the median size of its
// finest diagonal wavelet coefficients (Donoho and Johnstone 1994); texture makes it a little too large.
// keep tells which pixels count, nil for all. ok is false where too few 2x2 blocks are known.
func EstimateNoise(y []float32, h, w int, keep []bool) (sigma float64, ok bool) {
	var d []float64
	for r := 0; r+1 < h; r++ {
		for c := 0; c+1 < w; c++ {
			i := r*w + c
			if keep != nil && !(keep[i] && keep[i+1] && keep[i+w] && keep[i+w+1]) {
				continue
			}
			for k := range 3 {
				at := func(p int) float64 { return float64(y[3*p+k]) }
				d = append(d, math.Abs(at(i)-at(i+1)-at(i+w)+at(i+w+1))/2)
			}
		}
	}
	if len(d) < 90 {
		return 0, false
	}
	slices.Sort(d)
	return d[len(d)/2] / 0.6745, true
}
