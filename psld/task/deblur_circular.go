package task

import "psld/psld/operator"

// DeblurCircular sharpens a blur whose borders wrap around, as the papers of DPIR and DiffPIR have it; for tests a
// Gaussian of deviation 3 pixels.
const DeblurCircular Name = "deblur-circular"

var deblurCircular = Task{
	Name: DeblurCircular, Scale: 1, Aside: true, Needs: Kernel,
	Lost:  "sharpness: Gaussian blur whose borders wrap around, unless there is another kernel",
	Looks: "Everything is soft, and opposite borders run into each other.",
	Does:  "sharpen what was blurred with borders that wrap around",
	File:  "the point-spread function as a grey PNG",
	Operator: func(h, w int, d Damage) (operator.Linear, error) {
		return operator.NewCircularBlur(h, w, 3, d.Kernel, 1)
	},
	TV:         0.005,
	Best:       "diffpir",
	Parameters: deblurGaussian.Parameters,
	Draw:       deblurGaussian.Draw,
	Fit:        deblurGaussian.Fit,
}
