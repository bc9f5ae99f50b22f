package solver

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/psld/operator"
	"psld/psld/prior"
	"psld/tensor"
)

// lossyCodec is a codec that is none: D(z) = 3 z leaves [-1,1], E(x) = 0.32 x is not its inverse.
type lossyCodec struct{ *prior.Gaussian }

func (lossyCodec) Encode(g *autograd.Graph, x *autograd.Value, _ *tensor.Tensor) *autograd.Value {
	return g.Scale(x, 0.32)
}
func (lossyCodec) Decode(g *autograd.Graph, z *autograd.Value) *autograd.Value { return g.Scale(z, 3) }

// scalar is one value of the problem of newDiffPIRCase, where all is diagonal: its prior, its measurement, and the
// arithmetic of the papers in float64, in states sqrt(a) z + sqrt(1-a) e.
type scalar struct {
	diffPIRCase
	t     *testing.T
	i     int
	sigma float64
	start float64
}

// clean is E[z0 | z] at share of signal a, and the noise.
func (s *scalar) clean(z, a float64) (z0, eps float64) {
	m, v := s.mean[s.i], s.variances[s.i]
	z0 = m + math.Sqrt(a)*v/(a*v+1-a)*(z-math.Sqrt(a)*m)
	return z0, (z - math.Sqrt(a)*z0) / math.Sqrt(1-a)
}

// encodedFit is the fit of D(z0), and the state that it encodes to.
func (s *scalar) encodedFit(z0, rho float64) (x, z float64) {
	x = min(max(3*z0, -1), 1)
	if s.keep[s.i/3] {
		x = (float64(s.p.Y[s.i]) + rho*x) / (1 + rho)
	}
	x = min(max(x, -1), 1)
	return x, 0.32 * x
}

// weight is rho for weight lambda at share of signal a.
func (s *scalar) weight(lambda, a float64) float64 { return lambda * s.sigma * s.sigma / (1 - a) }

func (s *scalar) noise(stream string, step int) float64 {
	return float64(draw(5, stream, step, len(s.mean))[s.i])
}

// begin is the start picture's state with noise.
func (s *scalar) begin(a float64) float64 {
	return math.Sqrt(a)*0.32*s.start + math.Sqrt(1-a)*s.noise("start", 0)
}

// share is the share of signal at a time that need not be whole, linear in the logarithm of noise over signal.
func (s *scalar) share(t float64) float64 {
	alphas := s.prior.Schedule().AlphasCumprod
	log := func(i int) float64 { return 0.5 * math.Log((1-float64(alphas[i]))/float64(alphas[i])) }
	i := min(int(t), len(alphas)-2)
	f := t - float64(i)
	level := math.Exp((1-f)*log(i) + f*log(i+1))
	return 1 / (1 + level*level)
}

func (s *scalar) latino(o *LATINO) float64 {
	var times []float64 // of 50 that the models are distilled for
	for i := range o.Steps {
		times = append(times, float64((50-50*i/o.Steps)*20-1))
	}
	times = times[o.Steps-int(float64(o.Steps)*o.Strength):]
	z := s.begin(s.share(times[0]))
	for k, t := range times {
		a := s.share(t)
		z0, _ := s.clean(z, a)
		x, mu := s.encodedFit(z0, s.weight(o.Lambda, a))
		if k == len(times)-1 {
			return x
		}
		next := s.share(times[k+1])
		z = math.Sqrt(next)*mu + math.Sqrt(1-next)*s.noise("latino", k)
	}
	return 0
}

func (s *scalar) treg(o *TReg) float64 {
	d, err := s.prior.Schedule().DDIMUntil(o.Steps, o.Strength, 0)
	require.NoError(s.t, err)
	z := s.begin(float64(d.Alphas[d.Len()-1]))
	for k := range d.Len() {
		i := d.Len() - 1 - k
		a, next := float64(d.Alphas[i]), float64(d.AlphasPrev[i])
		z0, eps := s.clean(z, a)
		if i == 0 {
			return 3 * z0
		}
		if k%o.FitEvery != 0 || float64(d.Timesteps[i]) <= 1000*o.FitUntil {
			z = math.Sqrt(next)*z0 + math.Sqrt(1-next)*eps
			continue
		}
		_, zy := s.encodedFit(z0, s.weight(o.Lambda, a))
		c := next*zy + (1-next)*z0
		z = math.Sqrt(next)*c + (1-next)*eps + math.Sqrt((1-next)*next)*s.noise("treg", k)
	}
	return 0
}

