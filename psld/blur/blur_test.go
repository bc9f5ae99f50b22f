package blur

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/picture"
)

// blurred is x under a Gaussian blur and noise, as a file of eight bits keeps it.
func blurred(t *testing.T, x *picture.Picture, std, sigma float64) []float32 {
	k, err := operator.Gaussian(2*int(4*std+0.5)+1, std)
	require.NoError(t, err)
	a, err := operator.NewBlur(x.H, x.W, 3, k)
	require.NoError(t, err)
	y := make([]float32, len(x.Pix))
	a.Apply(y, x.Pix)
	operator.AddGaussian(y, sigma, 5)
	for i, v := range y {
		y[i] = float32(math.Round((math.Max(-1, math.Min(1, float64(v)))+1)*127.5)/127.5 - 1)
	}
	return y
}

// right estimates blurs of a picture and counts those that are told within 15 %, those that are told wrong, and those
// of which the estimate says that it is unsure.
func right(t *testing.T, x *picture.Picture, stds, sigmas []float64) (good, wrong, unsure int) {
	for _, std := range stds {
		for _, sigma := range sigmas {
			g, err := Estimate(blurred(t, x, std, sigma), x.H, x.W)
			require.NoError(t, err)
			switch {
			case !g.Sure():
				unsure++
				t.Logf("std %v, sigma %v: unsure %+v", std, sigma, g)
			case math.Abs(g.Std/std-1) <= 0.15:
				good++
			default:
				wrong++
				t.Logf("std %v, sigma %v: %+v", std, sigma, g)
			}
		}
	}
	return good, wrong, unsure
}

// leaves is a picture of discs that hide one another, the sizes without a scale of their own: its statistics are those
// of photographs ("dead leaves"; Lee, Mumford and Huang 2001). Edges are smooth over a pixel.
func leaves(h, w int, seed uint64) *picture.Picture {
	x, rng := picture.New(w, h), rand.New(rand.NewPCG(seed, 1))
	for range 1500 {
		r := 2.5 / math.Sqrt(1-rng.Float64()*(1-2.5*2.5/3600)) // density r^-3 from 2.5 to 60
		cy, cx := rng.Float64()*float64(h), rng.Float64()*float64(w)
		grey := 1.4*rng.Float64() - 0.7
		colour := [3]float64{grey + 0.2*rng.NormFloat64(), grey + 0.2*rng.NormFloat64(), grey + 0.2*rng.NormFloat64()}
		for i := range h * w {
			cover := min(1, max(0, r+0.5-math.Hypot(float64(i/w)-cy, float64(i%w)-cx)))
			for c := range 3 {
				x.Pix[3*i+c] += float32(cover * (colour[c] - float64(x.Pix[3*i+c])))
			}
		}
	}
	return x
}

func TestEstimate(t *testing.T) {
	for seed := range uint64(2) {
		good, wrong, unsure := right(t, leaves(160, 200, seed), []float64{0.9, 1.6, 2.4}, []float64{0.01, 0.05})
		require.GreaterOrEqual(t, good, 5, "%d wrong, %d unsure", wrong, unsure)
	}
}

// TestEstimatePhotos: on photographs that the law was not made of, nine of ten estimates are within 15 %.
func TestEstimatePhotos(t *testing.T) {
	paths, err := filepath.Glob("../../../shared/photos/val/*.jpg")
	require.NoError(t, err)
	if len(paths) == 0 {
		t.Skip("no photographs")
	}
	stds := []float64{0.8, 1.8, 4}
	var good, wrong, unsure int
	for i := range 10 {
		x, err := picture.Load(paths[i*len(paths)/10+3])
		require.NoError(t, err)
		g, w, u := right(t, x, stds, []float64{0, 0.02, 0.05})
		good, wrong, unsure = good+g, wrong+w, unsure+u
	}
	t.Logf("%d right, %d wrong, %d unsure", good, wrong, unsure)
	require.GreaterOrEqual(t, float64(good), 0.9*float64(good+wrong+unsure))
}

// TestLaw: the numbers of photographs.txt are what photographs show. The squared distance of a spectrum from the mean,
// in deviations of the law, is one for each band.
func TestLaw(t *testing.T) {
	paths, err := filepath.Glob("../../../shared/photos/train/*.jpg")
	require.NoError(t, err)
	if len(paths) == 0 {
		t.Skip("no photographs")
	}
	var sum float64
	const n = 60
	for i := range n {
		x, err := picture.Load(paths[i*len(paths)/n])
		require.NoError(t, err)
		f := newFit(spectrum(x.Pix, x.H, x.W, 1024))
		for a := range bands {
			for b := range bands {
				sum += (f.log[a] - f.law.mean[a]) * f.law.inverse.At(a, b) * (f.log[b] - f.law.mean[b])
			}
		}
	}
	require.InDelta(t, 0.8, sum/n/bands, 0.35) // a little under one, since the diagonal was raised
}

// TestUnsure: what is no blurred photograph is not told.
func TestUnsure(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := picture.New(96, 96)
	for i := range noise.Pix {
		noise.Pix[i] = float32(0.2 * rng.NormFloat64())
	}
	checks := picture.New(96, 96)
	for i := range checks.Pix {
		if (i/3/96/4+i/3%96/4)%2 == 0 {
			checks.Pix[i] = 1
		}
	}
	for name, p := range map[string]*picture.Picture{"noise": noise, "checks": checks, "black": picture.New(96, 96)} {
		g, err := Estimate(p.Pix, p.H, p.W)
		require.NoError(t, err)
		require.False(t, g.Sure(), "%s: %+v", name, g)
	}
	_, err := Estimate(make([]float32, 3*20*40), 20, 40)
	require.ErrorContains(t, err, "40x20 pixels")
}
