package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"psld/internal/atomicfile"
	"psld/internal/config"
	"psld/psld"
	"psld/psld/metric"
	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/tune"
)

var tuneVerb = verb{
	talks: true,
	name:  "tune", args: "--data DIR --out presets.yaml", short: "find parameters on a folder of pictures",
	notes: `Successive halving: the preset and --candidates drawn around it are measured on a few pictures, the better
half of them on twice as many, and so on; of those that were measured on all pictures, the one of fewest steps within
--tolerance of the best is the new preset. A higher PSNR is not always a better picture: with a free strength large
holes come out smooth; --metric lpips-alex looks at that.
  psld tune --data photos --tasks sr4,denoise --methods psld,diffpir --out presets.yaml
  psld restore --task sr4 --presets presets.yaml --in small.png --out large.png
The file has the form of the program's own presets (psld methods --presets), and every result. After Ctrl-C or --budget
the same command goes on from it. --plot measures quality against time over --steps in place of a search:
  psld tune --data photos --tasks sr4 --methods psld,diffpir --steps 10,20,50 --out curve.yaml --plot curve.png

`,
	setup: func(fs *flag.FlagSet) work { return addTuneFlags(fs).run },
}

// tuneFlags are those of psld tune.
type tuneFlags struct {
	*picturesFlags
	fs                                        *flag.FlagSet
	methods, metric, lpips, vary, steps, plot *string
	out                                       *string
	candidates                                *int
	tolerance                                 *float64
	budget                                    *time.Duration
}

func addTuneFlags(fs *flag.FlagSet) *tuneFlags {
	return &tuneFlags{
		picturesFlags: addPicturesFlags(fs, 8, ", which should not be those of the final test"),
		fs:            fs,
		methods:       fs.String("methods", "psld", "`list` of methods"),
		metric:        fs.String("metric", "psnr", "`name` of the metric: psnr, ssim, lpips-alex, lpips-squeeze, lpips-vgg"),
		lpips:         fs.String("lpips-weights", "", "`file` or folder with the trained networks of LPIPS"),
		vary: fs.String("vary", strings.Join(tune.Parameters, ","),
			"`list` of parameters to vary; a method leaves out those that it has not"),
		candidates: fs.Int("candidates", 16, "`N` settings to try beside the preset"),
		tolerance:  fs.Float64("tolerance", 0.02, "`score` that fewer steps may cost"),
		budget:     fs.Duration("budget", 0, "`time` after which nothing new is tried, such as 30m (default: no limit)"),
		out:        fs.String("out", "", "`file` for presets and results: .yaml; an existing one is gone on with"),
		plot: fs.String("plot", "", "measure quality against time in place of a search, and draw it as a PNG "+
			"`file`"),
		steps: fs.String("steps", "10,20,50,100", "`list` of numbers of steps for --plot"),
	}
}

// tuning is what psld tune keeps beside the presets: what they were found by.
type tuning struct {
	Facts   map[string]string `json:"facts"` // all that the results depend on
	Results []tune.Result     `json:"results"`
}

// tuneFile is the file of psld tune.
type tuneFile struct {
	presets psld.Presets
	tuning
}

func (f *tuneFlags) run(ctx context.Context, c *console, _ []string) error {
	s, jobs, err := f.check()
	if err != nil {
		return err
	}
	if err := f.threads(); err != nil {
		return err
	}
	pics, err := f.open(ctx, c)
	if err != nil {
		return err
	}
	for i := range pics.Len() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p, err := pics.At(i)
		if err != nil {
			return err
		}
		s.Pictures = append(s.Pictures, p)
	}
	m, err := f.model.openAny(ctx, c, false)
	if err != nil {
		return err
	}
	own := map[string]prior.Prior{}
	if *f.model.path == "" {
		if own, err = f.pixelModels(ctx, c, list(*f.methods)); err != nil {
			return err
		}
	}
	file := tuneFile{presets: psld.Presets{}, tuning: tuning{Facts: map[string]string{"pictures": pics.Digest,
		"size": fmt.Sprint(*f.size), "sigma": fmt.Sprint(*f.sigma), "seed": fmt.Sprint(s.Seed), "metric": *f.metric,
		"model": fmt.Sprintf("%.13s", solver.ModelDigest(m)), "dtype": *f.model.dtype}}}
	for name, p := range own {
		file.Facts["model of "+name] = fmt.Sprintf("%.13s", solver.ModelDigest(p))
	}
	if err := file.goOn(*f.out); err != nil {
		return err
	}
	s.Known = file.Results
	start := time.Now()
	info := s.Metric.Info()
	s.Found = func(r tune.Result) error {
		c.say("%8s  %-15s %d pictures: %.*f, %.2f s a picture; %s: %s", round(time.Since(start)), r.Task, r.Pictures,
			info.Digits, r.Score, r.Seconds, r.Method, psld.Words(r.Method, r.Params))
		file.Results = s.Known
		return file.write(*f.out)
	}
	c.say("%s, %d results known", f.describe(pics.Len(), s.Seed, m), len(s.Known))
	model := func(method string) prior.Prior {
		if p, ok := own[method]; ok {
			return p
		}
		return m
	}
	if *f.plot != "" {
		return f.curves(ctx, c, s, jobs, model)
	}
	return f.search(ctx, c, s, jobs, model, &file)
}

