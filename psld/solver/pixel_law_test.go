package solver

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"psld/autograd"
	"psld/psld/operator"
	"psld/psld/prior"
	"psld/tensor"
)

// affine is a normal distribution that goes through affine maps.
type affine struct {
	mean *mat.VecDense
	cov  *mat.Dense
}

// through makes F x + f + noise of covariance q.
func (a *affine) through(f *mat.Dense, shift *mat.VecDense, q *mat.Dense) {
	a.mean.MulVec(f, mat.VecDenseCopyOf(a.mean))
	a.mean.AddVec(a.mean, shift)
	a.cov.Mul(f, mat.DenseCopyOf(a.cov))
	a.cov.Mul(mat.DenseCopyOf(a.cov), f.T())
	a.cov.Add(a.cov, q)
}

func eye(n int, v float64) *mat.Dense {
	m := mat.NewDense(n, n, nil)
	for i := range n {
		m.Set(i, i, v)
	}
	return m
}

// denoiser gives E[x0 | x] = P x + p0 and E[e | x] = G x + g0 at share a of signal, from their definitions.
func (s *toyWorld) denoiser(t *testing.T, a float64) (p, g *mat.Dense, p0, g0 *mat.VecDense) {
	n := len(s.gauss.Mean)
	p, g, p0, g0 = new(mat.Dense), new(mat.Dense), mat.NewVecDense(n, nil), mat.NewVecDense(n, nil)
	var c mat.Dense
	c.Scale(a, s.gauss.Covariance())
	c.Add(&c, eye(n, 1-a))
	require.NoError(t, c.Inverse(&c))
	g.Scale(math.Sqrt(1-a), &c)
	p.Mul(s.gauss.Covariance(), &c)
	p.Scale(math.Sqrt(a), p)
	m := mat.NewVecDense(n, s.gauss.Mean)
	g0.MulVec(g, m)
	g0.ScaleVec(-math.Sqrt(a), g0)
	p0.MulVec(p, m)
	p0.ScaleVec(-math.Sqrt(a), p0)
	p0.AddVec(p0, m)
	return p, g, p0, g0
}

// ancestralLaw is the law of ancestral steps at evenly spaced times, guided by omega |A x0 - y|^2, each followed by
// the projection, where ridge is not 0. The steps are written as DDIM's with eta 1, which are the same.
func (s *toyWorld) ancestralLaw(t *testing.T, steps int, omega, ridge float64) *affine {
	n := len(s.gauss.Mean)
	law := &affine{mat.NewVecDense(n, nil), eye(n, 1)}
	alphas := s.Schedule().AlphasCumprod
	at := func(i int) float64 { // evenly spaced, the first time and the last one included
		return float64(alphas[int(math.RoundToEven(float64(i)*float64(len(alphas)-1)/float64(steps-1)))])
	}
	for i := steps - 1; i >= 0; i-- {
		a, prev := at(i), 1.0
		if i > 0 {
			prev = at(i - 1)
		}
		variance := (1 - prev) / (1 - a) * (1 - a/prev)
		p, g, p0, g0 := s.denoiser(t, a)
		var f, along, pull, hessian mat.Dense
		shift, target := mat.NewVecDense(n, nil), mat.NewVecDense(n, nil)
		dir := math.Sqrt(1 - prev - variance)
		f.Scale(math.Sqrt(prev), p)
		along.Scale(dir, g)
		f.Add(&f, &along)
		shift.AddScaledVec(shift, math.Sqrt(prev), p0)
		shift.AddScaledVec(shift, dir, g0)
		hessian.Mul(s.a.T(), s.a) // gradient: 2 omega P'A'(A (P x + p0) - y)
		hessian.Scale(2*omega, &hessian)
		pull.Mul(&hessian, p)
		pull.Mul(p.T(), mat.DenseCopyOf(&pull))
		f.Sub(&f, &pull)
		target.MulVec(&hessian, p0)
		var ay mat.VecDense
		ay.MulVec(s.a.T(), s.y)
		target.AddScaledVec(target, -2*omega, &ay)
		target.MulVec(p.T(), mat.VecDenseCopyOf(target))
		shift.SubVec(shift, target)
		law.through(&f, shift, eye(n, variance))
		if ridge > 0 { // A is a mask: A A' = I on what is measured
			var fit, q mat.Dense
			fit.Mul(s.a.T(), s.a)
			fit.Scale(1/(1+ridge), &fit)
			q.Scale((1-prev)/(1+ridge), &fit)
			keep := eye(n, 1)
			keep.Sub(keep, &fit)
			onto := mat.NewVecDense(n, nil)
			onto.AddScaledVec(onto, math.Sqrt(prev)/(1+ridge), &ay)
			law.through(keep, onto, &q)
		}
	}
	return law
}

