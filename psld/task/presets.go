package task

import (
	"maps"

	"psld/psld/param"
)

// TunedSize is the side of the pictures that Task.Tuned is for, in pixels. See psld.Preset for other sizes.
const TunedSize = 64

// tuned are parameters of PSLD for models like the embedded one: the best LPIPS, where PSNR is not much less than the
// best, of small grids on four to six validation photographs of 64 and 128 pixels at noise 0.05. More steps at the
// same omega fit the noise.
func tuned(strength, gamma, omega float64) param.Values {
	return param.Values{"steps": 20, "strength": strength, "gamma": gamma, "omega": omega, "gluing_every": 1,
		"back": "adjoint"}
}

// published are those of the PSLD code for Stable Diffusion (run/*.sh), with the 200 steps of its web page in place of
// 1000.
func published(gamma, omega float64) param.Values {
	return param.Values{"steps": 200, "strength": 1.0, "gamma": gamma, "omega": omega, "gluing_every": 1,
		"back": "reference"}
}

// diffPIR are parameters of DiffPIR for the embedded pixel prior, found on eight validation photographs of 96 pixels
// at noise 0.05: the first noise, the last one and the weight of the prior.
func diffPIR(from, to, lambda float64) map[string]Preset {
	return map[string]Preset{"diffpir": func(float64) param.Values {
		return param.Values{"steps": 20, "from": from, "to": to, "lambda": lambda, "zeta": 1.0}
	}}
}

// onPixels are parameters of the methods of pixels: the weight of DPS, weight and ridge of MCG, the ridge of
// Score-SDE, eta of DDRM, rho and level of PnP-ADMM.
type onPixels struct{ dps, mcg, mcgRidge, ridge, eta, rho, level float64 }

// and adds the presets to those of DiffPIR: the best of small grids on four photographs of 64 pixels, noise 0.05, with
// the embedded pixel prior. 50 steps in place of 1000 of DPS, MCG and Score-SDE, for time.
func (p onPixels) and(presets map[string]Preset) map[string]Preset {
	add := func(method string, v param.Values) {
		presets[method] = func(float64) param.Values { return maps.Clone(v) }
	}
	add("dps", param.Values{"steps": 50, "omega": p.dps})
	add("mcg", param.Values{"steps": 50, "omega": p.mcg, "ridge": p.mcgRidge})
	add("score-sde", param.Values{"steps": 50, "ridge": p.ridge})
	add("ddrm", param.Values{"steps": 20, "eta": p.eta})
	add("pnp-admm", param.Values{"iterations": 12, "rho": p.rho, "level": p.level})
	return presets
}

// What suits missing pixels, a missing box, down-sampling, blur and noise alone.
var (
	holes     = onPixels{10, 4, 1, 1, 1, 0.2, 0.15}
	box       = onPixels{4, 0.5, 0.1, 1, 1, 0.2, 0.15}
	enlarge   = onPixels{0.3, 0.5, 0.1, 0.1, 1, 0.05, 0.1}
	sharpened = onPixels{0.2, 0.5, 0.1, 0.1, 0.85, 0.05, 0.15}
	clean     = onPixels{4, 0.5, 0.1, 1, 0.5, 1, 0}
)
