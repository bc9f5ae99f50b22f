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
	spec, err := solver.Lookup(o.choose(what, m))
	if err != nil {
		return nil, err
	}
	if err := CheckQuality(o.Quality); err != nil {
		return nil, err
	}
	method := spec.Default()
	values, size := taskPreset(m, what, spec.Name, o)
	o.effort(values, m, spec.Name)
	scale(method, values, math.Sqrt(float64(h*w))/float64(size))
	if o.Reference {
		maps.Copy(values, reference(spec, what))
	}
	if err := values.Only(method).Apply(method); err != nil {
		return nil, err
	}
	return method, o.Params.Apply(method)
}

// HasReference tells whether Options.Reference means something to a method.
func HasReference(s solver.Spec) bool {
	own := param.ValuesOf(s.New())
	return slices.Contains(family, s.Name) || s.Name == "dps" || own[solver.Published] != nil
}

// reference are the parameters of the published code: of the pixel methods the defaults are, but for one.
func reference(s solver.Spec, t *task.Task) param.Values {
	v := param.Values{"back": "reference", "strength": 1.0, "sample_encoder": true, solver.Published: true}
	if t.Needs == task.Mask && !slices.Contains(family, s.Name) {
		v["omega"] = 0.5
	}
	return v
}

// taskPreset are the parameters of a method for a task, and the side of the pictures that they are for.
func taskPreset(m prior.Prior, t *task.Task, method string, o Options) (values param.Values, size int) {
	own, ok := o.Presets.find(t.Name)
	switch latent := slices.Contains(family, method); {
	case latent && ok:
		return maps.Clone(own.values()), o.Presets.Size
	case latent && m != nil && m.Info().Family == prior.FamilyStableDiffusion:
		return maps.Clone(t.Published), 0
	case latent:
		return maps.Clone(t.Tuned), task.TunedSize
	case method == "tv":
		return param.Values{"lambda": t.TV, "iterations": 300}, 0
	case t.Presets[method] != nil && !(o.Reference && method != "diffpir"):
		sigma := 0.0
		if o.Sigma != nil {
			sigma = *o.Sigma
		}
		return t.Presets[method](sigma), task.TunedSize
	}
	return param.Values{}, 0
}

// scale lets the values grow that do with the picture's side.
func scale(method solver.Method, values param.Values, side float64) {
	if math.IsInf(side, 0) { // they are for any size
		return
	}
	for _, f := range param.Fields(method) {
		if v, err := f.Parse(values[f.Name]); err == nil && f.Scales {
			values[f.Name] = v.(float64) * side
		}
	}
}

// or is v, or other where v is its type's zero.
func or[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}
