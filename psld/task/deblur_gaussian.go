package task

import (
	"fmt"
	"math"

	"psld/psld/blur"
	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/picture"
)

// DeblurGaussian sharpens what a lens out of focus made soft: correlation with a kernel, reflected at the border.
// Without a kernel it is a Gaussian, whose deviation is estimated from the picture; for tests 3 pixels.
const DeblurGaussian Name = "deblur-gaussian"

var deblurGaussian = Task{
	Name: DeblurGaussian, Scale: 1, Needs: Kernel,
	Lost:     "sharpness: Gaussian blur, deviation 3 unless there is another kernel",
	Looks:    "Everything is soft, evenly in all directions.",
	Does:     "sharpen; without a kernel, of a Gaussian blur whose deviation is estimated",
	Operator: blurred, TV: 0.005,
	Best: "diffpir", ByDamage: map[string]Preset{"diffpir": sharpening},
	Parameters: []Parameter{
		{Name: "kernel-std", Usage: "standard `deviation` of the kernel in pixels", Default: 3, Most: 100},
	},
	Draw: func(_, _ int, v Values, _ uint64) (Damage, error) { return gaussian(v["kernel-std"]) },
	// Small pictures get a smaller kernel: 3/256 of the side, but at least 1.5 pixels.
	Fit: func(h, w int) Values { return Values{"kernel-std": max(1.5, 3*float64(min(h, w))/256)} },
	Guess: func(y *picture.Picture) (d Damage, words string, err error) {
		g, err := blur.Estimate(y.Pix, y.H, y.W, y.Steps)
		if err != nil {
			return d, "", err
		}
		low, high := g.Range()
		if g.Sharp() && high < sharpest {
			return d, "", fmt.Errorf("the picture looks sharp, or blurred by less than %.2g pixels, and to sharpen it "+
				"might harm it", high)
		}
		if !g.Sure() {
			return d, "", fmt.Errorf("how strongly the picture is blurred cannot be told from it (perhaps %.2g, "+
				"between %.2g and %.2g pixels)", g.Std, low, high)
		}
		d, err = gaussian(g.Std)
		return d, fmt.Sprintf("Gaussian of standard deviation %.2f pixels (+-%.0f %%), estimated from the picture",
			g.Std, 100*g.Error), err
	},
}

// sharpening are the parameters of DiffPIR for a Gaussian blur. A weak one leaves all detail in the measurement, under
// noise that a prior without weight would let through; of a strong one the prior has to make up the detail. Between
// deviations of 0.8 and 1.5 pixels, which were measured on four photographs of 128 pixels at noise 0, 0.01 and 0.05,
// the parameters go over from the one to the other. Those of the strong one were found on eight photographs of 128
// pixels with a deviation of 1.5 and four of 192 pixels with 2.25, at noise 0.05: a part of the noise that is not
// fresh gives sharper pictures at the same error.
func sharpening(_, width float64) param.Values {
	const weak, strong = 0.8, 1.5
	share := min(1, max(0, (width-weak)/(strong-weak)))
	between := func(a, b float64) float64 { return a * math.Pow(b/a, share) }
	return param.Values{"steps": 20, "from": 0.5, "to": between(0.05, 0.06), "lambda": between(1, 0.7),
		"zeta": between(1, 0.85)}
}

// sharpest is the deviation in pixels below which a blur is hardly seen.
const sharpest = 0.8

// gaussian is a Gaussian kernel in a window of at least 61 pixels.
func gaussian(std float64) (d Damage, err error) {
	d.Kernel, err = operator.Gaussian(max(61, 2*int(4*std+0.5)+1), std)
	return d, err
}

func blurred(h, w int, d Damage) (operator.Linear, error) { return operator.NewBlur(h, w, 3, d.Kernel) }
