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
	notes: `For each number of --steps it walks to better omega and gamma, and to a better strength where that is
not --fixed, one at a time by factors of two, then tries --gluing-every; the preset is the setting of least work
within --tolerance of the best mean PSNR. A higher PSNR is not always a better picture: with a free strength large
holes come out smooth.
  psld tune --data photos --tasks sr4,denoise --out presets.json
  psld restore --task sr4 --preset presets.json --in small.png --out large.png
The file has every result. After Ctrl-C or --budget the same command goes on from it, and the presets found so far are
in it. --plot measures PSNR against time over --steps and --gluing-every in place of a search:
  psld tune --data photos --tasks sr4 --steps 10,20,50,100,200 --out curve.json --plot curve.png

`,
	setup: func(fs *flag.FlagSet) work { return addTuneFlags(fs).run },
}

// tuneFlags are those of psld tune.
type tuneFlags struct {
	*picturesFlags
	fs                             *flag.FlagSet
	steps, every, fixed, out, plot *string
	strength, tolerance            *float64
	budget                         *time.Duration
}

func addTuneFlags(fs *flag.FlagSet) *tuneFlags {
	return &tuneFlags{
		picturesFlags: addPicturesFlags(fs, 8, ", which should not be those of the final test"),
		fs:            fs,
		steps:         fs.String("steps", "10,30,100", "`list` of numbers of steps"),
		every:         fs.String("gluing-every", "1,2,5", "`list` of numbers of steps from gluing to gluing"),
		fixed: fs.String("fixed", "strength",
			"`list` of parameters that keep the preset's value: strength, omega, gamma; \"\" for none"),
		strength:  fs.Float64("strength", 0, "`share` of the diffusion time for --plot (default: the task's preset)"),
		tolerance: fs.Float64("tolerance", 0.05, "`dB` that less work may cost"),
		budget:    fs.Duration("budget", 0, "`time` after which nothing new is tried, such as 30m (default: no limit)"),
		out:       fs.String("out", "", "`file` for presets and results: .json; an existing one is gone on with"),
		plot:      fs.String("plot", "", "measure quality against time in place of a search, and draw it as a PNG `file`"),
	}
}

func (f *tuneFlags) run(ctx context.Context, c *console, _ []string) error {
	s, chosen, err := f.check()
	if err != nil {
		return err
	}
	if err := f.threads(); err != nil {
		return err
	}
	if s.Pictures, err = f.load(c); err != nil {
		return err
	}
	if s.Model, err = f.model.open(ctx, c); err != nil {
		return err
	}
	file := tuneFile{Presets: psld.Presets{Size: *f.size, Tasks: map[psld.Task]psld.TaskPreset{}}, Model: s.Model.Name,
		DType: *f.model.dtype, Pictures: len(s.Pictures), Data: *f.data, Sigma: *f.sigma, Seed: s.Seed,
		Tolerance: *f.tolerance}
	if err := file.goOn(*f.out); err != nil {
		return err
	}
	s.Known = file.Results
	f.setWork(s)
	save := func() error {
		file.Results = s.Known
		return writeJSON(*f.out, file)
	}
	start := time.Now()
	s.Found = func(r tune.Result) error {
		c.say("%8s  %-15s %4d steps, strength %-7.3g gamma %-7.3g omega %-7.3g gluing every %d: %.2f dB, %.2f s a picture",
			round(time.Since(start)), r.Task, r.Steps, r.Strength, r.Gamma, r.Omega, r.GluingEvery, r.PSNR, r.Seconds)
		return save()
	}
	c.say("%s, %d results known", f.describe(len(s.Pictures), s.Seed, s.Model), len(s.Known))
	rows, gains, err := f.search(ctx, s, chosen, file.Tasks)
	if errors.Is(err, tune.ErrBudget) {
		c.say("the budget of %s is used up: the same command goes on", *f.budget)
		err = nil
	}
	printTuned(c, rows, gains)
	if len(rows) == 0 {
		return err
	}
	err = errors.Join(err, save())
	if *f.plot != "" {
		err = errors.Join(err, atomicfile.Write(*f.plot, func(w io.Writer) error { return tune.Plot(w, rows) }))
	}
	return err
}

