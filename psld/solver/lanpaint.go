package solver

import (
	"context"
	"fmt"
	"math"
	"slices"

	"psld/psld/schedule"
	"psld/tensor"
)

// LanPaint (Zheng, Lan, Wang 2025) fills holes in latents without any gradient: at each of Karras's levels some
// Langevin steps let what is known and what is not come to terms, before an Euler step goes to the next level. What is
// known, y, is as in [DING]. At share a of signal, for a state x = sqrt(a) z0 + sqrt(1-a) e in which the prior sees
// the clean z0, the drift of the hole is the score of all, that of the known part is a mixture,
//
//	hole   (sqrt(a) z0 - x) / (1-a)
//	known  (1+Lambda) (sqrt(a) y - x) / (1-a) - Lambda (sqrt(a) z0 - x) / (1-a)
//
// so that what is known hears of the hole as well. Both are C - w x / (1-a), w = 1 in the hole and 1+Lambda in the
// known part. With C held fixed that is an Ornstein-Uhlenbeck process, whose step of time StepSize (1-a) is exact; u
// is where it tends to, k = exp(-w StepSize), n fresh noise:
//
//	u = sqrt(a) z0                                            in the hole
//	u = sqrt(a) y + Lambda / (1+Lambda) (x - sqrt(a) z0)      in the known part
//	x = k x + (1-k) u + sqrt((1-a) (1-k^2) / w) n
//
// The first step at a level is this one; a later one is half of it with the old u, x + w StepSize (u - old u) with the
// u of there, and half of it with that. There are Inner (1-a) of them, rounded, and none at the last level. Each level
// begins with the known part at sqrt(a) y + sqrt(1-a) n0, with the n0 of the start at all of them.
//
// The Euler step goes on from the state that the Langevin steps end at. The published ComfyUI node hands its sampler
// the clean z0 alone, which steps from the state before them; and by default its Langevin steps have a momentum, of
// which these are the limit of great friction. Known pixels are put back by the caller.
type LanPaint struct {
	Steps    int     `json:"steps" range:"1..999" default:"20" help:"levels of noise, spaced as Karras's"`
	Inner    int     `json:"inner" range:"0..100" default:"5" help:"Langevin steps at the noisiest level, at others less"`
	Lambda   float64 `json:"lambda" range:"0..50" default:"5" help:"how much what is known hears of the hole"`
	StepSize float64 `json:"step_size" range:">0..1" default:"0.2" help:"time of a Langevin step over 1-a"`
	Strength float64 `json:"strength" range:">0..1" default:"1" help:"share of diffusion time; 1 starts from noise"`
}

// Bind implements [Method].
func (o *LanPaint) Bind(r *Run) (Stepper, error) {
	if err := r.Prior.Schedule().CheckSignal(); err != nil {
		return nil, err
	}
	known, err := r.knownStates("lanpaint")
	if err != nil {
		return nil, err
	}
	return &lanpaint{r: r, o: *o, known: known, passes: o.passes(r.Prior.Schedule())}, nil
}

// A pass is one look of the prior at the state, and so one step of the run.
type pass struct {
	level, next float64 // noise beside the clean state, here and at the next level, where 0 is the end
	inner       int     // the number of the Langevin step at its level
	euler       bool    // the step is no Langevin step but that to the next level
}

// passes are those of all levels.
func (o *LanPaint) passes(n schedule.Noise) (list []pass) {
	const rho = 7 // Karras et al. (2022), equation 5
	from, to := math.Pow(n.Sigma(timeOf(n, o.Strength)), 1./rho), math.Pow(n.Sigma(0), 1./rho)
	levels := make([]float64, o.Steps+1)
	for i := range o.Steps {
		levels[i] = math.Pow(from+float64(i)/float64(max(1, o.Steps-1))*(to-from), rho)
	}
	for i, s := range levels[:o.Steps] {
		inner := int(math.Round(float64(o.Inner) * (1 - signal(s))))
		if i == o.Steps-1 {
			inner = 0
		}
		for k := range inner {
			list = append(list, pass{level: s, inner: k})
		}
		list = append(list, pass{level: s, next: levels[i+1], inner: inner, euler: true})
	}
	return list
}

type lanpaint struct {
	r      *Run
	o      LanPaint
	known  []bool // of the state's places, row by row
	passes []pass
}

func (m *lanpaint) Len() int { return len(m.passes) }

// Start is the encoded measurement with the noise of the first level.
func (m *lanpaint) Start(s *State) error {
	y, err := m.r.encodeFilled()
	if err != nil {
		return err
	}
	shape := m.r.Shape()
	s.Set("y", y, shape...)
	s.Set("z0", y, shape...)
	s.Set("z", m.noised(m.passes[0].level, y), shape...)
	return nil
}

