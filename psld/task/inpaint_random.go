package task

import (
	"fmt"
	"math/rand/v2"

	"psld/psld/operator"
	"psld/psld/param"
)

// InpaintRandom fills in single pixels; for tests 70 % of them are missing.
const InpaintRandom Name = "inpaint-random"

var inpaintRandom = Task{
	Name: InpaintRandom, Scale: 1, Needs: Mask, Black: scattered,
	Lost:     "single pixels (default 70 %)",
	Looks:    "Pixels are missing here and there, or most of them.",
	Does:     "fill in single pixels: those of the mask, else the transparent, else exactly black ones",
	Operator: masked, Rough: interpolated, TV: 0.003,
	Best: "pnp-admm", ByDamage: map[string]Preset{"pnp-admm": filling},
	Parameters: []Parameter{{Name: "missing", Usage: "`share` of missing pixels", Default: 0.7},
		{Name: "missing-most", Usage: "`share` up to which that of a picture is drawn, from --missing on", Most: 1,
			Above: -1, Test: true}},
	Draw: func(h, w int, v Values, seed uint64) (d Damage, err error) {
		missing := v["missing"]
		switch most := v["missing-most"]; {
		case most > 0 && most < missing:
			return d, fmt.Errorf("missing-most %v is less than missing %v", most, missing)
		case most > 0:
			missing += (most - missing) * rand.New(rand.NewPCG(seed, 0x5ca1e)).Float64()
		}
		d.Keep, err = operator.RandomMask(h, w, missing, seed)
		return d, err
	},
}

// filling are the parameters of PnP-ADMM: both the penalty and the noise that its denoiser takes out grow with that of
// the measurement. Found on eight training photographs of 128 pixels at noise 0.01, 0.05 and 0.15: the best LPIPS
// where PSNR is at most 0.5 dB below the best.
func filling(sigma, _ float64) param.Values {
	return param.Values{"iterations": 12, "rho": max(0.02, 1.4*sigma), "level": max(0.1, 0.03+1.8*sigma)}
}
