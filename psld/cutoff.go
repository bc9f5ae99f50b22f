package psld

import "math"

// Noise of a picture that was stored was cut off at black and white. A measurement y = min(max(x+n, -1), 1) of a white
// x = 1 is 1 - sigma/sqrt(2 pi) in the mean: white paper comes out grey, black pale, and skin loses its red, since a
// denoiser finds the mean of what it sees. Allowing for it is the last step of a denoiser, as in
//
//	Foi, Clipped noisy images: heteroskedastic modeling and practical denoising, Signal Processing 89 (2009)
//
// the restored value is taken for E[y | x], and the x of that mean takes its place.

// cutOffMean is E[min(max(x+n, -1), 1)] for a Gaussian n of deviation sigma > 0.
func cutOffMean(x, sigma float64) float64 {
	low, high := (-1-x)/sigma, (1-x)/sigma // in deviations
	passed := normalBelow(high) - normalBelow(low)
	return normalBelow(-high) - normalBelow(low) + x*passed + sigma*(normalDensity(low)-normalDensity(high))
}

func normalDensity(z float64) float64 { return math.Exp(-z*z/2) / math.Sqrt(2*math.Pi) }

func normalBelow(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

// allowForCutOff corrects a restoration x of y, a picture with noise of deviation sigma, at black and at white, each
// where as many values of y lie there as cut-off noise would put there. y with values beyond black and white was not
// cut off. Noise that a byte cannot show is left alone.
func allowForCutOff(x, y []float32, sigma float64) {
	const least, share = 2.0 / 255, 0.7 // in experiments y has 1.05 to 1.15 of the number that is expected
	if sigma < least {
		return
	}
	inverse := cutOffInverse(sigma)
	var seen, expected [2]float64 // values at black, and at white
	for i, v := range y {
		switch {
		case v < -1 || v > 1:
			return
		case v == -1:
			seen[0]++
		case v == 1:
			seen[1]++
		}
		truth := inverse(float64(x[i]))
		expected[0] += normalBelow((-1 - truth) / sigma)
		expected[1] += normalBelow((truth - 1) / sigma)
	}
	for i, v := range x {
		end := 0
		if v > 0 {
			end = 1
		}
		if seen[end] >= share*expected[end] {
			x[i] = float32(inverse(float64(v)))
		}
	}
}

// cutOffInverse is the x in [-1,1] of a mean of cutOffMean; the nearest one for a mean that none has. It reads a table
// of the means, between whose entries lines are within 1e-4.
func cutOffInverse(sigma float64) func(mean float64) float64 {
	const n = 1024
	var means [n + 1]float64
	for i := range means {
		means[i] = cutOffMean(2*float64(i)/n-1, sigma)
	}
	return func(mean float64) float64 {
		lo, hi := 0, n // means[lo] <= mean < means[hi]
		switch {
		case mean <= means[0]:
			return -1
		case mean >= means[n]:
			return 1
		}
		for hi-lo > 1 {
			if mid := (lo + hi) / 2; means[mid] <= mean {
				lo = mid
			} else {
				hi = mid
			}
		}
		return 2*(float64(lo)+(mean-means[lo])/(means[hi]-means[lo]))/n - 1
	}
}