// scales are the factors of the clean state and of the noise at a level.
func scales(level float64) (al, si float64) {
	al = 1 / math.Sqrt(1+level*level)
	return al, level * al
}

// noised is a clean state with the noise of a level. It is the same noise at all levels.
func (m *lanpaint) noised(level float64, clean []float32) []float32 {
	al, si := scales(level)
	z := make([]float32, len(clean))
	for k, n := range m.r.Noise("start", 0, len(z)) {
		z[k] = float32(al*float64(clean[k]) + si*float64(n))
	}
	return z
}

func (m *lanpaint) Step(_ context.Context, s *State) (Report, error) {
	p, y, shape := m.passes[s.Step], s.Vars["y"].Data, s.Vars["z"].Shape
	time := m.r.Prior.Schedule().Time(p.level)
	report := Report{At: fmt.Sprintf("t=%.1f", time)}
	z := slices.Clone(s.Vars["z"].Data)
	if p.inner == 0 { // the first look at this level
		again, c := m.noised(p.level, y), shape[3]
		for k := range z {
			if m.known[k/c] {
				z[k] = again[k]
			}
		}
	}
	if !p.euler && p.inner > 0 {
		m.relax(s.Step, "before", z, s.Vars["u"].Data, m.o.StepSize/2)
	}
	eps := m.r.noiseIn(z, shape, float32(time))
	al, si := scales(p.level)
	clean := make([]float32, len(z))
	for k, e := range eps {
		clean[k] = float32((float64(z[k]) - si*float64(e)) / al)
	}
	report.Loss = misfit(m.known, clean, y)
	report.Measurement = math.Sqrt(report.Loss)
	if p.euler {
		m.euler(p, z, clean, y)
		delete(s.Vars, "u")
	} else {
		s.Set("u", m.langevin(s.Step, z, eps, s.Vars["u"], y), shape...)
	}
	s.Set("z0", clean, shape...)
	s.Set("z", z, shape...)
	return report, nil
}

// euler moves z to the next level, and what is known of clean to y.
func (m *lanpaint) euler(p pass, z, clean, y []float32) {
	c := len(z) / len(m.known)
	from, _ := scales(p.level)
	to, _ := scales(p.next)
	for k, v := range z {
		if m.known[k/c] {
			clean[k] = y[k]
		}
		x0 := float64(clean[k])
		z[k] = float32(to * (x0 + p.next/p.level*(float64(v)/from-x0)))
	}
}

// langevin ends a Langevin step, whose first half is done but for the first one of a level, with the noise that the
// prior sees in z. It returns where the values tend to.
func (m *lanpaint) langevin(step int, z, eps []float32, old *tensor.Tensor, y []float32) []float32 {
	p, c := m.passes[step], len(z)/len(m.known)
	al, si := scales(p.level)
	u := make([]float32, len(z))
	for k, e := range eps {
		noise := si * float64(e)
		u[k] = float32(float64(z[k]) - noise)
		if m.known[k/c] {
			u[k] = float32(al*float64(y[k]) + m.o.Lambda/(1+m.o.Lambda)*noise)
		}
	}
	if p.inner == 0 {
		m.relax(step, "first", z, u, m.o.StepSize)
		return u
	}
	for k := range z {
		z[k] += float32(m.rate(k/c) * m.o.StepSize * float64(u[k]-old.Data[k]))
	}
	m.relax(step, "after", z, u, m.o.StepSize/2)
	return u
}

// rate is how fast a place tends to where it does.
func (m *lanpaint) rate(place int) float64 {
	if m.known[place] {
		return 1 + m.o.Lambda
	}
	return 1
}

// relax is the exact step of z towards u, in place, with noise of a stream of that name.
func (m *lanpaint) relax(step int, name string, z, u []float32, time float64) {
	c, variance := len(z)/len(m.known), 1-signal(m.passes[step].level)
	for k, n := range m.r.Noise("lanpaint "+name, step, len(z)) {
		w := m.rate(k / c)
		keep, to := math.Exp(-w*time), float64(u[k])
		fresh := math.Sqrt(variance * (1 - keep*keep) / w)
		z[k] = float32(to + keep*(float64(z[k])-to) + fresh*float64(n))
	}
}

// Picture decodes the last clean state.
func (m *lanpaint) Picture(s *State) ([]float32, error) { return m.r.DecodePicture(s.Vars["z0"]), nil }
