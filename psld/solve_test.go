package psld

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

// waves is a smooth picture.
func waves(h, w int) *picture.Picture {
	p := picture.New(w, h)
	for i := range p.Pix {
		x, y, c := float64(i/3%w), float64(i/3/w), float64(i%3)
		p.Pix[i] = float32(0.7 * math.Sin(x/7+c) * math.Cos(y/9))
	}
	return p
}

func small(seed uint64) Options {
	return Options{Params: param.Values{"steps": 2}, Seed: seed}
}

// TestSolveKeepsSize: every task gives back a picture of the right size, odd ones too.
func TestSolveKeepsSize(t *testing.T) {
	m := prior.RandomTiny(1)
	for _, spec := range task.All() {
		name := spec.Name
		for _, s := range [][2]int{{40, 40}, {33, 47}} {
			x := waves(s[0], s[1])
			d := Damage{Task: name}
			var err error
			if spec.Draw == nil {
				d.Keep, err = operator.RandomMask(s[0], s[1], 0.3, 1)
			} else {
				d, err = spec.FitDamage(s[0], s[1], 1)
			}
			require.NoError(t, err)
			y, err := Measure(x, d, 0.05, 3)
			require.NoError(t, err)
			r, err := Solve(context.Background(), m, Problem{d, y}, small(1))
			require.NoError(t, err, name)
			h, w := s[0], s[1]
			if n := spec.Scale; n > 1 { // the enlarged measurement
				h, w = n*y.H, n*y.W
			}
			require.Equal(t, [2]int{h, w}, [2]int{r.Picture.H, r.Picture.W}, name)
			for _, v := range r.Picture.Pix {
				require.True(t, v >= -1 && v <= 1)
			}
		}
	}
}

func TestPasteKeepsKnownPixels(t *testing.T) {
	x := waves(24, 31)
	keep, err := operator.RandomMask(24, 31, 0.5, 2)
	require.NoError(t, err)
	d := Damage{Task: Inpaint, Keep: keep}
	o := small(1)
	o.PasteKnown = nil
	r, err := Solve(context.Background(), prior.RandomTiny(1), Problem{d, x}, o)
	require.NoError(t, err)
	for i, k := range keep {
		if k {
			require.Equal(t, x.Pix[3*i:3*i+3], r.Picture.Pix[3*i:3*i+3])
		}
	}
}

func TestGreyAndAlphaAreKept(t *testing.T) {
	y := waves(16, 16)
	for i := 0; i < len(y.Pix); i += 3 {
		y.Pix[i+1], y.Pix[i+2] = y.Pix[i], y.Pix[i]
	}
	y.Grey = true
	y.Alpha = make([]float32, 256)
	r, err := Solve(context.Background(), prior.RandomTiny(1), Problem{Damage{Task: Denoise}, y}, small(1))
	require.NoError(t, err)
	require.True(t, r.Picture.Grey)
	require.Equal(t, y.Alpha, r.Picture.Alpha)
	require.Equal(t, r.Picture.Pix[0], r.Picture.Pix[1])
}

// TestHoleIsNotMeasured: what stands in the hole of a picture does not matter.
func TestHoleIsNotMeasured(t *testing.T) {
	x := waves(16, 16)
	keep, err := operator.BoxMask(16, 16, 0.5, false, 0)
	require.NoError(t, err)
	d := Damage{Task: InpaintBox, Keep: keep}
	a, err := Solve(context.Background(), prior.RandomTiny(1), Problem{d, x}, small(1))
	require.NoError(t, err)
	y := waves(16, 16)
	for i, k := range keep {
		if !k {
			y.Pix[3*i] = 0.99
		}
	}
	b, err := Solve(context.Background(), prior.RandomTiny(1), Problem{d, y}, small(1))
	require.NoError(t, err)
	require.Equal(t, a.Picture.Pix, b.Picture.Pix)
}

// TestDoubt: a picture that differs by several times its noise is doubted, and Solve says what noise it took.
func TestDoubt(t *testing.T) {
	for _, c := range []struct {
		rms, noise float64
		want       string
	}{
		{0.05, 0.05, ""}, {0.19, 0.05, ""}, {0.15, 0, ""},
		{0.21, 0.05, "far from the measurement (0.21 RMS on [-1,1], 4.2 times the noise): it may be wrong"},
		{0.17, 0, "far from the measurement (0.17 RMS on [-1,1]): it may be wrong"},
	} {
		doubt := (&Result{RMS: c.rms, Noise: c.noise}).Doubt()
		require.Contains(t, doubt, c.want)
		require.Equal(t, c.want == "", doubt == "", doubt)
	}
	sigma := 0.03
	y := picture.New(16, 16)
	for i := range y.Pix {
		y.Pix[i] = float32(i%7)/3.5 - 1
	}
	p := Problem{Damage: Damage{Task: Denoise}, Measurement: y}
	far := Options{Method: "tv", Sigma: &sigma, Params: param.Values{"lambda": 100}} // flat
	res, err := Solve(t.Context(), nil, p, far)
	require.NoError(t, err)
	require.Equal(t, sigma, res.Noise)
	require.NotEmpty(t, res.Doubt())
	far.Params["lambda"] = 0.001
	res, err = Solve(t.Context(), nil, p, far)
	require.NoError(t, err)
	require.Empty(t, res.Doubt())
}

// TestFewerStepsThanFits: the preset's fits are no more than the steps that are asked for; those that are asked for
// are an error.
func TestFewerStepsThanFits(t *testing.T) {
	o := Options{Method: "dpm", Params: param.Values{"steps": 2}}
	m, err := Preset(prior.RandomTiny(1), Damage{Task: SR4}, 32, 32, o)
	require.NoError(t, err)
	require.Equal(t, 2, m.(*solver.DPM).Fits)
	o.Params["fits"] = 3
	p := Problem{Damage: Damage{Task: SR4}, Measurement: picture.New(8, 8)}
	_, err = Solve(t.Context(), prior.RandomTiny(1), p, o)
	require.ErrorContains(t, err, "fits 3 is more than steps 2")
}

func TestErrors(t *testing.T) {
	ctx, m, x := context.Background(), prior.RandomTiny(1), waves(16, 16)
	_, err := Solve(ctx, m, Problem{Damage{Task: "sharpen"}, x}, small(1))
	require.ErrorContains(t, err, "want one of inpaint,")
	_, err = NewDamage(Inpaint, 16, 16, 1)
	require.ErrorContains(t, err, "needs a mask")
	_, err = Solve(ctx, m, Problem{Damage{Task: DeblurMotion}, x}, small(1))
	require.ErrorContains(t, err, "needs a kernel")
	_, err = Solve(ctx, m, Problem{Damage{Task: Inpaint, Keep: make([]bool, 9)}, x}, small(1))
	require.Error(t, err)
	require.ErrorContains(t, CheckSize(1<<15, 1<<14), "megapixels")
	require.NoError(t, CheckSize(8000, 10000))
	o := small(1)
	o.Params["back"] = "magic"
	_, err = Solve(ctx, m, Problem{Damage{Task: Denoise}, x}, o)
	require.ErrorContains(t, err, `back "magic", want adjoint, pinv or reference`)
	_, err = Measure(x, Damage{Task: Denoise}, math.NaN(), 1)
	require.ErrorContains(t, err, "noise")
}
