package schedule

import (
	"fmt"
	"math"
	"strings"

	"psld/internal/nearest"
)

// Sampler takes a latent from noise to a picture's latent in Len steps, of
// which step 0 has the most noise. A run is
//
//	x = Init() * normal noise
//	for i := 0; i < Len(); i++ {
//		ScaleInput(in, x, i)
//		out = network(in, Time(i))
//		Step(x, out, i, noise)
//	}
//
// and from a picture's latent z (image-to-image): AddNoise(x, z, noise, start),
// then steps from start (see StartStep) on. The latents of several pictures
// can go through together, as one slice in any order of elements.
//
// All samplers are tables of the same form: with x = signal z + sigma e before
// the step, z0 the clean latent that the network's output means and last the z0 of
// the step before,
//
//	x' = a x + b z0 + c last + d noise.
//
// A Sampler remembers last, so that it belongs to one run at a time.
type Sampler struct {
	steps []step
	last  []float64 // z0 of the step before
	kind  Prediction
	// leading: noise starts as if a picture of deviation 1 were in it, as diffusers' Euler samplers have it where times
	// are spaced so.
	leading bool
	fresh   []float32 // noise
	next    int       // step that last is for
}

// step is a row of the table.
type step struct {
	time          float32
	signal, sigma float64
	a, b, c, d    float64
	draws         bool // asks for noise, even where d is 0, as diffusers does
}

// SamplerOptions are what a sampler needs besides its name and number of steps.
type SamplerOptions struct {
	// Eta is the share of fresh noise in each step of "ddim", 0 (none) to 1
	// (DDPM-like). The other samplers have none.
	Eta float64
}

// samplers in the order that Samplers names them.
var samplers = []struct {
	name string
	rows func(n Noise, steps int, eta float64) []step
}{
	{"ddim", Noise.ddim},
	{"ddpm", func(n Noise, steps int, _ float64) []step { return n.ddpm(steps) }},
	{"euler", func(n Noise, steps int, _ float64) []step { return euler(n.linear(steps)) }},
	{"euler_karras", func(n Noise, steps int, _ float64) []step { return euler(n.linearKarras(steps)) }},
	{"euler_a", func(n Noise, steps int, _ float64) []step { return eulerA(n.linear(steps)) }},
	{"euler_a_karras", func(n Noise, steps int, _ float64) []step { return eulerA(n.linearKarras(steps)) }},
	{"dpm++2m", func(n Noise, steps int, _ float64) []step { return dpm2M(n.whole(steps)) }},
	{"dpm++2m_karras", func(n Noise, steps int, _ float64) []step { return dpm2M(n.wholeKarras(steps)) }},
	{"lcm", func(n Noise, steps int, _ float64) []step { return n.lcm(steps) }},
}

// Samplers returns the names that NewSampler knows.
func Samplers() []string {
	var names []string
	for _, s := range samplers {
		names = append(names, s.name)
	}
	return names
}

// NewSampler is StableDiffusion().Sampler.
func NewSampler(name string, steps int, o SamplerOptions) (*Sampler, error) {
	return StableDiffusion().Sampler(name, steps, o)
}

// Sampler returns a sampler by name, with 1 to 1000 steps (the number of
// times of the schedule; lcm: 50). Times and numbers are those of diffusers'
// schedulers with the configuration of Stable Diffusion 1.5, that is
// Scheduler.from_config(pipe.scheduler.config):
//
//	ddim            DDIMScheduler: leading spacing, offset 1, ends at the first alpha
//	ddpm            DDPMScheduler: leading spacing, offset 1, fixed_small variance
//	euler           EulerDiscreteScheduler: linspace spacing, times are no integers
//	euler_karras    the same with use_karras_sigmas
//	euler_a         EulerAncestralDiscreteScheduler: linspace spacing
//	euler_a_karras  the same steps on the sigmas of euler_karras (not in diffusers)
//	dpm++2m         DPMSolverMultistepScheduler: dpmsolver++, order 2, midpoint, last step of order 1
//	dpm++2m_karras  the same with use_karras_sigmas
//	lcm             LCMScheduler: steps out of 50, time scale 10
//
// A Spacing of the schedule takes the place of theirs, as timestep_spacing, steps_offset and set_alpha_to_one do
// there; lcm has its own. Where the last time has no signal, the Euler samplers and dpm++2m take a share of
// 2^-24 for it.
//
// As there, a single step of ddim, ddpm, euler, euler_a and the Karras forms of
// the latter two is at time 1 or 0, where it removes no noise worth the name:
// use 2 steps or more. With 1000 steps, where diffusers fails, ddim and ddpm
// use times 999 to 0 and dpm++2m the time it meets twice.
//
// lcm is for networks distilled for it: full LCM models, which want the
// guidance scale w as a further input, or an LCM-LoRA on plain weights, which
// do not; both are run with a guidance scale of 1 (none) to 2.
func (n Noise) Sampler(name string, steps int, o SamplerOptions) (*Sampler, error) {
	if err := n.WithSignal().Check(); err != nil {
		return nil, err
	}
	if err := n.CheckSignal(); err != nil {
		return nil, err
	}
	for _, s := range samplers {
		if s.name != name {
			continue
		}
		most := n.times()
		if name == "lcm" {
			most = min(most, lcmTimes)
		}
		if steps < 1 || steps > most {
			return nil, fmt.Errorf("sampler %s: %d steps, want 1 to %d", name, steps, most)
		}
		if o.Eta != 0 && name != "ddim" {
			return nil, fmt.Errorf("sampler %s: eta %v, want 0: only ddim has an eta", name, o.Eta)
		}
		if !(o.Eta >= 0 && o.Eta <= 1) {
			return nil, fmt.Errorf("sampler %s: eta %v, want 0 to 1", name, o.Eta)
		}
		kind, _, _ := n.spacing("")
		return &Sampler{steps: s.rows(n, steps, o.Eta), kind: n.Prediction, leading: kind == "leading", next: -1}, nil
	}
	return nil, fmt.Errorf("sampler %q, want one of %s%s", name, strings.Join(Samplers(), ", "),
		nearest.Hint(name, Samplers()))
}

