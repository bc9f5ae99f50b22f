package operator

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
)

// matrix is A as a dense matrix, column by column.
func matrix(a Linear) *mat.Dense {
	in, out := a.In().Len(), a.Out().Len()
	m := mat.NewDense(out, in, nil)
	x, y := make([]float32, in), make([]float32, out)
	for j := range in {
		x[j] = 1
		a.Apply(y, x)
		x[j] = 0
		for i, v := range y {
			m.Set(i, j, float64(v))
		}
	}
	return m
}

// denseProx solves (A'A + rho I) x = A'y + rho z in float64: the step's other form.
func denseProx(t *testing.T, m *mat.Dense, z, y []float32, rho float64) []float64 {
	var normal, rhs, x mat.Dense
	normal.Mul(m.T(), m)
	n, _ := normal.Dims()
	rhs.Mul(m.T(), mat.NewDense(len(y), 1, wide(y)))
	for i := range n {
		normal.Set(i, i, normal.At(i, i)+rho)
		rhs.Set(i, 0, rhs.At(i, 0)+rho*float64(z[i]))
	}
	require.NoError(t, x.Solve(&normal, &rhs))
	return x.RawMatrix().Data
}

func wide(x []float32) []float64 {
	r := make([]float64, len(x))
	for i, v := range x {
		r[i] = float64(v)
	}
	return r
}

// TestProx compares the proximal step of every operator with a dense solve. Rounding of the residual to float32 is
// multiplied by up to 1/(2 sqrt(rho)), that of A itself (in the dense solve) by 1/rho where y lies outside of its
// range, and conjugate gradients leave their tolerance.
func TestProx(t *testing.T) {
	for _, s := range []Shape{{8, 8, 1}, {7, 10, 2}, {12, 9, 1}, {16, 8, 2}} {
		for name, a := range all(s.H, s.W, s.C) {
			m := matrix(a)
			z, y := randn(a.In().Len(), 3), randn(a.Out().Len(), 4)
			if known := KnownOf(a); known != nil { // what stands in a hole does not count
				for i := range y {
					if !known[i/s.C] {
						y[i] = 0
					}
				}
			}
			_, closed := a.(Proximal)
			for _, rho := range []float64{1e-6, 1e-4, 1e-3, 0.03, 1, 20} {
				if !closed && rho < 1e-4 { // more than conjugate gradients in float32 can do
					continue
				}
				got := make([]float32, len(z))
				poison(got)
				require.NoError(t, ProxWithin(a, 1e-5).Prox(t.Context(), got, z, y, rho))
				want := denseProx(t, m, z, y, rho)
				limit := 1e-6*(1+1/math.Sqrt(rho)) + 5e-9/rho
				if !closed {
					limit += 4e-5 / math.Sqrt(rho)
				}
				require.LessOrEqual(t, relative(got, want), limit, "%s %v, rho %g, closed %v", name, s, rho, closed)
			}
		}
	}
}

func relative(got []float32, want []float64) float64 {
	var d, n float64
	for i, w := range want {
		d += (float64(got[i]) - w) * (float64(got[i]) - w)
		n += w * w
	}
	return math.Sqrt(d / n)
}

// TestProxIsClosed names the operators that need no iteration.
func TestProxIsClosed(t *testing.T) {
	for name, a := range all(16, 16, 3) {
		_, closed := a.(Proximal)
		iterates := name == "motion3" || name == "motion9" || name == "compose" ||
			name == "transposed" || name == "pseudo-inverse"
		require.Equal(t, !iterates, closed, name)
	}
}

