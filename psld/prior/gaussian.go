package prior

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"psld/autograd"
	"psld/nn"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/tensor/cpu"
)

// Gaussian is the prior x ~ N(mean, V diag(variances) V') of small pictures. All that a diffusion model has to be
// trained for is known in closed form, and so is the posterior of a linear measurement: it shows what a solver does,
// and tests it.
//
// For x0 ~ N(m, C) and z = sqrt(a) x0 + sqrt(1-a) e the noise to expect is linear in z:
//
//	E[e | z] = sqrt(1-a) (a C + (1-a) I)^-1 (z - sqrt(a) m)
type Gaussian struct {
	H, W      int       // the picture's size; it has 3 channels
	Mean      []float64 // H*W*3
	Variances []float64 // eigenvalues of the covariance, at least 0
	Basis     *mat.Dense
	noise     schedule.Noise
}

// NewGaussian makes the prior N(mean, basis diag(variances) basis') of h x w pictures with 3 channels; the columns of
// basis are orthonormal, nil stands for the identity. The schedule is that of Stable Diffusion.
func NewGaussian(h, w int, mean, variances []float64, basis *mat.Dense) (*Gaussian, error) {
	n := h * w * 3
	if h < 1 || w < 1 {
		return nil, fmt.Errorf("prior: a picture of %dx%d pixels, want at least 1 a side", w, h)
	}
	if len(mean) != n || len(variances) != n {
		return nil, fmt.Errorf("prior: %d means and %d variances for a picture of %dx%dx3, want %d",
			len(mean), len(variances), h, w, n)
	}
	for i, v := range variances {
		if !(v >= 0) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("prior: variance %d is %v, want a finite number of at least 0", i, v)
		}
	}
	if basis != nil {
		if r, c := basis.Dims(); r != n || c != n {
			return nil, fmt.Errorf("prior: basis of %dx%d, want %dx%d", r, c, n, n)
		}
		var gram mat.Dense
		gram.Mul(basis.T(), basis)
		for i := range n {
			gram.Set(i, i, gram.At(i, i)-1)
		}
		if off := mat.Norm(&gram, math.Inf(1)); !(off < 1e-6) {
			return nil, fmt.Errorf("prior: the basis is not orthonormal: V'V differs from I by %g", off)
		}
	}
	noise := schedule.StableDiffusion()
	return &Gaussian{H: h, W: w, Mean: mean, Variances: variances, Basis: basis, noise: noise}, nil
}

// NewGaussianCov makes the prior N(mean, cov) from its covariance, whose eigenvectors become the basis.
func NewGaussianCov(h, w int, mean []float64, cov mat.Symmetric) (*Gaussian, error) {
	if cov == nil {
		return nil, errors.New("prior: cov is nil, want a covariance")
	}
	var eig mat.EigenSym
	if !eig.Factorize(cov, true) {
		return nil, fmt.Errorf("prior: the covariance has no eigendecomposition")
	}
	var basis mat.Dense
	eig.VectorsTo(&basis)
	variances := eig.Values(nil)
	for i, v := range variances { // 0 but for rounding
		if v < 0 && v > -1e-9*variances[len(variances)-1] {
			variances[i] = 0
		}
	}
	return NewGaussian(h, w, mean, variances, &basis)
}

// Info implements [Prior].
func (p *Gaussian) Info() Info { return Info{Name: "normal distribution", TrainSize: max(p.H, p.W)} }

// Multiple implements [Prior].
func (p *Gaussian) Multiple() int { return 1 }

// Shape implements [Prior]. Pictures have one size only.
func (p *Gaussian) Shape(h, w int) []int {
	if h != p.H || w != p.W {
		panic(fmt.Sprintf("prior: a picture of %dx%d for a normal distribution of %dx%d", w, h, p.W, p.H))
	}
	return []int{1, h, w, 3}
}

// Schedule implements [Prior].
func (p *Gaussian) Schedule() schedule.Noise { return p.noise }

// Device implements [Prior].
func (p *Gaussian) Device() tensor.Device { return cpu.F32 }

// Unconditional implements [Prior].
func (p *Gaussian) Unconditional() *tensor.Tensor { return nil }