// ddrmLaw is the law of DDRM where A is a mask: its singular vectors are the pixels, its singular values 0 and 1.
func (s *toyWorld) ddrmLaw(t *testing.T, o DDRM) *affine {
	n := len(s.gauss.Mean)
	alphas, stride := s.Schedule().AlphasCumprod, len(s.Schedule().AlphasCumprod)/o.Steps
	level := func(a float64) float64 { return math.Sqrt(1/a - 1) }
	a := float64(alphas[stride*(o.Steps-1)])
	law := &affine{mat.NewVecDense(n, nil), eye(n, 1-a)}
	for i := range n {
		if s.a.At(i, i) == 1 && level(a) > s.sigma {
			law.mean.SetVec(i, math.Sqrt(a)*s.y.AtVec(i))
			law.cov.Set(i, i, 1-a-a*s.sigma*s.sigma)
		}
	}
	for step := o.Steps - 1; step >= 0; step-- {
		a, next := float64(alphas[stride*step]), 1.0
		if step > 0 {
			next = float64(alphas[stride*(step-1)])
		}
		tn := level(next)
		p, g, p0, g0 := s.denoiser(t, a)
		f, shift, q := mat.NewDense(n, n, nil), mat.NewVecDense(n, nil), mat.NewDense(n, n, nil)
		row := func(i int, x0, e, y, noise float64) { // x0 E[x0] + e E[e] + y of measurement + noise
			for j := range n {
				f.Set(i, j, math.Sqrt(next)*(x0*p.At(i, j)+e*g.At(i, j)))
			}
			shift.SetVec(i, math.Sqrt(next)*(x0*p0.AtVec(i)+e*g0.AtVec(i)+y*s.y.AtVec(i)))
			q.Set(i, i, next*noise*noise)
		}
		keep := math.Sqrt(1 - o.Eta*o.Eta)
		for i := range n {
			switch {
			case s.a.At(i, i) == 0:
				row(i, 1, keep*tn, 0, o.Eta*tn)
			case tn > s.sigma:
				row(i, 1-o.EtaB, 0, o.EtaB, math.Sqrt(tn*tn-o.EtaB*o.EtaB*s.sigma*s.sigma))
			default:
				row(i, 1-keep*tn/s.sigma, 0, keep*tn/s.sigma, o.Eta*tn)
			}
		}
		law.through(f, shift, q)
	}
	return law
}

