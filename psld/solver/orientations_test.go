package solver

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/psld/prior"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/tensor/devicetest"
)

// turnedByHand is the picture x [1,H,W,C] in orientation k: rows for columns, then upside down, then mirrored.
func turnedByHand(x *tensor.Tensor, k int) *tensor.Tensor {
	h, w, c := x.Dim(1), x.Dim(2), x.Dim(3)
	from := func(r, col int) (int, int) { return r, col }
	y := tensor.New(1, h, w, c)
	if k&4 != 0 {
		y = tensor.New(1, w, h, c)
		from = func(r, col int) (int, int) { return col, r }
	}
	h, w = y.Dim(1), y.Dim(2)
	for r := range h {
		for col := range w {
			a, b := r, col
			if k&2 != 0 {
				a = h - 1 - a
			}
			if k&1 != 0 {
				b = w - 1 - b
			}
			a, b = from(a, b)
			copy(y.Data[(r*w+col)*c:][:c], x.Data[(a*x.Dim(2)+b)*c:])
		}
	}
	return y
}

// inverses are the orientations that turn each one back: quarter turns are each other's.
var inverses = [8]int{0, 1, 2, 3, 4, 6, 5, 7}

func TestOrientations(t *testing.T) {
	x := tensor.From(noise(1, 3*5*2, 1), 1, 3, 5, 2)
	var o orientations
	var seen [][]float32
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	for k, inverse := range inverses {
		want := turnedByHand(x, k)
		got := o.there(g, g.Const(x), k)
		require.Equal(t, want.Shape, got.T.Shape, "orientation %d", k)
		require.Equal(t, want.Data, got.Host(), "orientation %d", k)
		require.Equal(t, x.Data, o.back(g, got, k).Host(), "orientation %d", k)
		require.Equal(t, x.Data, turnedByHand(want, inverse).Data, "orientation %d", k)
		for _, other := range seen {
			require.NotEqual(t, other, want.Data)
		}
		seen = append(seen, want.Data)
	}
}

// byPixel is a prior that looks at each pixel alone, and so is the same in all orientations.
type byPixel struct{ *prior.Pixel }

func (p byPixel) Eps(g *autograd.Graph, z *autograd.Value, _ float32, _ *tensor.Tensor) *autograd.Value {
	return g.Mul(g.Scale(z, 0.7), z)
}

// TestEquivariantPrior: with a prior that is the same in all orientations nothing changes.
func TestEquivariantPrior(t *testing.T) {
	m, p := byPixel{randomPixel()}, blurProblem(t, 17, 30)
	p.Sigma = 0.1
	run := func(k int) []float32 {
		o := &DiffPIR{Steps: 5, From: 1, To: 0.1, Lambda: 1, Zeta: 0.5, FitEvery: 1, Blend: 1, SNoise: 1,
			Equivariant: Equivariant{k}}
		res, err := Solve(t.Context(), m, p, o, Options{Seed: 3})
		require.NoError(t, err)
		return res.X
	}
	want := run(0)
	require.Equal(t, want, run(1))
	for _, k := range []int{3, 8} {
		require.InDeltaSlice(t, want, run(k), 1e-5)
	}
}

