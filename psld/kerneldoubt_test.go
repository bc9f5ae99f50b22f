package psld

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/picture"
)

// TestKernelDoubt: a picture of rectangles, blurred by a straight motion, is doubted to be of one across it.
func TestKernelDoubt(t *testing.T) {
	const n, sigma = 96, 0.005
	r := rand.New(rand.NewPCG(1, 2))
	x := picture.New(n, n)
	for range 40 { // rectangles: power falls as in photographs
		top, left, v := r.IntN(n), r.IntN(n), r.Float32()*1.6-0.8
		bottom, right := min(n, top+2+r.IntN(30)), min(n, left+2+r.IntN(30))
		for p := range n * n {
			if p/n >= top && p/n < bottom && p%n >= left && p%n < right {
				x.Pix[3*p], x.Pix[3*p+1], x.Pix[3*p+2] = v, v*0.9, v*0.8
			}
		}
	}
	damage := func(angle float64) Damage {
		k, err := operator.LineKernel(9, angle)
		require.NoError(t, err)
		return Damage{Task: DeblurMotion, Kernel: k}
	}
	y, err := Measure(x, damage(20), sigma, 3)
	require.NoError(t, err)
	require.Empty(t, KernelDoubt(y, damage(20), sigma))
	require.Contains(t, KernelDoubt(y, damage(110), sigma), "blurred by another kernel, turned")
	require.Empty(t, KernelDoubt(y, Damage{Task: Denoise}, sigma), "there is none")
	y.Lossy = true
	require.Empty(t, KernelDoubt(y, damage(110), sigma))
	require.Empty(t, KernelDoubt(nil, damage(110), sigma))
}
