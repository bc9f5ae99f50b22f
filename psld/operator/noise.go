package operator

import "math"

// AddGaussian adds white Gaussian noise of standard deviation sigma to y in place. sigma is on the [-1,1] range of the
// pictures: 0.05 here is 0.025 on [0,1]. The same seed gives the same noise everywhere.
func AddGaussian(y []float32, sigma float64, seed uint64) {
	rng := newRand(seed, streamGaussian)
	for i := range y {
		y[i] += float32(sigma * rng.NormFloat64())
	}
}

// AddPoisson replaces each value in [-1,1] by a Poisson count, in place: value v stands for peak*(v+1)/2 expected
// photons, and the count is mapped back. Smaller peaks give more noise; the result is not clipped. Values below -1
// count as -1.
func AddPoisson(y []float32, peak float64, seed uint64) {
	rng := newRand(seed, streamPoisson)
	for i, v := range y {
		mean := peak * max(float64(v)+1, 0) / 2
		var n float64
		if mean > 500 { // the normal limit; the product method below would take too long
			n = math.Round(max(mean+math.Sqrt(mean)*rng.NormFloat64(), 0))
		} else {
			// Count unit-rate arrivals before time mean (Knuth's method in logarithms, free of underflow).
			for t := rng.ExpFloat64(); t < mean; t += rng.ExpFloat64() {
				n++
			}
		}
		y[i] = float32(2*n/peak - 1)
	}
}

// AddSaltPepper sets a fraction of the pixels (all c channels) of the HWC picture y to -1 or 1, in place.
func AddSaltPepper(y []float32, c int, fraction float64, seed uint64) {
	rng := newRand(seed, streamSaltPepper)
	for p := 0; p+c <= len(y); p += c {
		hit, salt := rng.Float64() < fraction, rng.Float64() < 0.5
		if !hit {
			continue
		}
		v := float32(-1)
		if salt {
			v = 1
		}
		for ch := range c {
			y[p+ch] = v
		}
	}
}
