package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld"
	"psld/psld/metric"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/task"
)

// waves is a smooth picture.
func waves(h, w, k int) *picture.Picture {
	p := picture.New(w, h)
	for i := range p.Pix {
		x, y, c := float64(i/3%w), float64(i/3/w), float64(i%3)
		p.Pix[i] = float32(0.7 * math.Sin(x/7+c+float64(k)) * math.Cos(y/9))
	}
	return p
}

func TestRun(t *testing.T) {
	pics := []*picture.Picture{waves(32, 32, 0), waves(32, 32, 0)}
	calls := map[string]int{}
	o := Options{Sigma: 0.05, Seed: 1, Solve: psld.Options{Params: param.Values{"omega": 1}},
		Methods: []string{"tv", "psld"}, Progress: func(t task.Name, method string, done, of int) {
			n := calls[string(t)+method] + 1
			calls[string(t)+method] = n
			if done != n || of != 2 {
				panic("progress out of order")
			}
		}}
	r, err := Run(context.Background(), prior.RandomTiny(1), pics, o)
	require.NoError(t, err)
	require.Len(t, r.Rows, 3*len(task.Usual()))
	require.Len(t, calls, len(r.Rows))
	for i, s := range r.Rows {
		require.Equal(t, 2, s.N())
		psnr := s.Result("psnr").Mean
		require.False(t, math.IsNaN(psnr) || math.IsNaN(s.Result("ssim").Mean))
		// TV must help; cubic enlargement of a smooth picture is hard to beat.
		if s.Method == "tv" && s.Task != psld.SR4 {
			require.Greater(t, psnr, r.Rows[i-1].Result("psnr").Mean, s.Task)
		}
	}
}

// TestCellsAreSolve: a row has what psld.Solve gives for each picture by itself: a start that methods share changes no
// bit.
func TestCellsAreSolve(t *testing.T) {
	m, pics := prior.RandomTiny(1), []*picture.Picture{waves(24, 32, 0), waves(24, 32, 3)}
	sigma := 0.05
	r, err := Run(t.Context(), m, pics, Options{Sigma: sigma, Seed: 5,
		Solve: psld.Options{Params: param.Values{"steps": 2}}, Methods: []string{"ldps", "psld"},
		Tasks: []task.Name{task.DeblurGaussian}})
	require.NoError(t, err)
	for _, row := range r.Rows[1:] {
		sum := metric.Default()[0].New()
		for i, x := range pics {
			seed := 5 + uint64(i)
			spec, err := task.Find(string(task.DeblurGaussian))
			require.NoError(t, err)
			d, err := spec.FitDamage(24, 32, seed)
			require.NoError(t, err)
			y, err := task.Measure(x, d, sigma, seed)
			require.NoError(t, err)
			res, err := psld.Solve(t.Context(), m, psld.Problem{Damage: d, Measurement: y},
				psld.Options{Method: row.Method, Params: param.Values{"steps": 2}, Seed: seed, Sigma: &sigma})
			require.NoError(t, err)
			require.NoError(t, sum.Add(res.Picture, x))
		}
		require.Equal(t, sum.Result(), row.Result("psnr"), row.Method)
	}
}

