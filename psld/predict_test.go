package psld

import (
	"image"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"psld/psld/prior"
	"psld/psld/solver"
)

// TestPredict: a step of PSLD goes through three networks forward and back, one of DiffPIR forward alone, and between
// two fits through the UNet alone; windows cost what their area costs.
func TestPredict(t *testing.T) {
	m := prior.RandomTiny(1)
	eps, encode, decode := m.MACs(64, 64)
	require.Equal(t, 2*float64(eps+encode+decode), runMACs(m, m, glued(1, 1), nil, 64, 64))
	require.Equal(t, 6*float64(eps+encode+decode), runMACs(m, m, glued(3, 1), nil, 61, 63), "padded")
	require.Equal(t, float64(14*eps+6*encode+14*decode), runMACs(m, m, glued(7, 3), nil, 64, 64))
	require.Equal(t, 7*float64(eps+encode+decode), runMACs(m, m, &solver.DiffPIR{Steps: 7}, nil, 64, 64))
	require.Equal(t, float64(7*eps+3*encode+3*decode),
		runMACs(m, m, &solver.DiffPIR{Steps: 7, FitEvery: 3}, nil, 64, 64))
	small := &solver.PSLDPatchMatch{PSLD: *glued(3, 1), HoleDepth: 16}
	require.Equal(t, 2*3*float64(eps+encode+decode)+patchMACs(box(256, 128), 256, 256),
		runMACs(m, m, small, box(256, 128), 256, 256))
	require.Equal(t, 128*128*(2e6+16e3*64.0), patchMACs(box(256, 128), 256, 256))
	eps, encode, decode = m.MACs(256, 256)
	require.Equal(t, 2*3*float64(eps+encode+decode), runMACs(m, m, small, box(256, 30), 256, 256), "shallow")
	method := glued(7, 1)
	require.Equal(t, 7, stepsOf(method))
	require.Positive(t, Predict(m, method, Damage{Task: Denoise}, 64, 64, Options{}))
	require.Zero(t, Predict(nil, &solver.TV{Iterations: 3}, Damage{Task: Denoise}, 64, 64, Options{}))
}

// glued is PSLD with gluing in each k-th step.
func glued(steps, k int) *solver.PSLD {
	return &solver.PSLD{DDIM: solver.DDIM{Steps: steps}, Gluing: solver.Gluing{Gamma: 0.1, GluingEvery: k}}
}

// TestPredictFrom: the steps between two fits take the UNet alone; where a step takes several passes, all steps are as
// the first.
func TestPredictFrom(t *testing.T) {
	p := solver.Progress{Steps: 10}
	p.Timing.UNet.Forward, p.Timing.Decoder.Forward, p.Timing.Encoder.Forward = 1, 3, 2
	require.Equal(t, 60*time.Second, PredictFrom(&solver.DiffPIR{Steps: 10, FitEvery: 1}, p))
	require.Equal(t, 20*time.Second, PredictFrom(&solver.DiffPIR{Steps: 10, FitEvery: 5}, p))
	p.Timing.UNet.Backward = 2
	require.Equal(t, 80*time.Second, PredictFrom(glued(10, 1), p))
	require.Equal(t, 80*time.Second, PredictFrom(&solver.LatentDAPS{Steps: 10, Inner: 30, Flow: 2}, p))
}

// box is a mask of n x n pixels without the side x side ones in its upper left quarter.
func box(n, side int) []bool {
	keep := slices.Repeat([]bool{true}, n*n)
	for i := range keep {
		keep[i] = !image.Pt(i%n, i/n).In(image.Rect(32, 32, 32+side, 32+side))
	}
	return keep
}