// TestProxTinyWeight: at the weights of a nearly noiseless measurement the result agrees with it, and the directions
// that it does not see keep z.
func TestProxTinyWeight(t *testing.T) {
	k := must(Gaussian(9, 1.2))
	for name, a := range map[string]Linear{
		"mask": must(NewMask(16, 16, 3, must(RandomMask(16, 16, 0.5, 1)))),
		"mean": must(NewAveragePool(16, 16, 3, 4)), "sr": must(NewSR(16, 16, 3, 4)),
		"circular": must(NewCircularBlur(16, 16, 3, k, 4)),
	} {
		truth, z := randn(a.In().Len(), 1), randn(a.In().Len(), 2)
		y, x, back := make([]float32, a.Out().Len()), make([]float32, len(z)), make([]float32, a.Out().Len())
		a.Apply(y, truth)
		require.NoError(t, ProxOf(a).Prox(t.Context(), x, z, y, 5e-9))
		a.Apply(back, x)
		require.LessOrEqual(t, relative(back, wide(y)), 1e-5, name)
		m := matrix(a)
		var d mat.SVD
		require.True(t, d.Factorize(m, mat.SVDFull))
		var v mat.Dense
		d.VTo(&v)
		for j := range len(x) {
			if j < len(y) && d.Values(nil)[j] > 1e-6 {
				continue
			}
			var along float64
			for i := range x {
				along += v.At(i, j) * (float64(x[i]) - float64(z[i]))
			}
			require.InDelta(t, 0, along, 1e-4, name)
		}
	}
}

// TestProxLarge: a measurement with a side over the limit of the decomposition takes conjugate gradients, and agrees
// with the closed form of the same map.
func TestProxLarge(t *testing.T) {
	a := must(NewAveragePool(1, 2*maxSVD+8, 1, 1)).(*averagePool)
	z, y := randn(a.In().Len(), 1), randn(a.Out().Len(), 2)
	got, want := make([]float32, len(z)), make([]float32, len(z))
	require.NoError(t, a.separable.Prox(t.Context(), got, z, y, 0.1))
	require.NoError(t, a.Prox(t.Context(), want, z, y, 0.1))
	require.Nil(t, a.prox)
	require.Nil(t, SVDOf(a))
	require.LessOrEqual(t, relative(got, wide(want)), 1e-6)
}

// ending is a map that ends a context in its n-th use, and counts those after.
type ending struct {
	Linear
	n, after *int
	end      context.CancelFunc
}

func (e ending) use() {
	if *e.n--; *e.n == 0 {
		e.end()
	}
	if *e.n < 0 {
		*e.after++
	}
}

func (e ending) Apply(dst, x []float32) {
	e.use()
	e.Linear.Apply(dst, x)
}

func (e ending) Adjoint(dst, y []float32) {
	e.use()
	e.Linear.Adjoint(dst, y)
}

// TestIterationsStop: a proximal step and an inverse by conjugate gradients use the operator no more once their
// context has ended.
func TestIterationsStop(t *testing.T) {
	for name, a := range map[string]Linear{
		"picture":     must(NewBlur(16, 16, 3, must(MotionKernel(9, 0.5, 7)))),
		"measurement": must(Compose(must(NewAveragePool(16, 16, 3, 4)), Identity(Shape{16, 16, 3}))),
	} {
		for _, uses := range []int{1, 2, 3, 5} {
			for what, run := range map[string]func(context.Context, Linear, []float32) error{
				"prox": func(ctx context.Context, a Linear, x []float32) error {
					return ProxOf(a).Prox(ctx, x, randn(len(x), 1), randn(a.Out().Len(), 2), 1e-4)
				},
				"inverse": func(ctx context.Context, a Linear, x []float32) error {
					return ApplyWithin(ctx, must(NewNormalInverse(a, 1e-4, 30)), x, randn(len(x), 1))
				},
			} {
				ctx, end := context.WithCancel(t.Context())
				left, after := uses, 0
				err := run(ctx, ending{a, &left, &after, end}, make([]float32, a.In().Len()))
				require.Equal(t, context.Canceled, err, "%s, %s", name, what)
				require.Zero(t, after, "%s, %s", name, what)
				end()
			}
		}
	}
}