// TestMeanOverOrientations holds the estimate of a prior that is not the same in all orientations, noise and variance,
// against the mean of its estimates of states that were turned by hand, on a picture that is not square, whole and in
// windows; and the gradient of a sum against the mean of their gradients.
func TestMeanOverOrientations(t *testing.T) {
	const h, w, at = 16, 24, 300
	windows := randomPixel()
	windows.Window = 16
	for name, m := range map[string]*prior.Pixel{"whole": randomPixel(), "windows": windows} {
		for _, k := range []int{1, 3, 8} {
			r := newRun(m, blurProblem(t, h, w), Options{Seed: 5})
			Equivariant{k}.bind(r)
			r.o.Conditions.Scale, r.at = 1, 2
			z, pull := tensor.From(noise(2, h*w*3, 1), 1, h, w, 3), tensor.From(noise(4, h*w*3, 1), 1, h, w, 3)
			list := r.drawOrientations()
			require.Len(t, list, k)
			require.Len(t, slices.Compact(slices.Sorted(slices.Values(list))), k)
			want, variance, slope := make([]float32, z.Len()), make([]float32, z.Len()), make([]float32, z.Len())
			mean := func(sum, v []float32, shape []int, turned int) {
				for i, x := range turnedByHand(tensor.From(v, shape...), inverses[turned]).Data {
					sum[i] += x / float32(k)
				}
			}
			for _, turned := range list {
				g := autograd.NewGraph(cpu.F32)
				in := g.Input(turnedByHand(z, turned))
				shape := in.T.Shape
				e, v := m.EpsVariance(g, in, at, nil)
				mean(want, e.Host(), shape, turned)
				mean(variance, v.Host(), shape, turned)
				g.Backward(g.Sum(g.Mul(e, g.Const(turnedByHand(pull, turned)))), nil)
				mean(slope, in.Grad().Data, shape, turned)
				g.Release()
			}
			g := autograd.NewGraph(cpu.F32)
			in := g.Input(z)
			e := r.Eps(g, in, at)
			require.InDeltaSlice(t, want, e.Host(), 1e-5, "%s, %d", name, k)
			g.Backward(g.Sum(g.Mul(e, g.Const(pull))), nil)
			require.InDeltaSlice(t, slope, in.Grad().Data, 1e-4, "%s, %d", name, k)
			both, v := r.EpsVariance(g, g.Const(z), at)
			require.InDeltaSlice(t, want, both.Host(), 1e-5, "%s, %d", name, k)
			require.InDeltaSlice(t, variance, v.Host(), 1e-5, "%s, %d", name, k)
			g.Release()
		}
	}
}

// TestOrientationsOfSteps: steps draw others, by the seed.
func TestOrientationsOfSteps(t *testing.T) {
	drawn := func(seed uint64) (list []int) {
		r := newRun(randomPixel(), blurProblem(t, 16, 16), Options{Seed: seed})
		Equivariant{1}.bind(r)
		for r.at = range 64 {
			list = append(list, r.drawOrientations()...)
		}
		return list
	}
	one := drawn(1)
	require.Equal(t, one, drawn(1))
	require.NotEqual(t, one, drawn(2))
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(one))), 8)
}

// TestOrientationsElsewhere: on a device with memory of its own the methods give the same bits, and all memory back.
func TestOrientationsElsewhere(t *testing.T) {
	p := blurProblem(t, 16, 24)
	p.Sigma = 0.1
	for _, name := range []string{"diffpir", "pnp-admm", "dps", "mcg", "score-sde", "ddrm"} {
		o := method(t, name, 3)
		k := 2
		switch o := o.(type) {
		case *DiffPIR:
			o.Orientations = k
		case *PnPADMM:
			o.Orientations = k
		case *DPS:
			o.Orientations = k
		case *MCG:
			o.Orientations = k
		case *ScoreSDE:
			o.Orientations = k
		case *DDRM:
			o.Orientations = k
		}
		here, err := Solve(t.Context(), randomPixel(), p, o, Options{Seed: 1})
		require.NoError(t, err)
		as, err := Solve(t.Context(), randomPixel(), p, method(t, name, 3), Options{Seed: 1})
		require.NoError(t, err)
		require.NotEqual(t, as.X, here.X, name)
		dev := devicetest.Hidden(cpu.F32)
		m := randomPixel().On(dev)
		frozen(m, dev)
		there, err := Solve(t.Context(), m, p, o, Options{Seed: 1})
		require.NoError(t, err)
		require.Equal(t, here.X, there.X, name)
		require.Zero(t, dev.Live(), name)
		require.Equal(t, float64(2*CallsOf(method(t, name, 3), 3).UNet.Forward), CallsOf(o, 3).UNet.Forward, name)
	}
}

// TestOrientationsRefused: latents cannot be flipped, and there are eight orientations.
func TestOrientationsRefused(t *testing.T) {
	o := method(t, "diffpir", 3).(*DiffPIR)
	o.Orientations = 1
	_, err := Solve(t.Context(), prior.RandomTiny(3), blurProblem(t, 16, 16), o, Options{})
	var refused *Refused
	require.ErrorAs(t, err, &refused)
	require.ErrorContains(t, err, "orientations 1 needs a pixel model")
	o.Orientations = 9
	_, err = Solve(t.Context(), randomPixel(), blurProblem(t, 16, 16), o, Options{})
	require.ErrorContains(t, err, "orientations 9, want 0 to 8")
}
