package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"psld/internal/atomicfile"
	kernels "psld/internal/bench"
	"psld/psld"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/task"
	"psld/psld/tune"
)

// tuneFile is what psld tune writes: presets, and what they were found by.
type tuneFile struct {
	psld.Presets
	Model     string        `json:"model"`
	DType     string        `json:"dtype"`
	Pictures  int           `json:"pictures"`
	Data      string        `json:"data"`
	Sigma     float64       `json:"sigma"`
	Seed      uint64        `json:"seed"`
	Tolerance float64       `json:"tolerance_db"`
	Results   []tune.Result `json:"results"`
}

var tuneVerb = verb{
	name: "tune", args: "--data DIR --out presets.json", short: "find a task's parameters on a folder of pictures",
	notes: `For each number of --steps it walks to better omega and gamma, and to a better strength where that is not --fixed, one at a
time by factors of two, then tries --gluing-every; the preset is the setting of least work within --tolerance of the best
mean PSNR. A higher PSNR is not always a better picture: with a free strength large holes come out smooth.
  psld tune --data photos --tasks sr4,denoise --out presets.json
  psld restore --task sr4 --preset presets.json --in small.png --out large.png
The file has every result. After Ctrl-C or --budget the same command goes on from it, and the presets found so far are in
it. --plot measures PSNR against time over --steps and --gluing-every in place of a search:
  psld tune --data photos --tasks sr4 --steps 10,20,50,100,200 --out curve.json --plot curve.png

`,
	setup: tuneTask,
}

func tuneTask(fs *flag.FlagSet) work {
	data := fs.String("data", "", "`folder` of pictures, which should not be those of the final test")
	n := fs.Int("n", 8, "`N` pictures; 0 for all")
	size := fs.Int("size", 64, "`pixels` a side")
	tasks := fs.String("tasks", taskNames(task.Drawn(), ",", ","), "`list` of tasks")
	steps := fs.String("steps", "10,30,100", "`list` of numbers of steps")
	every := fs.String("gluing-every", "1,2,5", "`list` of numbers of steps from gluing to gluing")
	fixed := fs.String("fixed", "strength", "`list` of parameters that keep the preset's value: strength, omega, gamma; \"\" for none")
	strength := fs.Float64("strength", 0, "`share` of the diffusion time for --plot (default: the task's preset)")
	tolerance := fs.Float64("tolerance", 0.05, "`dB` that less work may cost")
	budget := fs.Duration("budget", 0, "`time` after which nothing new is tried, such as 30m (default: no limit)")
	sigma := fs.Float64("sigma", psld.DefaultSigma, "standard `deviation` of the noise on [-1,1]")
	out := fs.String("out", "", "`file` for presets and results: .json; an existing one is gone on with")
	plot := fs.String("plot", "", "measure quality against time in place of a search, and draw it as a PNG `file`")
	model, seed, threads := addModelFlags(fs), seedFlag(fs), threadsFlag(fs)

	return func(ctx context.Context, c *console, _ []string) error {
		switch {
		case *data == "" || *out == "":
			return fmt.Errorf("--data and --out are needed (see psld help tune)")
		case *n < 0 || *size < 8 || *size > 2048:
			return fmt.Errorf("--n %d --size %d, want at least 0 and 8 to 2048", *n, *size)
		case !(*sigma >= 0 && *sigma <= 100):
			return fmt.Errorf("--sigma %v, want 0 to 100", *sigma)
		case !(*tolerance >= 0 && *tolerance <= 10):
			return fmt.Errorf("--tolerance %v, want 0 to 10 dB", *tolerance)
		case *budget < 0:
			return fmt.Errorf("--budget %v, want a time of at least 0", *budget)
		case given(fs)["strength"] && !(*strength > 0 && *strength <= 1):
			return fmt.Errorf("--strength %v, want more than 0 and at most 1", *strength)
		case given(fs)["strength"] && *plot == "":
			return fmt.Errorf("--strength is for --plot; the search finds it")
		}
		s := &tune.Search{Sigma: *sigma, Tolerance: *tolerance, Budget: *budget, Fixed: list(*fixed)}
		chosen, err := drawnTasks(*tasks)
		if err != nil {
			return err
		}
		for _, name := range s.Fixed {
			if !slices.Contains(tune.Parameters, name) {
				return fmt.Errorf("--fixed %q, want some of %s", name, strings.Join(tune.Parameters, ", "))
			}
		}
		if s.Steps, err = counts("--steps", *steps, 0); err != nil {
			return err
		}
		if s.Gluing, err = counts("--gluing-every", *every, 0); err != nil {
			return err
		}
		if len(chosen) == 0 || slices.Min(s.Steps) < 1 || slices.Max(s.Steps) > 1000 || slices.Min(s.Gluing) < 1 {
			return fmt.Errorf("--tasks, --steps (1 to 1000) and --gluing-every need at least one entry each")
		}
		if s.Seed, err = seed(); err != nil {
			return err
		}
		if err := threads(); err != nil {
			return err
		}
		if err := checkOutput("--out", *out, []string{".json"}); err != nil {
			return err
		}
		if *plot != "" {
			if err := checkOutput("--plot", *plot, []string{".png"}); err != nil {
				return err
			}
		}
		if s.Pictures, err = picture.LoadSquares(*data, *n, *size); err != nil {
			return fmt.Errorf("--data: %w", err)
		}
		if s.Model, err = model.open(ctx); err != nil {
			return err
		}
		file := tuneFile{Presets: psld.Presets{Size: *size, Tasks: map[psld.Task]psld.TaskPreset{}}, Model: s.Model.Name, DType: *model.dtype,
			Pictures: len(s.Pictures), Data: *data, Sigma: *sigma, Seed: s.Seed, Tolerance: *tolerance}
		if err := file.goOn(*out); err != nil {
			return err
		}
		s.Known = file.Results
		mult := s.Model.Multiple()
		padded := (*size + mult - 1) / mult * mult
		w := kernels.StepWork(s.Model, padded, padded)
		s.Work = func(gluing bool) float64 {
			if gluing {
				return w.Total()
			}
			return w.Total() - w.Encoder.Total()
		}
		save := func() error {
			file.Results = s.Known
			return writeJSON(*out, file)
		}
		start := time.Now()
		s.Found = func(r tune.Result) error {
			c.say("%8s  %-15s %4d steps, strength %-7.3g gamma %-7.3g omega %-7.3g gluing every %d: %.2f dB, %.2f s a picture",
				round(time.Since(start)), r.Task, r.Steps, r.Strength, r.Gamma, r.Omega, r.GluingEvery, r.PSNR, r.Seconds)
			return save()
		}
		c.say("%d pictures of %dx%d, noise %g on [-1,1], seed %d, model %s, %s, %d results known", len(s.Pictures), *size, *size, *sigma, s.Seed, prior.Describe(s.Model), machine(), len(s.Known))
		var rows []tune.Result
		var gains []float64
		for _, t := range chosen {
			if *plot != "" {
				p := s.Preset(t)
				if given(fs)["strength"] {
					p.Strength = *strength
				}
				var curve []tune.Result
				curve, err = s.Curve(ctx, t, p)
				rows = append(rows, curve...)
			} else {
				var best tune.Result
				var gain float64
				if best, gain, err = s.Task(ctx, t); best.Steps > 0 {
					rows, gains = append(rows, best), append(gains, gain)
					file.Tasks[t] = best.TaskPreset
				}
			}
			if err != nil {
				break
			}
		}
		if errors.Is(err, tune.ErrBudget) {
			c.say("the budget of %s is used up: the same command goes on", *budget)
			err = nil
		}
		printTuned(c, rows, gains)
		if len(rows) == 0 {
			return err
		}
		err = errors.Join(err, save())
		if *plot != "" {
			err = errors.Join(err, atomicfile.Write(*plot, func(w io.Writer) error { return tune.Plot(w, rows) }))
		}
		return err
	}
}

