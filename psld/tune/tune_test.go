package tune

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"psld/psld"
	"psld/psld/picture"
	"psld/psld/prior"
)

// tiny searches on two pictures of 16x16 with a random model.
func tiny() *Search {
	s := &Search{Model: prior.RandomTiny(1), Sigma: 0.05, Seed: 3, Steps: []int{4, 2}, Gluing: []int{1, 2},
		Fixed: []string{"strength"}, Tolerance: 0.05, Work: func(gluing bool) float64 {
			if gluing {
				return 4e12
			}
			return 3e12
		}}
	for k := range 2 {
		p := &picture.Picture{H: 16, W: 16, Pix: make([]float32, 16*16*3)}
		for i := range p.Pix {
			p.Pix[i] = float32((i*(k+3))%17)/8 - 1
		}
		s.Pictures = append(s.Pictures, p)
	}
	return s
}

func TestCheapest(t *testing.T) {
	seen := []Result{{PSNR: 20, TFLOP: 9}, {PSNR: 19.97, TFLOP: 3}, {PSNR: 19.99, TFLOP: 3}, {PSNR: 19, TFLOP: 1}}
	require.Equal(t, seen[2], cheapest(seen, 0.05))
	require.Equal(t, seen[0], cheapest(seen, 0.001))
	require.Equal(t, seen[3], cheapest(seen, 1))
}

// TestSearch: the winner is one of the results and within the tolerance of the best; what is known is not computed
// again.
func TestSearch(t *testing.T) {
	s := tiny()
	var found []Result
	s.Found = func(r Result) error { found = append(found, r); return nil }
	best, gain, err := s.Task(t.Context(), psld.SR4)
	require.NoError(t, err)
	require.Contains(t, found, best)
	require.Equal(t, found, s.Known)
	require.InDelta(t, best.PSNR-found[0].PSNR, gain, 1e-12, "the first one is the task's preset")
	for _, r := range found {
		require.LessOrEqual(t, r.PSNR, best.PSNR+s.Tolerance)
		require.Equal(t, found[0].Strength, r.Strength, "it is fixed")
		require.Positive(t, r.Seconds)
	}
	again := tiny()
	again.Known = s.Known
	again.Found = func(r Result) error { return errors.New("computed again") }
	same, _, err := again.Task(t.Context(), psld.SR4)
	require.NoError(t, err)
	require.Equal(t, best, same)

	s.Found = nil
	curve, err := s.Curve(t.Context(), psld.SR4, best.TaskPreset)
	require.NoError(t, err)
	require.Len(t, curve, 4)
	for i, want := range [][2]int{{2, 1}, {4, 1}, {2, 2}, {4, 2}} {
		require.Equal(t, want, [2]int{curve[i].Steps, curve[i].GluingEvery})
	}
	require.InDelta(t, 2*4, curve[0].TFLOP, 1e-9)
	require.InDelta(t, 4+3, curve[2].TFLOP, 1e-9, "one step glues, one does not")
}

func TestSearchStops(t *testing.T) {
	s := tiny()
	ctx, cancel := context.WithCancel(t.Context())
	s.Found = func(Result) error {
		if len(s.Known) == 3 {
			cancel()
		}
		return nil
	}
	best, _, err := s.Task(ctx, psld.SR4)
	require.ErrorIs(t, err, context.Canceled)
	require.Contains(t, s.Known, best, "the best so far")
	require.Len(t, s.Known, 3)

	s = tiny()
	s.Budget = time.Nanosecond
	best, _, err = s.Task(t.Context(), psld.SR4)
	require.ErrorIs(t, err, ErrBudget)
	require.Zero(t, best.Steps)
}

func TestPlot(t *testing.T) {
	var curves []Result
	for _, task := range []psld.Task{psld.SR4, psld.Denoise, psld.InpaintBox} {
		for _, k := range []int{1, 3} {
			for _, steps := range []int{10, 100} {
				curves = append(curves, Result{Task: task, TaskPreset: psld.TaskPreset{Steps: steps, GluingEvery: k},
					PSNR: 20 + float64(steps)/50, Seconds: float64(steps), CPU: float64(steps * k)})
			}
		}
	}
	var b, again bytes.Buffer
	require.NoError(t, Plot(&b, curves))
	require.NoError(t, Plot(&again, curves))
	require.Equal(t, b.Bytes(), again.Bytes())
	img, err := png.Decode(&b)
	require.NoError(t, err)
	require.Greater(t, img.Bounds().Dx(), 600)
	require.Greater(t, img.Bounds().Dy(), 500, "two rows")
	if path := os.Getenv("PSLD_PLOT"); path != "" { // to look at
		require.NoError(t, os.WriteFile(path, again.Bytes(), 0o644))
	}
	require.Error(t, Plot(&b, nil))
}
