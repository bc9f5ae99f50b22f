package solver

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/prior"
)

// diffPIRCase is a normal prior with independent values, of which a mask keeps half.
type diffPIRCase struct {
	prior           *prior.Gaussian
	p               Problem
	mean, variances []float64
	keep            []bool
}

func newDiffPIRCase(t *testing.T, sigma float64) diffPIRCase {
	const h, w = 4, 6
	c := diffPIRCase{mean: make([]float64, 3*h*w), variances: make([]float64, 3*h*w), keep: make([]bool, h*w)}
	for i := range c.mean {
		c.mean[i], c.variances[i] = 0.3*math.Sin(float64(i)), 0.01+0.02*float64(i%5)
	}
	for i := range c.keep {
		c.keep[i] = i%2 == 0
	}
	var err error
	c.prior, err = prior.NewGaussian(h, w, c.mean, c.variances, nil)
	require.NoError(t, err)
	a, err := operator.NewMask(h, w, 3, c.keep)
	require.NoError(t, err)
	y := make([]float32, 3*h*w)
	for i := range y {
		if c.keep[i/3] {
			y[i] = float32(0.5 * math.Cos(float64(3*i)))
		}
	}
	c.p = Problem{A: a, Y: y, Sigma: sigma}
	return c
}

// TestDiffPIRSteps holds a run against the formulas in float64, value by value: both the prior and the mask are
// diagonal.
func TestDiffPIRSteps(t *testing.T) {
	const sigma = 0.1
	c := newDiffPIRCase(t, sigma)
	o := &DiffPIR{Steps: 7, From: 2, To: 0.05, Lambda: 1.5, Zeta: 0.4, FitEvery: 1, Blend: 1, SNoise: 1.1}
	start := make([]float32, len(c.p.Y))
	for i := range start {
		start[i] = float32(i%3) / 4
	}
	res, err := Solve(context.Background(), c.prior, c.p, o, Options{Seed: 5, Start: start})
	require.NoError(t, err)
	level := func(i int) float64 { return o.From * math.Pow(o.To/o.From, float64(i)/float64(o.Steps-1)) }
	n := len(start)
	begin := draw(5, "start", 0, n)
	for i := range n {
		z := float64(start[i]) + 1.1*level(0)*float64(begin[i])
		var x float64
		for k := range o.Steps {
			s := level(k)
			x0 := c.mean[i] + c.variances[i]/(c.variances[i]+s*s)*(z-c.mean[i])
			x0 = min(max(x0, -1), 1)
			x = x0
			if rho := o.Lambda * sigma * sigma / (s * s); c.keep[i/3] {
				x = (float64(c.p.Y[i]) + rho*x0) / (1 + rho)
			}
			if k+1 < o.Steps {
				fresh := float64(draw(5, "diffpir", k, n)[i])
				z = x + level(k+1)*(math.Sqrt(1-o.Zeta)*(z-x)/s+1.1*math.Sqrt(o.Zeta)*fresh)
			}
		}
		require.InDelta(t, x, res.X[i], 1e-4, "value %d", i)
	}
}

// TestDiffPIRCold: a run that begins at the measurement's noise takes that as it is, and adds s_noise of what it tells
// the network behind it.
func TestDiffPIRCold(t *testing.T) {
	const sigma = 0.2
	c := newDiffPIRCase(t, sigma)
	o := &DiffPIR{Steps: 2, To: 0.08, Lambda: 30, FitEvery: 1, Blend: 1, SNoise: 0.8}
	start := noise(3, len(c.p.Y), 0.2)
	res, err := Solve(context.Background(), c.prior, c.p, o, Options{Seed: 5, Start: start})
	require.NoError(t, err)
	for i, z := range start {
		at := func(z, s float64) float64 {
			x := c.mean[i] + c.variances[i]/(c.variances[i]+s*s)*(z-c.mean[i])
			x = min(max(x, -1), 1)
			if rho := o.Lambda * sigma * sigma / (s * s); c.keep[i/3] {
				x = (float64(c.p.Y[i]) + rho*x) / (1 + rho)
			}
			return x
		}
		x := at(float64(z), sigma)
		x = at(x+0.8*o.To/sigma*(float64(z)-x), o.To)
		require.InDelta(t, x, res.X[i], 1e-4, "value %d", i)
	}
}