// walk does the hops of DCDP and of Guess & Guide at the times: where a fit is due the state is made anew of what it
// encodes to, elsewhere it takes a DDIM step.
func (s *scalar) walk(stream string, times []float64, rho func(k int) float64) float64 {
	z := s.begin(s.share(times[0]))
	for k, t := range times {
		z0, eps := s.clean(z, s.share(t))
		w := rho(k)
		if k == len(times)-1 {
			if x, _ := s.encodedFit(z0, w); w > 0 {
				return x
			}
			return 3 * z0
		}
		if next := s.share(times[k+1]); w > 0 {
			_, mu := s.encodedFit(z0, w)
			z = math.Sqrt(next)*mu + math.Sqrt(1-next)*s.noise(stream, k)
		} else {
			z = math.Sqrt(next)*z0 + math.Sqrt(1-next)*eps
		}
	}
	return 0
}

func (s *scalar) dcdp(o *DCDP) float64 {
	var times, tops []float64
	for round := range o.Rounds {
		top := 999 * o.Strength * float64(o.Rounds-round) / float64(o.Rounds)
		for i := range o.Steps {
			times, tops = append(times, top*float64(o.Steps-i)/float64(o.Steps)), append(tops, top)
		}
	}
	return s.walk("dcdp", times, func(k int) float64 {
		if k%o.Steps != o.Steps-1 || k == len(times)-1 {
			return 0
		}
		return s.weight(o.Lambda, s.share(tops[k]))
	})
}

func (s *scalar) guess(o *Guess) float64 {
	var times []float64
	for range o.Guesses {
		times = append(times, 999*o.Strength)
	}
	for i := range o.Steps {
		times = append(times, 999*o.Strength*float64(o.Steps-i)/float64(o.Steps))
	}
	return s.walk("guess", times, func(k int) float64 {
		if k >= o.Guesses && (k-o.Guesses)%o.FitEvery != 0 {
			return 0
		}
		return s.weight(o.Lambda, s.share(times[k]))
	})
}

// dpm is written in the state sqrt(a) z + sqrt(1-a) e, as DPM-Solver++(2M) is published: of half logarithmic signal to
// noise ratio l, z' = (sigma'/sigma) z - alpha' (exp(-(l'-l)) - 1) D.
func (s *scalar) dpm(o *DPM) float64 {
	first := math.Cbrt(math.Sqrt(1/s.share(999*o.Strength) - 1))
	var levels []float64
	for i := range o.Steps {
		levels = append(levels, math.Pow(first+float64(i)/float64(o.Steps-1)*(math.Cbrt(o.To)-first), 3))
	}
	z := s.begin(1 / (1 + levels[0]*levels[0]))
	var before float64
	for k, level := range levels {
		a := 1 / (1 + level*level)
		z0, _ := s.clean(z, a)
		x, fit := s.encodedFit(z0, s.weight(o.Lambda, a))
		if k == len(levels)-1 {
			return x
		}
		if k < o.Fits {
			z0 = fit
		}
		d, h := z0, math.Log(level/levels[k+1])
		if k > 0 {
			r := math.Log(levels[k-1]/level) / h
			d = (1+1/(2*r))*z0 - 1/(2*r)*before
		}
		next := 1 / (1 + levels[k+1]*levels[k+1])
		z = math.Sqrt((1-next)/(1-a))*z - math.Sqrt(next)*(math.Exp(-h)-1)*d
		before = z0
	}
	return 0
}

