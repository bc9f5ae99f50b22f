package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"psld/asm"
	"psld/internal/atomicfile"
	"psld/psld"
	"psld/psld/eval"
	"psld/psld/metric"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
	"psld/psld/taskfile"
)

var evalVerb = verb{
	talks: true,
	name:  "eval", args: "[merge FOLDER...] --data DIR --out DIR", short: "compare methods on a folder of pictures",
	maxArgs: 1 << 16,
	notes: `The pictures are spread evenly over the folder; of each the largest central square is scaled to
--size. Every picture has damage and noise of its own, the same for all methods.
Needs no Internet and prints a Markdown table: means with 95 % intervals (Student's t), the differences to psld on the
same pictures, seconds and memory. --out takes table.md, table.csv and table.json with the whole configuration, a grid
of pictures for each task, plots of quality over time, and every finished cell (picture, task, method): after Ctrl-C or
a crash the same command goes on with the rest. The same folder may take further tasks and methods: the tables are of
those that the command names, and only what is new, or has other parameters or another model, is measured. A
method that a task has no use for is n/a, with the reason below. --model, a latent one or one of pixels, is that of all
methods that need one; without it some run on the embedded latent model, those that are better off on the embedded one
of pixels.
  psld eval --data photos --tasks sr4,denoise --methods tv,psld,diffpir --out results

Several processes or machines may share the pictures, each with a part; merge puts the parts together, to the bits of
one run, and refuses holes and double cells (deploy/ has job files for Slurm and Kubernetes):
  psld eval --data photos --out results --shard 1/2        and on another machine --shard 2/2
  psld eval merge --out results                            or, of several folders: psld eval merge --out all a b
--shard auto takes the part from a Slurm array (SLURM_ARRAY_TASK_ID) or an indexed Job of Kubernetes
(JOB_COMPLETION_INDEX, and the number of parts in PSLD_SHARDS).

--task-config reads the YAML task files of the DPS and PSLD repositories in place of --tasks and --sigma; what in them
is not understood is refused by name.

`,
	setup: func(fs *flag.FlagSet) work { return addEvalFlags(fs).run },
}

// picturesFlags are those of verbs that measure methods on a folder of pictures.
type picturesFlags struct {
	data, tasks *string
	n, size     *int
	sigma       *float64
	model       *modelFlags
	seed        func() (uint64, error)
	threads     func() error
}

func addPicturesFlags(fs *flag.FlagSet, n int, data string) *picturesFlags {
	return &picturesFlags{
		data: fs.String("data", "", "`folder` of pictures"+data),
		n:    fs.Int("n", n, "`N` pictures; 0 for all"),
		size: fs.Int("size", 64, "`pixels` a side"),
		tasks: fs.String("tasks", taskNames(task.Usual(), ",", ","), "`list` of tasks: "+
			taskNames(task.Drawn(), ", ", " and ")),
		sigma:   addDeviationFlag(fs, psld.DefaultSigma, "standard `deviation` of the noise on [-1,1]"),
		model:   addModelFlags(fs),
		seed:    seedFlag(fs),
		threads: threadsFlag(fs),
	}
}

func (f *picturesFlags) check() error {
	switch {
	case *f.n < 0 || *f.size < 8 || *f.size > 2048:
		return fmt.Errorf("--n %d --size %d, want at least 0 and 8 to 2048", *f.n, *f.size)
	}
	return nil
}

// open finds the pictures, and says which it leaves out, and where there are fewer than asked for.
func (f *picturesFlags) open(ctx context.Context, c *console) (*picture.Squares, error) {
	pics, err := untilStopped(ctx, func() (*picture.Squares, error) {
		return picture.OpenSquares(*f.data, *f.n, *f.size)
	}, nil)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	c.leftOut(pics.Left)
	if n := pics.Len(); n < *f.n {
		that := ""
		if len(pics.Left) > 0 {
			that = " that can be read"
		}
		c.say("note      %s has %d pictures%s, --n asks for %d: all are taken", *f.data, n, that, *f.n)
	}
	return pics, nil
}

// describe says what is measured on what.
func (f *picturesFlags) describe(pictures int, seed uint64, m prior.Prior) string {
	return fmt.Sprintf("%d pictures of %dx%d, noise %g on [-1,1], seed %d, model %s, %s",
		pictures, *f.size, *f.size, *f.sigma, seed, prior.Describe(m), machine())
}

