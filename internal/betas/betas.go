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

// Cosine returns n betas of the schedule of Nichol and Dhariwal 2021, which diffusers calls squaredcos_cap_v2: the
// share of signal at time t of n falls as the squared cosine of (t/n + 0.008) / 1.008 quarter turns. A beta is at most
// 0.999.
func Cosine(n int) []float64 {
	bar := func(i int) float64 {
		c := math.Cos((float64(i)/float64(n) + 0.008) / 1.008 * math.Pi / 2)
		return c * c
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = min(1-bar(i+1)/bar(i), 0.999)
	}
	return x
}

// Products returns the running products of 1 - beta: the share of signal in the variance at each time.
func Products(betas []float64) []float64 {
	alphas := make([]float64, len(betas))
	product := 1.0
	for i, b := range betas {
		product *= 1 - b
		alphas[i] = product
	}
	return alphas
}

// ZeroSNR moves and stretches the roots of falling shares of signal so that the last is 0 and the first stays (Lin et
// al. 2024, algorithm 1; rescale_betas_zero_snr of diffusers).
func ZeroSNR(alphas []float64) []float64 {
	first, last := math.Sqrt(alphas[0]), math.Sqrt(alphas[len(alphas)-1])
	out := make([]float64, len(alphas))
	for i, a := range alphas {
		root := (math.Sqrt(a) - last) * first / (first - last)
		out[i] = root * root
	}
	return out
}

// Round returns x in float32.
func Round(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

// Alphas are the products, multiplied in float64 and rounded (alphas_cumprod).
func Alphas(betas []float64) []float32 { return Round(Products(betas)) }
