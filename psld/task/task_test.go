package task

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/picture"
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

// TestList: every task has words, an operator that fits its scale, a measurement of that size and a rough start; its
// weight of total variation is set.
func TestList(t *testing.T) {
	for _, spec := range All() {
		require.NotEmpty(t, spec.Lost, spec.Name)
		require.NotEmpty(t, spec.Looks, spec.Name)
		require.NotEmpty(t, spec.Does, spec.Name)
		require.Positive(t, spec.TV, spec.Name)
		found, err := Find(string(spec.Name))
		require.NoError(t, err)
		require.Same(t, spec, found)
		if spec.Draw == nil {
			_, err = New(spec.Name, 32, 24, 1)
			require.ErrorContains(t, err, "needs a mask")
			_, err = FindDrawn(string(spec.Name))
			require.EqualError(t, err, "task inpaint has no masks of its own: use inpaint-random or inpaint-box or destripe")
			continue
		}
		x := waves(32, 24)
		d, err := New(spec.Name, 32, 24, 1)
		require.NoError(t, err)
		require.Equal(t, spec.Needs == Mask, d.Keep != nil)
		require.Equal(t, spec.Needs == Kernel, d.Kernel != nil)
		y, err := Measure(x, d, 0, 1)
		require.NoError(t, err)
		require.Equal(t, [2]int{32 / spec.Scale, 24 / spec.Scale}, [2]int{y.H, y.W})
		a, err := d.Operator(32, 24)
		require.NoError(t, err)
		rough, err := spec.Start(context.Background(), a, Measured(y, a), d)
		require.NoError(t, err)
		require.Len(t, rough, len(x.Pix))
		if spec.Needs != Nothing {
			_, err = Damage{Task: spec.Name}.Operator(32, 24)
			require.ErrorContains(t, err, "needs a ")
		}
	}
	_, err := Find("sharpen")
	require.EqualError(t, err, `unknown task "sharpen", want one of inpaint, inpaint-random, inpaint-box, destripe, `+
		`sr2, sr4, sr4-mean, sr8, deblur-gaussian, deblur-circular, deblur-motion, colourise, denoise`)
}

// TestFit: the window of a Gaussian does not matter where it holds the weights: the same bits, and the kernel of small
// pictures is that of 3/256 of the side.
func TestFit(t *testing.T) {
	for _, side := range []int{40, 64, 128, 200, 256, 300} {
		d, err := deblurGaussian.FitDamage(side, side+5, 1)
		require.NoError(t, err)
		std := max(1.5, 3*float64(side)/256)
		tight, err := operator.Gaussian(2*int(4*std+0.5)+1, std)
		require.NoError(t, err)
		a, err := d.Operator(side, side)
		require.NoError(t, err)
		b, err := operator.NewBlur(side, side, 3, tight)
		require.NoError(t, err)
		x := waves(side, side).Pix
		got, want := make([]float32, len(x)), make([]float32, len(x))
		a.Apply(got, x)
		b.Apply(want, x)
		require.Equal(t, want, got)
	}
}

// TestParameters: test damages follow their parameters, and say which values they take.
func TestParameters(t *testing.T) {
	d, err := inpaintRandom.DrawDamage(20, 20, Values{"missing": 0.25}, 1)
	require.NoError(t, err)
	missing := 0
	for _, k := range d.Keep {
		if !k {
			missing++
		}
	}
	require.Equal(t, 100, missing)
	_, err = deblurGaussian.DrawDamage(20, 20, Values{"kernel-std": 0}, 1)
	require.EqualError(t, err, "kernel-std 0, want more than 0 and at most 100")
	_, err = inpaintRandom.DrawDamage(20, 20, Values{"missing": 2}, 1)
	require.ErrorContains(t, err, "must lie in [0,1]")
}

func TestRegister(t *testing.T) {
	spec := &Task{Name: "half", Scale: 2, Operator: func(h, w int, _ Damage) (operator.Linear, error) {
		return operator.NewAveragePool(h, w, 3, 2)
	}}
	remove, err := Register(spec)
	require.NoError(t, err)
	_, err = Register(spec)
	require.ErrorContains(t, err, "taken")
	found, err := Find("half")
	require.NoError(t, err)
	require.Same(t, spec, found)
	remove()
	_, err = Find("half")
	require.Error(t, err)
	_, err = Register(&Task{Name: "nothing", Scale: 1})
	require.ErrorContains(t, err, "operator")
}

// TestPasteIsSeamless: where the restoration is right up to a constant, or a linear
// ramp, which are harmonic, pasting makes it exact.
func TestPasteIsSeamless(t *testing.T) {
	h, w := 20, 24
	keep, err := operator.BoxMask(h, w, 0.4, false, 0)
	require.NoError(t, err)
	want := waves(h, w).Pix
	x := append([]float32(nil), want...)
	for i := range x {
		x[i] += 0.2 + 0.01*float32(i/3%w)
	}
	ramp := slices.Clone(x)
	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, Paste(ended, x, want, keep, h, w), context.Canceled)
	require.Equal(t, ramp, x, "as it was")
	require.NoError(t, Paste(t.Context(), x, want, keep, h, w))
	for i, v := range want {
		require.InDelta(t, v, x[i], 1e-3)
	}
	PasteSoon(ramp, want, keep, h, w)
	for i, k := range keep { // the constant part, and near the rim the ramp as well
		require.InDelta(t, want[3*i], ramp[3*i], 0.12)
		if k {
			require.Equal(t, want[3*i:3*i+3], ramp[3*i:3*i+3])
		} else if i%w > 0 && keep[i-1] || i%w < w-1 && keep[i+1] {
			require.InDelta(t, want[3*i], ramp[3*i], 0.015)
		}
	}
}

// A run that is stopped before its first step need not wait for the rough picture.
func TestInterpolationStops(t *testing.T) {
	keep, err := operator.BoxMask(20, 24, 0.4, false, 0)
	require.NoError(t, err)
	d := Damage{Task: Inpaint, Keep: keep}
	a, err := d.Operator(20, 24)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = Must(Inpaint).Start(ctx, a, waves(20, 24).Pix, d)
	require.ErrorIs(t, err, context.Canceled)
}

// TestMeasure: the noise has its deviation, missing pixels are black.
func TestMeasure(t *testing.T) {
	x := waves(64, 64)
	y, err := Measure(x, Damage{Task: Denoise}, 0.05, 1)
	require.NoError(t, err)
	var sq float64
	for i, v := range y.Pix {
		sq += float64(v-x.Pix[i]) * float64(v-x.Pix[i])
	}
	require.InDelta(t, 0.05, math.Sqrt(sq/float64(len(y.Pix))), 0.001)
	_, err = Measure(x, Damage{Task: Denoise}, math.NaN(), 1)
	require.ErrorContains(t, err, "noise")
	d, err := New(InpaintBox, 64, 64, 1)
	require.NoError(t, err)
	y, err = Measure(x, d, 0.05, 1)
	require.NoError(t, err)
	for i, k := range d.Keep {
		if !k {
			require.Equal(t, []float32{-1, -1, -1}, y.Pix[3*i:3*i+3])
		}
	}
}

// TestReadme: the README's table names every task.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	for _, spec := range All() {
		require.Regexp(t, "(?m)^\\|.*`"+string(spec.Name)+"`", string(b))
	}
}