// TestProximalSteps holds runs of the methods of the loop without gradients against the formulas of their papers, in
// float64, value by value, with a codec that loses something and leaves [-1,1].
func TestProximalSteps(t *testing.T) {
	const sigma = 0.1
	c := newDiffPIRCase(t, sigma)
	latino := &LATINO{Steps: 8, Strength: 0.8, Lambda: 2}
	treg := &TReg{DDIM: DDIM{Steps: 12, Strength: 0.7}, FitEvery: 3, FitUntil: 0.15, Lambda: 0.7}
	dcdp := &DCDP{Rounds: 3, Steps: 4, Strength: 0.6, Lambda: 1.5}
	guess := &Guess{Guesses: 2, Steps: 7, FitEvery: 3, Strength: 0.5, Lambda: 1.5}
	dpm := &DPM{Steps: 6, Fits: 2, Strength: 0.7, To: 0.15, Lambda: 0.7}
	plain := &Guess{Steps: 6, FitEvery: 2, Strength: 0.5, Lambda: 1.5}
	start := make([]float32, len(c.p.Y))
	for i := range start {
		start[i] = float32(i%3) / 4
	}
	for name, m := range map[string]struct {
		method Method
		want   func(s *scalar) float64
	}{
		"latino":               {latino, func(s *scalar) float64 { return s.latino(latino) }},
		"treg":                 {treg, func(s *scalar) float64 { return s.treg(treg) }},
		"dcdp":                 {dcdp, func(s *scalar) float64 { return s.dcdp(dcdp) }},
		"guess, ends in a fit": {guess, func(s *scalar) float64 { return s.guess(guess) }},
		"dpm":                  {dpm, func(s *scalar) float64 { return s.dpm(dpm) }},
		"guess, none":          {plain, func(s *scalar) float64 { return s.guess(plain) }},
	} {
		res, err := Solve(context.Background(), lossyCodec{c.prior}, c.p, m.method, Options{Seed: 5, Start: start})
		require.NoError(t, err)
		for i := range start {
			s := &scalar{c, t, i, sigma, float64(start[i])}
			require.InDelta(t, m.want(s), res.X[i], 2e-4, "%s, value %d", name, i)
		}
	}
}

// TestLATINOSpread holds the variance of LATINO's samples against the recursion of its steps, which are affine where
// nothing is clipped, and that against the posterior's: it is much less, as each step replaces the state by a fit of
// what is expected, and the last one ends there. So also says theory.
func TestLATINOSpread(t *testing.T) {
	const sigma, seeds = 0.2, 300
	c := newDiffPIRCase(t, sigma)
	for i := range c.variances {
		c.variances[i] /= 4 // nothing is clipped
	}
	o := &LATINO{Steps: 8, Strength: 1, Lambda: 1}
	sum, squares := c.moments(t, o, seeds)
	alphas := c.prior.Schedule().AlphasCumprod
	var measured, missing, count float64 // variance over the recursion's
	var spread [2]float64                // over the posterior's
	for i, mean := range sum {
		v, fresh, gain := c.variances[i], 1.0, 1.0
		for k := range o.Steps {
			a := float64(alphas[(50-50*k/o.Steps)*20-1])
			if k > 0 {
				fresh = 1 - a + a*fresh*gain*gain
			} else {
				fresh = 1 - a
			}
			gain = math.Sqrt(a) * v / (a*v + 1 - a)
			if c.keep[i/3] {
				rho := sigma * sigma / (1 - a)
				gain *= rho / (1 + rho)
			}
		}
		got, want := squares[i]-mean*mean, fresh*gain*gain
		if c.keep[i/3] {
			measured, count = measured+got/want, count+1
			spread[0] += want / (v * sigma * sigma / (v + sigma*sigma))
		} else {
			missing += got / want
			spread[1] += want / v
		}
	}
	require.InDelta(t, 1, measured/count, 5*math.Sqrt(2/(seeds*count)))
	require.InDelta(t, 1, missing/count, 5*math.Sqrt(2/(seeds*count)))
	require.Less(t, spread[0]/count, 0.1)
	require.Less(t, spread[1]/count, 0.5)
}

// TestFitEvery: with fits on some hops alone DiffPIR takes the steps between in the prior's states, and the result is
// a fit.
func TestFitEvery(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	var encoded []bool
	o := Options{Start: make([]float32, p.A.In().Len()), Progress: func(p Progress) {
		encoded = append(encoded, p.Timing.Encoder.Forward > 0)
		x, err := p.Picture()
		require.NoError(t, err)
		require.Len(t, x, 16*16*3)
	}}
	every := &DiffPIR{Steps: 5, From: 1, To: 0.1, Lambda: 1, FitEvery: 2, Blend: 0.5, SNoise: 1}
	res, err := Solve(context.Background(), m, p, every, o)
	require.NoError(t, err)
	require.Equal(t, []bool{true, false, true, false, false}, encoded)
	require.NotNil(t, res.State.Vars["x"])
	require.Nil(t, res.State.Vars["z0"])
}

