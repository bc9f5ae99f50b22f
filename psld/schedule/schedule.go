// Package schedule holds noise schedules and the samplers' steps through them:
// DDIM as PSLD's solvers use it (DDIM), and the samplers of image generation
// (Sampler).
package schedule

import (
	"errors"
	"fmt"

	"psld/internal/betas"
)

// TrainSteps is the number of diffusion times that Stable Diffusion's schedule has.
const TrainSteps = 1000

// Noise is a noise schedule: the share of signal in the variance at each
// diffusion time. A latent z at time t with alpha a is sqrt(a) z + sqrt(1-a) e
// for standard normal e. Checkpoints carry the list under this name; a list
// stored in float16 is too coarse.
type Noise struct {
	AlphasCumprod []float32 // falling, within (0,1); for samplers the last may be 0
	// Prediction is what the network that was trained with this noise gives.
	Prediction Prediction
	// Spacing of a sampler's times, nil for that of Stable Diffusion.
	Spacing *Spacing
}

// Prediction is what a network gives for a noisy latent x = sqrt(a) z + sqrt(1-a) e.
type Prediction int

// What networks predict: the noise e; v = sqrt(a) e - sqrt(1-a) z (Salimans and Ho 2022), from which both can be told
// at any a; or the clean latent z.
const (
	Epsilon Prediction = iota
	V
	Sample
)

// Spacing says which diffusion times the steps of a sampler have, as the scheduler's config of diffusers does.
type Spacing struct {
	// Kind is "leading" (multiples of a whole number, and Offset), "linspace" (from the last time to the first) or
	// "trailing" (from the last time on, evenly); "" stands for what the sampler has of itself.
	Kind string
	// Offset is added to times of leading spacing.
	Offset int
	// EndsAtOne: the last step of ddim ends at a share of signal of 1, in place of the first of the schedule.
	EndsAtOne bool
}

// leastAlpha stands for a share of signal of 0 where noise over signal has to be finite, as in diffusers.
const leastAlpha = 1.0 / (1 << 24)

// WithSignal is the schedule with a share of signal above 0 at all times: where the last is 0 (zero terminal signal),
// it becomes 2^-24. So DDIM and DDPM and their like can divide by it.
func (n Noise) WithSignal() Noise {
	last := len(n.AlphasCumprod) - 1
	if last < 0 || n.AlphasCumprod[last] != 0 {
		return n
	}
	n.AlphasCumprod = append([]float32(nil), n.AlphasCumprod...)
	n.AlphasCumprod[last] = leastAlpha
	return n
}

// StableDiffusion is the schedule of Stable Diffusion 1.x and 2.x.
func StableDiffusion() Noise { return ScaledLinear(0.00085, 0.012, TrainSteps) }

// ScaledLinear is the schedule that diffusers calls scaled_linear and the
// CompVis code linear: equal steps in sqrt(beta) from start to end, where beta
// is the noise added at one of the given number of times. Latent diffusion
// models have (0.0015, 0.0195, 1000).
func ScaledLinear(start, end float64, times int) Noise {
	return Noise{AlphasCumprod: betas.Alphas(betas.ScaledLinear(start, end, times))}
}

// Linear is the schedule with equal steps in beta from start to end; guided diffusion's pixel models have
// (0.0001, 0.02, 1000).
func Linear(start, end float64, times int) Noise {
	return Noise{AlphasCumprod: betas.Alphas(betas.Linear(start, end, times))}
}

// CheckSignal returns an error where the last time has no signal and the network predicts the noise, which then says
// nothing of the picture.
func (n Noise) CheckSignal() error {
	if last := len(n.AlphasCumprod) - 1; last >= 0 && n.AlphasCumprod[last] == 0 && n.Prediction == Epsilon {
		return errors.New("noise schedule: there is no signal at the last time (rescale_betas_zero_snr), and the network " +
			"predicts the noise (prediction_type epsilon), which then says nothing of the picture; want v_prediction")
	}
	return nil
}

// Check returns an error unless there are at least two alphas and they fall
// within (0,1).
func (n Noise) Check() error {
	if len(n.AlphasCumprod) < 2 {
		return errors.New("noise schedule: fewer than 2 times")
	}
	prev := float32(1)
	for t, a := range n.AlphasCumprod {
		if !(a > 0 && a < prev) {
			return fmt.Errorf("noise schedule: alphas_cumprod[%d] is %v, want more than 0 and less than %v, the one before", t,
				a, prev)
		}
		prev = a
	}
	return nil
}

// times returns the number of diffusion times.
func (n Noise) times() int { return len(n.AlphasCumprod) }

// AlphasCumprod returns the share of signal in the variance at each diffusion
// time of Stable Diffusion.
func AlphasCumprod() []float32 { return StableDiffusion().AlphasCumprod }
