package task

import (
	"errors"

	"psld/psld/operator"
)

// DeblurMotion sharpens what a shaken camera blurred: correlation with the camera's path, reflected at the border. The
// test kernel has intensity 0.5 in a window of 61 pixels, or a quarter of the shorter side if that is smaller, or is a
// straight line.
const DeblurMotion Name = "deblur-motion"

var deblurMotion = Task{
	Name: DeblurMotion, Scale: 1, Needs: Kernel,
	Lost:     "sharpness: a shaken camera",
	Looks:    "Points of light are streaks, all of the same shape.",
	Does:     "sharpen; the kernel is needed: a grey PNG, square with an odd side, or a straight line",
	File:     "a grey PNG of the camera's path",
	Operator: blurred, TV: 0.01,
	Best: "diffpir",
	Parameters: []Parameter{
		{Name: "motion-length", Usage: "`pixels` of a straight motion", Most: 500},
		{Name: "motion-angle", Usage: "`degrees` of a straight motion, counter-clockwise from the horizontal",
			Above: -360, Most: 360},
		{Name: "motion-window", Usage: "odd `pixels` a side of a shaken camera's kernel (default: 61, at most a quarter " +
			"of the picture)", Most: 500, Above: -1, Test: true},
	},
	Draw: func(h, w int, v Values, seed uint64) (d Damage, err error) {
		switch length, angle := v["motion-length"], v["motion-angle"]; {
		case length > 0:
			d.Kernel, err = operator.LineKernel(length, angle)
			return d, err
		case angle != 0:
			return d, errors.New("motion-angle needs motion-length")
		}
		window := min(61, max(3, min(h, w)/4)) | 1
		if v["motion-window"] > 0 {
			window = int(v["motion-window"])
		}
		d.Kernel, err = operator.MotionKernel(window, 0.5, seed)
		return d, err
	},
}
