package psld

import (
	"maps"
	"math"
	"slices"

	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

// family are the methods that the presets of PSLD are for.
var family = []string{"psld", "gmldps", "ldps"}

// Preset gives the method that Solve runs for a task on pictures of h x w pixels, with all its parameters: those of
// o.Params, else those of the task's preset, else the method's defaults. PSLD and its relatives have presets: those of
// o.Presets where it has the task, else for Stable Diffusion the published parameters, for other models those found
// for the embedded one. Total variation has the weight that suits the task. m may be nil for a method that needs no
// prior.
//
// The gradient of a norm has a length that does not depend on the number of pixels, so a step
// moves each latent value less in a larger picture: the weights found at 64x64
// grow with the side. Squared norms need weights of their own; there are no presets for them.
func Preset(m prior.Prior, t Task, h, w int, o Options) (solver.Method, error) {
	what, err := task.Find(string(t))
	if err != nil {
		return nil, err
	}
	if o.Method == Auto {
		o.Method = Best(what, m)
	}
	spec, err := solver.Lookup(or(o.Method, "psld"))
	if err != nil {
		return nil, err
	}
	method := spec.Default()
	values := param.Values{}
	switch {
	case slices.Contains(family, spec.Name):
		values = taskPreset(m, what, h, w, o)
	case spec.Name == "tv":
		values = param.Values{"lambda": what.TV, "iterations": 300}
	case what.Presets[spec.Name] != nil:
		sigma := 0.0
		if o.Sigma != nil {
			sigma = *o.Sigma
		}
		values = what.Presets[spec.Name](sigma)
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
func taskPreset(m prior.Prior, t *task.Task, h, w int, o Options) param.Values {
	values, size := t.Tuned, task.TunedSize
	own, ok := o.Presets.find(t.Name)
	switch {
	case ok:
		values, size = own.values(), o.Presets.Size
	case m != nil && m.Info().Family == prior.FamilyStableDiffusion:
		return maps.Clone(t.Published)
	}
	values = maps.Clone(values)
	side := math.Sqrt(float64(h*w)) / float64(size)
	for _, f := range param.Fields(solver.PSLD{}) {
		if v, err := f.Parse(values[f.Name]); err == nil && f.Scales {
			values[f.Name] = v.(float64) * side
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