// check looks at the flags.
func (f *tuneFlags) check() (*tune.Search, []psld.Task, error) {
	set := given(f.fs)
	switch {
	case *f.data == "" || *f.out == "":
		return nil, nil, fmt.Errorf("--data and --out are needed (see psld help tune)")
	case !(*f.tolerance >= 0 && *f.tolerance <= 10):
		return nil, nil, fmt.Errorf("--tolerance %v, want 0 to 10 dB", *f.tolerance)
	case *f.budget < 0:
		return nil, nil, fmt.Errorf("--budget %v, want a time of at least 0", *f.budget)
	case set["strength"] && !(*f.strength > 0 && *f.strength <= 1):
		return nil, nil, fmt.Errorf("--strength %v, want more than 0 and at most 1", *f.strength)
	case set["strength"] && *f.plot == "":
		return nil, nil, fmt.Errorf("--strength is for --plot; the search finds it")
	}
	if err := f.picturesFlags.check(); err != nil {
		return nil, nil, err
	}
	s := &tune.Search{Sigma: *f.sigma, Tolerance: *f.tolerance, Budget: *f.budget, Fixed: list(*f.fixed)}
	chosen, err := drawnTasks(*f.tasks)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range s.Fixed {
		if !slices.Contains(tune.Parameters, name) {
			return nil, nil, fmt.Errorf("--fixed %q, want some of %s", name, strings.Join(tune.Parameters, ", "))
		}
	}
	if s.Steps, err = counts("--steps", *f.steps, 0); err != nil {
		return nil, nil, err
	}
	if s.Gluing, err = counts("--gluing-every", *f.every, 0); err != nil {
		return nil, nil, err
	}
	if len(chosen) == 0 || slices.Min(s.Steps) < 1 || slices.Max(s.Steps) > 1000 || slices.Min(s.Gluing) < 1 {
		return nil, nil, fmt.Errorf("--tasks, --steps (1 to 1000) and --gluing-every need at least one entry each")
	}
	if s.Seed, err = f.seed(); err != nil {
		return nil, nil, err
	}
	if err := checkOutput("--out", *f.out, []string{".json"}); err != nil {
		return nil, nil, err
	}
	if *f.plot != "" {
		err = checkOutput("--plot", *f.plot, []string{".png"})
	}
	return s, chosen, err
}

// setWork tells the search how much work a step is.
func (f *tuneFlags) setWork(s *tune.Search) {
	mult := s.Model.Multiple()
	padded := (*f.size + mult - 1) / mult * mult
	w := kernels.StepWork(s.Model, padded, padded)
	s.Work = func(gluing bool) float64 {
		if gluing {
			return w.Total()
		}
		return w.Total() - w.Encoder.Total()
	}
}

// search goes through the tasks and puts their best presets into found; gains are what they have over the built-in
// ones.
func (f *tuneFlags) search(ctx context.Context, s *tune.Search, chosen []psld.Task,
	found map[psld.Task]psld.TaskPreset) (rows []tune.Result, gains []float64, err error) {
	for _, t := range chosen {
		if *f.plot != "" {
			p := s.Preset(t)
			if given(f.fs)["strength"] {
				p.Strength = *f.strength
			}
			var curve []tune.Result
			curve, err = s.Curve(ctx, t, p)
			rows = append(rows, curve...)
		} else {
			var best tune.Result
			var gain float64
			if best, gain, err = s.Task(ctx, t); best.Steps > 0 {
				rows, gains = append(rows, best), append(gains, gain)
				found[t] = best.TaskPreset
			}
		}
		if err != nil {
			break
		}
	}
	return rows, gains, err
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
		return fmt.Sprintf("model %s, %s, %d pictures of %s at %dx%d, noise %g, seed %d", f.Model, f.DType, f.Pictures,
			f.Data, f.Size, f.Size, f.Sigma, f.Seed)
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
	fmt.Fprintf(c.out, "| Task | Steps | Strength | Gamma | Omega | Gluing every | PSNR dB |%s SSIM | s/picture | "+
		"processor s | TFLOP |\n", gain)
	fmt.Fprintf(c.out, "|---|---:|---:|---:|---:|---:|---:|%s---:|---:|---:|---:|\n",
		strings.Repeat("---:|", min(1, len(gain))))
	for i, r := range rows {
		if gains != nil {
			gain = fmt.Sprintf(" %+.2f |", gains[i])
		}
		fmt.Fprintf(c.out, "| %s | %d | %.3g | %.3g | %.3g | %d | %.2f |%s %.4f | %.2f | %.2f | %.3f |\n", r.Task, r.Steps,
			r.Strength, r.Gamma, r.Omega, r.GluingEvery, r.PSNR, gain, r.SSIM, r.Seconds, r.CPU, r.TFLOP)
	}
}
