package psld

import (
	"math"

	"psld/psld/prior"
	"psld/psld/solver"
)

// preset holds the parameters of a task; gamma and omega are for 64x64 pixels.
type preset struct {
	steps        int
	gamma, omega float64
	squared      bool
	back         string
	strength     float64
}

// tuned are the parameters for models like the embedded one, the best of a grid on
// validation photos that the tables of the README do not use.
var tuned = map[Task]preset{
	Inpaint:        {40, 0.1, 3, false, "adjoint", 1},
	InpaintRandom:  {30, 1, 1.5, false, "adjoint", 0.1},
	InpaintBox:     {40, 0.1, 3, false, "adjoint", 1},
	SR4:            {40, 0.1, 3, false, "pinv", 1},
	DeblurGaussian: {40, 0.1, 3, false, "pinv", 1},
	DeblurMotion:   {40, 0.1, 3, false, "pinv", 1},
	Denoise:        {40, 0.1, 3, false, "adjoint", 1},
}

// published are those of the PSLD code for Stable Diffusion (run/*.sh), with the 200 steps of
// its web page in place of 1000.
func published(t Task) preset {
	if t == InpaintBox {
		return preset{200, 0.01, 0.1, false, "reference", 1}
	}
	return preset{200, 0.1, 1, false, "reference", 1}
}

// Preset gives the options that Solve uses for a task on pictures of h x w pixels where o leaves
// them open, and the name of the back-projection. Models with Stable Diffusion's
// eight-fold VAE take the published parameters, others those found for the
// embedded model.
//
// The gradient of a norm has a length that does not depend on the number of pixels, so a step
// moves each latent value less in a larger picture: the weights found at 64x64
// grow with the side.
func Preset(m *prior.Latent, t Task, h, w int, o Options) (so solver.Options, back string) {
	p := tuned[t]
	side := math.Sqrt(float64(h*w)) / 64
	p.gamma, p.omega = p.gamma*side, p.omega*side
	if m.VAE.Factor() == 8 {
		p = published(t)
	}
	so = solver.Options{Method: o.Method, Steps: o.Steps, Gamma: p.gamma, Omega: p.omega, Squared: p.squared, Strength: p.strength, Seed: o.Seed}
	if so.Method == "" {
		so.Method = "psld"
	}
	if so.Steps == 0 {
		so.Steps = p.steps
	}
	if o.Gamma != nil {
		so.Gamma = *o.Gamma
	}
	if o.Omega != nil {
		so.Omega = *o.Omega
	}
	if o.Eta != nil {
		so.Eta = *o.Eta
	}
	if o.Strength != nil {
		so.Strength = *o.Strength
	}
	if o.Reference {
		so.Squared, so.SampleEncoder, so.LoopNoise, so.Strength = false, true, o.ReferenceNoise, 1
		p.back = "reference"
	}
	if o.Squared != nil {
		so.Squared = *o.Squared
	}
	if o.Back != "" {
		p.back = o.Back
	}
	return so, p.back
}
