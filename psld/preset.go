package psld

import (
	"psld/psld/prior"
	"psld/psld/solver"
)

// preset holds the parameters of a task.
type preset struct {
	steps        int
	gamma, omega float64
	squared      bool
	back         string
}

// tuned are the parameters for models like the embedded one, the best of a grid on
// validation photos that the tables of the README do not use.
var tuned = map[Task]preset{
	Inpaint:        {40, 0.1, 3, false, "adjoint"},
	InpaintRandom:  {40, 0.1, 3, false, "adjoint"},
	InpaintBox:     {40, 0.1, 3, false, "adjoint"},
	SR4:            {40, 0.1, 3, false, "pinv"},
	DeblurGaussian: {40, 0.1, 3, false, "pinv"},
	DeblurMotion:   {40, 0.1, 3, false, "pinv"},
	Denoise:        {40, 0.1, 3, false, "adjoint"},
}

// published are those of the PSLD code for Stable Diffusion (run/*.sh), with the 200 steps of
// its web page in place of 1000.
func published(t Task) preset {
	if t == InpaintBox {
		return preset{200, 0.01, 0.1, false, "reference"}
	}
	return preset{200, 0.1, 1, false, "reference"}
}

// Preset gives the options that Solve uses for a task where o leaves them open, and the name
// of the back-projection. Models with Stable Diffusion's eight-fold VAE take
// the published parameters, others those found for the embedded model.
func Preset(m *prior.Latent, t Task, o Options) (so solver.Options, back string) {
	p := tuned[t]
	if m.VAE.Factor() == 8 {
		p = published(t)
	}
	so = solver.Options{Method: o.Method, Steps: o.Steps, Gamma: p.gamma, Omega: p.omega, Squared: p.squared, Seed: o.Seed}
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
	if o.Reference {
		so.Squared, so.SampleEncoder, so.LoopNoise = false, true, o.ReferenceNoise
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
