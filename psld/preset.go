package psld

import (
	"math"
	"slices"

	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
)

// tuned are the parameters for models like the embedded one: the best of small grids on six
// validation photos that the README's tables do not use. The hole of a box is given
// more strength than its PSNR asks for: less would leave it smooth. Weights are for 64x64 pixels.
var tuned = map[Task]TaskPreset{
	Inpaint:        {Steps: 30, Strength: 0.2, Gamma: 1, Omega: 3, Back: "adjoint"},
	InpaintRandom:  {Steps: 30, Strength: 0.1, Gamma: 1, Omega: 1, Back: "adjoint"},
	InpaintBox:     {Steps: 30, Strength: 0.2, Gamma: 1, Omega: 3, Back: "adjoint"},
	SR4:            {Steps: 30, Strength: 0.03, Gamma: 1, Omega: 1, Back: "adjoint"},
	DeblurGaussian: {Steps: 30, Strength: 0.03, Gamma: 0.3, Omega: 2, Back: "adjoint"},
	DeblurMotion:   {Steps: 30, Strength: 0.03, Gamma: 0.3, Omega: 3, Back: "adjoint"},
	Denoise:        {Steps: 30, Strength: 0.03, Gamma: 0.1, Omega: 2, Back: "adjoint"},
}

// published are those of the PSLD code for Stable Diffusion (run/*.sh), with the 200 steps of
// its web page in place of 1000.
func published(t Task) TaskPreset {
	p := TaskPreset{Steps: 200, Strength: 1, Gamma: 0.1, Omega: 1, Back: "reference"}
	if t == InpaintBox {
		p.Gamma, p.Omega = 0.01, 0.1
	}
	return p
}

// family are the methods that the presets of PSLD are for.
var family = []string{"psld", "gmldps", "ldps"}

// Preset gives the method that Solve runs for a task on pictures of h x w pixels, with all its parameters: those of
// o.Params, else those of the task's preset, else the method's defaults. PSLD and its relatives have presets: those of
// o.Presets where it has the task, else for Stable Diffusion the published parameters, for other models those found for
// the embedded one. Total variation has the weight that suits the task. m may be nil for a method that needs no prior.
//
// The gradient of a norm has a length that does not depend on the number of pixels, so a step
// moves each latent value less in a larger picture: the weights found at 64x64
// grow with the side. Squared norms need weights of their own; there are no presets for them.
func Preset(m prior.Prior, t Task, h, w int, o Options) (solver.Method, error) {
	spec, err := solver.Lookup(or(o.Method, "psld"))
	if err != nil {
		return nil, err
	}
	method := spec.Default()
	values := param.Values{}
	switch {
	case slices.Contains(family, spec.Name):
		values = taskPreset(m, t, h, w, o)
	case spec.Name == "tv":
		values = param.Values{"lambda": tvWeights[t], "iterations": 300}
	}
	if o.Reference {
		values["back"], values["strength"], values["sample_encoder"] = "reference", 1.0, true
	}
	if err := values.Only(method).Apply(method); err != nil {
		return nil, err
	}
	return method, o.Params.Apply(method)
}

// taskPreset are the parameters of PSLD's family for a task and a size.
func taskPreset(m prior.Prior, t Task, h, w int, o Options) param.Values {
	p, size := tuned[t], 64
	own, ok := o.Presets.find(t)
	switch {
	case ok:
		p, size = own, o.Presets.Size
	case m != nil && m.Info().Family == prior.FamilyStableDiffusion:
		p, size = published(t), 0
	}
	values := p.values()
	if size == 0 {
		return values
	}
	side := math.Sqrt(float64(h*w)) / float64(size)
	for _, f := range param.Fields(solver.PSLD{}) {
		if v, ok := values[f.Name].(float64); ok && f.Scales {
			values[f.Name] = v * side
		}
	}
	return values
}

// or is v, or other where v is its type's zero.
func or[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}
