package solver

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"psld/tensor"
)

// TestStateGrad holds the projection of a gradient against one by the eigenvectors of Z Z' and Z'Z, of as many as have
// the energy, the mean over the channels.
func TestStateGrad(t *testing.T) {
	const h, w, c, energy = 6, 5, 3, 0.9
	z, grad := noise(1, h*w*c, 1), noise(2, h*w*c, 1)
	for i := range z {
		z[i] *= float32(1 + i%c) // channels of different energy
		if i%c == 0 && i/c%w > 1 {
			z[i] = 0 // and of different rank
		}
	}
	vectors := func(m *mat.Dense, n int) (*mat.Dense, []float64) { // falling
		var s mat.Dense
		s.Mul(m, m.T())
		var e mat.EigenSym
		sym := mat.NewSymDense(n, nil)
		sym.SymOuterK(1, m)
		require.True(t, e.Factorize(sym, true))
		var v mat.Dense
		e.VectorsTo(&v)
		back, values := mat.NewDense(n, n, nil), make([]float64, n)
		for j := range n {
			for i := range n {
				back.Set(i, j, v.At(i, n-1-j))
			}
			values[j] = e.Values(nil)[n-1-j]
		}
		return back, values
	}
	of := func(x []float32, ch int) *mat.Dense {
		m := mat.NewDense(h, w, nil)
		for y := range h {
			for k := range w {
				m.Set(y, k, float64(x[(y*w+k)*c+ch]))
			}
		}
		return m
	}
	ranks := 0
	for ch := range c {
		_, values := vectors(of(z, ch), h)
		var all, sum float64
		for _, v := range values {
			all += v
		}
		for sum < energy*all {
			sum += values[0]
			values = values[1:]
			ranks++
		}
	}
	rank := int(math.Round(float64(ranks) / c))
	require.True(t, rank > 1 && rank < w)
	got := append([]float32(nil), grad...)
	keepDirections(got, tensor.From(z, 1, h, w, c), energy)
	for ch := range c {
		m := of(z, ch)
		u, _ := vectors(m, h)
		v, _ := vectors(mat.DenseCopyOf(m.T()), w)
		ur, vr := u.Slice(0, h, 0, rank), v.Slice(0, w, 0, rank)
		var left, right, want mat.Dense
		left.Mul(ur, ur.T())
		right.Mul(vr, vr.T())
		want.Product(&left, of(grad, ch), &right)
		if ch == 0 { // of rank 2, less than the mean: which of its null directions fill up is anybody's choice
			continue
		}
		for y := range h {
			for k := range w {
				require.InDelta(t, want.At(y, k), got[(y*w+k)*c+ch], 1e-5, "channel %d", ch)
			}
		}
	}
	square := append([]float32(nil), grad[:5*5*c]...)
	keepDirections(square, tensor.From(noise(3, 5*5*c, 1), 1, 5, 5, c), 1) // all directions
	require.InDeltaSlice(t, grad[:5*5*c], square, 1e-5)
}

// TestJacobianFree holds a run of LDPS against DDIM from z0 - gradient to z0, in float64, value by value.
func TestJacobianFree(t *testing.T) {
	c := newDiffPIRCase(t, 0.1)
	o := &LDPS{DDIM{Steps: 6, Strength: 1}, Fit{Omega: 0.2, Squared: true, Guidance: Guidance{JacobianFree: true}}}
	res, err := Solve(context.Background(), lossyCodec{c.prior}, c.p, o, Options{Seed: 5})
	require.NoError(t, err)
	d, err := c.prior.Schedule().DDIM(6, 0)
	require.NoError(t, err)
	for i, x := range res.X {
		s := &scalar{c, t, i, 0.1, 0}
		z := s.noise("start", 0)
		for k := d.Len() - 1; k >= 0; k-- {
			a, next := float64(d.Alphas[k]), float64(d.AlphasPrev[k])
			_, eps := s.clean(z, float64(s.prior.Schedule().AlphasCumprod[d.Timesteps[k]]))
			z0 := (z - math.Sqrt(1-a)*eps) / math.Sqrt(a)
			if s.keep[i/3] {
				z0 -= o.Omega * 2 * 3 * (3*z0 - float64(c.p.Y[i]))
			}
			z = math.Sqrt(next)*z0 + math.Sqrt(1-next)*eps
		}
		require.InDelta(t, 3*z, x, 1e-4, "value %d", i)
	}
}
