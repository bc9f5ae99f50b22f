package task

import "psld/psld/operator"

// DeblurGaussian sharpens what a lens out of focus made soft: correlation with a kernel, reflected at the border. The
// kernel is a Gaussian of deviation 3 pixels unless there is another one.
const DeblurGaussian Name = "deblur-gaussian"

var deblurGaussian = Task{
	Name: DeblurGaussian, Scale: 1, Needs: Kernel,
	Lost:     "sharpness: Gaussian blur, deviation 3 unless there is another kernel",
	Looks:    "Everything is soft, evenly in all directions.",
	Does:     "sharpen; without a kernel, of a Gaussian blur of standard deviation 3 pixels",
	Operator: blurred, TV: 0.005,
	Best: "diffpir", Presets: diffPIR(0.5, 0.05, 0.3),
	Tuned: tuned(0.03, 0.3, 2), Published: published(0.1, 1),
	Parameters: []Parameter{
		{Name: "kernel-std", Usage: "standard `deviation` of the kernel in pixels", Default: 3, Most: 100},
	},
	Draw: func(_, _ int, v Values, _ uint64) (Damage, error) { return gaussian(v["kernel-std"]) },
	// Small pictures get a smaller kernel: 3/256 of the side, but at least 1.5 pixels.
	Fit: func(h, w int) Values { return Values{"kernel-std": max(1.5, 3*float64(min(h, w))/256)} },
	Assume: func() (Damage, string, error) {
		d, err := gaussian(3)
		return d, "a Gaussian of standard deviation 3 pixels", err
	},
}

// gaussian is a Gaussian kernel in a window of at least 61 pixels.
func gaussian(std float64) (d Damage, err error) {
	d.Kernel, err = operator.Gaussian(max(61, 2*int(4*std+0.5)+1), std)
	return d, err
}

func blurred(h, w int, d Damage) (operator.Linear, error) { return operator.NewBlur(h, w, 3, d.Kernel) }
