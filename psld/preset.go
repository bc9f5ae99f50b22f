package psld

import (
	"math"

	"psld/psld/prior"
	"psld/psld/solver"
)

// preset holds the parameters of a task; gamma and omega are for 64x64 pixels.
type preset struct {
	steps        int
	strength     float64
	gamma, omega float64
	back         string
	gluingEvery  int // 0: in every step
}

// tuned are the parameters for models like the embedded one: the best of small grids on six
// validation photos that the README's tables do not use. The hole of a box is given
// more strength than its PSNR asks for: less would leave it smooth.
var tuned = map[Task]preset{
	Inpaint:        {steps: 30, strength: 0.2, gamma: 1, omega: 3, back: "adjoint"},
	InpaintRandom:  {steps: 30, strength: 0.1, gamma: 1, omega: 1, back: "adjoint"},
	InpaintBox:     {steps: 30, strength: 0.2, gamma: 1, omega: 3, back: "adjoint"},
	SR4:            {steps: 30, strength: 0.03, gamma: 1, omega: 1, back: "adjoint"},
	DeblurGaussian: {steps: 30, strength: 0.03, gamma: 0.3, omega: 2, back: "adjoint"},
	DeblurMotion:   {steps: 30, strength: 0.03, gamma: 0.3, omega: 3, back: "adjoint"},
	Denoise:        {steps: 30, strength: 0.03, gamma: 0.1, omega: 2, back: "adjoint"},
}

// published are those of the PSLD code for Stable Diffusion (run/*.sh), with the 200 steps of
// its web page in place of 1000.
func published(t Task) preset {
	p := preset{steps: 200, strength: 1, gamma: 0.1, omega: 1, back: "reference"}
	if t == InpaintBox {
		p.gamma, p.omega = 0.01, 0.1
	}
	return p
}

// Preset gives the options that Solve uses for a task on pictures of h x w pixels where o leaves
// them open, and the name of the back-projection: those of o.Presets where it has the task. Else Stable Diffusion
// takes the published parameters, other models those found for the embedded one.
//
// The gradient of a norm has a length that does not depend on the number of pixels, so a step
// moves each latent value less in a larger picture: the weights found at 64x64
// grow with the side. Squared norms need weights of their own; there are no presets for them.
func Preset(m *prior.LatentDiffusion, t Task, h, w int, o Options) (so solver.Options, back string) {
	p, ok := o.Presets.preset(t, h, w)
	switch {
	case ok:
	case m.StableDiffusion:
		p = published(t)
	default:
		p = tuned[t]
		side := math.Sqrt(float64(h*w)) / 64
		p.gamma, p.omega = p.gamma*side, p.omega*side
	}
	if o.Reference {
		p.back, p.strength = "reference", 1
	}
	so = solver.Options{Method: or(o.Method, "psld"), Steps: or(o.Steps, p.steps), Strength: p.strength, Gamma: p.gamma, Omega: p.omega, Seed: o.Seed,
		SampleEncoder: o.Reference, LoopNoise: o.LoopNoise, Squared: o.Squared, GluingEvery: or(o.GluingEvery, p.gluingEvery)}
	for _, v := range []struct{ to, from *float64 }{{&so.Gamma, o.Gamma}, {&so.Omega, o.Omega}, {&so.Eta, o.Eta}, {&so.Strength, o.Strength}} {
		if v.from != nil {
			*v.to = *v.from
		}
	}
	return so, or(o.Back, p.back)
}

// or is v, or other where v is its type's zero.
func or[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}
