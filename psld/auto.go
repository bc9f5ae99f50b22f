package psld

import (
	"psld/psld/prior"
	"psld/psld/task"
)

// Auto is a name of Options.Method: it stands for the method of Best.
const Auto = "auto"

// Best is the method that restores a task best with the model m: the task's own choice, which was measured on the
// embedded models, for these (m is nil) and for pixel priors; PSLD for other latent models.
func Best(t *task.Task, m prior.Prior) string {
	if _, latent := m.(prior.Codec); latent || t.Best == "" {
		return "psld"
	}
	return t.Best
}
