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
	AlphasCumprod []float32 // falling, within (0,1)
}

// StableDiffusion is the schedule of Stable Diffusion 1.x and 2.x.
func StableDiffusion() Noise { return ScaledLinear(0.00085, 0.012, TrainSteps) }

// ScaledLinear is the schedule that diffusers calls scaled_linear and the
// CompVis code linear: equal steps in sqrt(beta) from start to end, where beta
// is the noise added at one of the given number of times. Latent diffusion
// models have (0.0015, 0.0195, 1000).
func ScaledLinear(start, end float64, times int) Noise {
	return Noise{betas.Alphas(betas.ScaledLinear(start, end, times))}
}

// Linear is the schedule with equal steps in beta from start to end; guided diffusion's pixel models have
// (0.0001, 0.02, 1000).
func Linear(start, end float64, times int) Noise {
	return Noise{betas.Alphas(betas.Linear(start, end, times))}
}

// Check returns an error unless there are at least two alphas and they fall
// within (0,1). All samplers need that.
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