// tuneJob is a task with a method.
type tuneJob struct {
	task   psld.Task
	method string
}

// search finds a preset for each job.
func (f *tuneFlags) search(ctx context.Context, c *console, s *tune.Search, jobs []tuneJob,
	model func(string) prior.Prior, file *tuneFile) error {
	info := s.Metric.Info()
	fmt.Fprintf(c.out, "| Task | Method | %s | over preset | s/picture | Parameters |\n|---|---|---:|---:|---:|---|\n",
		strings.TrimSpace(info.Title+" "+info.Unit))
	for _, j := range jobs {
		s.Model = model(j.method)
		best, preset, err := s.Task(ctx, j.task, j.method)
		refused := (*solver.Refused)(nil)
		switch {
		case errors.Is(err, tune.ErrBudget):
			c.say("the budget of %s is used up: the same command goes on", *f.budget)
			return nil
		case errors.As(err, &refused):
			fmt.Fprintf(c.out, "| %s | %s | n/a | n/a | - | %s |\n", j.task, j.method, refused.Reason)
			continue
		case err != nil:
			return err
		}
		fmt.Fprintf(c.out, "| %s | %s | %.*f | %+.*f | %.2f | %s |\n", j.task, j.method, info.Digits, best.Score,
			info.Digits, best.Score-preset.Score, best.Seconds, psld.Words(j.method, best.Params))
		file.put(psld.PresetsNameOf(s.Model), *f.size, j, best.Params)
		if err := file.write(*f.out); err != nil {
			return err
		}
	}
	return nil
}

// curves measures and draws quality against time.
func (f *tuneFlags) curves(ctx context.Context, c *console, s *tune.Search, jobs []tuneJob,
	model func(string) prior.Prior) error {
	steps, err := counts("--steps", *f.steps, 0)
	if err != nil {
		return err
	}
	if len(steps) == 0 || slices.Min(steps) < 1 || slices.Max(steps) > 1000 {
		return fmt.Errorf("--steps %s, want numbers of 1 to 1000", *f.steps)
	}
	info := s.Metric.Info()
	var all []tune.Result
	for _, j := range jobs {
		s.Model = model(j.method)
		preset, err := s.Preset(j.task, j.method)
		if err != nil {
			return err
		}
		curve, err := s.Curve(ctx, j.task, j.method, preset, steps)
		if err != nil {
			return err
		}
		all = append(all, curve...)
	}
	fmt.Fprintf(c.out, "| Task | Method | %s | s/picture | Parameters |\n|---|---|---:|---:|---|\n",
		strings.TrimSpace(info.Title+" "+info.Unit))
	for _, r := range all {
		fmt.Fprintf(c.out, "| %s | %s | %.*f | %.2f | %s |\n", r.Task, r.Method, info.Digits, r.Score, r.Seconds,
			psld.Words(r.Method, r.Params))
	}
	return atomicfile.Write(*f.plot, func(w io.Writer) error { return tune.Plot(w, info, all) })
}