// moments are the means of the results of that many seeds, and of their squares.
func (c *diffPIRCase) moments(t *testing.T, o Method, seeds int) (sum, squares []float64) {
	n := len(c.p.Y)
	sum, squares = make([]float64, n), make([]float64, n)
	for seed := range seeds {
		res, err := Solve(context.Background(), c.prior, c.p, o, Options{Seed: uint64(seed), Start: make([]float32, n)})
		require.NoError(t, err)
		for i, x := range res.X {
			sum[i] += float64(x) / float64(seeds)
			squares[i] += float64(x) * float64(x) / float64(seeds)
		}
	}
	return sum, squares
}

// TestDiffPIRPosterior holds samples against the posterior, which is known. Values that were not measured go down the
// prior's own path: their distribution is the prior's but for what finite steps and the last denoising take of its
// variance, which a recursion gives (15 % here). Where there is a measurement, x0 is given the
// variance s^2 in place of v s^2/(v + s^2), which it has for a prior of variance v: the fit trusts the measurement
// more than it should, and the mean lies between the posterior's and the measurement.
func TestDiffPIRPosterior(t *testing.T) {
	const sigma, seeds = 0.2, 200
	c := newDiffPIRCase(t, sigma)
	o := &DiffPIR{Steps: 60, From: 3, To: 0.02, Lambda: 1, Zeta: 0.3, FitEvery: 1, Blend: 1, SNoise: 1}
	sum, squares := c.moments(t, o, seeds)
	var share, count float64 // of the variance, where nothing was measured
	for i, mean := range sum {
		v := c.variances[i]
		if !c.keep[i/3] {
			require.InDelta(t, c.mean[i], mean, 4*math.Sqrt(v/seeds), "mean of value %d", i)
			share, count = share+(squares[i]-mean*mean)/o.freeVariance(v), count+1
			continue
		}
		y := float64(c.p.Y[i])
		posterior := c.mean[i] + v/(v+sigma*sigma)*(y-c.mean[i])
		low, high := min(posterior, y), max(posterior, y)
		slack := 4 * math.Sqrt(v*sigma*sigma/(v+sigma*sigma)/seeds)
		require.True(t, mean > low-slack && mean < high+slack, "value %d: %v, want %v to %v", i, mean, low, high)
	}
	require.InDelta(t, 1, share/count, 4*math.Sqrt(2/(seeds*count)))
}

// freeVariance is that of a value of variance v that was not measured: with k the denoiser's gain, each step makes
// (k + c (1-k)) z + d n of z, and the last one k z.
func (o *DiffPIR) freeVariance(v float64) float64 {
	level := func(i int) float64 { return o.From * math.Pow(o.To/o.From, float64(i)/float64(o.Steps-1)) }
	variance := o.From * o.From
	for i := range o.Steps {
		s := level(i)
		k := v / (v + s*s)
		if i == o.Steps-1 {
			return k * k * variance
		}
		to := level(i + 1)
		gain, fresh := k+to/s*math.Sqrt(1-o.Zeta)*(1-k), to*math.Sqrt(o.Zeta)
		variance = gain*gain*variance + fresh*fresh
	}
	return 0
}

// TestDiffPIRErrors: noise that rises is refused, also where one end is the measurement's.
func TestDiffPIRErrors(t *testing.T) {
	c := newDiffPIRCase(t, 0.1)
	for _, o := range []DiffPIR{{From: 0.1, To: 5}, {From: 0.05, To: 0}, {From: 0, To: 0.2}} {
		o.Steps, o.Lambda, o.FitEvery, o.Blend, o.SNoise = 2, 1, 1, 1, 1
		_, err := Solve(context.Background(), c.prior, c.p, &o, Options{})
		require.ErrorContains(t, err, "the noise must fall")
	}
}

