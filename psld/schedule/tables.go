package schedule

import "math"

// spacing returns that of the schedule; kind is own where it names none.
func (n Noise) spacing(own string) (kind string, offset int, endsAtOne bool) {
	s := n.Spacing
	if s == nil {
		return own, 1, false
	}
	if s.Kind != "" {
		own = s.Kind
	}
	return own, s.Offset, s.EndsAtOne
}

// spaced returns falling times of the schedule's spacing, else of the kind own. Those of linspace are not whole. Times
// of leading spacing, 0, c, 2c, ... with c the number of times over steps, rounded down, and an offset, have less of
// that where they would leave the schedule.
func (n Noise) spaced(steps int, own string) []float64 {
	kind, offset, _ := n.spacing(own)
	all, last := float64(n.times()), float64(n.times()-1)
	stride := n.times() / steps
	times := make([]float64, steps)
	for i := range times {
		k := steps - 1 - i
		switch kind {
		case "leading":
			times[i] = float64(k*stride + min(offset, n.times()-1-(steps-1)*stride))
		case "trailing":
			times[i] = math.RoundToEven(all-float64(i)*all/float64(steps)) - 1
		default:
			times[i] = float64(k) * (last / float64(max(1, steps-1)))
		}
	}
	return times
}

// rounded are the times of spaced as indices of the schedule.
func (n Noise) rounded(steps int, own string) []int {
	times := make([]int, steps)
	for i, t := range n.spaced(steps, own) {
		times[i] = int(math.RoundToEven(t))
	}
	return times
}

func (n Noise) alpha(time int) float64 { return float64(n.AlphasCumprod[time]) }

// preserving is the row of a time in samplers whose x is sqrt(a) z + sqrt(1-a) e.
func (n Noise) preserving(time int) step {
	a := n.alpha(time)
	return step{time: float32(time), signal: math.Sqrt(a), sigma: math.Sqrt(1 - a)}
}

// ddim: x' = sqrt(p) z0 + sqrt(1-p-v) e + sqrt(v) noise (Song et al. 2021, eq.
// 12 and 16), e in terms of x and z0.
func (n Noise) ddim(steps int, eta float64) []step {
	stride := n.times() / steps
	_, _, endsAtOne := n.spacing("")
	var rows []step
	for _, t := range n.rounded(steps, "leading") {
		r, a, p := n.preserving(t), n.alpha(t), n.alpha(max(0, t-stride))
		if t < stride && endsAtOne {
			p = 1
		}
		v := eta * eta * (1 - p) / (1 - a) * (1 - a/p)
		e := math.Sqrt(max(0, 1-p-v))
		r.a = e / r.sigma
		r.b = math.Sqrt(p) - e*r.signal/r.sigma
		r.d, r.draws = math.Sqrt(v), eta > 0
		rows = append(rows, r)
	}
	return rows
}

// ddpm: mean and variance of the posterior q(x' | x, z0) (Ho et al. 2020, eq. 7).
func (n Noise) ddpm(steps int) []step {
	times := n.rounded(steps, "leading")
	var rows []step
	for i, t := range times {
		r, a, p := n.preserving(t), n.alpha(t), 1.0
		if i+1 < steps {
			p = n.alpha(times[i+1])
		}
		r.a = math.Sqrt(a/p) * (1 - p) / (1 - a)
		r.b = math.Sqrt(p) * (1 - a/p) / (1 - a)
		r.d, r.draws = math.Sqrt((1-p)/(1-a)*(1-a/p)), t > 0
		rows = append(rows, r)
	}
	return rows
}

// lcmTimes is the number of steps that latent consistency models are distilled for.
const lcmTimes = 50

// lcm: the consistency function c_out z0 + c_skip x, noised again for the next
// time (Luo et al. 2023, eq. 9 and algorithm 3).
func (n Noise) lcm(steps int) []step {
	origin := min(lcmTimes, n.times())
	stride := n.times() / origin
	times := make([]int, steps)
	for i := range times {
		times[i] = (origin-int(float64(i)*(float64(origin)/float64(steps))))*stride - 1
	}
	var rows []step
	for i, t := range times {
		r, p := n.preserving(t), 1.0
		if i+1 < steps {
			p = n.alpha(times[i+1])
		}
		const data = 0.5 // deviation of the data
		scaled := 10 * float64(t)
		norm := scaled*scaled + data*data
		r.a = math.Sqrt(p) * data * data / norm
		r.b = math.Sqrt(p) * scaled / math.Sqrt(norm)
		r.d, r.draws = math.Sqrt(1-p), i+1 < steps
		rows = append(rows, r)
	}
	return rows
}

// euler: x = z + sigma e, x' = x + (sigma' - sigma) e (Karras et al. 2022,
// algorithm 1), for times and the sigmas before and after each step.
func euler(times []float32, sigmas []float64) []step {
	var rows []step
	for i, t := range times {
		ratio := sigmas[i+1] / sigmas[i]
		rows = append(rows, step{time: t, signal: 1, sigma: sigmas[i], a: ratio, b: 1 - ratio})
	}
	return rows
}