// TestPixelLaws holds the samples of the methods of pixels against the law of their formulas for a normal prior, which
// is known exactly, and that against the posterior:
//
// DPS as in TestClosedForm: with the weight that suits 40 steps its mean is nearly the posterior's, and it takes
// variance away.
//
// Score-SDE and MCG draw the measured values from the measurement's own noise in each step and end at y but for the
// ridge: there they have next to no variance, where the posterior has, and its mean is not shrunk towards the prior's.
//
// DDRM (Kawar et al. 2022, theorem 3.2) is made for priors whose values do not depend on each other given the state.
// Here they do: what is missing hears of the measurement by the prior's expectation alone. Its variance is less than
// the posterior's for Eta below 1.
func TestPixelLaws(t *testing.T) {
	const samples = 200
	s := newToyWorld(t, false)
	s.p.Sigma = s.sigma
	postMean, postCov := s.posterior(t)
	far := distance(mat.NewVecDense(len(s.gauss.Mean), s.gauss.Mean), postMean)
	ddpm := DDPM{Steps: 40}
	ddrm := DDRM{Steps: 20, Eta: 0.85, EtaB: 1}
	const weight, ridge = 0.15, 0.01
	for _, c := range []struct {
		name        string
		method      Method
		law         *affine
		off         float64 // of the mean, as a share of the way from the prior's to the posterior's
		least, most float64 // of the posterior's variance
	}{
		{"dps", &DPS{ddpm, Guide{Omega: weight, Squared: true}}, s.ancestralLaw(t, 40, weight, 0), 0.1, 0.6, 0.8},
		{"score-sde", &ScoreSDE{ddpm, Projection{Ridge: ridge}}, s.ancestralLaw(t, 40, 0, ridge), 0.25, 0.6, 0.8},
		{"mcg", &MCG{ddpm, Guide{Omega: weight, Squared: true}, Projection{Ridge: ridge}},
			s.ancestralLaw(t, 40, weight, ridge), 0.25, 0.5, 0.8},
		{"ddrm", &ddrm, s.ddrmLaw(t, ddrm), 0.2, 0.5, 0.8},
	} {
		t.Run(c.name, func(t *testing.T) {
			mean, cov := s.sample(t, c.method, samples)
			for i := range mean.Len() {
				// 1e-3: what float32 and 1 - a of float32 shares lose
				require.InDelta(t, c.law.mean.AtVec(i), mean.AtVec(i), 5*math.Sqrt(c.law.cov.At(i, i)/samples)+1e-3,
					"mean %d", i)
				for j := range mean.Len() {
					v := c.law.cov.At(i, j)
					se := math.Sqrt((c.law.cov.At(i, i)*c.law.cov.At(j, j) + v*v) / samples)
					require.InDelta(t, v, cov.At(i, j), 5*se+1e-3, "covariance %d %d", i, j)
				}
			}
			off, ratio := distance(c.law.mean, postMean)/far, mat.Trace(c.law.cov)/mat.Trace(postCov)
			t.Logf("mean off by %.3f of the way, %.2f of the posterior's variance", off, ratio)
			require.Less(t, off, c.off)
			require.True(t, ratio > c.least && ratio < c.most, "%.2f of the variance", ratio)
		})
	}
}

// TestPnPADMM: the expectation of a normal prior is the proximal step of its negative logarithm, so that the fixed
// point of ADMM is the most probable picture, which for a normal posterior is its mean.
func TestPnPADMM(t *testing.T) {
	s := newToyWorld(t, false)
	s.p.Sigma = s.sigma
	want, _ := s.posterior(t)
	for _, rho := range []float64{0.2, 1} {
		res, err := Solve(t.Context(), s.Prior, s.p, &PnPADMM{Iterations: 300, Rho: rho}, Options{})
		require.NoError(t, err)
		for i, v := range res.X {
			require.InDelta(t, want.AtVec(i), v, 2e-3, "rho %g, value %d", rho, i)
		}
	}
}

// ddpmLDPS is the loss of LDPS on the ancestral steps of DPS.
type ddpmLDPS struct{ LDPS }

func (o *ddpmLDPS) Bind(r *Run) (Stepper, error) {
	m, err := newAncestral(r, DDPM{Steps: o.Steps})
	m.loss = o.fit
	return m, err
}

// gaussCodec has the identity for an autoencoder.
type gaussCodec struct{ *prior.Gaussian }

func (gaussCodec) Encode(_ *autograd.Graph, x *autograd.Value, _ *tensor.Tensor) *autograd.Value {
	return x
}
func (gaussCodec) Decode(_ *autograd.Graph, z *autograd.Value) *autograd.Value { return z }

// TestPixelFamily: on a prior of pixels DPS is LDPS with DDPM steps; GML-DPS is LDPS, as the identity has no gluing to
// do; PSLD is LDPS where its gluing has no weight, and another one where it has. An autoencoder that is the identity
// changes nothing.
func TestPixelFamily(t *testing.T) {
	s := newToyWorld(t, false)
	run := func(p prior.Prior, m Method) []float32 {
		res, err := Solve(t.Context(), p, s.p, m, Options{Seed: 3})
		require.NoError(t, err)
		return res.X
	}
	ddim, fit := DDIM{Steps: 25, Strength: 1, Eta: 1}, Fit{Omega: 0.3}
	ldps := run(s.Prior, &LDPS{ddim, fit})
	require.Equal(t, ldps, run(gaussCodec{s.gauss}, &LDPS{ddim, fit}))
	require.Equal(t, ldps, run(s.Prior, &GMLDPS{ddim, fit, Gluing{Gamma: 1, GluingEvery: 1}}))
	require.Equal(t, ldps, run(s.Prior, &PSLD{ddim, fit, Gluing{GluingEvery: 1}, "adjoint"}))
	glued := run(s.Prior, &PSLD{ddim, fit, Gluing{Gamma: 1, GluingEvery: 1}, "adjoint"})
	require.False(t, slices.Equal(ldps, glued))
	dps := run(s.Prior, &DPS{DDPM{Steps: 25}, Guide{Omega: 0.3}})
	require.Equal(t, dps, run(s.Prior, &ddpmLDPS{LDPS{ddim, fit}}))
	require.Equal(t, dps, run(s.Prior, &DPS{DDPM{Steps: 25}, Guide{Omega: 0.3}}))
}

