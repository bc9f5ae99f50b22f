package blur

import (
	"math"
	"math/cmplx"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// line is a straight motion of n pixels, across or down.
func line(n int, down bool) (k []float64, size int) {
	size = n | 1
	k = make([]float64, size*size)
	for i := range size {
		at := size/2*size + i
		if down {
			at = i*size + size/2
		}
		k[at] = 1 / float64(size)
	}
	return k, size
}

// gaussian is one of a deviation.
func gaussian(std float64) (k []float64, size int) {
	r := int(4 * std)
	size = 2*r + 1
	k = make([]float64, size*size)
	sum := 0.0
	for i := range k {
		y, x := float64(i/size-r), float64(i%size-r)
		k[i] = math.Exp(-(x*x + y*y) / (2 * std * std))
		sum += k[i]
	}
	for i := range k {
		k[i] /= sum
	}
	return k, size
}

// degraded is a random picture of power 1 / f^2.2, blurred around its borders, with noise.
func degraded(n int, k []float64, size int, sigma float64, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	v, t := make([]complex128, n*n), make([]complex128, n*n)
	for i := range v {
		v[i] = complex(r.NormFloat64(), 0)
	}
	for i, x := range k {
		t[(i/size-size/2+n)%n*n+(i%size-size/2+n)%n] += complex(x, 0)
	}
	transform(v, n, n)
	transform(t, n, n)
	for i := range v {
		f := math.Hypot(frequency(i/n, n), frequency(i%n, n))
		v[i] = cmplx.Conj(v[i] * t[i] * complex(0.03/math.Pow(max(f, 0.5/float64(n)), 1.1)/float64(n*n), 0))
	}
	transform(v, n, n)
	y := make([]float32, 3*n*n)
	for i := range y {
		y[i] = float32(real(v[i/3]) + sigma*r.NormFloat64())
	}
	return y
}

// TestDoubt: the right kernel is believed; one that is turned, far too large or far too small is not.
func TestDoubt(t *testing.T) {
	const n = 80
	for seed := range uint64(2) {
		for _, sigma := range []float64{0.003, 0.02} {
			across, size := line(11, false)
			down, _ := line(11, true)
			y := degraded(n, across, size, sigma, seed)
			_, found := Doubt(y, n, n, across, size, sigma/math.Sqrt(3))
			require.False(t, found)
			a, found := Doubt(y, n, n, down, size, sigma/math.Sqrt(3))
			require.True(t, found)
			require.Equal(t, 90.0, a.Turn)

			right, size := gaussian(2)
			y = degraded(n, right, size, sigma, seed)
			_, found = Doubt(y, n, n, right, size, sigma/math.Sqrt(3))
			require.False(t, found)
			wide, size := gaussian(3.5)
			a, found = Doubt(y, n, n, wide, size, sigma/math.Sqrt(3))
			require.True(t, found)
			require.Less(t, a.Scale, 1.0)
		}
	}
	one := []float64{1}
	for _, y := range [][]float32{nil, make([]float32, 3*40*40), make([]float32, 3*64*64)} {
		side := int(math.Sqrt(float64(len(y) / 3)))
		_, found := Doubt(y, side, side, one, 1, 0)
		require.False(t, found, "nothing to go by")
	}
}

// TestAnother: a turned and a larger kernel are those of the definition.
func TestAnother(t *testing.T) {
	across, size := line(9, false)
	down := Another{1, 90}.of(across, size)
	side := int(math.Sqrt(float64(len(down))))
	for i, v := range down {
		if i%side != side/2 {
			require.InDelta(t, 0, v, 1e-12)
		}
	}
	g, size := gaussian(2)
	larger := Another{1.5, 30}.of(g, size)
	side = int(math.Sqrt(float64(len(larger))))
	square := 0.0
	for i, v := range larger {
		square += v * float64((i%side-side/2)*(i%side-side/2))
	}
	require.InDelta(t, 3, math.Sqrt(square), 0.15)
}
