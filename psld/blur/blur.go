// Package blur tells how strongly a picture is blurred, from the picture alone.
package blur

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Deviations that Estimate looks for, in pixels.
const (
	Least = 0.5
	Most  = 6.0
)

// Gaussian is an estimated Gaussian blur.
type Gaussian struct {
	Std   float64 // standard deviation in pixels
	Error float64 // standard deviation of its logarithm: 0.1 is 10 %
	Odd   float64 // how unlike a photograph's the spectrum is: about 1 for photographs
}

// Sure tells whether the estimate may be used without asking: an error of at most 18 %, inside of the range that is
// looked for, of a picture that is not sharp and has a photograph's spectrum.
func (g Gaussian) Sure() bool {
	return g.Error < 0.18 && g.Std > 1.12*Least && g.Std < Most/1.12 && g.Odd < 2 && !g.Sharp()
}

// Sharp tells whether the picture may be as sharp as photographs are, or little blurred: to sharpen it would harm it.
func (g Gaussian) Sharp() bool {
	low, _ := g.Range()
	return low < Least
}

// Range is where the deviation lies with a probability of 95 %.
func (g Gaussian) Range() (low, high float64) {
	return g.Std * math.Exp(-2*g.Error), g.Std * math.Exp(2*g.Error)
}

// Estimate tells the deviation of the Gaussian blur of the picture y[h,w,3] under white noise of unknown deviation.
//
// The power of photographs at each spatial frequency is close to a lognormal law (photographs.txt). A blur of
// deviation s multiplies it with exp(-4 pi^2 f^2 s^2), noise adds a constant. For a grid of deviations and of
// constants, Laplace's method gives the probability of the measured power; the estimate is the mean of log s under it.
// Of pictures over 1024 pixels a side the middle is taken. steps are those of the JPEG that the picture was read from
// (picture.Picture.Steps), nil for none: JPEG leaves out what is weaker than they are, which looks like blur, and the
// edges of its blocks look like detail. It is an error if a side has less than 32 pixels.
func Estimate(y []float32, h, w int, steps *[64]float64) (Gaussian, error) {
	const most, least = 1024, 32
	if h < least || w < least || len(y) != 3*h*w {
		return Gaussian{}, fmt.Errorf("the blur of a picture of %dx%d pixels cannot be told, want at least %d a side",
			w, h, least)
	}
	power, count := spectrum(y, h, w, most, steps)
	f := newFit(power, count)
	if math.IsInf(f.floor, 1) { // a JPEG has left nothing
		return Gaussian{Std: math.Sqrt(Least * Most), Error: math.Log(Most / Least), Odd: math.Inf(1)}, nil
	}
	const grid = 32
	logs, costs, odd := make([]float64, grid), make([]float64, grid), make([]float64, grid)
	lowest := math.Inf(1)
	for i := range grid {
		logs[i] = math.Log(Least) + math.Log(Most/Least)*float64(i)/(grid-1)
		costs[i], odd[i] = f.best(math.Exp(logs[i]))
		lowest = min(lowest, costs[i])
	}
	var sum, mean, square float64
	g := Gaussian{Odd: math.Inf(1)}
	for i, c := range costs {
		p := math.Exp((lowest - c) / 2)
		sum, mean, square = sum+p, mean+p*logs[i], square+p*logs[i]*logs[i]
		if c == lowest {
			g.Odd = odd[i]
		}
	}
	mean /= sum
	g.Std = math.Round(100*math.Exp(mean)) / 100
	g.Error = math.Sqrt(max(0, square/sum-mean*mean) + 1e-4) // never better than the grid
	return g, nil
}

// fit compares blurs with a measured spectrum.
type fit struct {
	law   *law
	log   [bands]float64 // of the power
	noise [bands]float64 // variance of log
	floor float64        // log of the power where it is least: noise above all
}

func newFit(power, count [bands]float64) *fit {
	f := &fit{law: photographs(), floor: math.Inf(1)}
	// Eight bits leave this much noise in the mean of three channels, less where the picture is even.
	const rounding = (2.0 / 255) * (2.0 / 255) / 36
	for i, p := range power {
		f.noise[i] = 1e6 // nothing is known
		if count[i] > 0 {
			f.log[i], f.noise[i] = math.Log(max(p, rounding/10)), 0.03+1/count[i]
		}
	}
	last := bands // one behind the last known band
	for last > 0 && count[last-1] == 0 {
		last--
	}
	for i := max(0, last-6); i < last; i++ {
		if count[i] > 0 {
			f.floor = min(f.floor, f.log[i])
		}
	}
	return f
}

// best is the cost of a blur, -2 log of its probability, with the noise that suits it best, and how odd the picture
// then is.
func (f *fit) best(std float64) (cost, odd float64) {
	cost = math.Inf(1)
	for _, d := range []float64{-9, -6, -4, -2.5, -1, -0.5, -0.25, -0.1, -0.03, 0, 0.03} {
		if c, o := f.cost(std, math.Exp(f.floor+d)); c < cost {
			cost, odd = c, o
		}
	}
	return cost, odd
}

// cost is -2 log of the probability of the spectrum: with r, by which the sharp picture's log power differs from the
// mean, the measured log power is log(exp(mean + r - 4 pi^2 f^2 s^2) + noise), and r is found by Gauss-Newton steps.
func (f *fit) cost(std, noise float64) (cost, odd float64) {
	r := mat.NewVecDense(bands, nil)
	var chol mat.Cholesky
	a, b := mat.NewSymDense(bands, nil), mat.NewVecDense(bands, nil)
	const steps = 4
	for step := range steps + 1 {
		a.CopySym(f.law.inverse)
		cost = 0
		for i := range bands {
			blurred := math.Exp(f.law.mean[i] + r.AtVec(i) - 4*math.Pi*math.Pi*centre(i)*centre(i)*std*std)
			slope, miss := blurred/(blurred+noise), f.log[i]-math.Log(blurred+noise)
			a.SetSym(i, i, a.At(i, i)+slope*slope/f.noise[i])
			b.SetVec(i, slope/f.noise[i]*(miss+slope*r.AtVec(i)))
			cost += miss * miss / f.noise[i]
		}
		if !chol.Factorize(a) {
			return math.Inf(1), math.Inf(1)
		}
		if step == steps {
			break
		}
		if err := chol.SolveVecTo(r, b); err != nil {
			return math.Inf(1), math.Inf(1)
		}
	}
	prior := mat.Inner(r, f.law.inverse, r)
	return cost + prior + chol.LogDet(), (cost + prior) / bands
}
