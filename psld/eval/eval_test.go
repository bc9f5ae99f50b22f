package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

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
	calls, cells := 0, 2*3*len(task.Usual())
	o := Options{Sigma: 0.05, Seed: 1, Solve: psld.Options{Params: param.Values{"omega": 1}},
		Methods: []string{"tv", "psld"}, Progress: func(_ task.Name, _ string, done, of int) {
			if calls++; done != calls || of != cells {
				panic("progress out of order")
			}
		}, Plan: func(p Plan) {
			require.Zero(t, calls)
			require.Equal(t, []int{cells, 0}, []int{p.Cells, p.Done})
			require.Positive(t, p.Predicted)
		}}
	r, err := Run(context.Background(), prior.RandomTiny(1), List(pics), o)
	require.NoError(t, err)
	require.Len(t, r.Rows, 3*len(task.Usual()))
	require.Equal(t, cells, calls)
	for i, s := range r.Rows {
		require.Equal(t, 2, s.N)
		require.Equal(t, s.Method == "psld", s.Memory > 0)
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
	r, err := Run(t.Context(), m, List(pics), Options{Sigma: sigma, Seed: 5,
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

// TestShards: parts of the pictures, in folders of their own, give the numbers of one run; holes, double pictures and
// cells of other evaluations are refused.
func TestShards(t *testing.T) {
	m := prior.RandomTiny(1)
	var pics List
	for k := range 5 {
		pics = append(pics, waves(16, 16, k))
	}
	o := Options{Sigma: 0.05, Seed: 1, Solve: psld.Options{Params: param.Values{"steps": 1}},
		Methods: []string{"psld", "tv"},
		Tasks:   []task.Name{task.Denoise, task.InpaintRandom}, Metrics: append(metric.Default(), bareLPIPS(t)), Grid: 2}
	whole, err := Run(t.Context(), m, pics, o)
	require.NoError(t, err)
	var dirs []string
	for i := range 3 {
		o.Shard, o.Dir = Shard{2 - i, 3}, filepath.Join(t.TempDir(), "part")
		_, err := Run(t.Context(), m, pics, o)
		require.NoError(t, err)
		dirs = append(dirs, o.Dir)
	}
	all, err := Open(dirs...)
	require.NoError(t, err)
	require.Equal(t, numbers(t, whole), numbers(t, all))
	files, err := all.Write(t.TempDir())
	require.NoError(t, err)
	require.Len(t, files, 3+2+2, "tables, a grid for each task, a plot for each metric that is there")

	_, err = Open(dirs[0], dirs[2])
	require.EqualError(t, err, "pictures 1 to 2 are missing")
	_, err = Open(dirs[1], dirs[2])
	require.EqualError(t, err, "pictures 3 to 4 are missing")
	_, err = Open(dirs[0], dirs[1], dirs[1], dirs[2])
	require.ErrorContains(t, err, "pictures 1 to 2 are there twice")
	_, err = Open(dirs[0], t.TempDir())
	require.ErrorContains(t, err, "has no cells")

	o.Shard, o.Seed = Shard{0, 3}, 2
	_, err = Run(t.Context(), m, pics, o)
	require.ErrorContains(t, err, "another evaluation: Seed is 2, was 1")
	o.Overwrite = true
	_, err = Run(t.Context(), m, pics, o)
	require.NoError(t, err)
	_, err = Open(dirs...)
	require.ErrorContains(t, err, "different evaluations: Seed")
	o.Shard = Shard{3, 3}
	_, err = Run(t.Context(), m, pics, o)
	require.EqualError(t, err, "shard 3 of 3: want one of 0 to 2")

	path := filepath.Join(dirs[1], Shard{1, 3}.fileOf()) // a cell is missing, or there twice
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(text, []byte("\n"))
	require.NoError(t, os.WriteFile(path, bytes.Join(lines[:len(lines)-2], nil), 0o600))
	_, err = openAll(dirs[1])
	require.ErrorContains(t, err, "the cell of ")
	require.ErrorContains(t, err, "is missing")
	require.NoError(t, os.WriteFile(path, append(text, lines[1]...), 0o600))
	_, err = openAll(dirs[1])
	require.ErrorContains(t, err, "a second cell of denoise, ")
}

// openAll reports on a part.
func openAll(dir string) (*Report, error) {
	parts, err := openParts([]string{dir})
	if err != nil {
		return nil, err
	}
	return report(parts, append(metric.Default(), metric.NotAvailable(metric.List[2].Info)))
}

func bareLPIPS(t *testing.T) metric.Metric {
	m, err := metric.Bare("lpips-alex")
	require.NoError(t, err)
	return metric.NotAvailable(m.Info())
}

// numbers are the JSON form without times and memory.
func numbers(t *testing.T, r *Report) string {
	c := *r
	c.Rows = slices.Clone(r.Rows)
	for i := range c.Rows {
		c.Rows[i].Seconds, c.Rows[i].Memory = 0, 0
	}
	c.From, c.To = 0, c.Pictures
	var b bytes.Buffer
	require.NoError(t, c.JSON(&b))
	return b.String()
}

// TestTables: the three forms of a report, with a metric that is not available, a method that is refused, and
// differences.
func TestTables(t *testing.T) {
	r, err := Run(t.Context(), prior.RandomTiny(1), List{waves(16, 16, 0), waves(16, 16, 1)}, Options{
		Tasks: []task.Name{task.Denoise}, Methods: []string{"tv", "psld", "ddrm"}, Sigma: 0.1,
		Solve: psld.Options{Params: param.Values{"steps": 2}}, Metrics: append(metric.Default()[:1], bareLPIPS(t)),
		Facts: []Fact{{Name: "model", Value: "tiny", Methods: []string{"psld", "ddrm"}}}})
	require.NoError(t, err)
	write := func(f func(b *bytes.Buffer) error) string {
		var b bytes.Buffer
		require.NoError(t, f(&b))
		return b.String()
	}
	text := write(func(b *bytes.Buffer) error { return r.Markdown(b) })
	require.Contains(t, text, "| Task | Method | Pictures | PSNR dB | LPIPS AlexNet | s/picture | MiB |\n")
	require.Regexp(t, `\| denoise \| tv \| 2 \| [0-9.]+ ± [0-9.]+ \| n/a: give --lpips-weights \|`, text)
	require.Contains(t, text, "| denoise | ddrm | 2 | n/a [1] | n/a [1] | - | - |\n")
	require.Contains(t, text, "\n[1] method ddrm works on pixels")
	require.Regexp(t, `\| denoise \| tv \| \+[0-9.]+ ± [0-9.]+ \| n/a \|`, text)
	require.NotContains(t, text, "| denoise | psld | +")
	csv := strings.Split(write(func(b *bytes.Buffer) error { return r.CSV(b) }), "\n")
	require.Len(t, csv, 1+4+1)
	require.Contains(t, csv[0], "task,method,pictures,psnr_db,psnr_db_ci95,psnr_db_minus_psld,psnr_db_minus_psld_ci95,")
	require.Contains(t, csv[4], "denoise,ddrm,2,,,,,,,,,")
	var got struct {
		Evaluation Head
		Rows       []struct {
			Method  string
			Metrics map[string]map[string]float64
		}
	}
	require.NoError(t, json.Unmarshal([]byte(write(func(b *bytes.Buffer) error { return r.JSON(b) })), &got))
	require.Empty(t, got.Evaluation.differs(r.Head))
	require.Equal(t, 2.0, got.Evaluation.Parameters[task.Denoise]["psld"]["steps"])
	tv, own := r.Rows[1].Result("psnr"), r.Rows[2].Result("psnr")
	require.Equal(t, tv.Mean, got.Rows[1].Metrics["psnr"]["Mean"])
	require.InDelta(t, tv.Mean-own.Mean, got.Rows[1].Metrics["psnr"]["Difference"], 1e-12)
	require.Empty(t, got.Rows[3].Metrics["psnr"])
	text = write(func(b *bytes.Buffer) error { return r.Configuration(b) })
	require.Contains(t, text, "  - psld: back adjoint, ")
	require.Contains(t, text, "\n- model of psld, ddrm: tiny\n")
	require.Contains(t, text, "\n- denoise: noise of deviation 0.1 ")
	require.Equal(t, task.Values{"missing": 0.7}, r.damage(task.InpaintRandom))
	require.Equal(t, task.Values{"kernel-std": 1.5}, r.damage(task.DeblurGaussian), "as small pictures have it")
	r.Height, r.Width = 512, 512
	require.Equal(t, task.Values{"kernel-std": 6}, r.damage(task.DeblurGaussian))
	r.Head.Damage[task.DeblurGaussian] = task.Values{"kernel-std": 2}
	require.Equal(t, task.Values{"kernel-std": 2}, r.damage(task.DeblurGaussian))
}

// TestNamesInPlots: names of points that lie close together do not cover each other.
func TestNamesInPlots(t *testing.T) {
	p := plot.New()
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 1, 100, 0, 1
	p.X.Scale = plot.LogScale{}
	at := plotter.XYs{{X: 10, Y: 0.5}, {X: 10.1, Y: 0.501}, {X: 10.2, Y: 0.5}, {X: 60, Y: 0.5}}
	boxes := place(p, at, []string{"one", "two", "three", "four"})
	for i, a := range boxes {
		require.InDelta(t, 9*float64(vg.Centimeter)*math.Log10(at[i].X)/2+4, float64(a.Min.X), 1e-9)
		require.GreaterOrEqual(t, a.Min.Y, 6*vg.Centimeter*vg.Length(at[i].Y)+2)
		for _, b := range boxes[:i] {
			require.False(t, overlap(a, b))
		}
	}
	require.InDelta(t, 3*float64(vg.Centimeter)+2, float64(boxes[3].Min.Y), 1e-9, "alone, it stays where it is")
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
	_, err := Run(t.Context(), nil, List(pics), o)
	require.ErrorContains(t, err, "denoise, picture 1: it has 5x5 pixels, the first one 16x16")
	_, err = Run(t.Context(), nil, List(pics[1:]), o)
	require.ErrorContains(t, err, "denoise, picture 0: measurement: metric: SSIM needs at least 7x7 pixels")
	_, err = Run(t.Context(), nil, List{}, o)
	require.ErrorContains(t, err, "no pictures")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	_, err = Run(ctx, nil, List(pics[:1]), o)
	require.ErrorIs(t, err, context.Canceled)
	o.Tasks[0] = task.Inpaint
	_, err = Run(t.Context(), nil, List(pics[:1]), o)
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
	r, err := Run(t.Context(), nil, List{x, x}, Options{Tasks: []task.Name{task.InpaintBox},
		Methods: []string{"tv"}, Metrics: append(metric.Default(), worst)})
	require.NoError(t, err)
	require.Equal(t, 2, r.Rows[0].Result("worst").N)
	require.Greater(t, r.Rows[0].Result("worst").Mean, r.Rows[1].Result("worst").Mean) // black against filled in
	var b bytes.Buffer
	require.NoError(t, r.Markdown(&b))
	require.Contains(t, b.String(), " SSIM | Worst | s/picture | MiB |")
}

// An evaluation that was stopped, or killed in the middle of a line, goes on with its finished cells to the bits of a
// whole one; another evaluation is refused.
func TestCells(t *testing.T) {
	m := prior.RandomTiny(1)
	var pics List
	for i := range 3 {
		pics = append(pics, waves(16, 16, i))
	}
	o := Options{Tasks: []task.Name{"denoise", "sr4"}, Methods: []string{"psld"}, Sigma: 0.05,
		Solve: psld.Options{Params: param.Values{"steps": 2}}, Facts: []Fact{{Name: "program", Value: "this"}}}
	whole, err := Run(t.Context(), m, pics, o)
	require.NoError(t, err)

	o.Dir = t.TempDir()
	path := filepath.Join(o.Dir, "cells.jsonl")
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(_ task.Name, _ string, done, _ int) {
		if done == 8 {
			cancel()
		}
	}
	_, err = Run(ctx, m, pics, o)
	require.ErrorIs(t, err, context.Canceled)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(text, `{"Task":"sr4","Me`...), 0o600)) // as a killed run leaves it

	other := o
	other.Facts = []Fact{{Name: "program", Value: "other"}}
	_, err = Run(t.Context(), m, pics, other)
	require.ErrorContains(t, err, "another evaluation: program is other, was this")
	o.Progress = nil
	o.Plan = func(p Plan) {
		require.GreaterOrEqual(t, p.Done, 8)
		require.Less(t, p.Done, 12)
	}
	r, err := Run(t.Context(), m, pics, o)
	require.NoError(t, err)
	require.Equal(t, numbers(t, whole), numbers(t, r))
	o.Plan = func(p Plan) { require.Equal(t, 12, p.Done) }
	r, err = Run(t.Context(), m, pics, o)
	require.NoError(t, err)
	require.Equal(t, numbers(t, whole), numbers(t, r))
	r, err = Open(o.Dir)
	require.NoError(t, err)
	require.Equal(t, numbers(t, whole), numbers(t, r))

	require.NoError(t, os.WriteFile(path, text[:9], 0o600)) // killed in its first line
	o.Plan = func(p Plan) { require.Zero(t, p.Done) }
	_, err = Run(t.Context(), m, pics, o)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte("something else\n"), 0o600))
	_, err = Run(t.Context(), m, pics, o)
	require.ErrorContains(t, err, "not a file of cells")
}

