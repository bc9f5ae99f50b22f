package psld

import (
	"cmp"
	"errors"
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

// Preset gives the method that Solve runs for a damaged picture of h x w pixels, with all its parameters: those of
// o.Params, else those of o.Presets, else those of the file of presets that comes with the program (presets.yaml),
// else the method's defaults. Total variation has the weight that suits the task. m may be nil for a method that needs
// no prior.
//
// The gradient of a norm has a length that does not depend on the number of pixels, so a step
// moves each latent value less in a larger picture: the weights found at 64x64
// grow with the side. Squared norms need weights of their own; there are no presets for them.
func Preset(m prior.Prior, d Damage, h, w int, o Options) (solver.Method, error) {
	what, err := task.Find(string(d.Task))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkModel(m), CheckSize(h, w)); err != nil {
		return nil, err
	}
	spec, err := solver.Lookup(o.choose(d, h, w, m))
	if err != nil {
		return nil, err
	}
	if err := CheckQuality(o.Quality); err != nil {
		return nil, err
	}
	method := spec.Default()
	values := taskPreset(m, what, d, spec, o, math.Sqrt(float64(h*w)))
	o.effort(values, m, spec)
	if o.Reference {
		maps.Copy(values, reference(spec, what))
	}
	if err := values.Only(method).Apply(method); err != nil {
		return nil, err
	}
	err = o.Params.Apply(method)
	if dpm, ok := method.(*solver.DPM); ok && o.Params["fits"] == nil { // for fewer steps than the preset has
		dpm.Fits = min(dpm.Fits, dpm.Steps)
	}
	return method, err
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

// taskPreset are the parameters of a method for a task on pictures whose side is side pixels: of the program, and over
// them those of o.Presets.
func taskPreset(m prior.Prior, t *task.Task, d Damage, spec solver.Spec, o Options, side float64) param.Values {
	all := param.Values{}
	put := func(v param.Values, size int) {
		for name, x := range v {
			all[name] = x
		}
		if size > 0 {
			scale(spec.New(), all, v, side/float64(size))
		}
	}
	model := PresetsNameOf(m)
	pixels := o.Reference && !slices.Contains(family, spec.Name) && spec.Name != "diffpir"
	switch v, size, ok := builtin().find(model, t.Name, spec.Name); {
	case spec.Name == "tv":
		put(param.Values{"lambda": t.TV, "iterations": 300}, 0)
	case pixels: // the published code has no presets
	case t.ByDamage[spec.Name] != nil:
		sigma, width := 0.0, 0.0
		if o.Sigma != nil {
			sigma = *o.Sigma
		}
		if d.Grey {
			sigma *= greyNoise
		}
		if d.Kernel != nil {
			width = d.Kernel.Width()
		}
		put(t.ByDamage[spec.Name](sigma, width), 0)
	case ok:
		put(v, size)
	}
	if _, latent := m.(prior.Codec); latent { // they cannot be flipped
		delete(all, "orientations")
	}
	if v, size, ok := o.Presets.find(model, t.Name, spec.Name); ok {
		put(v, size)
	}
	for _, f := range param.Fields(spec.New()) { // as the method has them: JSON has one kind of number
		if v, ok := all[f.Name]; ok {
			if x, err := f.Parse(v); err == nil {
				all[f.Name] = x
			}
		}
	}
	return all
}

// scale lets those values in all that are of v grow, where the method says that they do with the picture's side.
func scale(method solver.Method, all, v param.Values, side float64) {
	for _, f := range param.Fields(method) {
		if x, ok := v[f.Name]; ok && f.Scales {
			if n, err := f.Parse(x); err == nil {
				all[f.Name] = n.(float64) * side
			}
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

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
