package psld

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
)

// A run that begins from DiffPIR is that of DiffPIR, and then the method's own with its picture to start from: the
// same bits as the two by hand. Its progress counts the steps of both.
func TestBeginsFromDiffPIR(t *testing.T) {
	m, y := prior.RandomTiny(1), stripes(16)
	problem := Problem{Damage: Damage{Task: SR4}, Measurement: y}
	sigma := 0.05
	o := Options{Sigma: &sigma, Seed: 3, Params: param.Values{"steps": 2, "strength": 0.4, "from_diffpir": true},
		Presets: threeSteps()}
	last, share := 0, 0.0
	o.Progress = func(p solver.Progress) {
		require.Equal(t, 5, p.Steps)
		require.Equal(t, last+1, p.Step)
		require.Greater(t, p.Share, share)
		require.Equal(t, p.Step > 3, p.HasLoss())
		last, share = p.Step, p.Share
	}
	got, err := Solve(t.Context(), m, problem, o)
	require.NoError(t, err)
	require.Equal(t, 5, last)
	require.Equal(t, 1.0, share)

	pixels, err := prior.DefaultPixel()
	require.NoError(t, err)
	first, err := Solve(t.Context(), pixels, problem, Options{Method: "diffpir", Sigma: &sigma, Seed: 3,
		Presets: threeSteps()})
	require.NoError(t, err)
	rough := Options{Sigma: &sigma, Seed: 3, Params: param.Values{"steps": 2, "strength": 0.4, "from_diffpir": false},
		Start: func(context.Context) ([]float32, error) { return first.Picture.Pix, nil }}
	want, err := Solve(t.Context(), m, problem, rough)
	require.NoError(t, err)
	require.Equal(t, want.Picture.Pix, got.Picture.Pix)
	require.NotEqual(t, first.Picture.Pix, got.Picture.Pix)

	alone, both := workOf(t, m, problem, rough), workOf(t, m, problem, o)
	require.InDelta(t, workOf(t, pixels, problem, Options{Method: "diffpir", Sigma: &sigma, Presets: threeSteps()}),
		both-alone, 1e-6*both)
}

// Who stops it in DiffPIR's steps has DiffPIR's picture so far.
func TestStopsInBeginning(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sigma := 0.0
	got, err := Solve(ctx, prior.RandomTiny(1), Problem{Damage: Damage{Task: SR4}, Measurement: stripes(16)}, Options{
		Sigma: &sigma, Params: param.Values{"steps": 2, "strength": 0.4, "from_diffpir": true}, Presets: threeSteps(),
		Progress: func(p solver.Progress) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "diffpir", solver.SpecOf(got.Method).Name)
	require.Equal(t, 1, got.Steps)
	require.Len(t, got.Picture.Pix, 64*64*3)
}

// It goes on from a state of either run to the same bits.
func TestResumesBeginning(t *testing.T) {
	sigma := 0.0
	problem := Problem{Damage: Damage{Task: SR4}, Measurement: stripes(16)}
	run := func(stop int, k solver.Keep) (*Result, error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		return Solve(ctx, prior.RandomTiny(1), problem, Options{Sigma: &sigma, Presets: threeSteps(), Keep: k,
			Params: param.Values{"steps": 3, "strength": 0.4, "from_diffpir": true}, Progress: func(p solver.Progress) {
				if p.Step == stop {
					cancel()
				}
			}})
	}
	want, err := run(0, solver.Keep{})
	require.NoError(t, err)
	for _, stop := range []int{1, 2, 3, 4, 5} {
		k := solver.Keep{File: t.TempDir() + "/state"}
		_, err := run(stop, k)
		require.ErrorIs(t, err, context.Canceled, "step %d", stop)
		k.Resume = true
		got, err := run(0, k)
		require.NoError(t, err, "step %d", stop)
		require.Equal(t, want.Picture.Pix, got.Picture.Pix, "step %d", stop)
	}
}

func TestFromDiffPIRNeedsStrength(t *testing.T) {
	o := Options{Params: param.Values{"strength": 1.0, "from_diffpir": true}}
	_, err := Solve(t.Context(), prior.RandomTiny(1), Problem{Damage: Damage{Task: SR4}, Measurement: stripes(16)}, o)
	require.EqualError(t, err, "from_diffpir with strength 1, which starts from noise: want a strength below 1")
}

func workOf(t *testing.T, m prior.Prior, p Problem, o Options) float64 {
	method, err := Preset(m, p.Damage, 64, 64, o)
	require.NoError(t, err)
	return Work(m, method, p.Damage, 64, 64, o)
}

// threeSteps are presets by which DiffPIR has three steps.
func threeSteps() Presets {
	return Presets{"embedded": {Tasks: map[Task]map[string]param.Values{SR4: {"diffpir": {"steps": 3}}}}}
}

// stripes is a picture of n x n pixels.
func stripes(n int) *picture.Picture {
	p := &picture.Picture{W: n, H: n, Pix: make([]float32, 3*n*n)}
	for i := range p.Pix {
		p.Pix[i] = float32(i%17)/16 - 0.5
	}
	return p
}
