package blur

import (
	"math"
	"slices"

	"psld/internal/parallel"
)

// Another is a kernel that fits a picture clearly better than the one that was told.
type Another struct {
	Scale float64 // its size over that of the told one
	Turn  float64 // degrees, counter-clockwise, by which it is turned
}

// Doubt looks whether a picture y[h,w,3] is rather blurred by a turned or by a smaller kernel than k [size][size]
// under white noise of deviation sigma in the mean of its colours.
//
// Turned: it compares the likelihood of the picture's spectrum (Whittle 1953) where photographs have the power c /
// f^2.4 and noise adds a constant, c and noise being what suits each kernel best. Kernels of other sizes stand beside
// k, for a photograph of much or little detail looks like another size. Smaller: where k leaves less than a fifth of
// the noise of any photograph there must be noise alone, and power of 1.7 times the noise tells that k is too large.
//
// found is false where neither is clear, and in pictures of less than 48 pixels a side. Which end of a kernel is up,
// and kernels that are too small, are not seen.
func Doubt(y []float32, h, w int, k []float64, size int, sigma float64) (a Another, found bool) {
	const (
		least, most = 48, 192
		sure        = 6.0       // what the log likelihood, by the root of a quarter of the pixels, must be better by
		enough      = 128 * 128 // pixels from which on photographs differ by more than chance
		excess      = 1.7       // power over the noise where a kernel leaves none
	)
	if min(h, w) < least || len(y) != 3*h*w || len(k) != size*size {
		return a, false
	}
	nh, nw := min(h, most), min(w, most)
	f := &kernelFit{h: nh, w: nw, noise: max(sigma, rounding) * max(sigma, rounding)}
	for i, t := range seen(y, h, w, nh, nw, even) {
		if r := math.Hypot(frequency(i/nw, nh), frequency(i%nw, nw)); r > lowest {
			f.at, f.power = append(f.at, i), append(f.power, norm(t, nh, nw))
			f.sharp, f.radius = append(f.sharp, math.Pow(r, -2.4)), append(f.radius, r)
		}
	}
	var list []Another
	for _, scale := range []float64{1, 1 / 1.5, 1.5} {
		for turn := 0.0; turn < 180; turn += 30 {
			list = append(list, Another{scale, turn})
		}
	}
	costs := make([]float64, len(list))
	parallel.Rows(len(list), 1<<30, func(i int) { costs[i] = f.cost(f.passed(list[i].of(k, size))) })
	straight, turned := 0, 1 // the best of either
	for i, c := range costs {
		best := &turned
		if list[i].Turn == 0 {
			best = &straight
		}
		if c < costs[*best] {
			*best = i
		}
	}
	if (costs[straight]-costs[turned])*math.Sqrt(float64(min(nh*nw, enough))/4) > sure {
		return list[turned], true
	}
	return Another{1 / 1.5, 0}, f.beyond(f.passed(k)) > excess
}

// rounding is the deviation that 8 bits leave on [-1,1].
const rounding = 2.0 / 255 / 3.4641

// of is the kernel, in a square as large, as long as it is not cut off there.
func (a Another) of(k []float64, size int) []float64 {
	if a == (Another{1, 0}) {
		return k
	}
	sin, cos := math.Sincos(a.Turn * math.Pi / 180)
	side := int(math.Ceil(float64(size)*1.5))/2*2 + 1
	out, sum := make([]float64, side*side), 0.0
	for i := range out {
		y, x := float64(i/side-side/2)/a.Scale, float64(i%side-side/2)/a.Scale
		out[i] = between(k, size, cos*y+sin*x+float64(size/2), cos*x-sin*y+float64(size/2))
		sum += out[i]
	}
	if sum > 0 {
		for i := range out {
			out[i] /= sum
		}
	}
	return out
}

// between is the value of a kernel at row y, column x, between its pixels; 0 outside.
func between(k []float64, size int, y, x float64) (v float64) {
	y0, x0 := int(math.Floor(y)), int(math.Floor(x))
	for r := y0; r <= y0+1; r++ {
		for c := x0; c <= x0+1; c++ {
			if r >= 0 && r < size && c >= 0 && c < size {
				v += k[r*size+c] * (1 - math.Abs(y-float64(r))) * (1 - math.Abs(x-float64(c)))
			}
		}
	}
	return v
}

// kernelFit compares kernels with the power of a picture at the frequencies that count.
type kernelFit struct {
	h, w         int
	at           []int // numbers of the frequencies
	power, sharp []float64
	radius       []float64 // of the frequencies, in cycles a pixel
	noise        float64   // variance
}

// passed is the power that a kernel leaves.
func (f *kernelFit) passed(k []float64) []float64 {
	size := int(math.Sqrt(float64(len(k))) + 0.5)
	v := make([]complex128, f.h*f.w)
	for i, x := range k {
		r, c := (i/size-size/2)%f.h, (i%size-size/2)%f.w
		v[(r+f.h)%f.h*f.w+(c+f.w)%f.w] += complex(x, 0)
	}
	transform(v, f.h, f.w)
	passed := make([]float64, len(f.at))
	for i, at := range f.at {
		passed[i] = real(v[at])*real(v[at]) + imag(v[at])*imag(v[at])
	}
	return passed
}

// beyond is the median power over the noise where a kernel leaves a fifth to a ten thousandth of that of photographs
// of power c / f^2; 0 where there are too few such frequencies, or the kernel leaves some of the finest detail, which
// tells whether the noise is estimated right.
func (f *kernelFit) beyond(passed []float64) float64 {
	median := func(v []float64) float64 { // of exponentially distributed values, over their mean
		slices.Sort(v)
		return v[len(v)/2] / math.Ln2
	}
	const few = 30
	var clear, floor, beyond []float64
	for i, r := range f.radius {
		if r < 0.15 && passed[i] > 0.3 {
			clear = append(clear, f.power[i]*r*r/passed[i])
		}
	}
	fine := 0
	for i, r := range f.radius {
		if r > 0.35 {
			fine++
			if passed[i] <= 1e-6 {
				floor = append(floor, f.power[i])
			}
		}
	}
	if len(clear) < few || len(floor) < max(few, fine*9/10) {
		return 0
	}
	c, noise := median(clear), max(f.noise, median(floor)) // the estimate may be too low
	for i, r := range f.radius {
		if left := passed[i] * c / (r * r) / noise; left < 0.2 && left > 1e-4 {
			beyond = append(beyond, f.power[i]/noise)
		}
	}
	if len(beyond) < few {
		return 0
	}
	return median(beyond)
}

// cost is -log of the likelihood of a kernel, over the number of frequencies. Powers far above what is expected, of
// which photographs have some, count by their logarithm. The noise may be up to eight times as strong as it was
// estimated: where it is cut off at black or white, the estimate is too low.
func (f *kernelFit) cost(passed []float64) float64 {
	least := math.Inf(1)
	for noise := f.noise; noise <= 8.5*f.noise; noise *= 2 {
		for e := -11.0; e <= -1; e++ {
			c, sum := math.Exp(e), 0.0
			if e < -10 {
				c = 0 // nothing but noise
			}
			for i, p := range f.power {
				expected := c*passed[i]*f.sharp[i] + noise
				q := expected + p
				sum += math.Log(q * q / expected) // log(expected) + 2 log(1 + p / expected)
			}
			least = min(least, sum)
		}
	}
	return least / float64(len(f.power))
}