// TestDDRMBlocks: for independent values of one variance the mean of the samples of DDRM for block means is the
// measurement, repeated, times a number that the recursion of one coefficient gives.
func TestDDRMBlocks(t *testing.T) {
	const h, w, k, v, sigma, seeds = 4, 6, 2, 0.3, 0.1, 400
	mean, variances := make([]float64, h*w*3), make([]float64, h*w*3)
	for i := range variances {
		variances[i] = v
	}
	gauss, err := prior.NewGaussian(h, w, mean, variances, nil)
	require.NoError(t, err)
	a, err := operator.NewAveragePool(h, w, 3, k)
	require.NoError(t, err)
	y := make([]float32, a.Out().Len())
	for i := range y {
		y[i] = 0.5 * float32(math.Cos(float64(i)))
	}
	o := &DDRM{Steps: 20, Eta: 0.85, EtaB: 1}
	alphas, level := gauss.Schedule().AlphasCumprod, func(a float64) float64 { return math.Sqrt(1/a - 1) }
	const s = 1. / k // singular value: the block's k^2 values over k^2, times their length k
	m := math.Sqrt(float64(alphas[950])) / s
	for i := 19; i >= 0; i-- {
		a, next := float64(alphas[50*i]), 1.0
		if i > 0 {
			next = float64(alphas[50*i-50])
		}
		x0, tn := math.Sqrt(a)*v/(a*v+1-a)*m, level(next)
		if m = math.Sqrt(next) / s; s*tn <= sigma {
			m = math.Sqrt(next) * (x0 + math.Sqrt(1-o.Eta*o.Eta)*tn*(1-s*x0)/sigma)
		}
	}
	for seed := range uint64(seeds) {
		res, err := Solve(t.Context(), gauss, Problem{A: a, Y: y, Sigma: sigma}, o, Options{Seed: seed})
		require.NoError(t, err)
		for i, x := range res.X {
			mean[i] += float64(x) / seeds
		}
	}
	for i, got := range mean {
		block := (i/3/w/k*(w/k)+i/3%w/k)*3 + i%3
		require.InDelta(t, m/k*float64(y[block]), got, 5*math.Sqrt(v/seeds), "value %d", i)
	}
}

// TestRefused: what a method cannot work with is an error that tells what would work.
func TestRefused(t *testing.T) {
	s := newToyWorld(t, true)
	for _, m := range []Method{&DPS{DDPM: DDPM{Steps: 9}}, &MCG{DDPM: DDPM{Steps: 9}, Projection: Projection{Ridge: 1}},
		&ScoreSDE{DDPM{Steps: 9}, Projection{Ridge: 1}}, &DDRM{Steps: 9}, &PnPADMM{Iterations: 9, Rho: 1}} {
		_, err := Solve(t.Context(), s.Prior, s.p, m, Options{})
		require.ErrorContains(t, err, "works on pixels")
		require.ErrorContains(t, err, "method ldps, psld or diffpir")
		require.Less(t, len(err.Error()), 300)
	}
	s = newToyWorld(t, false)
	motion, err := operator.NewKernel(3, []float64{1, 0, 0, 0, 1, 0, 0, 0, 1})
	require.NoError(t, err)
	a, err := operator.NewBlur(2, 3, 3, motion)
	require.NoError(t, err)
	_, err = Solve(t.Context(), s.Prior, Problem{A: a, Y: s.p.Y}, &DDRM{Steps: 9}, Options{})
	require.ErrorContains(t, err, "take method diffpir, dps or tv")
	require.Less(t, len(err.Error()), 300)
}
