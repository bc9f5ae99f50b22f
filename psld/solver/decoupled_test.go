package solver

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/prior"
	"psld/tensor"
)

// TestLatentDAPSSteps holds a run against the formulas in float64, value by value: states z + s e, Euler steps of
// the probability flow, Langevin steps with a clipped gradient. One value's gradient is beyond the clip.
func TestLatentDAPSSteps(t *testing.T) {
	t.Run("published", func(t *testing.T) {
		testLatentDAPS(t, &LatentDAPS{Steps: 4, Inner: 3, Flow: 2, Rate: 1e-3, LastRate: 0.5, Momentum: 0.6, Heat: 1,
			Spread: 1, Tau: 0.2, From: 5, To: 0.1, Strength: 1})
	})
	t.Run("from a picture", func(t *testing.T) {
		testLatentDAPS(t, &LatentDAPS{Steps: 4, Inner: 3, Flow: 5, Rate: 1e-3, LastRate: 0.5, Momentum: 0.6, Heat: 0.4,
			Spread: 0.3, From: 5, To: 0.1, Strength: 0.5})
	})
}

func testLatentDAPS(t *testing.T, o *LatentDAPS) {
	c := newDiffPIRCase(t, 0.1)
	start := make([]float32, len(c.p.Y))
	for i := range start {
		start[i] = float32(i%3) / 4
	}
	res, err := Solve(context.Background(), lossyCodec{c.prior}, c.p, o, Options{Seed: 5, Start: start})
	require.NoError(t, err)
	tau, first := o.Tau, o.From
	if tau == 0 {
		tau = math.Sqrt(2) * 0.1
	}
	rooted := func(from, to, share float64) float64 {
		return math.Pow(math.Pow(from, 1./7)+share*(math.Pow(to, 1./7)-math.Pow(from, 1./7)), 7)
	}
	least := math.Sqrt(1/float64(c.prior.Schedule().AlphasCumprod[0]) - 1) // that the prior has
	clipped := false
	for i, x := range res.X {
		s := &scalar{c, t, i, 0.1, 0}
		z := first * s.noise("start", 0)
		if o.Strength < 1 {
			first = math.Sqrt(1/s.share(999*o.Strength) - 1)
			z = 0.32*float64(start[i]) + first*s.noise("start", 0)
		}
		for k := range o.Steps {
			level := rooted(first, o.To, float64(k)/float64(o.Steps))
			a := z
			for j := range o.Flow {
				n := float64(o.Flow)
				now, next := rooted(level, 0.001, float64(j)/n), rooted(level, 0.001, float64(j+1)/n)
				unit, seen := a/math.Sqrt(1+now*now), max(now, least)
				share := 1 / (1 + seen*seen)
				_, eps := s.clean(unit, share)
				a += (next - now) * eps
			}
			z = a
			v, rate := o.Heat*s.noise("velocity", k), o.Rate*(1+float64(k)/float64(o.Steps+1)*(o.LastRate-1))
			for j := range o.Inner {
				grad := 0.0
				if s.keep[i/3] {
					grad = 2 * 3 * (3*z - float64(c.p.Y[i]))
					clipped = clipped || math.Abs(grad) > 1
				}
				score := -min(max(grad, -1), 1)/(tau*tau) + (a-z)/(level*level*o.Spread*o.Spread)
				v = o.Momentum*v + math.Sqrt(rate)*score +
					o.Heat*math.Sqrt(2*(1-o.Momentum))*s.noise("langevin", k*o.Inner+j)
				z += math.Sqrt(rate) * v
			}
			if k+1 < o.Steps {
				x := rooted(first, o.To, float64(k+1)/float64(o.Steps))
				z += x * s.noise("level", k)
			}
		}
		require.InDelta(t, 3*z, x, 2e-3, "value %d", i)
	}
	require.True(t, clipped)
	o.From, o.To = 0.1, 0.1
	_, err = Solve(context.Background(), c.prior, c.p, o, Options{})
	require.EqualError(t, err, "from 0.1 is not more than to 0.1: the noise must fall")
}

