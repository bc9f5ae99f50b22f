// Package metric says how close a restored picture is to the true one: PSNR and SSIM, with the definitions and
// defaults of scikit-image, in float64, and LPIPS. List has them as accumulators over pictures.
//
// Pictures are HWC slices. The range of the values is given as dataRange: 1 for [0,1], 255 for bytes. SSIM compares
// means, so it is not the same on [-1,1]: bring pictures to [0,1] with Unit first, as all published numbers have it.
package metric

import (
	"fmt"
	"math"
)

// Value is the type of a picture's values.
type Value interface{ ~float32 | ~float64 | ~uint8 }

// Unit maps a picture in [-1,1] to [0,1], clipped as saving it would: the form to measure it in (dataRange 1).
func Unit(x []float32) []float64 {
	r := make([]float64, len(x))
	for i, v := range x {
		r[i] = min(max((float64(v)+1)/2, 0), 1)
	}
	return r
}

// MSE returns the mean of (a-b)^2. Slices of different or zero length give NaN.
func MSE[T Value](a, b []T) float64 {
	if len(a) != len(b) {
		return math.NaN()
	}
	var s float64
	for i, v := range a {
		d := float64(v) - float64(b[i])
		s += d * d
	}
	return s / float64(len(a))
}

// PSNR returns the peak signal to noise ratio 10 log10(dataRange^2/MSE) in dB: +Inf for equal pictures, NaN for slices
// of different or zero length.
func PSNR[T Value](a, b []T, dataRange float64) float64 {
	return 10 * math.Log10(dataRange*dataRange/MSE(a, b))
}

// Window is the weighting of SSIM.
type Window int

const (
	// Uniform7 is skimage's default: a flat 7x7 window and the sample covariance (N-1).
	Uniform7 Window = iota
	// Gauss11 is the window of Wang et al. 2004: Gaussian of std 1.5 cut at 11x11, and the plain covariance.
	Gauss11
)

// weights returns the 1-D window, which sums to 1, and the factor of the covariances.
func (w Window) weights() (k []float64, cov float64) {
	if w == Uniform7 {
		k = make([]float64, 7)
		for i := range k {
			k[i] = 1.0 / 7
		}
		return k, 49.0 / 48
	}
	k = make([]float64, 11)
	var sum float64
	for i := range k {
		k[i] = math.Exp(-float64((i-5)*(i-5)) / (2 * 1.5 * 1.5))
		sum += k[i]
	}
	for i := range k {
		k[i] /= sum
	}
	return k, 1
}

// SSIM returns the mean structural similarity of two h x w x c pictures, as
// skimage.metrics.structural_similarity(channel_axis=-1) with K1=0.01 and K2=0.03: the mean over the pixels whose
// window lies inside the picture, then over the channels. Equal pictures give 1. Wrong lengths and pictures smaller
// than the window (7 or 11 pixels a side) are errors.
func SSIM[T Value](a, b []T, h, w, c int, dataRange float64, win Window) (float64, error) {
	if n := h * w * c; h < 1 || w < 1 || c < 1 || len(a) != n || len(b) != n {
		return 0, fmt.Errorf("metric: SSIM of %d and %d values, want %dx%dx%d for both", len(a), len(b), h, w, c)
	}
	k, cov := win.weights()
	if h < len(k) || w < len(k) {
		return 0, fmt.Errorf("metric: SSIM needs at least %dx%d pixels, the picture is %dx%d", len(k), len(k), w, h)
	}
	c1, c2 := math.Pow(0.01*dataRange, 2), math.Pow(0.03*dataRange, 2)
	var total float64
	x, y, xy := make([]float64, h*w), make([]float64, h*w), make([]float64, h*w)
	for ch := range c {
		for i := range x {
			x[i], y[i] = float64(a[i*c+ch]), float64(b[i*c+ch])
		}
		mx, my := window(x, h, w, k), window(y, h, w, k)
		for i := range x {
			xy[i], x[i], y[i] = x[i]*y[i], x[i]*x[i], y[i]*y[i]
		}
		xx, yy, co := window(x, h, w, k), window(y, h, w, k), window(xy, h, w, k)
		var sum float64
		for i, p := range mx {
			q := my[i]
			vx, vy, vxy := cov*(xx[i]-p*p), cov*(yy[i]-q*q), cov*(co[i]-p*q)
			sum += (2*p*q + c1) * (2*vxy + c2) / ((p*p + q*q + c1) * (vx + vy + c2))
		}
		total += sum / float64(len(mx))
	}
	return total / float64(c), nil
}

// window returns the weighted mean around every pixel whose window lies inside: [h-n+1, w-n+1] for n weights.
func window(x []float64, h, w int, k []float64) []float64 {
	oh, ow := h-len(k)+1, w-len(k)+1
	t, r := make([]float64, oh*w), make([]float64, oh*ow)
	for i := range oh {
		d := t[i*w : (i+1)*w]
		for j, v := range k {
			for p, s := range x[(i+j)*w : (i+j+1)*w] {
				d[p] += v * s
			}
		}
		for p := range ow {
			for j, v := range k {
				r[i*ow+p] += v * d[p+j]
			}
		}
	}
	return r
}