// TestHalf: the first steps have states of half the resolution, and show pictures of the full one. Where the size
// changes, the state is the encoded picture with fresh noise.
func TestHalf(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 24)
	var shapes [][]int
	var last []float32
	o := Options{Seed: 4, Start: noise(3, 16*24*3, 0.3), Progress: func(p Progress) {
		shapes = append(shapes, p.State.Vars["z"].Shape)
		x, err := p.Picture()
		require.NoError(t, err)
		require.Len(t, x, 16*24*3)
		if p.Step == 2 {
			last = p.State.Vars["z"].Data
			g := autograd.NoGrad(m.Device())
			defer g.Release()
			clean := m.Encode(g, g.Const(tensor.From(x, 1, 16, 24, 3)), nil).Host()
			alphas := m.Schedule().AlphasCumprod
			a := float64(alphas[1+2*499/4]) // of the third of 5 times up to 500
			for i, n := range draw(4, "treg", 1, len(clean)) {
				require.InDelta(t, float64(clean[i])+math.Sqrt((1-a)/a)*float64(n), last[i], 1e-4)
			}
		}
	}}
	half := &TReg{DDIM: DDIM{Steps: 5, Strength: 0.5}, FitEvery: 3, FitUntil: 0.1, Lambda: 1, Half: 0.4}
	_, err := Solve(context.Background(), m, p, half, o)
	require.NoError(t, err)
	small, full := []int{1, 4, 6, 4}, []int{1, 8, 12, 4}
	require.Equal(t, [][]int{small, full, full, full, full}, shapes)
	_, err = Solve(context.Background(), m, blurProblem(t, 16, 18), half, Options{})
	require.ErrorContains(t, err, "whose sides are multiples of 8, or a little less, this one has 18x16")
}

// TestCoarsePicture: of a run that was stopped a state of half the resolution, with sides that are odd, is decoded as
// it is where one of the full resolution would be halved once.
func TestCoarsePicture(t *testing.T) {
	r := newRun(prior.RandomTiny(3), blurProblem(t, 20, 28), Options{})
	m := &proximal{r: r}
	small, full := &State{Vars: map[string]*tensor.Tensor{}}, &State{Vars: map[string]*tensor.Tensor{}}
	small.Set("z0", noise(3, 5*7*4, 0.3), 1, 5, 7, 4)
	whole, err := m.Picture(small)
	require.NoError(t, err)
	r.coarse = 1
	half, err := m.Picture(small)
	require.NoError(t, err)
	require.Equal(t, whole, half)
	big := make([]float32, 10*14*4) // each of small's values four times
	for i := range big {
		y, x, c := i/4/14, i/4%14, i%4
		big[i] = small.Vars["z0"].Data[(y/2*7+x/2)*4+c]
	}
	full.Set("z0", big, 1, 10, 14, 4)
	of, err := m.Picture(full)
	require.NoError(t, err)
	require.Equal(t, half, of)
}

// TestFitStopsInside: a fit by conjugate gradients ends in its middle, with the picture of the steps before it.
func TestFitStopsInside(t *testing.T) {
	c := newDiffPIRCase(t, 0.1)
	for name, o := range map[string]Method{
		"diffpir":   &DiffPIR{Steps: 6, From: 1, To: 0.1, Lambda: 1, FitEvery: 1, Blend: 1, SNoise: 1},
		"pnp-admm":  &PnPADMM{Iterations: 6, Rho: 0.01},
		"score-sde": &ScoreSDE{DDPM{Steps: 6}, Projection{Ridge: 0.01}},
	} {
		in := c.p.A.In()
		k, err := operator.Gaussian(3, 1)
		require.NoError(t, err)
		blur, err := operator.NewBlur(in.H, in.W, 3, k)
		require.NoError(t, err)
		y := make([]float32, in.Len())
		blur.Apply(y, noise(1, len(y), 0.3))
		run := func(ctx context.Context, a *cancelling, progress func(Progress)) (*Result, error) {
			return Solve(ctx, c.prior, Problem{A: a, Y: y, Sigma: 0.05}, o, Options{Progress: progress})
		}
		var pictures [][]float32
		const many = 1 << 30
		whole := &cancelling{Linear: blur, left: many}
		_, err = run(t.Context(), whole, func(p Progress) {
			x, err := p.Picture()
			require.NoError(t, err)
			pictures = append(pictures, x)
		})
		require.NoError(t, err, name)
		uses := many - whole.left
		require.Greater(t, uses, 12, name)
		for _, at := range []int{uses / 2, uses - 3} {
			ctx, cancel := context.WithCancel(t.Context())
			a := &cancelling{Linear: blur, left: at, cancel: cancel}
			res, err := run(ctx, a, nil)
			cancel()
			require.ErrorIs(t, err, context.Canceled, name)
			require.LessOrEqual(t, a.after, 1, name) // of the residual, where the fit is done
			require.NotNil(t, res, name)
			require.Less(t, res.Steps, 6, name)
			require.Positive(t, res.Steps, name)
			require.Equal(t, pictures[res.Steps-1], res.X, name)
		}
	}
}