// TestDiffPIRInverse: without a picture to start from the run starts from (1 m + rho c)/(1 + rho) where a mask keeps
// the value m, c being the mean of the measurement, and from c elsewhere.
func TestDiffPIRInverse(t *testing.T) {
	c := newDiffPIRCase(t, 0.1)
	o := &DiffPIR{Steps: 2, From: 1, To: 0.1, Lambda: 1, FitEvery: 1, Blend: 1, SNoise: 1}
	m, err := o.Bind(newRun(c.prior, c.p, Options{}))
	require.NoError(t, err)
	var mean float64
	for _, v := range c.p.Y {
		mean += float64(v) / float64(len(c.p.Y))
	}
	start, err := m.(*proximal).r.inverse(m.(*proximal).prox)
	require.NoError(t, err)
	for i, x := range start {
		want := mean
		if c.keep[i/3] {
			want = (float64(c.p.Y[i]) + 0.02*mean) / 1.02
		}
		require.InDelta(t, want, x, 1e-5)
	}
}

// TestDiffPIRCoarse: states of a quarter and of half the sides come first, and show pictures of the full size. Where
// the size changes, the state is the picture of before with fresh noise. The sides need be no multiples of anything.
func TestDiffPIRCoarse(t *testing.T) {
	m, p := randomPixel(), blurProblem(t, 13, 30)
	p.Sigma = 0.1
	o := &DiffPIR{Steps: 2, From: 2, To: 0.1, Lambda: 1, Zeta: 0.5, FitEvery: 1, Blend: 1, SNoise: 1.2, Coarse: 2,
		Refine: 0.7, Equivariant: Equivariant{1}}
	var shapes [][]int
	res, err := Solve(t.Context(), m, p, o, Options{Seed: 4, Start: noise(3, 13*30*3, 0.3), Progress: func(p Progress) {
		z := p.State.Vars["z"]
		shapes = append(shapes, z.Shape)
		x, err := p.Picture()
		require.NoError(t, err)
		require.Len(t, x, 13*30*3)
		if p.Step == 4 { // of half the sides is the first that is full
			r := newRun(m, blurProblem(t, 13, 30), Options{})
			r.pad(8)
			clean := r.PadPicture(x).Data
			for i, n := range draw(4, "diffpir", 3, len(clean)) {
				require.InDelta(t, float64(clean[i])+1.2*o.Refine*float64(n), z.Data[i], 1e-4)
			}
		}
	}})
	require.NoError(t, err)
	require.Len(t, res.X, 13*30*3)
	quarter, half, full := []int{1, 4, 8, 3}, []int{1, 8, 16, 3}, []int{1, 16, 32, 3}
	require.Equal(t, [][]int{quarter, half, half, full, full, full}, shapes)
	require.Equal(t, 2*(1+0.25+0.0625), o.Calls().UNet.Forward)
	o.Refine = 0.05
	_, err = Solve(t.Context(), m, p, o, Options{})
	require.ErrorContains(t, err, "refine 0.05 is less than to 0.1: the noise must fall")
}

// TestDiffPIRLatent: on a latent prior the picture is decoded before the fit and encoded behind it.
func TestDiffPIRLatent(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	o := &DiffPIR{Steps: 3, From: 1, To: 0.1, Lambda: 1, FitEvery: 1, Blend: 1, SNoise: 1}
	res, err := Solve(context.Background(), m, p, o, Options{Start: make([]float32, p.A.In().Len())})
	require.NoError(t, err)
	require.Equal(t, []int{1, 8, 8, 4}, res.State.Vars["z"].Shape)
	ax := make([]float32, len(p.Y))
	p.A.Apply(ax, res.X)
	var sq float64
	for i, v := range ax {
		sq += float64(v-p.Y[i]) * float64(v-p.Y[i])
	}
	require.InDelta(t, math.Sqrt(sq/float64(len(ax))), res.RMS, 1e-6)
	require.Less(t, res.RMS, 0.2) // the last fit has a weight of 0.0016
}
