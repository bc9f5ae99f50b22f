package schedule_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/schedule"
)

// gauss is data distributed N(mean, dev^2), for which all is known in closed
// form: noised data have mean sqrt(a) mean and variance a dev^2 + 1 - a, the
// expected noise in x is eps, and along the probability-flow ODE
// (x - sqrt(a) mean) / sqrt(a dev^2 + 1 - a) is constant.
type gauss struct{ mean, dev float64 }

func (g gauss) variance(a float64) float64 { return a*g.dev*g.dev + 1 - a }

func (g gauss) eps(x, a float64) float64 {
	return math.Sqrt(1-a) * (x - math.Sqrt(a)*g.mean) / g.variance(a)
}

// network returns the noise prediction eps(x, a) of the form that Step wants,
// for x as ScaleInput gives it. The share of signal a comes from the schedule's
// sigma at the time that the sampler names, linear between times.
func network(n schedule.Noise, s *schedule.Sampler, i int, x float32, eps func(x, a float64) float64) []float32 {
	time := float64(s.Time(i))
	sigma := func(t int) float64 {
		a := float64(n.AlphasCumprod[min(t, len(n.AlphasCumprod)-1)])
		return math.Sqrt((1 - a) / a)
	}
	lo := int(time)
	sig := sigma(lo) + (time-float64(lo))*(sigma(lo+1)-sigma(lo))
	in := []float32{x}
	s.ScaleInput(in, in, i)
	return []float32{float32(eps(float64(in[0]), 1/(1+sig*sig)))}
}

// space returns the factors of x = signal z + noise e at step i.
func space(s *schedule.Sampler, i int) (signal, noise float64) {
	one, zero, out := []float32{1}, []float32{0}, []float32{0}
	s.AddNoise(out, one, zero, i)
	signal = float64(out[0])
	s.AddNoise(out, zero, one, i)
	return signal, float64(out[0])
}

// TestOrder: the error of the deterministic samplers against the exact solution
// falls with the first power of the number of steps, for DPM-Solver++(2M) with
// the second.
//
// The schedule is Stable Diffusion's cut finer, 2^13 intervals in place of 999,
// so that 32, 64, ... equal steps fall on whole times: no rounding, no
// interpolation. The solution is compared at a quarter of the time: below, the
// steps of an equal division do not get short in log sigma, and the last one
// jumps to 0. Karras's steps get short down to the smallest sigma and are
// compared there. Their times are rounded for dpm++2m: 2^17 intervals make that small.
func TestOrder(t *testing.T) {
	g := gauss{0.7, 0.5}
	for name, order := range map[string]float64{"ddim": 1, "euler": 1, "euler_karras": 1, "dpm++2m": 2,
		"dpm++2m_karras": 2} {
		t.Run(name, func(t *testing.T) {
			karras := strings.HasSuffix(name, "karras")
			times := 1<<13 + 1
			if karras {
				times = 1<<17 + 1
			}
			cut := 1000 / float64(times)
			noise := schedule.ScaledLinear(0.00085*cut, 0.012*cut, times)
			error := func(steps int) float64 {
				if name == "euler" || karras { // they divide into one interval less
					steps++
				}
				s, err := noise.Sampler(name, steps, schedule.SamplerOptions{})
				require.NoError(t, err)
				end := (steps - 1) * 3 / 4
				if karras {
					end = steps - 1
				} else if name != "euler" {
					end = steps * 3 / 4
				}
				// a deviation of 1 from the mean, over sqrt(variance), at both ends
				scale := func(i int) (mean, dev float64) {
					signal, sigma := space(s, i)
					return signal * g.mean, math.Sqrt(signal*signal*g.dev*g.dev + sigma*sigma)
				}
				mean, dev := scale(0)
				x := []float32{float32(mean + dev)}
				for i := range end {
					s.Step(x, network(noise, s, i, x[0], g.eps), i, nil)
				}
				mean, dev = scale(end)
				return (float64(x[0])-mean)/dev - 1
			}
			was := error(32)
			for _, steps := range []int{64, 128} {
				now := error(steps)
				t.Logf("%d steps: error %.2e, %.2f times less", steps, now, was/now)
				require.InEpsilon(t, math.Pow(2, order), was/now, 0.12)
				was = now
			}
		})
	}
}

// TestEndPoint: with 500 steps through Stable Diffusion's own schedule, the
// deterministic samplers end near the exact solution's end, mean + dev for a
// start one deviation above the mean. What dpm++2m misses is the jump from its
// last sigma to 0: dev (1 - 1/sqrt(1 + sigma^2/dev^2)) = 0.0025 there.
func TestEndPoint(t *testing.T) {
	g := gauss{0.7, 0.5}
	noise := schedule.StableDiffusion()
	for name, limit := range map[string]float64{"ddim": 0.005, "euler": 0.005, "euler_karras": 0.005, "dpm++2m": 0.003,
		"dpm++2m_karras": 0.002} {
		s, err := noise.Sampler(name, 500, schedule.SamplerOptions{})
		require.NoError(t, err)
		signal, sigma := space(s, 0)
		x := []float32{float32(signal*g.mean + math.Hypot(signal*g.dev, sigma))}
		for i := range s.Len() {
			s.Step(x, network(noise, s, i, x[0], g.eps), i, nil)
		}
		t.Logf("%s: %+.1e", name, float64(x[0])-g.mean-g.dev)
		require.InDelta(t, g.mean+g.dev, x[0], limit, name)
	}
}

