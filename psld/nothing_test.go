package psld_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld"
	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

// second is the error of a function with one result.
func second[T any](_ T, err error) error { return err }

// Nil, empty and negative arguments of the public functions are errors that say what is wrong, and no panics.
func TestNothing(t *testing.T) {
	ctx, id := t.Context(), operator.Identity(operator.Shape{H: 8, W: 8, C: 3})
	whole, sr := picture.New(16, 16), psld.Damage{Task: psld.SR4}
	denoise := psld.Problem{Damage: psld.Damage{Task: psld.Denoise}, Measurement: whole}
	y, steps := make([]float32, 192), &solver.PnPADMM{Iterations: 2, Rho: 1}
	var noModel *prior.LatentDiffusion
	for _, c := range []struct {
		want string
		err  error
	}{
		{"the model is nil", second(psld.Preset(noModel, sr, 64, 64, psld.Options{}))},
		{"no UNet", second(psld.Preset(&prior.LatentDiffusion{}, sr, 64, 64, psld.Options{}))},
		{"64x-64 pixels", second(psld.Preset(nil, sr, -64, 64, psld.Options{Method: "tv"}))},
		{"method is nil", psld.CheckMemory(nil, nil, sr, 64, 64, psld.Options{})},
		{"0x64 pixels", psld.CheckMemory(nil, steps, sr, 64, 0, psld.Options{})},
		{"GuidanceScale is NaN", second(psld.Solve(ctx, nil, denoise, psld.Options{Method: "tv",
			GuidanceScale: math.NaN()}))},
		{"GuidanceScale is -1", second(psld.Solve(ctx, nil, denoise, psld.Options{Method: "tv", GuidanceScale: -1}))},
		{"NewGaussian", second(psld.Solve(ctx, &prior.Gaussian{}, denoise, psld.Options{Method: "diffpir"}))},
		{"NewGaussian", second(solver.Solve(ctx, &prior.Gaussian{}, solver.Problem{A: id, Y: y}, steps,
			solver.Options{}))},
		{"Problem.A is nil", second(solver.Solve(ctx, nil, solver.Problem{A: (*operator.Mask)(nil), Y: y}, steps,
			solver.Options{}))},
		{"method is nil", second(solver.Solve(ctx, nil, solver.Problem{A: id, Y: y}, (*solver.TV)(nil), solver.Options{}))},
		{"a is nil", second(solver.BackProjection("adjoint", nil))},
		{"outer is nil", second(operator.Compose(nil, id))},
		{"inner is nil", second(operator.Compose(id, (*operator.Mask)(nil)))},
		{"a is nil", second(operator.NewNormalInverse(nil, 1, 1))},
		{"a is nil", second(operator.NewPseudoInverse(nil, 1, 1))},
		{"kernel: it is nil", second(operator.NewBlur(8, 8, 3, nil))},
		{"kernel: it is nil", second(operator.NewCircularBlur(8, 8, 3, nil, 1))},
		{"kernel: it is nil", operator.SaveKernel("k.png", nil)},
		{"more than", second(operator.NewResize(8, 8, 3, 1<<20, 1<<20, operator.Area))},
		{"more than", second(picture.Resize(whole, math.MaxInt, math.MaxInt, operator.Area))},
		{"more than", second(picture.Cover(whole, 1<<20, 1<<20, operator.Area))},
		{"r is nil", second(picture.Decode(nil))},
		{"r is nil", second(picture.ReadTexts(nil))},
		{"w is nil", picture.EncodePNG(nil, whole)},
		{"w is nil", picture.EncodeJPEG(nil, whole)},
		{"no picture", picture.EncodePNG(&bytes.Buffer{}, nil)},
		{"no folder", second(picture.Files(""))},
		{"t is nil", second(task.Register(nil))},
		{"0x-1 pixels", second(prior.NewGaussian(-1, 0, nil, nil, nil))},
		{"cov is nil", second(prior.NewGaussianCov(1, 1, make([]float64, 3), nil))},
	} {
		require.ErrorContains(t, c.err, c.want)
	}
	require.PanicsWithValue(t, "picture: FromImage of nil, want an image", func() { picture.FromImage(nil) })
	empty := &prior.LatentDiffusion{}
	require.Zero(t, psld.Speed(empty))
	require.Zero(t, psld.Work(empty, steps, sr, 64, 64, psld.Options{}))
	require.Zero(t, psld.Predict(prior.RandomTiny(1), nil, sr, 64, 64, psld.Options{}))
	require.Zero(t, psld.LeastMemory(nil, nil, sr, -1, 64, psld.Options{}))
	require.Zero(t, prior.Parameters(empty))
	require.Contains(t, prior.Describe(nil), "no model")
	require.Contains(t, prior.Describe(noModel), "nil")
	require.Equal(t, "none", psld.DescribeMethod(nil))
	_, ok := psld.EstimateNoise(nil, 64, 64, nil)
	require.False(t, ok)
	_, _, ok = psld.NoiseOf(nil, nil, nil)
	require.False(t, ok)
}
