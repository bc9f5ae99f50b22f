package solver

import (
	"context"
	"fmt"
	"math"
	"slices"

	"psld/tensor"
)

// DING is decoupled inpainting guidance (Janati et al. 2026, their exact algorithm): masks only, without any gradient,
// and with a decoder and an encoder only at the ends. The measurement, its holes filled as the rough picture has them
// so that nothing of a hole reaches the latents around it, is encoded to y; a latent whose pixels are all known is
// known. From time t to s, for a latent z = al_t z0 + si_t e and v = si_s^2 (1 - al_s)^2,
//
//	mean     m = c z + (al_s - al_t c) z0,  c = sqrt(si_s^2 - v) / si_t
//	proxy    p = m + sqrt(v) n, in which the prior sees the noise e_p
//	unknown  z = m + sqrt(v) n'
//	known    z = (1-g) m + g (al_s y + si_s e_p) + sqrt(g) al_s Noise n',  g = v / (v + al_s^2 Noise^2)
//
// The times are those of Steps + 2 even ones but the last two; the result is D(z0) of the last. Known pixels are put
// back by the caller. Delayed takes the noise seen in z for e_p: half the work, and a looser fit.
type DING struct {
	Steps   int     `json:"steps" range:"1..998" default:"26" help:"steps between even times"`
	Noise   float64 `json:"latent_noise" range:"0..10" default:"0.01" help:"noise that known latents are taken to have"`
	Delayed bool    `json:"delayed" help:"one pass through the UNet in a step in place of two"`
}

// Bind implements [Method].
func (o *DING) Bind(r *Run) (Stepper, error) {
	n := r.Prior.Schedule()
	if err := n.CheckSignal(); err != nil {
		return nil, err
	}
	known, err := r.knownStates("ding")
	if err != nil {
		return nil, err
	}
	m := &ding{r: r, o: *o, known: known}
	last := float64(len(n.AlphasCumprod) - 1)
	for i := range o.Steps + 1 {
		m.times = append(m.times, int(math.Round(last*(1-float64(i)/float64(o.Steps+2)))))
	}
	return m, nil
}

type ding struct {
	r     *Run
	o     DING
	known []bool // of the state's places, row by row
	times []int  // falling
}

// Len counts the last look at the clean state.
func (m *ding) Len() int { return len(m.times) }

// Start is noise, beside it the encoded measurement.
func (m *ding) Start(s *State) error {
	shape := m.r.Shape()
	s.Set("z", slices.Clone(m.r.Noise("start", 0, tensor.Len(shape))), shape...)
	y, err := m.r.encodeFilled()
	if err != nil {
		return err
	}
	s.Set("y", y, shape...)
	s.Vars["z0"] = s.Vars["y"]
	return nil
}

func (m *ding) Step(_ context.Context, s *State) (Report, error) {
	z, y, time := s.Vars["z"], s.Vars["y"].Data, m.times[s.Step]
	report := Report{At: fmt.Sprintf("t=%d", time)}
	al, si := m.r.signalNoise(time)
	eps := m.r.noiseIn(z.Data, z.Shape, float32(time))
	clean := make([]float32, len(eps))
	for k, e := range eps {
		clean[k] = float32((float64(z.Data[k]) - si*float64(e)) / al)
	}
	s.Set("z0", clean, z.Shape...)
	report.Loss = misfit(m.known, clean, y)
	report.Measurement = math.Sqrt(report.Loss)
	if s.Step+1 == len(m.times) {
		return report, nil
	}
	s.Set("z", m.next(s.Step, z, clean, eps, y), z.Shape...)
	return report, nil
}

// signalNoise are the factors of the clean state and of the noise at a time.
func (r *Run) signalNoise(time int) (al, si float64) {
	a := float64(r.Prior.Schedule().AlphasCumprod[time])
	return math.Sqrt(a), math.Sqrt(1 - a)
}

// next is the state at the time after step.
func (m *ding) next(step int, z *tensor.Tensor, clean, eps, y []float32) []float32 {
	to := m.times[step+1]
	al, si := m.r.signalNoise(m.times[step])
	alS, siS := m.r.signalNoise(to)
	v := siS * siS * (1 - alS) * (1 - alS)
	c := math.Sqrt(siS*siS-v) / si
	mean, proxy := make([]float64, len(clean)), make([]float32, len(clean))
	first, second := m.r.Noise("proxy", step, len(mean)), m.r.Noise("ding", step, len(mean))
	for k := range mean {
		mean[k] = c*float64(z.Data[k]) + (alS-al*c)*float64(clean[k])
		proxy[k] = float32(mean[k] + math.Sqrt(v)*float64(first[k]))
	}
	if !m.o.Delayed {
		eps = m.r.noiseIn(proxy, z.Shape, float32(to))
	}
	obs := max(m.o.Noise, 1e-6)
	g := v / (v + alS*alS*obs*obs)
	next, channels := make([]float32, len(mean)), z.Dim(3)
	for k, n := range second {
		if m.known[k/channels] {
			target := alS*float64(y[k]) + siS*float64(eps[k])
			next[k] = float32((1-g)*mean[k] + g*target + math.Sqrt(g)*alS*obs*float64(n))
		} else {
			next[k] = float32(mean[k] + math.Sqrt(v)*float64(n))
		}
	}
	return next
}

// Picture decodes the last clean state.
func (m *ding) Picture(s *State) ([]float32, error) { return m.r.DecodePicture(s.Vars["z0"]), nil }