// evalFlags are those of psld eval.
type evalFlags struct {
	*picturesFlags
	methods                *string
	metrics, lpips, incept *string
	out, shard, taskConfig *string
	overwrite              *bool
	grid                   *int
	fs                     *flag.FlagSet
	options                *methodFlags
}

func addEvalFlags(fs *flag.FlagSet) *evalFlags {
	return &evalFlags{
		picturesFlags: addPicturesFlags(fs, 32, ""),
		methods:       fs.String("methods", "tv,ldps,gmldps,psld", "`list` of methods; auto is what restore takes"),
		metrics: fs.String("metrics", "psnr,ssim", "`list` of metrics: "+metricNames()+
			"; the usual LPIPS is lpips-alex"),
		lpips: fs.String("lpips-weights", "",
			"`file` or folder with the trained networks of lpips-alex, lpips-squeeze or lpips-vgg"),
		incept: fs.String("inception-weights", "", "`file` of pytorch-fid's Inception-v3, for fid and kid"),
		out: fs.String("out", "", "`folder` for tables, pictures and finished cells, from which the same command goes on "+
			"(default: the table is printed and nothing kept)"),
		overwrite: fs.Bool("overwrite", false, "begin anew in a folder with the cells of an evaluation"),
		taskConfig: fs.String("task-config", "", "`list` of task files (YAML) of the DPS and PSLD repositories, in "+
			"place of --tasks and --sigma"),
		shard:   fs.String("shard", "", "`i/n`: part i of n of the pictures, or auto (default: all pictures)"),
		grid:    fs.Int("grid", 6, "`N` pictures, the first ones, to show in the grids"),
		fs:      fs,
		options: addMethodFlags(fs),
	}
}

func (f *evalFlags) run(ctx context.Context, c *console, args []string) error {
	if len(args) > 0 {
		if args[0] != "merge" {
			return fmt.Errorf("unexpected argument %q (see psld help eval)", args[0])
		}
		return f.merge(c, args[1:])
	}
	o, err := f.check(c)
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
	m, err := f.model.openAny(ctx, c, false)
	if err != nil {
		return err
	}
	c.say("%s", f.describe(pics.Len(), o.Seed, m))
	if *f.model.path == "" {
		if o.Models, err = f.pixelModels(ctx, c, o.Methods); err != nil {
			return err
		}
	}
	o.Facts = f.facts(pics, o, m)
	o.Plan = func(p eval.Plan) {
		text := fmt.Sprintf("plan      %d cells: %d pictures, %d tasks, %d methods", p.Cells, pics.Len(), len(o.Tasks),
			len(o.Methods))
		if p.Done > 0 {
			text += fmt.Sprintf("; %d are finished", p.Done)
		}
		if p.Void > 0 {
			c.say("note      %d finished cells were of other parameters or models: they are measured again", p.Void)
		}
		if p.Predicted > 0 {
			text += fmt.Sprintf("; about %s for the networks of the rest", round(p.Predicted))
		}
		c.say("%s", text)
	}
	bar := c.progress("cell")
	o.Progress = func(t psld.Task, method string, done, of int) { bar.step(done, of, string(t)+" "+method) }
	report, err := eval.Run(ctx, m, pics, o)
	bar.clear()
	if err != nil {
		if ctx.Err() != nil && *f.out != "" {
			c.say("finished cells are in %s: the same command goes on with the rest", *f.out)
		}
		return err
	}
	if o.Shard.Of > 1 {
		c.say("part %d of %d is done; psld eval merge --out %s makes the tables of all", o.Shard.Index+1, o.Shard.Of, *f.out)
		return nil
	}
	return f.write(c, report)
}

// readTaskFiles takes the tasks from task files. Where these tell the size of the pictures, --size follows, or must
// agree.
func (f *evalFlags) readTaskFiles(c *console, o *eval.Options) error {
	set := given(f.fs)
	if set["tasks"] || set["sigma"] {
		return errors.New("the files say what --tasks and --sigma say: leave these out")
	}
	o.Tasks, o.Configs = nil, map[task.Name]eval.Config{}
	sized := ""
	for _, path := range list(*f.taskConfig) {
		t, err := taskfile.Load(path)
		if err != nil {
			return err
		}
		if _, there := o.Configs[t.Task]; there {
			return fmt.Errorf("%s: there are two files of task %s", path, t.Task)
		}
		if t.Size != 0 && t.Size != *f.size {
			if set["size"] || sized != "" {
				by := "--size"
				if sized != "" {
					by = sized
				}
				return fmt.Errorf("%s is for pictures of %d pixels a side, %s for %d", path, t.Size, by, *f.size)
			}
			*f.size = t.Size
		}
		if t.Size != 0 {
			sized = path
		}
		o.Tasks = append(o.Tasks, t.Task)
		o.Configs[t.Task] = eval.Config{Values: t.Values, Noise: t.Noise}
		for _, text := range t.Aside {
			c.say("note      %s: not taken: %s", path, text)
		}
	}
	return f.picturesFlags.check()
}

