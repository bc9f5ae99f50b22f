package task

import (
	"context"

	"psld/psld/operator"
	"psld/psld/param"
)

// cleaning are the parameters of DiffPIR: the measurement is the first state, and hardly counts again. Two steps give
// 0.1 dB less than one, and more texture; four give 0.25 dB less and leave grain on smooth surfaces.
func cleaning(sigma, _ float64) param.Values {
	return param.Values{"steps": 2, "from": 0.0, "to": min(sigma, max(0.02, sigma/4)), "lambda": 30.0, "zeta": 0.0,
		"orientations": 1}
}

// descending are the parameters of DPM, which must begin above the noise of the measurement, and trust it less the
// more there is. It is no match for a denoiser.
func descending(sigma, _ float64) param.Values {
	above := max(0, sigma-0.05)
	return param.Values{"steps": 4, "fits": 2, "strength": min(0.7, 0.1+0.8*above), "to": 0.05, "lambda": 1 + 36*above}
}

// Denoise takes Gaussian noise out of a picture; the operator is the identity.
const Denoise Name = "denoise"

var denoise = Task{
	Name: Denoise, Scale: 1, Direct: true,
	Lost:  "the picture under Gaussian noise",
	Looks: "Fine grain lies over everything.",
	Does:  "take out noise",
	Operator: func(h, w int, _ Damage) (operator.Linear, error) {
		return operator.Identity(operator.Shape{H: h, W: w, C: 3}), nil
	},
	Draw: nothing, TV: 0.03,
	Best: "diffpir", ByDamage: map[string]Preset{"diffpir": cleaning, "dpm": descending},
	Rough: func(_ context.Context, _ operator.Linear, y []float32, _ Damage) ([]float32, error) { return y, nil },
}