// goOn takes the results of an existing file, which must be of the same pictures and model.
func (f *tuneFile) goOn(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var old tuneFile
	if err := json.Unmarshal(b, &old); err != nil {
		return fmt.Errorf("--out %s is not a file of psld tune: %w", path, err)
	}
	of := func(f tuneFile) string {
		return fmt.Sprintf("model %s, %s, %d pictures of %s at %dx%d, noise %g, seed %d", f.Model, f.DType, f.Pictures, f.Data, f.Size, f.Size, f.Sigma, f.Seed)
	}
	if of(old) != of(*f) {
		return fmt.Errorf("--out %s has results of %s; these would be of %s: choose another file", path, of(old), of(*f))
	}
	f.Results = old.Results
	for t, p := range old.Tasks {
		f.Tasks[t] = p
	}
	return nil
}

func writeJSON(path string, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		return err
	}
	return writeFile(path, b.Bytes())
}

// printTuned prints a Markdown table; gains are what the rows have over the presets, nil for curves.
func printTuned(c *console, rows []tune.Result, gains []float64) {
	if len(rows) == 0 {
		return
	}
	gain := ""
	if gains != nil {
		gain = " over preset |"
	}
	fmt.Fprintf(c.out, "| Task | Steps | Strength | Gamma | Omega | Gluing every | PSNR dB |%s SSIM | s/picture | processor s | TFLOP |\n", gain)
	fmt.Fprintf(c.out, "|---|---:|---:|---:|---:|---:|---:|%s---:|---:|---:|---:|\n", strings.Repeat("---:|", min(1, len(gain))))
	for i, r := range rows {
		if gains != nil {
			gain = fmt.Sprintf(" %+.2f |", gains[i])
		}
		fmt.Fprintf(c.out, "| %s | %d | %.3g | %.3g | %.3g | %d | %.2f |%s %.4f | %.2f | %.2f | %.3f |\n", r.Task, r.Steps, r.Strength, r.Gamma, r.Omega, r.GluingEvery, r.PSNR, gain,
			r.SSIM, r.Seconds, r.CPU, r.TFLOP)
	}
}
