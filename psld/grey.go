package psld

import (
	"math"

	"psld/psld/operator"
)

// greyNoise is the noise of a grey measurement as models of colour pictures count it, over that of one of its equal
// channels: all of it lies along the grey axis of a pixel, whose unit vector is (1,1,1)/sqrt(3).
var greyNoise = math.Sqrt(3)

// whitened is a grey measurement y [..., 3] with noise of deviation sigma, and noise in its colours as strong as that
// along its grey axis: a measurement of the same grey picture with white noise of deviation greyNoise*sigma, which is
// what models know. As it stands, its noise would be too strong for the one deviation and too weak for the other.
func whitened(y []float32, sigma float64, seed uint64) []float32 {
	n := make([]float32, len(y))
	operator.AddGaussian(n, greyNoise*sigma, seed)
	for i := 0; i < len(n); i += 3 {
		mean := (n[i] + n[i+1] + n[i+2]) / 3
		for c := range 3 {
			n[i+c] += y[i+c] - mean
		}
	}
	return n
}

// grey sets the channels of every pixel to their mean.
func grey(pix []float32) {
	for i := 0; i < len(pix); i += 3 {
		px := pix[i : i+3]
		v := (px[0] + px[1] + px[2]) / 3
		px[0], px[1], px[2] = v, v, v
	}
}
