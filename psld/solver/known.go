package solver

import (
	"fmt"
	"slices"

	"psld/psld/operator"
	"psld/tensor"
)

// knownStates tells of each place of the state, row by row, whether the mask keeps all the pixels that it stands for.
// It is a [*Refused] for the method of that name where there is no such place.
func (r *Run) knownStates(method string) ([]bool, error) {
	keep, shape, in := operator.MaskOf(r.A), r.Shape(), r.A.In()
	h, w := shape[1], shape[2]
	known := slices.Repeat([]bool{true}, h*w)
	for y := range r.H {
		for x := range r.W { // beyond the picture its last row and column are repeated
			if !keep[min(y, in.H-1)*in.W+min(x, in.W-1)] {
				known[y*h/r.H*w+x*w/r.W] = false
			}
		}
	}
	if !slices.Contains(known, true) {
		return nil, &Refused{fmt.Sprintf("method %s needs latents whose pixels are all known, and the holes leave none: "+
			"take method diffpir or psld", method)}
	}
	return known, nil
}

// encodeFilled is the state of the measurement with its holes filled as the rough picture has them, or where there is
// none a regularised inverse, so that nothing of what stands in a hole reaches the latents around it.
func (r *Run) encodeFilled() ([]float32, error) {
	x := r.Start
	if x == nil {
		var err error
		if x, err = r.inverse(operator.ProxOf(r.A)); err != nil {
			return nil, err
		}
	}
	x, c := slices.Clone(x), r.A.In().C
	for i, k := range operator.MaskOf(r.A) {
		if k {
			copy(x[i*c:(i+1)*c], r.Y[i*c:])
		}
	}
	return r.EncodePicture(x), nil
}

// misfit is the square of the distance of two states at the known places.
func misfit(known []bool, a, b []float32) (sum float64) {
	c := len(a) / len(known)
	for k, v := range a {
		if known[k/c] {
			sum += float64(v-b[k]) * float64(v-b[k])
		}
	}
	return sum
}

// noiseIn is the noise that the prior sees in a state at a time, without a gradient.
func (r *Run) noiseIn(z []float32, shape []int, time float32) []float32 {
	g := r.NoGrad()
	defer g.Release()
	return slices.Clone(g.Device().Host(r.Eps(g, g.Const(tensor.From(z, shape...)), time).T))
}
