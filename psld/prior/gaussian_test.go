package prior

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"psld/autograd"
	"psld/tensor"
	"psld/tensor/cpu"
)

// someGaussian has a covariance without a structure.
func someGaussian(t *testing.T, h, w int) (*Gaussian, *mat.SymDense) {
	n := h * w * 3
	root := mat.NewDense(n, n, nil)
	for i, v := range normal(1, n, n).Data {
		root.Set(i/n, i%n, float64(v)/math.Sqrt(float64(n)))
	}
	cov := mat.NewSymDense(n, nil)
	cov.SymOuterK(1, root)
	mean := make([]float64, n)
	for i, v := range normal(2, n).Data {
		mean[i] = float64(v) / 2
	}
	p, err := NewGaussianCov(h, w, mean, cov)
	require.NoError(t, err)
	return p, cov
}

// TestGaussianEps: what is left of z when the noise is taken out is the mean of x0 given z, which is a posterior with
// A = sqrt(a) I; and the gradient is that of differences.
func TestGaussianEps(t *testing.T) {
	p, cov := someGaussian(t, 2, 3)
	require.InDeltaSlice(t, mat.DenseCopyOf(cov).RawMatrix().Data, mat.DenseCopyOf(p.Covariance()).RawMatrix().Data,
		1e-9)
	n := len(p.Mean)
	z := normal(3, 1, 2, 3, 3)
	for _, at := range []int{0, 1, 300, 999} {
		a := float64(p.Schedule().AlphasCumprod[at])
		id := mat.NewDense(n, n, nil)
		y := make([]float64, n)
		for i := range n {
			id.Set(i, i, math.Sqrt(a))
			y[i] = float64(z.Data[i])
		}
		x0, _, err := p.Posterior(id, y, math.Sqrt(1-a))
		require.NoError(t, err)
		g := autograd.NewGraph(cpu.F32)
		in := g.Input(z)
		e := p.Eps(g, in, float32(at), nil)
		for i, v := range e.T.Data {
			require.InDelta(t, (y[i]-math.Sqrt(a)*x0[i])/math.Sqrt(1-a), v, 2e-5, "t %d", at)
		}
		cot, dir := normal(4, z.Shape...), normal(5, z.Shape...)
		moved := z.Clone()
		for i, v := range dir.Data {
			moved.Data[i] += v
		}
		g.Backward(e, cot)
		want := dot(p.Eps(g, g.Const(moved), float32(at), nil).T.Data, cot.Data) - dot(e.T.Data,
			cot.Data) // it is linear
		require.InDelta(t, want, dot(in.Grad().Data, dir.Data), 1e-4)
		g.Release()
	}
}

// TestGaussianPosterior holds the posterior against its other form, cov = (C^-1 + A'A / sigma^2)^-1.
func TestGaussianPosterior(t *testing.T) {
	p, cov := someGaussian(t, 2, 2)
	n, rows, sigma := len(p.Mean), 5, 0.3
	a := mat.NewDense(rows, n, nil)
	for i, v := range normal(7, rows, n).Data {
		a.Set(i/n, i%n, float64(v))
	}
	y := []float64{1, -2, 0.5, 0, 3}
	mean, got, err := p.Posterior(a, y, sigma)
	require.NoError(t, err)
	var information, ata, inverse mat.Dense
	require.NoError(t, information.Inverse(cov))
	ata.Mul(a.T(), a)
	ata.Scale(1/(sigma*sigma), &ata)
	information.Add(&information, &ata)
	require.NoError(t, inverse.Inverse(&information))
	require.InDeltaSlice(t, inverse.RawMatrix().Data, got.RawMatrix().Data, 1e-6)
	var r, m mat.VecDense
	r.MulVec(a, mat.NewVecDense(n, p.Mean))
	r.SubVec(mat.NewVecDense(rows, y), &r)
	m.MulVec(a.T(), &r)
	m.MulVec(&inverse, mat.VecDenseCopyOf(&m))
	for i := range mean {
		require.InDelta(t, p.Mean[i]+m.AtVec(i)/(sigma*sigma), mean[i], 1e-6)
	}
	_, _, err = p.Posterior(a, y[1:], sigma)
	require.ErrorContains(t, err, "posterior given 4 values by a 5x12 matrix")
}

func TestGaussianErrors(t *testing.T) {
	twelve := make([]float64, 12)
	for want, f := range map[string]func() (*Gaussian, error){
		"3 means and 12 variances": func() (*Gaussian, error) { return NewGaussian(2, 2, twelve[:3], twelve, nil) },
		"basis of 2x12, want": func() (*Gaussian, error) {
			return NewGaussian(2, 2, twelve, twelve,
				mat.NewDense(2, 12, nil))
		},
		"not orthonormal": func() (*Gaussian, error) {
			return NewGaussian(2, 2, twelve, twelve,
				mat.NewDense(12, 12, nil))
		},
		"variance 0 is NaN": func() (*Gaussian, error) {
			return NewGaussian(1, 1, twelve[:3], []float64{math.NaN(), 1, 1}, nil)
		},
	} {
		_, err := f()
		require.ErrorContains(t, err, want)
	}
}

// TestCodecOf: a latent model is its own codec; a prior without one has pictures for states.
func TestCodecOf(t *testing.T) {
	m := RandomTiny(1)
	require.Equal(t, Codec(m), CodecOf(m))
	require.Equal(t, []int{1, 8, 6, 4}, m.Shape(16, 12))
	p, _ := someGaussian(t, 1, 2)
	g := autograd.NoGrad(cpu.F32)
	x := g.Const(tensor.New(1, 1, 2, 3))
	require.Equal(t, x, CodecOf(p).Decode(g, CodecOf(p).Encode(g, x, nil)))
	c, _, _ := LightCodecOf(p)
	require.Nil(t, c)
}

// A picture of one pixel whose channels are N(0, 1), N(1, 0.01) and N(0, 0): without noise in the state there is
// nothing to expect of the third channel but its mean.
func ExampleGaussian() {
	p, err := NewGaussian(1, 1, []float64{0, 1, 0}, []float64{1, 0.01, 0}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	a := mat.NewDense(1, 3, []float64{1, 0, 0}) // the first channel is measured
	mean, cov, err := p.Posterior(a, []float64{2}, 1)
	fmt.Printf("%.2f %.2f %v\n", mean, cov.At(0, 0), err)
	// Output: [1.00 1.00 0.00] 0.50 <nil>
}