func TestProxHoles(t *testing.T) {
	m := must(NewMask(1, 2, 1, []bool{true, false}))
	dst := make([]float32, 2)
	require.NoError(t, m.Prox(t.Context(), dst, []float32{1, 2}, []float32{3, float32(math.NaN())}, 1))
	require.Equal(t, []float32{2, 2}, dst)
	c := must(Compose(m, Identity(m.In())))
	require.NoError(t, ProxOf(c).Prox(t.Context(), dst, []float32{1, 2}, []float32{3, float32(math.NaN())}, 1))
	require.InDeltaSlice(t, []float32{2, 2}, dst, 1e-6)
	require.Panics(t, func() { _ = m.Prox(t.Context(), dst, []float32{1, 2}, []float32{3, 4}, 0) })
	require.Panics(t, func() { _ = m.Prox(t.Context(), dst, []float32{1, 2}, []float32{3}, 1) })
}

// TestCircularBlur against the definition, pixel by pixel, and that the answers to Fourier's questions exist.
func TestCircularBlur(t *testing.T) {
	k := must(MotionKernel(7, 1, 3))
	for _, s := range []Shape{{4, 4, 3}, {6, 12, 1}, {9, 15, 2}} {
		for _, stride := range []int{1, 2, 3} {
			a, err := NewCircularBlur(s.H, s.W, s.C, k, stride)
			if s.H%stride != 0 || s.W%stride != 0 {
				require.Error(t, err)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, stride > 1, SVDOf(a) == nil)
			x, got := randn(s.Len(), 4), make([]float32, a.Out().Len())
			a.Apply(got, x)
			for i, v := range got {
				ch, px, py := i%s.C, i/s.C%a.Out().W*stride, i/s.C/a.Out().W*stride
				var want float64
				for j, w := range k.W {
					sy, sx := (py+j/k.Size-k.Size/2+7*s.H)%s.H, (px+j%k.Size-k.Size/2+7*s.W)%s.W
					want += w * float64(x[(sy*s.W+sx)*s.C+ch])
				}
				require.InDelta(t, want, v, 1e-6, "%v, stride %d at %d", s, stride, i)
			}
		}
	}
}

func BenchmarkProx(b *testing.B) {
	for _, n := range []int{256, 512} {
		k, motion := must(Gaussian(61, 3)), must(MotionKernel(61, 0.5, 1))
		for name, a := range map[string]Linear{
			"sr4": must(NewSR(n, n, 3, 4)), "gauss": must(NewBlur(n, n, 3, k)),
			"circular": must(NewCircularBlur(n, n, 3, motion, 1)), "circular4": must(NewCircularBlur(n, n, 3, k, 4)),
			"mean4": must(NewAveragePool(n, n, 3, 4)), "motion": must(NewBlur(n, n, 3, motion)),
		} {
			b.Run(fmt.Sprint(name, n), func(b *testing.B) {
				z, y := randn(a.In().Len(), 1), randn(a.Out().Len(), 2)
				dst := make([]float32, len(z))
				p := ProxOf(a)
				_ = p.Prox(b.Context(), dst, z, y, 0.01) // decompositions are made once
				for b.Loop() {
					_ = p.Prox(b.Context(), dst, z, y, 0.01)
				}
			})
		}
	}
}

// TestKnown: what an operator answers about its measurement.
func TestKnown(t *testing.T) {
	for name, a := range all(12, 12, 3) {
		if strings.HasPrefix(name, "mask") {
			require.Equal(t, must(RandomMask(12, 12, 0.7, 1)), KnownOf(a))
			require.Equal(t, 43*3, MeasuredOf(a)) // 144 - 101
			continue
		}
		require.Nil(t, KnownOf(a), name)
		require.Equal(t, a.Out().Len(), MeasuredOf(a), name)
	}
	mask := must(NewMask(3, 3, 3, make([]bool, 9)))
	require.Zero(t, MeasuredOf(must(Compose(mask, must(NewSR(12, 12, 3, 4))))))
}
