package operator

import (
	"fmt"
	"math"
)

// Noise is a kind of noise with its level.
type Noise struct {
	Kind  NoiseKind
	Level float64
}

// NoiseKind names a kind of noise.
type NoiseKind string

// The kinds of noise, and what their levels are.
const (
	GaussianNoise NoiseKind = "gaussian"        // deviation on [-1,1], at least 0
	PoissonNoise  NoiseKind = "poisson"         // photons of a white value, more than 0
	SaltPepper    NoiseKind = "salt-and-pepper" // share of the pixels, 0 to 1
)

// Check reports an unknown kind and a level out of its range.
func (n Noise) Check() error {
	ok, want := false, ""
	switch n.Kind {
	case GaussianNoise:
		ok, want = n.Level >= 0 && !math.IsInf(n.Level, 0), "deviation %v, want a number of at least 0"
	case PoissonNoise:
		ok, want = n.Level > 0 && !math.IsInf(n.Level, 0), "%v photons, want a number of more than 0"
	case SaltPepper:
		ok, want = n.Level >= 0 && n.Level <= 1, "share %v, want 0 to 1"
	default:
		return fmt.Errorf("unknown noise %q, want %s, %s or %s", n.Kind, GaussianNoise, PoissonNoise, SaltPepper)
	}
	if !ok {
		return fmt.Errorf("%s noise: "+want, n.Kind, n.Level)
	}
	return nil
}

// Add puts the noise into the HWC picture y of c channels, in place. It panics where Check finds a fault.
func (n Noise) Add(y []float32, c int, seed uint64) {
	if err := n.Check(); err != nil {
		panic("operator: " + err.Error())
	}
	switch n.Kind {
	case GaussianNoise:
		AddGaussian(y, n.Level, seed)
	case PoissonNoise:
		AddPoisson(y, n.Level, seed)
	case SaltPepper:
		AddSaltPepper(y, c, n.Level, seed)
	}
}

// String tells the noise in words, with both ranges of a deviation.
func (n Noise) String() string {
	switch n.Kind {
	case GaussianNoise:
		return fmt.Sprintf("noise of deviation %g on [-1,1] (%g on [0,1])", n.Level, n.Level/2)
	case PoissonNoise:
		return fmt.Sprintf("Poisson noise of %g photons at white (deviation %.3g on [-1,1] there)", n.Level,
			2/math.Sqrt(n.Level))
	}
	return fmt.Sprintf("salt and pepper on %g %% of the pixels", 100*n.Level)
}

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
