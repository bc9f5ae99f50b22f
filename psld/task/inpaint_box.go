package task

import "psld/psld/operator"

// InpaintBox fills in a rectangle; for tests one of half the picture's sides, at a random place.
const InpaintBox Name = "inpaint-box"

var inpaintBox = Task{
	Name: InpaintBox, Scale: 1, Needs: Mask, Black: rectangular,
	Lost:  "a rectangle",
	Looks: "A block in the picture is empty.",
	Does:  "the same for a rectangle",
	Best:  "psld-patchmatch", Thin: "pnp-admm", Operator: masked, Rough: interpolated, TV: 0.03,
	// More strength than PSNR asks for: with less the hole would stay smooth.
	Parameters: []Parameter{{Name: "box", Usage: "`sides` of the box over those of the picture", Default: 0.5}},
	Draw: func(h, w int, v Values, seed uint64) (d Damage, err error) {
		d.Keep, err = operator.BoxMask(h, w, v["box"], true, seed)
		return d, err
	},
}