// eulerA: a step of euler to a smaller sigma, fresh noise for the rest (k-diffusion).
func eulerA(times []float32, sigmas []float64) []step {
	var rows []step
	for i, t := range times {
		from, to := sigmas[i], sigmas[i+1]
		up := to * math.Sqrt(from*from-to*to) / from
		ratio := to / from * (to / from) // sqrt(to^2 - up^2) / from
		rows = append(rows, step{time: t, signal: 1, sigma: from, a: ratio, b: 1 - ratio, d: up, draws: true})
	}
	return rows
}

// dpm2M: DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): exact in x, linear in
// z0 over log sigma. With sigma = noise over signal, h the fall of its
// logarithm in this step and h0 in the last one,
//
//	x' = s'/s x + signal' (1 - sigma'/sigma) (z0 + h/(2 h0) (z0 - last)).
func dpm2M(times []float32, sigmas []float64) []step {
	signal := func(sigma float64) float64 { return 1 / math.Sqrt(1+sigma*sigma) }
	var rows []step
	for i, t := range times {
		from, to := sigmas[i], sigmas[i+1]
		r := step{time: t, signal: signal(from), sigma: from * signal(from)}
		r.a = to * signal(to) / r.sigma
		r.b = signal(to) * (1 - to/from)
		if i > 0 && to > 0 && sigmas[i-1] > from {
			r.c = -r.b * math.Log(from/to) / math.Log(sigmas[i-1]/from) / 2
			r.b -= r.c
		}
		rows = append(rows, r)
	}
	return rows
}

// sigma returns the deviation of the noise over that of the signal at a time,
// linear between the schedule's times.
func (n Noise) sigma(time float64) float64 {
	at := func(t int) float64 {
		a := max(n.alpha(t), leastAlpha)
		return math.Sqrt((1 - a) / a)
	}
	t := min(int(time), n.times()-2)
	return at(t) + (time-float64(t))*(at(t+1)-at(t))
}

// time returns the time of a sigma, linear in log sigma between the schedule's
// times and within them.
func (n Noise) time(sigma float64) float64 {
	lo, hi := 0, n.times()-1
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; n.sigma(float64(mid)) <= sigma {
			lo = mid
		} else {
			hi = mid
		}
	}
	from, to := math.Log(n.sigma(float64(lo))), math.Log(n.sigma(float64(hi)))
	return float64(lo) + min(1, max(0, (math.Log(sigma)-from)/(to-from)))
}

// linear returns equally spaced times from the last to 0 (just 0 for one
// step) or those of another spacing, as float32, and their sigmas, followed by 0.
func (n Noise) linear(steps int) ([]float32, []float64) {
	var times []float32
	var sigmas []float64
	for _, at := range n.spaced(steps, "linspace") {
		t := float32(at)
		times, sigmas = append(times, t), append(sigmas, n.sigma(float64(t)))
	}
	return times, append(sigmas, 0)
}

// linearKarras replaces the sigmas of linear by Karras's between the same ends.
func (n Noise) linearKarras(steps int) ([]float32, []float64) {
	times, sigmas := n.linear(steps)
	sigmas = karras(sigmas[0], sigmas[steps-1], steps)
	for i := range times {
		times[i] = float32(n.time(sigmas[i]))
	}
	return times, sigmas
}

// whole returns equally spaced times from the last to one above 0, rounded, or those of another spacing, and their
// sigmas, followed by 0. Leading spacing leaves out the first of one time more, as diffusers has it here.
func (n Noise) whole(steps int) ([]float32, []float64) {
	var times []float32
	var sigmas []float64
	kind, offset, _ := n.spacing("linspace")
	last := float64(n.times() - 1)
	stride := max(1, n.times()/(steps+1))
	for i := steps; i >= 1; i-- {
		t := math.RoundToEven(min(last, float64(i)*(last/float64(steps))))
		switch kind {
		case "leading":
			t = min(last, float64(i*stride+offset))
		case "trailing":
			all := float64(n.times())
			t = math.RoundToEven(all-float64(steps-i)*all/float64(steps)) - 1
		}
		times, sigmas = append(times, float32(t)), append(sigmas, n.sigma(t))
	}
	return times, append(sigmas, 0)
}

// wholeKarras returns Karras's sigmas over the whole schedule, followed by 0,
// and their rounded times.
func (n Noise) wholeKarras(steps int) ([]float32, []float64) {
	sigmas := karras(n.sigma(float64(n.times()-1)), n.sigma(0), steps)
	var times []float32
	for _, s := range sigmas[:steps] {
		times = append(times, float32(math.RoundToEven(n.time(s))))
	}
	return times, sigmas
}

// karras returns sigmas from hi to lo, equally spaced in sigma^(1/7), then 0
// (Karras et al. 2022, eq. 5).
func karras(hi, lo float64, steps int) []float64 {
	const rho = 7
	hi, lo = math.Pow(hi, 1./rho), math.Pow(lo, 1./rho)
	sigmas := make([]float64, steps+1)
	for i := range steps {
		sigmas[i] = math.Pow(hi+float64(i)/float64(max(1, steps-1))*(lo-hi), rho)
	}
	return sigmas
}
