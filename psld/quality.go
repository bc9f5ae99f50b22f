package psld

import (
	"fmt"
	"maps"
	"strings"

	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
)

// Names of Options.Quality.
const (
	QualityPreview = "preview" // a first look
	QualityGood    = "good"    // what the tables are measured with; with Stable Diffusion a tenth of the best's work
	QualityBest    = "best"    // some more detail for several times the work
)

// Qualities lists the names of Options.Quality, the quickest first.
func Qualities() []string { return []string{QualityPreview, QualityGood, QualityBest} }

// CheckQuality reports a quality that there is not; "" is none.
func CheckQuality(q string) error {
	switch q {
	case "", QualityPreview, QualityGood, QualityBest:
		return nil
	}
	return fmt.Errorf("quality %q, want %s", q, strings.Join(Qualities(), ", "))
}

// The work of a quality over that of a preset: steps of small models.
var effort = map[string]float64{QualityPreview: 0.3, QualityGood: 1, QualityBest: 3}

// fewSteps are at most those of a preset that more steps would not better, but more orientations do: a denoiser's.
const fewSteps = 4

// What the qualities are with Stable Diffusion, whose steps are dear: DPM needs no gradient, and goes through the
// autoencoder, four fifths of a step's work, in the first half of its few steps alone. PSLD loses nothing that counts
// where it glues in every third step.
var fullSize = map[string]struct {
	method string
	values param.Values
}{
	QualityPreview: {"dpm", param.Values{"steps": 8, "fits": 4}},
	QualityGood:    {"dpm", param.Values{"steps": 20, "fits": 10}},
	QualityBest:    {"psld", param.Values{"steps": 120, "gluing_every": 3}},
}

// choose is the method that Auto stands for, in view of the quality that is asked for: with Stable Diffusion only the
// best one can afford gradients.
func (o *Options) choose(d Damage, h, w int, m prior.Prior) string {
	switch {
	case o.Method != Auto:
		return or(o.Method, "psld")
	case isStableDiffusion(m) && o.Quality != "":
		return or(fullSize[o.Quality].method, "psld") // a quality that there is not is an error elsewhere
	}
	name, _ := Best(d, h, w, m, o.Quality)
	return name
}

// HasQuality tells whether Options.Quality means something to a method: total variation converges in any case, and
// PatchMatch has as many steps as a picture has scales.
func HasQuality(s solver.Spec) bool {
	_, n := param.ValuesOf(s.Default()).Steps()
	return s.Name != "tv" && n > 0
}

// effort gives a preset's values the number of steps of the quality.
func (o *Options) effort(values param.Values, m prior.Prior, spec solver.Spec) {
	share, ok := effort[o.Quality]
	method := spec.Name
	if !ok || !HasQuality(spec) {
		return
	}
	if full := fullSize[o.Quality]; isStableDiffusion(m) && method == full.method {
		maps.Copy(values, full.values)
		return
	}
	if begun, _ := values["from_diffpir"].(bool); begun && o.Quality == QualityBest {
		return // what DiffPIR has found gets no better by more steps
	}
	name, n := values.Steps()
	if n == 0 { // the preset leaves the method's own
		name, n = param.ValuesOf(spec.Default()).Steps()
	}
	if all, ok := values["orientations"].(int); ok && all > 0 {
		switch o.Quality {
		case QualityPreview:
			values["orientations"] = 1
		case QualityBest:
			if n <= fewSteps {
				values["orientations"] = 8
				return
			}
		}
	}
	values[name] = max(1, min(3, n-1), min(1000, int(share*float64(n)+0.5)))
}

// isStableDiffusion tells whether a prior, which may be nil, was opened from files of Stable Diffusion.
func isStableDiffusion(m prior.Prior) bool {
	return m != nil && m.Info().Family == prior.FamilyStableDiffusion
}