// TestShards: parts of the pictures, stored and merged in any order, give the numbers of one run; holes and double
// pictures are refused.
func TestShards(t *testing.T) {
	m := prior.RandomTiny(1)
	var pics []*picture.Picture
	for k := range 5 {
		pics = append(pics, waves(16, 16, k))
	}
	o := Options{Sigma: 0.05, Seed: 1, Solve: psld.Options{Params: param.Values{"steps": 1}}, Methods: []string{"psld"},
		Tasks: []task.Name{task.Denoise, task.InpaintRandom}}
	whole, err := Run(t.Context(), m, pics, o)
	require.NoError(t, err)
	var parts []*Report
	for i := range 3 {
		o.Shard = Shard{2 - i, 3}
		r, err := Run(t.Context(), m, pics, o)
		require.NoError(t, err)
		b, err := json.Marshal(r)
		require.NoError(t, err)
		r, err = Read(b, metric.Default())
		require.NoError(t, err)
		parts = append(parts, r)
	}
	all, err := Merge(parts...)
	require.NoError(t, err)
	for i, row := range all.Rows {
		require.Equal(t, whole.Rows[i].Task, row.Task)
		require.Equal(t, 5, row.N())
		for _, name := range []string{"psnr", "ssim"} {
			require.Equal(t, whole.Rows[i].Result(name), row.Result(name))
		}
	}
	_, err = Merge(parts[0], parts[2])
	require.EqualError(t, err, "pictures 1 to 2 are missing")
	_, err = Merge(parts[1], parts[2])
	require.EqualError(t, err, "pictures 3 to 4 are missing")
	_, err = Merge(parts[0], parts[1], parts[1], parts[2])
	require.EqualError(t, err, "pictures 1 to 2 are there twice")
	other := *parts[0]
	other.Seed++
	_, err = Merge(&other, parts[1], parts[2])
	require.ErrorContains(t, err, "different evaluations")
	o.Shard = Shard{3, 3}
	_, err = Run(t.Context(), m, pics, o)
	require.EqualError(t, err, "shard 3 of 3: want one of 0 to 2")
}

// TestTables: the three forms of a report, with a metric that is not available.
func TestTables(t *testing.T) {
	lpips := metric.List[2].Info
	row := newRow("denoise", "psld", append(metric.Default(), metric.NotAvailable(lpips)))
	row.Seconds = 1.5
	x, y := waves(16, 16, 0), waves(16, 16, 0)
	y.Pix[0] += 0.5
	for _, a := range row.Sums {
		require.NoError(t, a.Add(y, x))
	}
	r := &Report{Pictures: 1, To: 1, Rows: []Row{row}}
	write := func(f func(b *bytes.Buffer) error) string {
		var b bytes.Buffer
		require.NoError(t, f(&b))
		return b.String()
	}
	text := write(func(b *bytes.Buffer) error { return r.Markdown(b) })
	require.Equal(t, "| Task | Method | Pictures | PSNR dB | SSIM | LPIPS AlexNet | s/picture |\n"+
		"|---|---|---:|---:|---:|---:|---:|\n"+
		"| denoise | psld | 1 | 40.89 | ", text[:strings.Index(text, "40.89")+8])
	require.Contains(t, text, "| n/a: give --lpips-weights | 1.50 |\n")
	require.Regexp(t, `^task,method,pictures,psnr_db,ssim,lpips-alex,seconds_per_picture\n`+
		`denoise,psld,1,40.89\d+,0.9\d+,n/a,1.50000\n$`, write(func(b *bytes.Buffer) error { return r.CSV(b) }))
	var rows []map[string]any
	text = write(func(b *bytes.Buffer) error { return r.JSON(b) })
	require.NoError(t, json.Unmarshal([]byte(text), &rows))
	require.Equal(t, "denoise", rows[0]["Task"])
	require.Equal(t, 1.0, rows[0]["N"])
	require.InDelta(t, 40.9, rows[0]["PSNR"], 0.01)
	require.Nil(t, rows[0]["LPIPS AlexNet"])
	require.Regexp(t, `^\[\n  {\n    "Task": "denoise",\n    "Method": "psld",\n    "N": 1,\n    "PSNR": 40`, text)
}

// TestAtOnce: as many as processors, but what fits into three quarters of the memory.
func TestAtOnce(t *testing.T) {
	const gib = 1 << 30
	require.Equal(t, 16, AtOnce(16, 0, 0))
	require.Equal(t, 16, AtOnce(16, gib/100, 4*gib))
	require.Equal(t, 3, AtOnce(16, gib, 4*gib))
	require.Equal(t, 1, AtOnce(16, 8*gib, 4*gib))
	require.Equal(t, 16, AtOnce(16, 8*gib, 0))
}

