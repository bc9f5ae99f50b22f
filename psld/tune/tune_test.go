package tune

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/png"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"psld/psld"
	"psld/psld/metric"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
)

// tiny searches on four pictures of 16x16 with a random model.
func tiny() *Search {
	s := &Search{Model: prior.RandomTiny(1), Sigma: 0.05, Seed: 3, Candidates: 4, Tolerance: 0.05}
	for k := range 4 {
		p := &picture.Picture{H: 16, W: 16, Pix: make([]float32, 16*16*3)}
		for i := range p.Pix {
			p.Pix[i] = float32((i*(k+3))%17)/8 - 1
		}
		s.Pictures = append(s.Pictures, p)
	}
	return s
}

// TestCheapest: fewest steps within the tolerance, for metrics of either direction.
func TestCheapest(t *testing.T) {
	of := func(score float64, steps int) Result {
		return Result{Score: score, Params: param.Values{"steps": steps}}
	}
	seen := []Result{of(20, 9), of(19.97, 3), of(19.99, 3), of(19, 1)}
	s := &Search{Tolerance: 0.05}
	require.Equal(t, seen[2], s.cheapest(seen))
	s.Tolerance = 0.001
	require.Equal(t, seen[0], s.cheapest(seen))
	s.Tolerance = 1
	require.Equal(t, seen[3], s.cheapest(seen))
	lpips, err := metric.Bare("lpips-alex")
	require.NoError(t, err)
	s.Metric, s.Tolerance = lpips, 0
	require.Equal(t, seen[3], s.cheapest(seen))
}

// TestCandidates: they lie where they may, are the same for the same seed, and differ in what is varied alone.
func TestCandidates(t *testing.T) {
	s := tiny()
	s.Candidates, s.Vary = 50, []string{"gamma", "eta", "steps"}
	own, err := s.Preset(psld.SR4, "psld")
	require.NoError(t, err)
	all := s.candidates(psld.SR4, "psld", own)
	require.Len(t, all, 50)
	require.Equal(t, all, s.candidates(psld.SR4, "psld", own))
	require.NotEqual(t, all, s.candidates(psld.Denoise, "psld", own))
	for _, v := range all {
		require.Equal(t, own["omega"], v["omega"])
		require.LessOrEqual(t, v["steps"], 2*own["steps"].(int))
		require.GreaterOrEqual(t, 2*v["steps"].(int), own["steps"])
		g, old := v["gamma"].(float64), own["gamma"].(float64)
		require.True(t, g >= 0.24*old && g <= 4.1*old, g)
		require.True(t, v["eta"].(float64) >= 0 && v["eta"].(float64) <= 1)
	}
}

// TestSearch: the field is halved while the pictures double; the winner is one of the results on all pictures and
// within the tolerance of the best; what is known is not measured again, also after JSON.
func TestSearch(t *testing.T) {
	s := tiny()
	var found []Result
	s.Found = func(r Result) error { found = append(found, r); return nil }
	best, preset, err := s.Task(t.Context(), psld.SR4, "psld")
	require.NoError(t, err)
	count := map[int]int{}
	for _, r := range found {
		count[r.Pictures]++
		if r.Pictures == 4 {
			require.LessOrEqual(t, r.Score, best.Score+s.Tolerance)
		}
	}
	require.Equal(t, map[int]int{1: 5, 2: 3, 4: 2}, count)
	require.Contains(t, found, best)
	require.Equal(t, 4, preset.Pictures)
	require.GreaterOrEqual(t, best.Score, preset.Score-s.Tolerance)
	own, err := s.Preset(psld.SR4, "psld")
	require.NoError(t, err)
	require.Equal(t, own, preset.Params)

	text, err := json.Marshal(found)
	require.NoError(t, err)
	again := tiny()
	require.NoError(t, json.Unmarshal(text, &again.Known))
	for i := range again.Known {
		require.NoError(t, again.Known[i].Normal())
	}
	again.Found = func(Result) error { return errors.New("measured again") }
	same, _, err := again.Task(t.Context(), psld.SR4, "psld")
	require.NoError(t, err)
	require.Equal(t, best, same)

	for _, method := range []string{"diffpir", "tv"} {
		s.Candidates = 1
		_, _, err = s.Task(t.Context(), psld.Denoise, method)
		require.NoError(t, err, method)
	}
	_, _, err = s.Task(t.Context(), psld.Denoise, "ddrm")
	require.ErrorContains(t, err, "works on pixels")
	curve, err := s.Curve(t.Context(), psld.SR4, "psld", best.Params, []int{4, 2})
	require.NoError(t, err)
	require.Equal(t, []int{2, 4}, []int{steps(curve[0]), steps(curve[1])})
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
	_, _, err := s.Task(ctx, psld.SR4, "psld")
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, s.Known, 3)

	s = tiny()
	s.Budget = time.Nanosecond
	_, _, err = s.Task(t.Context(), psld.SR4, "psld")
	require.ErrorIs(t, err, ErrBudget)
	_, _, err = new(Search).Task(t.Context(), psld.SR4, "psld")
	require.ErrorContains(t, err, "no pictures")
}

func TestPlot(t *testing.T) {
	var curves []Result
	for _, task := range []psld.Task{psld.SR4, psld.Denoise, psld.InpaintBox} {
		for _, method := range []string{"psld", "diffpir"} {
			for _, n := range []int{10, 100} {
				curves = append(curves, Result{Task: task, Method: method, Params: param.Values{"steps": n},
					Score: 20 + float64(n)/50, Seconds: float64(n)})
			}
		}
	}
	var b, again bytes.Buffer
	require.NoError(t, Plot(&b, metric.List[0].Info, curves))
	require.NoError(t, Plot(&again, metric.List[0].Info, curves))
	require.Equal(t, b.Bytes(), again.Bytes())
	img, err := png.Decode(&b)
	require.NoError(t, err)
	require.Greater(t, img.Bounds().Dx(), 600)
	require.Greater(t, img.Bounds().Dy(), 500, "two rows")
	require.Error(t, Plot(&b, metric.List[0].Info, nil))
}
