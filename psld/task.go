// Package psld restores pictures: it poses a damaged picture as a linear inverse
// problem y = A x + noise and samples x with a latent diffusion model (PSLD, Rout
// et al., NeurIPS 2023) or one of its relatives.
//
// A program needs three calls: prior.Default (or prior.Open) for the model,
// picture.Load for the measurement, and [Solve].
package psld

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"psld/psld/operator"
	"psld/psld/picture"
)

// Task names a kind of damage.
type Task string

// The tasks. Their operators are described at [Damage.Operator].
const (
	Inpaint        Task = "inpaint"
	InpaintRandom  Task = "inpaint-random"
	InpaintBox     Task = "inpaint-box"
	SR4            Task = "sr4"
	DeblurGaussian Task = "deblur-gaussian"
	DeblurMotion   Task = "deblur-motion"
	Denoise        Task = "denoise"
)

// Tasks lists all tasks.
var Tasks = []Task{Inpaint, InpaintRandom, InpaintBox, SR4, DeblurGaussian, DeblurMotion, Denoise}

// ParseTask checks a task's name.
func ParseTask(name string) (Task, error) {
	if t := Task(name); slices.Contains(Tasks, t) {
		return t, nil
	}
	var names []string
	for _, t := range Tasks {
		names = append(names, string(t))
	}
	return "", fmt.Errorf("unknown task %q, want one of %s", name, strings.Join(names, ", "))
}

// Inpainting tells that the task's measurement misses pixels and has the others as they were.
func (t Task) Inpainting() bool { return t == Inpaint || t == InpaintRandom || t == InpaintBox }

// DefaultSigma is the usual noise of the literature, a deviation on [-1,1].
const DefaultSigma = 0.05

// Damage says how a picture was, or is to be, damaged.
type Damage struct {
	Task   Task
	Keep   []bool           // inpainting: which pixels are known, row by row
	Kernel *operator.Kernel // deblurring
}

// NewDamage makes the damage of a test measurement for h x w pictures: the mask or the
// kernel is drawn from seed. Parameters are those of the published experiments:
// 70 % of the pixels missing; a box of half the picture's sides at a random
// place; a Gaussian kernel of deviation 3; a motion kernel of intensity 0.5 in a window
// of 61 pixels, or a quarter of the shorter side if that is smaller.
// [Inpaint] has no mask of its own: give one in Keep.
func NewDamage(t Task, h, w int, seed uint64) (Damage, error) {
	d := Damage{Task: t}
	var err error
	switch t {
	case Inpaint:
		return d, fmt.Errorf("task %s needs a mask", t)
	case InpaintRandom:
		d.Keep, err = operator.RandomMask(h, w, 0.7, seed)
	case InpaintBox:
		d.Keep, err = operator.BoxMask(h, w, 0.5, true, seed)
	case DeblurGaussian:
		d.Kernel, err = DefaultKernel()
	case DeblurMotion:
		size := min(61, max(3, min(h, w)/4)) | 1
		d.Kernel, err = operator.MotionKernel(size, 0.5, seed)
	}
	return d, err
}

// DefaultKernel is the kernel of [DeblurGaussian] when none is given: deviation 3.
func DefaultKernel() (*operator.Kernel, error) { return operator.Gaussian(61, 3) }

// Operator is the linear map of the damage for a picture x of h x w pixels with 3 channels:
//
//	inpaint*:  zero where Keep is false
//	sr4:       antialiased cubic down-sampling by 4 (the Resizer of the DPS code)
//	deblur-*:  correlation with Kernel, reflected at the border
//	denoise:   the identity
func (d Damage) Operator(h, w int) (operator.Linear, error) {
	switch {
	case d.Task.Inpainting():
		if d.Keep == nil {
			return nil, fmt.Errorf("task %s needs a mask", d.Task)
		}
		return operator.NewMask(h, w, 3, d.Keep)
	case d.Task == SR4:
		return operator.NewSR(h, w, 3, 4)
	case d.Task == DeblurGaussian || d.Task == DeblurMotion:
		if d.Kernel == nil {
			return nil, fmt.Errorf("task %s needs a kernel", d.Task)
		}
		return operator.NewBlur(h, w, 3, d.Kernel)
	case d.Task == Denoise:
		return operator.Identity(operator.Shape{H: h, W: w, C: 3}), nil
	}
	_, err := ParseTask(string(d.Task))
	return nil, err
}

// Measure damages a picture: A x plus Gaussian noise of deviation sigma (on [-1,1]) on the
// values that are measured. It returns a picture of the measurement's size; missing
// pixels are black.
func Measure(x *picture.Picture, d Damage, sigma float64, seed uint64) (*picture.Picture, error) {
	if !(sigma >= 0) || math.IsInf(sigma, 0) {
		return nil, fmt.Errorf("noise deviation %v, want a number of at least 0", sigma)
	}
	a, err := d.Operator(x.H, x.W)
	if err != nil {
		return nil, err
	}
	out := a.Out()
	y := &picture.Picture{W: out.W, H: out.H, Pix: make([]float32, out.Len())}
	a.Apply(y.Pix, x.Pix)
	operator.AddGaussian(y.Pix, sigma, seed)
	if d.Task.Inpainting() {
		for i, keep := range d.Keep {
			if !keep {
				y.Pix[3*i], y.Pix[3*i+1], y.Pix[3*i+2] = -1, -1, -1
			}
		}
	}
	return y, nil
}