// TestSTSLSteps holds a run without the second-order term, whose gradient a normal prior has not, against the formulas
// in float64, value by value.
func TestSTSLSteps(t *testing.T) {
	c := newDiffPIRCase(t, 0.1)
	o := &STSL{DDIM: DDIM{Steps: 5, Strength: 1}, Fit: Fit{Omega: 0.05, Squared: true}, Inner: 2, Trace: 0.02}
	res, err := Solve(context.Background(), lossyCodec{c.prior}, c.p, o, Options{Seed: 5})
	require.NoError(t, err)
	d, err := c.prior.Schedule().DDIM(5, 0)
	require.NoError(t, err)
	for i, x := range res.X {
		s := &scalar{c, t, i, 0.1, 0}
		m, v := c.mean[i], c.variances[i]
		z := s.noise("start", 0)
		for k := d.Len() - 1; k >= 0; k-- {
			a, next := float64(d.Alphas[k]), float64(d.AlphasPrev[k])
			seen := float64(s.prior.Schedule().AlphasCumprod[d.Timesteps[k]]) // by the network: DDIM's times are one on
			gain := math.Sqrt(1-seen) / (seen*v + 1 - seen)
			of := func(z float64) (z0, eps, slope float64) {
				eps = gain * (z - math.Sqrt(seen)*m)
				return (z - math.Sqrt(1-a)*eps) / math.Sqrt(a), eps, (1 - math.Sqrt(1-a)*gain) / math.Sqrt(a)
			}
			for range o.Inner {
				if z0, _, slope := of(z); s.keep[i/3] {
					z -= o.Omega * 2 * 3 * slope * (3*z0 - float64(c.p.Y[i]))
				}
			}
			z0, eps, _ := of(z)
			z = math.Sqrt(next)*z0 + math.Sqrt(1-next)*eps
		}
		require.InDelta(t, 3*z, x, 1e-4, "value %d", i)
	}
}

// TestSTSLTrace: the gradient, with the second-order term as nearly all of it, against differences of the loss; and
// the term itself against its formula.
func TestSTSLTrace(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	r := newRun(m, p, Options{})
	b, err := (&STSL{DDIM: DDIM{Steps: 10, Strength: 1}, Fit: Fit{Omega: 1e-3}, Inner: 1, Trace: 50}).Bind(r)
	require.NoError(t, err)
	s, n := b.(*stsl), 8*8*4
	loss := func(z []float32) (float64, []float32) {
		grad, report := s.gradient(tensor.From(z, 1, 8, 8, 4), 5, 3)
		return report.Loss, grad
	}
	z, along := noise(5, n, 1), noise(6, n, 1)
	at, grad := loss(z)
	var slope float64
	plus, minus := make([]float32, n), make([]float32, n)
	const h = 1e-2
	for i, v := range along {
		plus[i], minus[i] = z[i]+h*v, z[i]-h*v
		slope += float64(grad[i]) * float64(v)
	}
	up, _ := loss(plus)
	down, _ := loss(minus)
	require.InDelta(t, (up-down)/(2*h), slope, 0.02*math.Abs(slope))

	a, time := float64(s.d.Alphas[5]), float32(s.d.Timesteps[5])
	probe, shape := draw(0, "probe", 3, n), []int{1, 8, 8, 4}
	seen := func(z []float32) []float32 {
		g := r.NoGrad()
		defer g.Release()
		return append([]float32(nil), g.Device().Host(r.Eps(g, g.Const(tensor.From(z, shape...)), time).T)...)
	}
	moved := make([]float32, n)
	for i, v := range probe {
		moved[i] = z[i] + v
	}
	before, after := seen(z), seen(moved)
	var term float64
	for i, v := range probe {
		term += float64(v) * -float64(after[i]-before[i]) / math.Sqrt(1-a)
	}
	s.o.Trace = 0
	plain, _ := loss(z)
	require.InDelta(t, 50*term/float64(n), at-plain, 1e-4)
}