// TestErrors: an error names its picture, and an early end is the context's.
func TestErrors(t *testing.T) {
	pics := []*picture.Picture{waves(16, 16, 0), picture.New(5, 5)}
	o := Options{Tasks: []task.Name{task.Denoise}, Methods: []string{"tv"}}
	_, err := Run(t.Context(), nil, pics, o)
	require.ErrorContains(t, err, "denoise, measurement: picture 1: metric: SSIM needs at least 7x7 pixels")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	_, err = Run(ctx, nil, pics[:1], o)
	require.ErrorIs(t, err, context.Canceled)
	o.Tasks[0] = task.Inpaint
	_, err = Run(t.Context(), nil, pics[:1], o)
	require.ErrorContains(t, err, "no masks of its own")
}

// TestMetricInOnePlace: a metric of another package is gathered, merged and in the tables.
func TestMetricInOnePlace(t *testing.T) {
	worst := metric.PerPicture(metric.Info{Name: "worst", Title: "Worst", Digits: 1},
		func(restored, truth *picture.Picture) (float64, error) {
			var d float64
			for i, v := range truth.Pix {
				d = max(d, math.Abs(float64(v-restored.Pix[i])))
			}
			return d, nil
		})
	x := waves(16, 16, 0)
	r, err := Run(t.Context(), nil, []*picture.Picture{x, x}, Options{Tasks: []task.Name{task.InpaintBox},
		Methods: []string{"tv"}, Metrics: append(metric.Default(), worst)})
	require.NoError(t, err)
	require.Equal(t, 2, r.Rows[0].Result("worst").N)
	require.Greater(t, r.Rows[0].Result("worst").Mean, r.Rows[1].Result("worst").Mean) // black against filled in
	var b bytes.Buffer
	require.NoError(t, r.Markdown(&b))
	require.Contains(t, b.String(), " SSIM | Worst | s/picture |")
}

// An evaluation that was stopped takes its finished cells from the file, and gives the numbers of a whole one.
func TestCells(t *testing.T) {
	m := prior.RandomTiny(1)
	var pics []*picture.Picture
	for i := range 3 {
		pics = append(pics, waves(16, 16, i))
	}
	path := filepath.Join(t.TempDir(), "cells")
	o := Options{Tasks: []task.Name{"denoise", "sr4"}, Methods: []string{"psld"}, Sigma: 0.05,
		Solve: psld.Options{Params: param.Values{"steps": 2}}}
	whole, err := Run(t.Context(), m, pics, o)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	o.Progress = func(task.Name, string, int, int) {
		if calls++; calls == 8 { // the second task's measurements are under way
			cancel()
		}
	}
	o.Cells, err = OpenCells(path, "these", false)
	require.NoError(t, err)
	_, err = Run(ctx, m, pics, o)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, o.Cells.Close())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(text, `{"Task":"sr4","Me`...), 0o600)) // as a killed run leaves it

	_, err = OpenCells(path, "others", true)
	require.ErrorContains(t, err, "another evaluation: it was these; this is others")
	o.Cells, err = OpenCells(path, "these", true)
	require.NoError(t, err)
	kept := o.Cells.Len()
	require.GreaterOrEqual(t, kept, 6)
	require.Less(t, kept, 12)
	o.Progress = nil
	report, err := Run(t.Context(), m, pics, o)
	require.NoError(t, err)
	require.Equal(t, 12, o.Cells.Len())
	for i, row := range report.Rows {
		for _, name := range []string{"psnr", "ssim"} {
			require.Equal(t, whole.Rows[i].Result(name), row.Result(name))
		}
		require.Positive(t, row.Seconds)
	}
	require.NoError(t, o.Cells.Close())
	_, err = OpenCells(filepath.Join(t.TempDir(), "none"), "these", true)
	require.ErrorContains(t, err, "there are no cells")
}
