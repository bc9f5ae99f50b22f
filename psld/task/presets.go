package task

import "psld/psld/param"

// TunedSize is the side of the pictures that Task.Tuned is for, in pixels. See psld.Preset for other sizes.
const TunedSize = 64

// tuned are parameters of PSLD for models like the embedded one: the best of small grids on six validation photos that
// the README's tables do not use.
func tuned(strength, gamma, omega float64) param.Values {
	return param.Values{"steps": 30, "strength": strength, "gamma": gamma, "omega": omega, "gluing_every": 1,
		"back": "adjoint"}
}

// published are those of the PSLD code for Stable Diffusion (run/*.sh), with the 200 steps of its web page in place of
// 1000.
func published(gamma, omega float64) param.Values {
	return param.Values{"steps": 200, "strength": 1.0, "gamma": gamma, "omega": omega, "gluing_every": 1,
		"back": "reference"}
}

// diffPIR are parameters of DiffPIR for the embedded pixel prior, found on eight validation photographs of 96 pixels at
// noise 0.05: the first noise, the last one and the weight of the prior.
func diffPIR(from, to, lambda float64) map[string]Preset {
	return map[string]Preset{"diffpir": func(float64) param.Values {
		return param.Values{"steps": 20, "from": from, "to": to, "lambda": lambda, "zeta": 1.0}
	}}
}