// TestDINGSteps holds a run against the formulas in float64, value by value, with the second look at the noise and
// without.
func TestDINGSteps(t *testing.T) {
	c := newDiffPIRCase(t, 0)
	start := make([]float32, len(c.p.Y))
	for i := range start {
		start[i] = float32(i%3) / 4
	}
	for _, delayed := range []bool{false, true} {
		o := &DING{Steps: 6, Noise: 0.05, Delayed: delayed}
		res, err := Solve(context.Background(), lossyCodec{c.prior}, c.p, o, Options{Seed: 5, Start: start})
		require.NoError(t, err)
		require.Equal(t, 7, res.Steps)
		for i, x := range res.X {
			s := &scalar{c, t, i, 0, 0}
			y := 0.32 * float64(start[i])
			if s.keep[i/3] {
				y = 0.32 * float64(c.p.Y[i])
			}
			z := s.noise("start", 0)
			for k := range o.Steps {
				time := func(k int) float64 { return float64(c.prior.Schedule().AlphasCumprod[int(999*(1-float64(k)/8)+0.5)]) }
				at, as := time(k), time(k+1)
				z0, eps := s.clean(z, at)
				v := (1 - as) * (1 - math.Sqrt(as)) * (1 - math.Sqrt(as))
				coef := math.Sqrt(1-as-v) / math.Sqrt(1-at)
				mean := coef*z + (math.Sqrt(as)-math.Sqrt(at)*coef)*z0
				if !delayed {
					_, eps = s.clean(mean+math.Sqrt(v)*s.noise("proxy", k), as)
				}
				n := s.noise("ding", k)
				z = mean + math.Sqrt(v)*n
				if s.keep[i/3] {
					obs := as * o.Noise * o.Noise
					g := v / (v + obs)
					z = (1-g)*mean + g*(math.Sqrt(as)*y+math.Sqrt(1-as)*eps) + math.Sqrt(g*obs)*n
				}
			}
			z0, _ := s.clean(z, float64(c.prior.Schedule().AlphasCumprod[250])) // 999 * 2/8, to the nearest
			require.InDelta(t, 3*z0, x, 2e-4, "value %d, delayed %v", i, delayed)
		}
	}
}

// TestDINGKnown: a latent is known where all of its pixels are, and no latent hears of what stands in a hole.
func TestDINGKnown(t *testing.T) {
	m, p := prior.RandomTiny(3), holeProblem(t, 24, 20)
	known, err := newRun(m, p, Options{}).knownStates("ding")
	require.NoError(t, err)
	require.Len(t, known, 12*10)
	for i, k := range known {
		require.Equal(t, i/10 >= 6 || i%10 >= 5, k, "latent %d", i)
	}
	mask, err := operator.NewMask(16, 16, 3, make([]bool, 256))
	require.NoError(t, err)
	_, err = Solve(context.Background(), m, Problem{A: mask, Y: make([]float32, 768)}, method(t, "ding", 3), Options{})
	var refused *Refused
	require.ErrorAs(t, err, &refused)
	_, err = Solve(context.Background(), m, blurProblem(t, 16, 16), method(t, "ding", 3), Options{})
	require.ErrorAs(t, err, &refused)
	requireUnseen(t, m, "ding")
}

// requireUnseen: nothing of what stands in a hole is in the result of a method.
func requireUnseen(t *testing.T, m prior.Prior, name string) {
	run := func(hole float32) []float32 {
		p := holeProblem(t, 24, 20)
		for i, k := range operator.MaskOf(p.A) {
			if !k {
				p.Y[3*i], p.Y[3*i+1], p.Y[3*i+2] = hole, hole, hole
			}
		}
		res, err := Solve(context.Background(), m, p, method(t, name, 3), Options{Start: make([]float32, 24*20*3)})
		require.NoError(t, err)
		return res.X
	}
	require.Equal(t, run(0), run(0.7))
}
