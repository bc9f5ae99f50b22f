// Package schedule holds noise schedules and the samplers' steps through them:
// DDIM as PSLD's solvers use it (DDIM), and the samplers of image generation
// (Sampler).
package schedule

import (
	"errors"
	"fmt"
	"math"
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
	return fromBetas(scaledLinear(start, end, times))
}

func scaledLinear(start, end float64, times int) []float64 {
	betas := linspace(math.Sqrt(start), math.Sqrt(end), times)
	for i, root := range betas {
		betas[i] = root * root
	}
	return betas
}

// Linear is the schedule with equal steps in beta from start to end.
func Linear(start, end float64, times int) Noise { return fromBetas(linspace(start, end, times)) }

// linspace returns n equally spaced numbers from lo to hi.
func linspace(lo, hi float64, n int) []float64 {
	x := make([]float64, n)
	step := (hi - lo) / float64(max(1, n-1))
	for i := range x {
		x[i] = lo + float64(step*float64(i)) // rounded twice on every machine
		if i > 0 && i >= n/2 {               // from the upper end, as torch.linspace does
			x[i] = hi - float64(step*float64(n-1-i))
		}
	}
	return x
}

// fromBetas multiplies 1 - beta up, in float64 and rounded.
func fromBetas(betas []float64) Noise {
	alphas := make([]float32, len(betas))
	prod := 1.0
	for i, b := range betas {
		prod *= 1 - b
		alphas[i] = float32(prod)
	}
	return Noise{alphas}
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
			return fmt.Errorf("noise schedule: alphas_cumprod[%d] is %v, want more than 0 and less than %v, the one before", t, a, prev)
		}
		prev = a
	}
	return nil
}

// times returns the number of diffusion times.
func (n Noise) times() int { return len(n.AlphasCumprod) }

// Betas returns the noise added at each diffusion time of Stable Diffusion.
func Betas() []float64 { return scaledLinear(0.00085, 0.012, TrainSteps) }

// AlphasCumprod returns the share of signal in the variance at each diffusion
// time of Stable Diffusion.
func AlphasCumprod() []float32 { return StableDiffusion().AlphasCumprod }
