package solver

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"psld/psld/operator"
	"psld/psld/prior"
)

// karrasLevels are equation 5 of Karras et al. (2022).
func karrasLevels(from, to float64, steps int) (levels []float64) {
	for i := range steps {
		levels = append(levels, math.Pow(math.Pow(from, 1./7)+
			float64(i)/float64(steps-1)*(math.Pow(to, 1./7)-math.Pow(from, 1./7)), 7))
	}
	return append(levels, 0)
}

// TestLanPaintSteps holds a run against the published formulas in float64, value by value: the drift C - A x of a
// Langevin step of length dt, and an Euler step in the state z0 + s e.
func TestLanPaintSteps(t *testing.T) {
	c := newDiffPIRCase(t, 0)
	start := make([]float32, len(c.p.Y))
	for i := range start {
		start[i] = float32(i%3) / 4
	}
	for _, o := range []*LanPaint{{Steps: 6, Inner: 4, Lambda: 3, StepSize: 0.3, Strength: 1},
		{Steps: 5, Inner: 0, Lambda: 3, StepSize: 0.3, Strength: 0.6}} {
		res, err := Solve(context.Background(), lossyCodec{c.prior}, c.p, o, Options{Seed: 5, Start: start})
		require.NoError(t, err)
		if o.Inner > 0 {
			require.Equal(t, 6+4+4+3+1, res.Steps) // of the shares of noise 1, 0.97, 0.83, 0.32, 0.03
		}
		for i, x := range res.X {
			require.InDelta(t, 3*lanpaintValue(&scalar{c, t, i, 0, float64(start[i])}, o), x, 2e-3, "value %d", i)
		}
	}
}

// lanpaintValue is the clean state that a value ends at.
func lanpaintValue(s *scalar, o *LanPaint) float64 {
	known, y, w := s.keep[s.i/3], 0.32*s.start, 1.0
	if known {
		y, w = 0.32*float64(s.p.Y[s.i]), 1+o.Lambda
	}
	least := math.Sqrt(1/s.share(0) - 1)
	levels := karrasLevels(math.Sqrt(1/s.share(999*o.Strength)-1), least, o.Steps)
	n0, number, c := s.noise("start", 0), -1, 0.0
	z := y + levels[0]*n0 // without the factor that keeps the variance
	for i, level := range levels[:o.Steps] {
		a := 1 / (1 + level*level)
		x := math.Sqrt(a) * z
		if known {
			x = math.Sqrt(a)*y + math.Sqrt(1-a)*n0
		}
		inner := int(math.Round(float64(o.Inner) * (1 - a)))
		if i == o.Steps-1 {
			inner = 0
		}
		pull, dt := w/(1-a), o.StepSize*(1-a)
		advance := func(name string, dt float64) {
			x = math.Exp(-pull*dt)*x + (1-math.Exp(-pull*dt))/pull*c +
				math.Sqrt((1-math.Exp(-2*pull*dt))/pull)*s.noise("lanpaint "+name, number)
		}
		drift := func() float64 {
			u, _ := s.clean(x, a)
			if known {
				u = (1+o.Lambda)*y - o.Lambda*u
			}
			return (math.Sqrt(a)*u-x)/(1-a) + pull*x
		}
		for k := range inner {
			number++
			if k == 0 {
				c = drift()
				advance("first", dt)
				continue
			}
			advance("before", dt/2)
			next := drift()
			x += (next - c) * dt
			c = next
			advance("after", dt/2)
		}
		number++
		clean, _ := s.clean(x, a)
		if known {
			clean = y
		}
		z = x / math.Sqrt(a)
		z += (levels[i+1] - level) * (z - clean) / level
	}
	return z
}

// langevinLaw is the law of LanPaint's state for a normal prior without a codec, of the noise of the start, and of the
// force C: each step is an affine map of them, plus noise.
type langevinLaw struct {
	affine // of x = z0 + s e over sqrt(1 + s^2), n0, C
	o      *LanPaint
	n      int
	keep   []bool
	y, p0  *mat.VecDense
	p      *mat.Dense // E[z0 | x] = P x + p0
	a      float64    // share of signal
}

