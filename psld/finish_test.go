package psld

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/solver"
)

// TestFinishStops: a context that has ended leaves the picture as it is.
func TestFinishStops(t *testing.T) {
	k, err := operator.MotionKernel(9, 0.5, 7)
	require.NoError(t, err)
	a, err := operator.NewBlur(64, 64, 3, k)
	require.NoError(t, err)
	x := waves(64, 64)
	y, before := make([]float32, len(x.Pix)), slices.Clone(x.Pix)
	operator.AddGaussian(y, 0.5, 1)
	ctx, end := context.WithCancel(t.Context())
	end()
	require.Equal(t, context.Canceled, finish(ctx, x.Pix, solver.Problem{A: a, Y: y}, 0.05))
	require.Equal(t, before, x.Pix)
}

// TestFinishIsTheBestBlend: for y = x + noise and an estimate with an error of its own,
// finish weighs the two by their variances, so that the error is that of the best
// linear combination.
func TestFinishIsTheBestBlend(t *testing.T) {
	x := waves(64, 64)
	const sigma, tau = 0.05, 0.067
	y, est := append([]float32(nil), x.Pix...), append([]float32(nil), x.Pix...)
	operator.AddGaussian(y, sigma, 1)
	operator.AddGaussian(est, tau, 2)
	require.NoError(t, finish(t.Context(), est, solver.Problem{A: operator.Identity(x.Shape()), Y: y}, sigma))
	var sq float64
	for i, v := range x.Pix {
		sq += float64(v-est[i]) * float64(v-est[i])
	}
	want := sigma * tau / math.Hypot(sigma, tau)
	require.InEpsilon(t, want, math.Sqrt(sq/float64(len(est))), 0.03)
}

// TestFinishLeavesAFitAlone: a picture that fits up to the noise is not moved into the noise.
func TestFinishLeavesAFitAlone(t *testing.T) {
	x := waves(32, 32)
	y := append([]float32(nil), x.Pix...)
	operator.AddGaussian(y, 0.05, 1)
	est := append([]float32(nil), x.Pix...)
	require.NoError(t, finish(t.Context(), est, solver.Problem{A: operator.Identity(x.Shape()), Y: y}, 0.052))
	require.Equal(t, x.Pix, est)
}