// merge makes the tables of all parts.
func (f *evalFlags) merge(c *console, dirs []string) error {
	for name := range given(f.fs) {
		if name != "out" {
			return fmt.Errorf("--%s has no meaning for eval merge: the parts tell what was measured", name)
		}
	}
	switch {
	case *f.out == "":
		return errors.New("eval merge needs --out, the folder for the tables")
	case len(dirs) == 0:
		dirs = []string{*f.out}
	}
	report, err := eval.Open(dirs...)
	if err != nil {
		return fmt.Errorf("eval merge: %w", err)
	}
	return f.write(c, report)
}

// write prints the table, and writes all into the folder.
func (f *evalFlags) write(c *console, r *eval.Report) error {
	if err := r.Markdown(c.out); err != nil || *f.out == "" {
		return err
	}
	files, err := r.Write(*f.out)
	if err == nil {
		c.say("wrote %s", strings.Join(files, ", "))
	}
	return err
}

// facts are what the numbers depend on beside what package eval knows.
func (f *evalFlags) facts(pics *picture.Squares, o eval.Options, m prior.Prior) []eval.Fact {
	list := []eval.Fact{{Name: "program", Value: "psld " + version()}, {Name: "kernels", Value: asm.Active().String()},
		{Name: "pictures", Value: fmt.Sprintf("%d, digest %s", pics.Len(), pics.Digest)}}
	list = append(list, modelFacts(m, o)...)
	var flags []string
	f.fs.Visit(func(g *flag.Flag) {
		switch g.Name {
		// They change no number, or have a fact, or stand with each row.
		case "data", "model", "threads", "out", "overwrite", "shard", "grid", "task-config", "tasks", "methods", "presets":
		default:
			if _, parameter := g.Value.(*paramFlag); parameter {
				return
			}
			flags = append(flags, "--"+g.Name+" "+g.Value.String())
		}
	})
	return append(list, eval.Fact{Name: "flags", Value: strings.Join(flags, " ")})
}

// modelFacts are the models of an evaluation, with the methods that run on them. auto may run on any.
func modelFacts(m prior.Prior, o eval.Options) (list []eval.Fact) {
	add := func(m prior.Prior, methods ...string) {
		text := fmt.Sprintf("%s %.13s", prior.Describe(m), solver.ModelDigest(m))
		i := slices.IndexFunc(list, func(f eval.Fact) bool { return f.Value == text })
		if i < 0 {
			i, list = len(list), append(list, eval.Fact{Name: "model", Value: text})
		}
		for _, name := range methods {
			if !slices.Contains(list[i].Methods, name) {
				list[i].Methods = append(list[i].Methods, name)
			}
		}
	}
	for _, name := range o.Methods {
		own, ok := o.Models[name]
		spec, err := solver.Lookup(name)
		switch {
		case name == psld.Auto:
			add(m, name)
			for _, other := range slices.Sorted(maps.Keys(o.Models)) {
				add(o.Models[other], name)
			}
		case ok:
			add(own, name)
		case err != nil || spec.Needs.Prior:
			add(m, name)
		}
		if err != nil || m == nil || param.ValuesOf(spec.Default())["from_diffpir"] == nil {
			continue
		}
		if pixels, err := prior.OpenPixel("", m.Device()); err == nil { // it may begin there
			add(pixels, name)
		}
	}
	return list
}

// pixelModels gives the embedded pixel prior to the methods that are better off with it.
func (f *picturesFlags) pixelModels(ctx context.Context, c *console, methods []string) (map[string]prior.Prior,
	error) {
	own := map[string]prior.Prior{}
	for _, name := range withoutAuto(methods) {
		spec, err := solver.Lookup(name)
		if err != nil {
			return nil, err
		}
		if !spec.Needs.PrefersPixels() {
			continue
		}
		if own[name], err = f.model.openAny(ctx, c, true); err != nil {
			return nil, err
		}
		c.say("%s on %s", name, prior.Describe(own[name]))
	}
	return own, nil
}

