package task

import "psld/psld/operator"

// Destripe fills in rows that a sensor or a scanner has lost; for tests 30 % of them are missing.
const Destripe Name = "destripe"

var destripe = Task{
	Name: Destripe, Scale: 1, Aside: true, Needs: Mask, Black: wholeRows,
	Lost:     "whole rows (default 30 %)",
	Looks:    "Black lines run across the picture.",
	Does:     "fill in rows: those of the mask, else the transparent, else exactly black ones",
	Operator: masked, Rough: interpolated, TV: 0.003,
	Best:       "pnp-admm",
	Parameters: []Parameter{{Name: "rows", Usage: "`share` of missing rows", Default: 0.3}},
	Draw: func(h, w int, v Values, seed uint64) (d Damage, err error) {
		d.Keep, err = operator.StripeMask(h, w, v["rows"], seed)
		return d, err
	},
}