// step applies what fill changes of the identity, row by row: x' = X x + N n0 + F C + shift + noise, and C' likewise.
func (l *langevinLaw) step(fill func(i int, f, q *mat.Dense, shift *mat.VecDense)) {
	f, q, shift := eye(3*l.n, 1), mat.NewDense(3*l.n, 3*l.n, nil), mat.NewVecDense(3*l.n, nil)
	for i := range l.n {
		fill(i, f, q, shift)
	}
	l.through(f, shift, q)
}

// replace sets the known part, at the start all, to y with the noise n0.
func (l *langevinLaw) replace(all bool) {
	l.step(func(i int, f, _ *mat.Dense, shift *mat.VecDense) {
		if all || l.keep[i/3] {
			f.Set(i, i, 0)
			f.Set(i, l.n+i, math.Sqrt(1-l.a))
			shift.SetVec(i, math.Sqrt(l.a)*l.y.AtVec(i))
		}
	})
}

func (l *langevinLaw) rate(i int) float64 {
	if l.keep[i/3] {
		return (1 + l.o.Lambda) / (1 - l.a)
	}
	return 1 / (1 - l.a)
}

// advance is dx = (C - rate x) dt + sqrt(2) dW.
func (l *langevinLaw) advance(dt float64) {
	l.step(func(i int, f, q *mat.Dense, _ *mat.VecDense) {
		r := l.rate(i)
		f.Set(i, i, math.Exp(-r*dt))
		f.Set(i, 2*l.n+i, (1-math.Exp(-r*dt))/r)
		q.Set(i, i, (1-math.Exp(-2*r*dt))/r)
	})
}

// force takes C' from x, and x' = x + (C' - C) dt.
func (l *langevinLaw) force(dt float64) {
	n, root := l.n, math.Sqrt(l.a)
	l.step(func(i int, f, _ *mat.Dense, shift *mat.VecDense) {
		of, c := 1.0, 0.0
		if l.keep[i/3] {
			of, c = -l.o.Lambda, root*(1+l.o.Lambda)*l.y.AtVec(i)/(1-l.a)
		}
		c += of * root * l.p0.AtVec(i) / (1 - l.a)
		for j := range n {
			v := of * root * l.p.At(i, j) / (1 - l.a)
			if i == j {
				v += l.rate(i) - 1/(1-l.a)
			}
			f.Set(2*n+i, j, v)
			f.Set(i, j, f.At(i, j)+dt*v)
		}
		f.Set(2*n+i, 2*n+i, 0)
		f.Set(i, 2*n+i, -dt)
		shift.SetVec(2*n+i, c)
		shift.SetVec(i, dt*c)
	})
}

// euler is x' = (c + (s'/s) (x sqrt(1+s^2) - c)) / sqrt(1+s'^2), c being the clean state.
func (l *langevinLaw) euler(level, next float64) {
	l.step(func(i int, f, _ *mat.Dense, shift *mat.VecDense) {
		unit, clean := 1/math.Sqrt(1+next*next), l.p0.AtVec(i)
		for j := range l.n {
			f.Set(i, j, 0)
			if !l.keep[i/3] {
				f.Set(i, j, unit*(1-next/level)*l.p.At(i, j))
			}
		}
		f.Set(i, i, f.At(i, i)+unit*next/level/math.Sqrt(l.a))
		if l.keep[i/3] {
			clean = l.y.AtVec(i)
		}
		shift.SetVec(i, unit*(1-next/level)*clean)
	})
}

