package psld

import (
	"context"
	"math"
	"slices"

	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/solver"
	"psld/psld/task"
)

// finish moves the decoded picture x towards the measurement in pixel space, where the
// autoencoder's bottleneck does not limit it:
//
//	x + (A'A + lambda I)^-1 A' (y - A x),  lambda = sigma^2 / tau^2,
//
// the least-squares estimate when y has noise of deviation sigma and x an error of tau. What the
// residual y - A x has over the noise tells tau: tau^2 = mean square - sigma^2.
// Where the picture fits the measurement up to its noise, nothing is left to do. Unknown
// values must be zero in y. Where ctx ends x stays as it is, and the error is ctx's.
func finish(ctx context.Context, x []float32, p solver.Problem, sigma float64) error {
	r, square := residual(x, p)
	tau2 := square - sigma*sigma
	if tau2 <= 1e-6 {
		return nil
	}
	inverse, err := operator.NewNormalInverse(p.A, max(1e-3, sigma*sigma/tau2), 30)
	if err != nil {
		return err
	}
	back, dx := make([]float32, len(x)), make([]float32, len(x))
	p.A.Adjoint(back, r)
	if err := operator.ApplyWithin(ctx, inverse, dx, back); err != nil {
		return err
	}
	for i, v := range dx {
		x[i] += v
	}
	return nil
}

// residual is y - A x, and its mean square over the measured values. Unknown values must be zero in y.
func residual(x []float32, p solver.Problem) (r []float32, square float64) {
	r = make([]float32, len(p.Y))
	p.A.Apply(r, x)
	for i, v := range p.Y {
		r[i] = v - r[i]
		square += float64(r[i]) * float64(r[i])
	}
	return r, square / float64(max(1, p.Measured()))
}

// EstimateNoise is the deviation of white noise in a picture y[h,w,3]: that of its finest diagonal wavelet
// coefficients in the parts of the picture that have least of them, since elsewhere texture adds to the noise. Where
// too few parts are known it is the median size of all coefficients (Donoho and Johnstone 1994), which texture makes
// too large. Near the ends of the range noise is cut off, and what is left of it is too small: parts where that is
// seen count only where there are not enough others. keep tells which pixels count, nil for all. ok is false where too
// few 2x2 blocks are known, or y or keep are too short.
func EstimateNoise(y []float32, h, w int, keep []bool) (sigma float64, ok bool) {
	if h < 1 || w < 1 || len(y) < 3*h*w || keep != nil && len(keep) < h*w {
		return 0, false
	}
	const side, enough = 16, 100 // of a part, in pixels, and its coefficients
	across := (w + side - 1) / side
	parts := make([]struct{ squares, n, cut float64 }, across*((h+side-1)/side))
	count := 0
	diagonals(y, h, w, keep, func(r, c int, d float64, cut bool) {
		part := &parts[r/side*across+c/side]
		if cut {
			part.cut++
			return
		}
		part.squares, part.n = part.squares+d*d, part.n+1
		count++
	})
	if count < 90 {
		return 0, false
	}
	const few = 4 // parts
	var deviations []float64
	for _, most := range []float64{0.01, 0.05, 1} { // share of coefficients beside values that may be cut off
		if len(deviations) >= few {
			break
		}
		deviations = deviations[:0]
		for _, part := range parts {
			if part.n >= enough && part.cut <= most*(part.n+part.cut) {
				deviations = append(deviations, math.Sqrt(part.squares/part.n))
			}
		}
	}
	if len(deviations) < few {
		all := make([]float64, 0, count)
		diagonals(y, h, w, keep, func(_, _ int, d float64, cut bool) {
			if !cut {
				all = append(all, d)
			}
		})
		slices.Sort(all)
		return all[len(all)/2] / 0.6745, true
	}
	slices.Sort(deviations)
	// A tenth of the parts of pure noise lie some four hundredths below its deviation.
	return deviations[len(deviations)/10] * 1.04, true
}

// diagonals calls f with the size of the finest diagonal wavelet coefficient of each known 2x2 block, for each
// channel, and whether one of its values is at an end of the range, where noise may have been cut off.
func diagonals(y []float32, h, w int, keep []bool, f func(r, c int, d float64, cut bool)) {
	for r := 0; r+1 < h; r++ {
		for c := 0; c+1 < w; c++ {
			i := r*w + c
			if keep != nil && !(keep[i] && keep[i+1] && keep[i+w] && keep[i+w+1]) {
				continue
			}
			for k := range 3 {
				at := func(p int) float64 { return float64(y[3*p+k]) }
				f(r, c, math.Abs(at(i)-at(i+1)-at(i+w)+at(i+w+1))/2, extreme(at(i), at(i+1), at(i+w), at(i+w+1)))
			}
		}
	}
}

// NoiseOf is EstimateNoise for the measurement of a task. A picture that was made smaller has texture in its finest
// detail everywhere, and little noise as a rule: there a quarter of the estimate is taken.
func NoiseOf(t *task.Task, y *picture.Picture, keep []bool) (sigma float64, ok bool) {
	if t == nil || y.Validate() != nil {
		return 0, false
	}
	sigma, ok = EstimateNoise(y.Pix, y.H, y.W, keep)
	if t.Scale > 1 {
		sigma /= 4
	}
	return sigma, ok
}

// extreme tells whether one of the values is at an end of the range of pictures.
func extreme(values ...float64) bool {
	for _, v := range values {
		if v == -1 || v == 1 {
			return true
		}
	}
	return false
}
