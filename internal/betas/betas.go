// Package betas computes noise schedules: how much noise is added at each diffusion time, and the share of signal that
// is left. Files of models name a schedule by its two ends (package weights), samplers step through it
// (psld/schedule).
package betas

import "math"

// Linear returns n betas with equal steps from start to end, as torch.linspace spaces them.
func Linear(start, end float64, n int) []float64 {
	x := make([]float64, n)
	step := (end - start) / float64(max(1, n-1))
	for i := range x {
		x[i] = start + float64(step*float64(i)) // rounded twice on every machine
		if i > 0 && i >= n/2 {                  // from the upper end, as torch.linspace does
			x[i] = end - float64(step*float64(n-1-i))
		}
	}
	return x
}

// ScaledLinear returns n betas with equal steps in their roots: what diffusers calls scaled_linear and the CompVis
// code linear.
func ScaledLinear(start, end float64, n int) []float64 {
	x := Linear(math.Sqrt(start), math.Sqrt(end), n)
	for i, root := range x {
		x[i] = root * root
	}
	return x
}

// Alphas returns the running products of 1 - beta, multiplied in float64 and rounded: the share of signal in the
// variance at each time (alphas_cumprod).
func Alphas(betas []float64) []float32 {
	alphas := make([]float32, len(betas))
	product := 1.0
	for i, b := range betas {
		product *= 1 - b
		alphas[i] = float32(product)
	}
	return alphas
}
