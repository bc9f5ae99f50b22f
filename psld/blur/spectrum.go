package blur

import (
	_ "embed" // the law
	"fmt"
	"math"
	"strings"
	"sync"

	"gonum.org/v1/gonum/dsp/fourier"
	"gonum.org/v1/gonum/mat"
)

// The spectrum is known in bands of spatial frequency, in cycles a pixel.
const (
	bands        = 28
	lowest, span = 0.02, 0.48
)

// centre is the middle of a band.
func centre(i int) float64 { return lowest + span*(float64(i)+0.5)/bands }

// law is the distribution of the log power of sharp photographs: normal, with a mean and the inverse of a covariance.
type law struct {
	mean    [bands]float64
	inverse *mat.SymDense
}

// photographsText has the means, and then the rows of the covariance's lower triangle: of 1,200 photographs of faces,
// clothes, groceries and flowers with some 200 pixels a side, as [spectrum] sees them, with 0.02 added to the
// diagonal.
//
//go:embed photographs.txt
var photographsText string

var photographs = sync.OnceValue(func() *law {
	in, l := strings.NewReader(photographsText), &law{inverse: mat.NewSymDense(bands, nil)}
	read := func() (v float64) {
		if _, err := fmt.Fscan(in, &v); err != nil {
			panic("blur: photographs.txt: " + err.Error())
		}
		return v
	}
	for i := range l.mean {
		l.mean[i] = read()
	}
	covariance := mat.NewSymDense(bands, nil)
	for i := range bands {
		for j := range i + 1 {
			covariance.SetSym(i, j, read())
		}
	}
	var chol mat.Cholesky
	if !chol.Factorize(covariance) || chol.InverseTo(l.inverse) != nil {
		panic("blur: photographs.txt is no covariance")
	}
	return l
})

// luma are the weights of JPEG's brightness.
var luma = [3]float64{0.299, 0.587, 0.114}

// spectrum is the mean power of the grey picture in each band, under a Hann window that keeps the mean square, and
// over how many frequencies it goes. It looks at the middle, at most most pixels a side. steps are those of a JPEG on
// [-1,1], nil for none: bands where they leave mostly less than their own rounding error have a count of 0.
func spectrum(y []float32, h, w, most int, steps *[64]float64) (power, count [bands]float64) {
	nh, nw := min(h, most), min(w, most)
	weights := even
	if steps != nil {
		weights = luma // what the steps are of
	}
	v := seen(y, h, w, nh, nw, weights)
	var weak [bands]float64
	cell := cells(v, nh, nw)
	for i, t := range v {
		band := (math.Hypot(frequency(i/nw, nh), frequency(i%nw, nw)) - lowest) / span * bands
		if band >= 0 && band < bands {
			power[int(band)] += norm(t, nh, nw)
			count[int(band)]++
			if k := cellOf(i, nh, nw); steps != nil && cell[k] < steps[k]*steps[k]/12 {
				weak[int(band)]++
			}
		}
	}
	for i, n := range count {
		if n > 0 {
			power[i] /= n
		}
		if 2*weak[i] > n {
			count[i] = 0
		}
	}
	return power, count
}

// even are the weights of grey as the mean of the colours.
var even = [3]float64{1.0 / 3, 1.0 / 3, 1.0 / 3}

// seen is the transform of the middle nh x nw pixels in grey, without their mean, under a Hann window that keeps the
// mean square.
func seen(y []float32, h, w, nh, nw int, weights [3]float64) []complex128 {
	top, left := (h-nh)/2, (w-nw)/2
	wy, wx := hann(nh), hann(nw)
	v := make([]complex128, nh*nw)
	var mean float64
	for i := range v {
		px := y[3*((top+i/nw)*w+left+i%nw):]
		grey := weights[0]*float64(px[0]) + weights[1]*float64(px[1]) + weights[2]*float64(px[2])
		v[i] = complex(grey, 0)
		mean += grey * wy[i/nw] * wx[i%nw]
	}
	var sy, sx float64
	for _, a := range wy {
		sy += a
	}
	for _, a := range wx {
		sx += a
	}
	mean /= sy * sx
	for i := range v {
		v[i] = complex((real(v[i])-mean)*wy[i/nw]*wx[i%nw], 0)
	}
	transform(v, nh, nw)
	return v
}

// norm is the power of a coefficient of a transform of h x w values.
func norm(t complex128, h, w int) float64 { return (real(t)*real(t) + imag(t)*imag(t)) / float64(h*w) }

// cellOf is the number of the 8x8 cosine transform's coefficient that is nearest to the i-th frequency of h x w.
func cellOf(i, h, w int) int {
	return 8*min(7, int(16*frequency(i/w, h)+0.5)) + min(7, int(16*frequency(i%w, w)+0.5))
}

// cells are the mean powers at the frequencies of each coefficient of JPEG's transform.
func cells(v []complex128, h, w int) (power [64]float64) {
	var n [64]float64
	for i, t := range v {
		k := cellOf(i, h, w)
		power[k] += norm(t, h, w)
		n[k]++
	}
	for k := range power {
		power[k] /= max(1, n[k])
	}
	return power
}

// hann is a Hann window of n values whose mean square is 1.
func hann(n int) []float64 {
	v, squares := make([]float64, n), 0.0
	for i := range v {
		v[i] = 1 - math.Cos(2*math.Pi*float64(i+1)/float64(n+1))
		squares += v[i] * v[i]
	}
	for i := range v {
		v[i] /= math.Sqrt(squares / float64(n))
	}
	return v
}

// frequency of the i-th of n coefficients, without its sign.
func frequency(i, n int) float64 { return float64(min(i, n-i)) / float64(n) }

// transform is the discrete Fourier transform of h x w values, in place.
func transform(v []complex128, h, w int) {
	rows, columns := fourier.NewCmplxFFT(w), fourier.NewCmplxFFT(h)
	for r := range h {
		rows.Coefficients(v[r*w:(r+1)*w], v[r*w:(r+1)*w])
	}
	line := make([]complex128, h)
	for c := range w {
		for r := range line {
			line[r] = v[r*w+c]
		}
		columns.Coefficients(line, line)
		for r, t := range line {
			v[r*w+c] = t
		}
	}
}