// check looks at the flags.
func (f *tuneFlags) check() (s *tune.Search, jobs []tuneJob, err error) {
	set := given(f.fs)
	switch {
	case *f.data == "" || *f.out == "":
		return nil, nil, fmt.Errorf("--data and --out are needed (see psld help tune)")
	case !(*f.tolerance >= 0 && *f.tolerance <= 100):
		return nil, nil, fmt.Errorf("--tolerance %v, want 0 to 100", *f.tolerance)
	case *f.candidates < 1 || *f.candidates > 10000:
		return nil, nil, fmt.Errorf("--candidates %d, want 1 to 10000", *f.candidates)
	case *f.budget < 0:
		return nil, nil, fmt.Errorf("--budget %v, want a time of at least 0", *f.budget)
	case set["steps"] && *f.plot == "":
		return nil, nil, fmt.Errorf("--steps is for --plot; the search finds them")
	}
	if err := f.picturesFlags.check(); err != nil {
		return nil, nil, err
	}
	s = &tune.Search{Sigma: *f.sigma, Tolerance: *f.tolerance, Budget: *f.budget, Vary: list(*f.vary),
		Candidates: *f.candidates}
	tasks, err := drawnTasks(*f.tasks)
	if err != nil {
		return nil, nil, err
	}
	known := map[string]bool{}
	for _, t := range tasks {
		for _, method := range list(*f.methods) {
			spec, err := solver.Lookup(method)
			if err != nil {
				return nil, nil, err
			}
			jobs = append(jobs, tuneJob{t, spec.Name})
			for _, p := range param.Fields(spec.New()) {
				known[p.Name] = true
			}
		}
	}
	if len(jobs) == 0 {
		return nil, nil, fmt.Errorf("--tasks and --methods need at least one name")
	}
	for _, name := range s.Vary {
		if set["vary"] && !known[name] {
			return nil, nil, fmt.Errorf("--vary %q, want some of %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	if s.Metric, err = metric.Open(*f.metric, *f.lpips); err != nil {
		return nil, nil, fmt.Errorf("--metric: %w", err)
	}
	if _, single := s.Metric.New().(*metric.Values); !single {
		return nil, nil, fmt.Errorf("--metric %s is one of whole sets, want one of single pictures", *f.metric)
	}
	if s.Seed, err = f.seed(); err != nil {
		return nil, nil, err
	}
	if err := checkOutput("--out", *f.out, []string{".yaml", ".yml"}); err != nil {
		return nil, nil, err
	}
	if *f.plot != "" {
		err = checkOutput("--plot", *f.plot, []string{".png"})
	}
	return s, jobs, err
}

// put adds a preset.
func (f *tuneFile) put(model string, size int, j tuneJob, v param.Values) {
	m := f.presets[model]
	m.Size = size
	if m.Tasks == nil {
		m.Tasks = map[psld.Task]map[string]param.Values{}
	}
	if m.Tasks[j.task] == nil {
		m.Tasks[j.task] = map[string]param.Values{}
	}
	m.Tasks[j.task][j.method] = v
	f.presets[model] = m
}

// goOn takes the results of an earlier search from its file, if there is one.
func (f *tuneFile) goOn(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var old struct {
		Presets psld.Presets   `yaml:"presets"`
		Tuning  map[string]any `yaml:"tuning"`
	}
	var was tuning
	text, e := []byte(nil), config.YAML(b, &old, false)
	if e == nil {
		text, e = json.Marshal(old.Tuning)
	}
	if e == nil {
		e = json.Unmarshal(text, &was)
	}
	for i := range was.Results {
		e = errors.Join(e, was.Results[i].Normal())
	}
	if e != nil || was.Facts == nil {
		return fmt.Errorf("--out %s is not a file of psld tune: choose another one", path)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Facts)) {
		if was.Facts[name] != f.Facts[name] {
			// A model that only some methods have says nothing of the results of others.
			if _, ok := was.Facts[name]; !ok && strings.HasPrefix(name, "model of ") {
				continue
			}
			return fmt.Errorf("--out %s has results of %s %s; these would be of %s: choose another file", path, name,
				was.Facts[name], f.Facts[name])
		}
	}
	maps.Copy(was.Facts, f.Facts)
	f.tuning = was
	if old.Presets != nil {
		f.presets = old.Presets
	}
	return nil
}

// write writes the file: presets as the program's own, then what they were found by, a line of JSON for each result.
func (f *tuneFile) write(path string) error {
	text := f.presets.Text("Presets that psld tune found; give them to psld restore or psld eval by --presets.")
	facts, err := json.Marshal(f.Facts)
	if err != nil {
		return err
	}
	text += fmt.Sprintf("tuning:\n  facts: %s\n  results:\n", facts)
	for _, r := range f.Results {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		text += fmt.Sprintf("    - %s\n", line)
	}
	return writeFile(path, []byte(text))
}