// lanpaintLaw is the law of LanPaint's pictures, in the first of its values.
func (s *toyWorld) lanpaintLaw(t *testing.T, o *LanPaint) *affine {
	n := len(s.gauss.Mean)
	l := &langevinLaw{o: o, n: n, keep: operator.MaskOf(s.p.A), y: mat.VecDenseCopyOf(s.y),
		affine: affine{mat.NewVecDense(3*n, nil), mat.NewDense(3*n, 3*n, nil)}}
	for i := range n {
		l.cov.Set(n+i, n+i, 1)
		if !l.keep[i/3] { // filled at the start: the measurement's mean
			l.y.SetVec(i, mat.Sum(s.y)/float64(n))
		}
	}
	at := func(k int) float64 { a := float64(s.Schedule().AlphasCumprod[k]); return math.Sqrt(1/a - 1) }
	levels := karrasLevels(at(999), at(0), o.Steps)
	for k, level := range levels[:o.Steps] {
		l.a = 1 / (1 + level*level)
		l.p, _, l.p0, _ = s.denoiser(t, l.a)
		l.replace(k == 0)
		inner, dt := int(math.Round(float64(o.Inner)*(1-l.a))), o.StepSize*(1-l.a)
		for j := range inner {
			switch {
			case k == o.Steps-1:
			case j == 0:
				l.force(0)
				l.advance(dt)
			default:
				l.advance(dt / 2)
				l.force(dt)
				l.advance(dt / 2)
			}
		}
		l.euler(level, levels[k+1])
	}
	return &l.affine
}

// TestLanPaintLaw: the samples have the law of the formulas. That is the posterior of the missing pixels given the
// known ones, which are taken to have no noise, but for what Euler's steps lose, and Langevin's where there are not
// many (Zheng et al. call it asymptotically exact). Without any it is the replacement of known pixels alone (Song et
// al. 2021), whose mean hears too little of them.
func TestLanPaintLaw(t *testing.T) {
	const samples = 200
	s := newToyWorld(t, false)
	o := &LanPaint{Steps: 20, Inner: 5, Lambda: 5, StepSize: 0.2, Strength: 1}
	law, n := s.lanpaintLaw(t, o), len(s.gauss.Mean)
	mean, cov := s.sample(t, o, samples)
	for i := range n {
		require.InDelta(t, law.mean.AtVec(i), mean.AtVec(i), 5*math.Sqrt(law.cov.At(i, i)/samples)+1e-3, "mean %d", i)
		for j := range n {
			v := law.cov.At(i, j)
			se := math.Sqrt((law.cov.At(i, i)*law.cov.At(j, j) + v*v) / samples)
			require.InDelta(t, v, cov.At(i, j), 5*se+1e-3, "covariance %d %d", i, j)
		}
	}
	s.sigma = 1e-3
	postMean, postCov := s.posterior(t)
	last := 1.0
	for _, c := range []struct {
		inner     int
		off, less float64 // of the mean as a share of the way from the prior's, and what the variance lacks
	}{{0, 0.8, 0.08}, {5, 0.6, 0.07}, {20, 0.35, 0.06}, {100, 0.15, 0.02}} {
		o := &LanPaint{Steps: 20, Inner: c.inner, Lambda: 5, StepSize: 0.2, Strength: 1}
		law := s.lanpaintLaw(t, o)
		var off, far, variance, want float64
		for i := range n {
			if s.a.At(i, i) == 0 {
				off += math.Pow(law.mean.AtVec(i)-postMean.AtVec(i), 2)
				far += math.Pow(s.gauss.Mean[i]-postMean.AtVec(i), 2)
				variance, want = variance+law.cov.At(i, i), want+postCov.At(i, i)
			}
		}
		off = math.Sqrt(off / far)
		t.Logf("%d Langevin steps: mean off by %.3f of the way, %.3f of the variance", c.inner, off, variance/want)
		require.Less(t, off, min(c.off, last))
		require.InDelta(t, 1-c.less/2, variance/want, c.less/2+0.01)
		last = off
	}
}

// TestLanPaintHole: nothing of what stands in a hole is in the result.
func TestLanPaintHole(t *testing.T) {
	m := prior.RandomTiny(3)
	requireUnseen(t, m, "lanpaint")
	_, err := Solve(context.Background(), m, blurProblem(t, 16, 16), method(t, "lanpaint", 3), Options{})
	var refused *Refused
	require.ErrorAs(t, err, &refused)
}