// An evaluation that goes on with further methods, or with other parameters or models of some, keeps the cells of the
// rest, and measures again what has changed; it has the numbers of one that began anew. Going back measures again too,
// since the pictures in the folder are the last ones.
func TestChangedRows(t *testing.T) {
	m := prior.RandomTiny(1)
	pics := List{waves(16, 16, 0), waves(16, 16, 1)}
	o := Options{Tasks: []task.Name{"denoise"}, Methods: []string{"psld", "tv"}, Sigma: 0.05, Dir: t.TempDir(), Grid: 1,
		Solve: psld.Options{Params: param.Values{"steps": 2}}}
	o.Facts = []Fact{{Name: "model", Value: "one", Methods: []string{"psld", "ldps"}}}
	run := func(done, void int) {
		t.Helper()
		o.Plan = func(p Plan) { require.Equal(t, []int{done, void}, []int{p.Done, p.Void}) }
		r, err := Run(t.Context(), m, pics, o)
		require.NoError(t, err)
		fresh := o
		fresh.Dir, fresh.Plan = "", nil
		want, err := Run(t.Context(), m, pics, fresh)
		require.NoError(t, err)
		require.Equal(t, numbers(t, want), numbers(t, r))
		r, err = Open(o.Dir)
		require.NoError(t, err)
		require.Equal(t, numbers(t, want), numbers(t, r))
	}
	run(0, 0)
	run(6, 0)
	o.Methods = []string{"ldps", "psld", "tv"} // a further one
	run(6, 0)
	o.Solve.Params = param.Values{"steps": 3} // tv and the measurement have none
	run(4, 4)
	o.Solve.Params = param.Values{"steps": 2}
	run(4, 4)
	o.Facts = []Fact{{Name: "model", Value: "two", Methods: []string{"psld", "ldps"}}}
	run(4, 4)
	o.Methods = []string{"tv"}
	run(4, 0)
	o.Methods, o.Tasks = []string{"ldps", "psld", "tv"}, []task.Name{"sr4", "denoise"}
	run(8, 0)
	o.Sigma = 0.1 // the damage itself
	run(0, 16)
}

// FuzzCells: no file of cells makes the reader panic, and what it takes it can read again.
func FuzzCells(f *testing.F) {
	head := `{"Format":"psld eval 2","Tasks":["sr4"],"Methods":["tv"],"Metrics":["psnr"],"Pictures":2,` +
		`"From":0,"To":2}` + "\n"
	f.Add([]byte(head))
	f.Add([]byte(head + `{"Task":"sr4","Method":"tv","Picture":1,"Metrics":[{"metric":"psnr","values":[3]}]}` + "\n"))
	f.Add([]byte(head + `{"Task":"sr4","Method":"tv","Picture":7}` + "\n"))
	f.Add([]byte(head + `{"Task":"sr4","Method":"tv","Picture":1}` + "\n" + strings.Replace(head, "tv", "psld", 1)))
	f.Add([]byte(`{"Format":"psld eval 2","Pictures":-1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := readCells(bytes.NewReader(text), "x")
		if err != nil {
			return
		}
		c.file = &memory{text}
		for key, row := range c.rows {
			for i, at := range row.at {
				if at > 0 {
					one, err := c.read(key.task, key.method, c.head.From+i)
					require.NoError(t, err)
					require.Equal(t, c.head.From+i, one.Picture)
				}
			}
		}
	})
}
