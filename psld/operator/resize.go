package operator

import (
	"fmt"
	"math"
)

// Method names an interpolation of NewResize.
type Method int

// The interpolations. The torch ones follow torch.nn.functional.interpolate with align_corners=false.
const (
	Nearest    Method = iota // source index floor(i*in/out)
	Area                     // mean over [floor(i*in/out), ceil((i+1)*in/out)), torch's "area"
	Bilinear                 // torch's "bilinear", no antialiasing
	Bicubic                  // torch's "bicubic": a = -0.75, edge clamped, no antialiasing
	CubicSmall               // MATLAB-like cubic, a = -0.5, antialiased, border mirrored with the edge pixel: DPS
)

// NewResize returns the resize of h x w pictures with c channels to oh x ow. It is linear and separable, so its
// adjoint is exact. Sizes below 1 and unknown methods are errors.
func NewResize(h, w, c, oh, ow int, m Method) (Linear, error) {
	if err := checkShape(Shape{h, w, c}); err != nil {
		return nil, err
	}
	if err := checkShape(Shape{oh, ow, c}); err != nil {
		return nil, err
	}
	axis := func(in, out int) table { return resizeTable(in, out, m, float64(out)/float64(in)) }
	if m < Nearest || m > CubicSmall {
		return nil, fmt.Errorf("operator: unknown resize method %d", m)
	}
	return newSeparable(c, axis(h, oh), axis(w, ow)), nil
}

// NewSR returns the super-resolution operator of DPS and PSLD: antialiased cubic down-sampling (CubicSmall) by an
// integer factor. The output is ceil(h/factor) x ceil(w/factor); where a side is no multiple of the factor the
// sampling grid keeps its step and is centred, so that its two ends reach over the border by the same amount
// (mirrored).
func NewSR(h, w, c, factor int) (Linear, error) {
	if err := checkShape(Shape{h, w, c}); err != nil {
		return nil, err
	}
	if factor < 1 || factor > min(h, w) {
		return nil, fmt.Errorf("operator: super-resolution factor %d must be between 1 and the shorter side "+
			"of the %dx%d picture", factor, w, h)
	}
	axis := func(in int) table { return resizeTable(in, (in+factor-1)/factor, CubicSmall, 1/float64(factor)) }
	return newSeparable(c, axis(h), axis(w)), nil
}

// resizeTable returns the weights of one axis. scale is out/in except for super-resolution with a remainder.
func resizeTable(in, out int, m Method, scale float64) table {
	return newTable(out, in, func(i int) ([]int, []float64) {
		// The centre of output i in source pixels, half-pixel convention.
		at := (float64(i)+0.5)/scale - 0.5
		switch m {
		case Nearest:
			return []int{i * in / out}, []float64{1}
		case Area:
			return mean(i*in/out, ((i+1)*in+out-1)/out)
		case Bilinear:
			at = max(at, 0)
			lo := int(at)
			f := at - float64(lo)
			return []int{min(lo, in-1), min(lo+1, in-1)}, []float64{1 - f, f}
		case Bicubic:
			lo := int(math.Floor(at))
			idx, w := make([]int, 4), make([]float64, 4)
			for k := range 4 {
				idx[k] = min(max(lo-1+k, 0), in-1)
				w[k] = cubic(at-float64(lo-1+k), -0.75)
			}
			return idx, w
		default:
			return cubicSmall(at-(float64(out)/scale-float64(in))/2, in, scale)
		}
	})
}

// cubicSmall lists the taps of the antialiased cubic centred at source position at: for scale < 1 the kernel is
// stretched by 1/scale. Weights are normalised, indices mirrored with the edge pixel repeated (period 2*in).
func cubicSmall(at float64, in int, scale float64) (idx []int, w []float64) {
	stretch := max(1, 1/scale)
	var sum float64
	for j := int(math.Floor(at - 2*stretch)); j <= int(math.Ceil(at+2*stretch)); j++ {
		v := cubic((at-float64(j))/stretch, -0.5)
		idx, w = append(idx, mirror(j, in)), append(w, v)
		sum += v
	}
	for k := range w {
		w[k] /= sum
	}
	return idx, w
}

// mirror folds index j into [0,n) by reflection that repeats the edge pixel: ... 1 0 | 0 1 2 ...
func mirror(j, n int) int {
	j = ((j % (2 * n)) + 2*n) % (2 * n)
	if j >= n {
		j = 2*n - 1 - j
	}
	return j
}

// cubic is Keys' piecewise cubic convolution kernel with parameter a.
func cubic(x, a float64) float64 {
	x = math.Abs(x)
	switch {
	case x <= 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return ((a*x-5*a)*x+8*a)*x - 4*a
	}
	return 0
}

// mean lists equal weights over the source indices [lo,hi).
func mean(lo, hi int) (idx []int, w []float64) {
	for j := lo; j < hi; j++ {
		idx, w = append(idx, j), append(w, 1/float64(hi-lo))
	}
	return idx, w
}
