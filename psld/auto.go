package psld

import (
	"fmt"

	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

// Auto is a name of Options.Method: it stands for the method of Best.
const Auto = "auto"

// thinHoles is how many pixels across holes are at most that count as thin.
const thinHoles = 8

// Best is the method that restores a damaged picture of h x w pixels best with the model m, and where damage or
// quality decided, why, in words: the choice of its task, which was measured on the embedded models, for these (m is
// nil) and for pixel priors. Other latent models have it where it is better off on latents, else PSLD, which Stable
// Diffusion has in any case. Where all holes are thin, what is around them says what was there. quality is one of
// Qualities, or "": on the embedded models QualityBest takes what draws sharper, where a task has that.
func Best(d Damage, h, w int, m prior.Prior, quality string) (method, why string) {
	t, err := task.Find(string(d.Task))
	if err != nil {
		return "psld", ""
	}
	best := or(t.Best, "psld")
	if _, latent := m.(prior.Codec); latent {
		if spec, err := solver.Lookup(best); err != nil || spec.Needs.PrefersPixels() || isStableDiffusion(m) {
			best = "psld"
		}
		return best, ""
	}
	if m == nil && quality == QualityBest && t.Sharper != "" {
		return t.Sharper, "it draws sharper, at more error"
	}
	if t.Thin != "" && len(d.Keep) == h*w {
		n := thickness(d.Keep, h, w)
		if n <= thinHoles {
			return t.Thin, fmt.Sprintf("the holes are thin, at most %d pixels across", n)
		}
		why = fmt.Sprintf("the holes are not thin, up to %d pixels across", n)
	}
	return best, why
}

// Choose is the method of a run whose model is not open yet: the one that is named, "" for psld, and for Auto that of
// Best for a latent or a pixel model. It decides which of the embedded models to open. Preset has the last word, which
// knows the model. quality is as that of Best, and "" where another model than the embedded ones is told.
func Choose(named string, d Damage, h, w int, latent bool, quality string) (method, why string) {
	switch {
	case named != Auto:
		return or(named, "psld"), ""
	case latent:
		return "psld", ""
	}
	return Best(d, h, w, nil, quality)
}

// thickness is how many pixels the holes are across at the most.
func thickness(keep []bool, h, w int) int {
	n := 0
	for _, d := range depths(keep, h, w) {
		n = max(n, across(d))
	}
	return n
}