// moments takes the mean and variance of x through a step. For a prediction
// affine in x the step is x' = p x + q + r noise, found with three probes.
func moments(s *schedule.Sampler, n schedule.Noise, i int, eps func(x, a float64) float64, mean,
	variance float64) (float64, float64) {
	probe := func(x, noise float32) float64 {
		v := []float32{x}
		s.Step(v, network(n, s, i, x, eps), i, func(dst []float32) { dst[0] = noise })
		return float64(v[0])
	}
	q := probe(0, 0)
	p, r := probe(1, 0)-q, probe(0, 1)-q
	return p*mean + q, p*p*variance + r*r
}

// TestPointMass: for data that is a single value, the samplers keep the exact
// distribution of noised data at every step, for any number of steps: fresh
// noise makes up for what a step takes away. All but ddim, which ends at the
// schedule's first alpha, end at the value.
func TestPointMass(t *testing.T) {
	g := gauss{0.7, 0}
	noise := schedule.StableDiffusion()
	for _, c := range []struct {
		name string
		eta  float64
	}{{"ddim", 0}, {"ddim", 0.5}, {"ddim", 1}, {"ddpm", 0}, {"euler", 0}, {"euler_a", 0}, {"euler_a_karras", 0},
		{"dpm++2m", 0}, {"lcm", 0}} {
		for _, steps := range []int{1, 2, 7, 50, 1000} {
			if c.name == "lcm" && steps > 50 {
				continue
			}
			t.Run(fmt.Sprint(c.name, c.eta, steps), func(t *testing.T) {
				s, err := noise.Sampler(c.name, steps, schedule.SamplerOptions{Eta: c.eta})
				require.NoError(t, err)
				signal, sigma := space(s, 0)
				mean, variance := signal*g.mean, sigma*sigma
				for i := range steps {
					signal, sigma = space(s, i)
					require.InDelta(t, signal*g.mean, mean, 1e-3, "mean before step %d", i)
					require.InDelta(t, sigma*sigma, variance, 2e-3*max(0.1, sigma*sigma), "variance before step %d", i)
					mean, variance = moments(s, noise, i, g.eps, mean, variance)
				}
				signal, sigma = 1, 0
				if c.name == "ddim" {
					a := float64(noise.AlphasCumprod[0])
					signal, sigma = math.Sqrt(a), math.Sqrt(1-a)
				}
				require.InDelta(t, signal*g.mean, mean, 1e-3)
				require.InDelta(t, sigma*sigma, variance, 1e-5)
			})
		}
	}
}

// TestStochastic: from pure noise, the samplers with fresh noise end at the
// data's mean and deviation, the closer the more steps: twice the steps, half
// the error (ratio 1.6 to 2.4), and at 500 steps within 1 in 50.
func TestStochastic(t *testing.T) {
	g := gauss{0.7, 0.5}
	noise := schedule.StableDiffusion()
	for _, c := range []struct {
		name string
		eta  float64
	}{{"ddim", 1}, {"ddpm", 0}, {"euler_a", 0}, {"euler_a_karras", 0}} {
		t.Run(c.name, func(t *testing.T) {
			end := func(steps int) (mean, dev float64) {
				s, err := noise.Sampler(c.name, steps, schedule.SamplerOptions{Eta: c.eta})
				require.NoError(t, err)
				signal, sigma := space(s, 0)
				mean, variance := signal*g.mean, signal*signal*g.dev*g.dev+sigma*sigma
				for i := range steps {
					mean, variance = moments(s, noise, i, g.eps, mean, variance)
				}
				return mean, math.Sqrt(variance)
			}
			_, few := end(50)
			_, more := end(100)
			mean, dev := end(500)
			t.Logf("deviation with 50, 100, 500 steps: %.4f %.4f %.4f, mean %.4f", few, more, dev, mean)
			require.InDelta(t, 2, (few-g.dev)/(more-g.dev), 0.4)
			require.InEpsilon(t, g.mean, mean, 0.02)
			require.InEpsilon(t, g.dev, dev, 0.02)
		})
	}
}

// TestLCM: with a perfect consistency model, which maps x straight to the end
// of its ODE, lcm has the data's distribution at the end for any number of steps.
func TestLCM(t *testing.T) {
	g := gauss{0.7, 0.5}
	noise := schedule.StableDiffusion()
	consistency := func(x, a float64) float64 { // the noise that leaves the end point
		z := g.mean + g.dev*(x-math.Sqrt(a)*g.mean)/math.Sqrt(g.variance(a))
		return (x - math.Sqrt(a)*z) / math.Sqrt(1-a)
	}
	for _, steps := range []int{1, 2, 4, 8, 50} {
		s, err := noise.Sampler("lcm", steps, schedule.SamplerOptions{})
		require.NoError(t, err)
		signal, sigma := space(s, 0)
		mean, variance := signal*g.mean, signal*signal*g.dev*g.dev+sigma*sigma
		for i := range steps {
			mean, variance = moments(s, noise, i, consistency, mean, variance)
		}
		require.InDelta(t, g.mean, mean, 1e-4, "%d steps", steps)
		require.InDelta(t, g.dev, math.Sqrt(variance), 1e-4, "%d steps", steps)
	}
}