// withoutAuto has all methods that auto may stand for in its place.
func withoutAuto(methods []string) (names []string) {
	for _, name := range methods {
		add := []string{name}
		if name == psld.Auto {
			add = []string{"psld"}
			for _, t := range task.Drawn() {
				add = append(add, t.Best, t.Thin)
			}
		}
		for _, a := range add {
			if a != "" && !slices.Contains(names, a) {
				names = append(names, a)
			}
		}
	}
	return names
}

// check looks at the flags.
func (f *evalFlags) check(c *console) (o eval.Options, err error) {
	if *f.data == "" {
		return o, fmt.Errorf("--data is missing (see psld help eval)")
	}
	if err := f.picturesFlags.check(); err != nil {
		return o, err
	}
	o.Sigma, o.Methods = *f.sigma, list(*f.methods)
	if o.Solve, err = f.options.options(withoutAuto(o.Methods)...); err != nil {
		return o, err
	}
	if o.Seed, err = f.seed(); err != nil {
		return o, err
	}
	if o.Tasks, err = drawnTasks(*f.tasks); err != nil {
		return o, err
	}
	if *f.taskConfig != "" {
		if err := f.readTaskFiles(c, &o); err != nil {
			return o, fmt.Errorf("--task-config: %w", err)
		}
	}
	for flag, names := range map[string][]string{"methods": o.Methods, "metrics": list(*f.metrics),
		"tasks": list(*f.tasks)} {
		if name := twice(names); name != "" {
			return o, fmt.Errorf("--%s names %s twice", flag, name)
		}
	}
	if len(o.Tasks) == 0 || len(o.Methods) == 0 {
		return o, fmt.Errorf("--tasks and --methods need at least one name")
	}
	if o.Metrics, err = f.openMetrics(); err != nil {
		return o, err
	}
	if *f.grid < 0 {
		return o, fmt.Errorf("--grid %d, want at least 0", *f.grid)
	}
	if o.Shard, err = shardOf(*f.shard, os.Getenv); err != nil {
		return o, err
	}
	o.Dir, o.Overwrite, o.Grid = *f.out, *f.overwrite, *f.grid
	switch {
	case o.Dir == "" && o.Shard.Of > 1:
		return o, errors.New("--shard needs --out, the folder for the finished cells")
	case o.Dir == "" && o.Overwrite:
		return o, errors.New("--overwrite needs --out")
	case o.Dir != "":
		if err := os.MkdirAll(o.Dir, 0o777); err != nil {
			return o, fmt.Errorf("--out: %w", err)
		}
		if err := atomicfile.Check(filepath.Join(o.Dir, "table.md")); err != nil {
			return o, fmt.Errorf("--out %s cannot be written: %w", o.Dir, err)
		}
	}
	return o, nil
}

func metricNames() string {
	var names []string
	for _, e := range metric.List {
		names = append(names, e.Name)
	}
	return strings.Join(names, ", ")
}

// twice is the first name that is in a list a second time, "" for none.
func twice(names []string) string {
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return name
		}
	}
	return ""
}

// openMetrics opens the metrics of the list; those that lack their weights stand as not available in the table.
func (f *evalFlags) openMetrics() (all []metric.Metric, err error) {
	paths := map[string]string{"lpips-weights": *f.lpips, "inception-weights": *f.incept}
	for _, name := range list(*f.metrics) {
		m, err := metric.Open(name, paths[metric.FlagOf(name)])
		if lacks := (*metric.Missing)(nil); errors.As(err, &lacks) {
			m, err = metric.NotAvailable(lacks.Info), nil
		}
		if err != nil {
			return nil, fmt.Errorf("--metrics: %w", err)
		}
		all = append(all, m)
	}
	if len(all) == 0 {
		return nil, errors.New("--metrics needs at least one name")
	}
	for flag, path := range paths {
		used := func(m metric.Metric) bool { return m.Info().Flag == flag }
		if path != "" && !slices.ContainsFunc(all, used) {
			return nil, fmt.Errorf("--%s is for metrics that --metrics does not name, which knows %s", flag, metricNames())
		}
	}
	return all, nil
}

// drawnTasks reads a list of tasks that make up test damages.
func drawnTasks(text string) ([]psld.Task, error) {
	var tasks []psld.Task
	for _, name := range list(text) {
		t, err := task.FindDrawn(name)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, t.Name)
	}
	return tasks, nil
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