// StartStep returns the step that image-to-image starts at: the last
// strength * steps (rounded down) of the steps are run. Strength is more than
// 0 (the picture stays) and at most 1 (nothing of it stays); one that leaves no
// step is an error.
func StartStep(steps int, strength float64) (int, error) {
	if !(strength > 0 && strength <= 1) {
		return 0, fmt.Errorf("strength: %v, want more than 0 and at most 1", strength)
	}
	run := int(float64(steps) * strength)
	if run < 1 {
		return 0, fmt.Errorf("strength %v of %d steps leaves no step to run", strength, steps)
	}
	return steps - run, nil
}

// Len returns the number of steps.
func (s *Sampler) Len() int { return len(s.steps) }

// Time returns the diffusion time that the network is given at step i. It is
// no integer for the Euler samplers.
func (s *Sampler) Time(i int) float32 { return s.steps[i].time }

// Init returns the factor of the standard normal noise that a run starts from.
func (s *Sampler) Init() float32 {
	switch first := s.steps[0]; {
	case first.signal != 1:
		return 1
	case s.leading:
		return float32(math.Sqrt(1 + first.sigma*first.sigma))
	default:
		return float32(first.sigma)
	}
}

// ScaleInput writes what the network is given at step i for the latent x to
// dst, which may be x.
func (s *Sampler) ScaleInput(dst, x []float32, i int) {
	r := &s.steps[i]
	scale := 1.0
	if r.signal == 1 { // x keeps the picture's size and has sigma of noise on top
		scale = 1 / math.Sqrt(1+r.sigma*r.sigma)
	}
	for j, v := range x {
		dst[j] = float32(float64(v) * scale)
	}
}

// Z0 writes the clean latent that the network's output means for x at step i to
// dst, for previews. dst may be x or out.
func (s *Sampler) Z0(dst, x, out []float32, i int) {
	for j := range x {
		dst[j] = float32(s.z0(x[j], out[j], i))
	}
}

// z0 follows from x = signal z + sigma e and, for n^2 = signal^2 + sigma^2,
// n v = signal e - sigma z.
func (s *Sampler) z0(x, out float32, i int) float64 {
	r := &s.steps[i]
	switch s.kind {
	case V:
		n := r.signal*r.signal + r.sigma*r.sigma
		return (r.signal*float64(x) - r.sigma*math.Sqrt(n)*float64(out)) / n
	case Sample:
		return float64(out)
	}
	return (float64(x) - r.sigma*float64(out)) / r.signal
}

// Draws reports whether step i asks for noise.
func (s *Sampler) Draws(i int) bool { return s.steps[i].draws }

// Step replaces x, the latent before step i, by the one after it, for the
// network's output (see Prediction). noise fills a slice of the length of x with
// fresh standard normal numbers, in the order of x (see Source.Normal of
// package rng); it is called once in the steps that Draws names and may be nil
// if there are none.
//
// dpm++2m uses the prediction of step i-1 if that was the step before;
// otherwise, as at the start, its step is of order 1.
func (s *Sampler) Step(x, out []float32, i int, noise func(dst []float32)) {
	r := &s.steps[i]
	if len(s.last) != len(x) {
		s.last, s.fresh, s.next = make([]float64, len(x)), make([]float32, len(x)), -1
	}
	if r.draws {
		noise(s.fresh)
	}
	for j := range x {
		z0 := s.z0(x[j], out[j], i)
		last := z0
		if s.next == i {
			last = s.last[j]
		}
		x[j] = float32(r.a*float64(x[j]) + r.b*z0 + r.c*last + r.d*float64(s.fresh[j]))
		s.last[j] = z0
	}
	s.next = i + 1
}

// AddNoise writes the clean latent z with the noise of step i to dst, for
// standard normal noise. dst may be either.
func (s *Sampler) AddNoise(dst, z, noise []float32, i int) {
	r := &s.steps[i]
	for j := range z {
		dst[j] = float32(r.signal*float64(z[j]) + r.sigma*float64(noise[j]))
	}
}