// Networks implements [Prior]: one without parameters, for its configuration.
func (p *Gaussian) Networks() []Network {
	config := struct{ Mean, Variances, Basis []float64 }{Mean: p.Mean, Variances: p.Variances}
	if p.Basis != nil {
		config.Basis = p.Basis.RawMatrix().Data
	}
	return []Network{{Name: "normal distribution", Config: config, Params: nn.NewParams()}}
}

// Eps implements [Prior]. t counts the times of the schedule from 0; beyond the last one it is the last.
func (p *Gaussian) Eps(g *autograd.Graph, z *autograd.Value, t float32, _ *tensor.Tensor) *autograd.Value {
	sigma := p.noise.Sigma(float64(t))
	a := 1 / (1 + sigma*sigma)
	gain := make([]float64, len(p.Variances))
	for i, v := range p.Variances {
		gain[i] = math.Sqrt(1-a) / (a*v + 1 - a)
	}
	// linear writes V diag(gain) V' (src - shift) to dst; it is symmetric.
	linear := func(dst, src []float32, shift float64) {
		x := mat.NewVecDense(len(src), nil)
		for i, v := range src {
			x.SetVec(i, float64(v)-shift*p.Mean[i])
		}
		p.toBasis(x)
		for i, v := range gain {
			x.SetVec(i, v*x.AtVec(i))
		}
		p.fromBasis(x)
		for i := range dst {
			dst[i] = float32(x.AtVec(i))
		}
	}
	return g.Map(z, z.T.Shape, func(dst, src []float32) { linear(dst, src, math.Sqrt(a)) },
		func(dst, src []float32) { linear(dst, src, 0) })
}

// toBasis makes V'x of x.
func (p *Gaussian) toBasis(x *mat.VecDense) {
	if p.Basis != nil {
		x.MulVec(p.Basis.T(), mat.VecDenseCopyOf(x))
	}
}

// fromBasis makes V x of x.
func (p *Gaussian) fromBasis(x *mat.VecDense) {
	if p.Basis != nil {
		x.MulVec(p.Basis, mat.VecDenseCopyOf(x))
	}
}

// Covariance is V diag(Variances) V'.
func (p *Gaussian) Covariance() *mat.SymDense {
	n := len(p.Variances)
	c := mat.NewSymDense(n, nil)
	for k, v := range p.Variances {
		column := mat.NewVecDense(n, nil)
		column.SetVec(k, 1)
		p.fromBasis(column)
		c.SymRankOne(c, v, column)
	}
	return c
}

// Posterior is the normal distribution of x given y = A x + N(0, sigma^2 I), with A as a matrix of as many rows as y
// has values and sigma more than 0:
//
//	mean + C A' (A C A' + sigma^2 I)^-1 (y - A mean),  C - C A' (A C A' + sigma^2 I)^-1 A C
func (p *Gaussian) Posterior(a mat.Matrix, y []float64, sigma float64) (mean []float64, cov *mat.Dense, err error) {
	rows, n := a.Dims()
	if n != len(p.Mean) || rows != len(y) || !(sigma > 0) {
		return nil, nil, fmt.Errorf("prior: posterior given %d values by a %dx%d matrix with noise %g, "+
			"want a matrix of %dx%d and noise above 0",
			len(y), rows, n, sigma, len(y), len(p.Mean))
	}
	c := p.Covariance()
	var ac, s, gain, change mat.Dense
	ac.Mul(a, c)
	s.Mul(&ac, a.T())
	for i := range rows {
		s.Set(i, i, s.At(i, i)+sigma*sigma)
	}
	if err := gain.Solve(&s, &ac); err != nil { // gain' = S^-1 A C
		return nil, nil, fmt.Errorf("prior: posterior: %w", err)
	}
	var r mat.VecDense
	r.MulVec(a, mat.NewVecDense(n, p.Mean))
	r.SubVec(mat.NewVecDense(rows, y), &r)
	var m mat.VecDense
	m.MulVec(gain.T(), &r)
	mean = make([]float64, n)
	for i := range mean {
		mean[i] = p.Mean[i] + m.AtVec(i)
	}
	change.Mul(gain.T(), &ac)
	cov = mat.DenseCopyOf(c)
	cov.Sub(cov, &change)
	return mean, cov, nil
}
