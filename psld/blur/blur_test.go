package blur

import (
	"bytes"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/picture"
)

// blurred is x under a Gaussian blur and noise, as a JPEG of a quality keeps it, or for 0 another file of eight bits.
func blurred(t *testing.T, x *picture.Picture, std, sigma float64, quality int) *picture.Picture {
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
	p := &picture.Picture{W: x.W, H: x.H, Pix: y}
	if quality > 0 {
		var file bytes.Buffer
		require.NoError(t, jpeg.Encode(&file, p, &jpeg.Options{Quality: quality}))
		p, err = picture.Decode(&file)
		require.NoError(t, err)
	}
	return p
}

// tally counts estimates: those within 15 %, those that are wrong, and those that say that they are unsure.
type tally struct{ good, wrong, unsure int }

// add estimates blurs of a picture.
func (n *tally) add(t *testing.T, x *picture.Picture, quality int, stds, sigmas []float64) {
	for _, std := range stds {
		for _, sigma := range sigmas {
			y := blurred(t, x, std, sigma, quality)
			g, err := Estimate(y.Pix, y.H, y.W, y.Steps)
			require.NoError(t, err)
			switch {
			case !g.Sure():
				n.unsure++
				t.Logf("std %v, sigma %v: unsure %+v", std, sigma, g)
			case math.Abs(g.Std/std-1) <= 0.15:
				n.good++
			default:
				n.wrong++
				t.Logf("std %v, sigma %v: %+v", std, sigma, g)
			}
		}
	}
}

// share is that of the good ones.
func (n *tally) share() float64 { return float64(n.good) / float64(n.good+n.wrong+n.unsure) }

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
		for _, quality := range []int{0, 95} {
			var n tally
			n.add(t, leaves(160, 200, seed), quality, []float64{0.9, 1.6, 2.4}, []float64{0.01, 0.05})
			require.GreaterOrEqual(t, n.good, 5, "quality %d: %+v", quality, n)
		}
	}
}

// TestEstimatePhotos: on photographs that the law was not made of, nine of ten estimates are within 15 %; of JPEGs
// nearly as many. Of a strong blur with little noise, quality 90 leaves enough.
func TestEstimatePhotos(t *testing.T) {
	paths, err := filepath.Glob("../../../shared/photos/val/*.jpg")
	require.NoError(t, err)
	if len(paths) == 0 {
		t.Skip("no photographs")
	}
	var png, good, strong tally
	for i := range 10 {
		x, err := picture.Load(paths[i*len(paths)/10+3])
		require.NoError(t, err)
		png.add(t, x, 0, []float64{0.8, 1.8, 4}, []float64{0, 0.02, 0.05})
		good.add(t, x, 95, []float64{0.8, 1.8, 4}, []float64{0.02})
		strong.add(t, x, 90, []float64{3}, []float64{0.01})
	}
	t.Logf("%+v; quality 95 %+v, 90 %+v", png, good, strong)
	require.GreaterOrEqual(t, png.share(), 0.9)
	require.GreaterOrEqual(t, good.share(), 0.85)
	require.GreaterOrEqual(t, strong.share(), 0.9)
}

// TestSharp: of a sharp picture no blur is believed, whatever its noise and the file that it was in.
func TestSharp(t *testing.T) {
	for seed := range uint64(2) {
		for _, sigma := range []float64{0, 0.05} {
			x := leaves(128, 128, seed)
			y := blurred(t, x, 0.1, sigma, 0) // a kernel of one pixel
			g, err := Estimate(y.Pix, y.H, y.W, nil)
			require.NoError(t, err)
			require.False(t, g.Sure(), "%+v", g)
			require.True(t, g.Sharp(), "%+v", g)
		}
	}
	paths, err := filepath.Glob("../../../shared/photos/val/*.jpg")
	require.NoError(t, err)
	sure, n := 0, 0
	for i := 0; i < len(paths); i += 18 {
		x, err := picture.Load(paths[i])
		require.NoError(t, err)
		x, err = picture.CropCentre(x, min(x.W, x.H), min(x.W, x.H))
		require.NoError(t, err)
		for _, side := range []int{96, 128, 160} {
			y, err := picture.Resize(x, side, side, operator.CubicSmall)
			require.NoError(t, err)
			g, err := Estimate(y.Pix, side, side, nil)
			require.NoError(t, err)
			if n++; g.Sure() {
				sure++
				t.Logf("%s, %d pixels: %+v", filepath.Base(paths[i]), side, g)
			}
		}
	}
	require.LessOrEqual(t, sure, n/50, "of %d", n)
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
		f := newFit(spectrum(x.Pix, x.H, x.W, 1024, nil))
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
		g, err := Estimate(p.Pix, p.H, p.W, nil)
		require.NoError(t, err)
		require.False(t, g.Sure(), "%s: %+v", name, g)
	}
	y := blurred(t, leaves(64, 64, 1), 2, 0, 1)
	g, err := Estimate(y.Pix, y.H, y.W, y.Steps)
	require.NoError(t, err)
	require.False(t, g.Sure(), "a JPEG of quality 1: %+v", g)
	_, err = Estimate(make([]float32, 3*20*40), 20, 40, nil)
	require.ErrorContains(t, err, "40x20 pixels")
}
