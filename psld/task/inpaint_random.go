package task

import "psld/psld/operator"

// InpaintRandom fills in single pixels; for tests 70 % of them are missing.
const InpaintRandom Name = "inpaint-random"

var inpaintRandom = Task{
	Name: InpaintRandom, Scale: 1, Needs: Mask, Black: scattered,
	Lost:     "single pixels (default 70 %)",
	Looks:    "Pixels are missing here and there, or most of them.",
	Does:     "fill in single pixels: those of the mask, else the transparent, else exactly black ones",
	Operator: masked, Rough: interpolated, TV: 0.003,
	Best: "pnp-admm", Presets: holes.and(diffPIR(0.4, 0.04, 0.7)),
	Tuned: tuned(0.7, 0.1, 15), Published: published(0.1, 1),
	Parameters: []Parameter{{Name: "missing", Usage: "`share` of missing pixels", Default: 0.7}},
	Draw: func(h, w int, v Values, seed uint64) (d Damage, err error) {
		d.Keep, err = operator.RandomMask(h, w, v["missing"], seed)
		return d, err
	},
}
