package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"psld/asm"
	"psld/internal/atomicfile"
	"psld/psld"
	"psld/psld/eval"
	"psld/psld/metric"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

var evalVerb = verb{
	name: "eval", args: "--data DIR", short: "compare methods on a folder of pictures",
	notes: `The pictures are spread evenly over the folder; of each the largest central square is scaled to
--size. Every picture has damage and noise of its own, the same for all methods.
Needs no Internet and prints a Markdown table. What is finished
is kept in a file (--cells) until all is done: the same command with --resume goes on with the rest.

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

// load reads the pictures, and says which it leaves out, and where there are fewer than asked for.
func (f *picturesFlags) load(c *console) ([]*picture.Picture, error) {
	pics, left, err := picture.LoadSquares(*f.data, *f.n, *f.size)
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	c.leftOut(left)
	if n := len(pics) + len(left); n < *f.n {
		c.say("note      %s has %d pictures, --n asks for %d: all are taken", *f.data, n, *f.n)
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
	methods, csvOut, jsonOut *string
	metrics, lpips, incept   *string
	cells                    *string
	resume                   *bool
	fs                       *flag.FlagSet
	options                  *methodFlags
}

func addEvalFlags(fs *flag.FlagSet) *evalFlags {
	return &evalFlags{
		picturesFlags: addPicturesFlags(fs, 32, ""),
		methods:       fs.String("methods", "tv,ldps,gmldps,psld", "`list` of methods"),
		metrics:       fs.String("metrics", "psnr,ssim", "`list` of metrics: "+metricNames()),
		lpips: fs.String("lpips-weights", "",
			"`file` or folder with the trained networks of lpips-alex, lpips-squeeze or lpips-vgg"),
		incept:  fs.String("inception-weights", "", "`file` of pytorch-fid's Inception-v3, for fid and kid"),
		csvOut:  fs.String("csv", "", "also write the table to a CSV `file`"),
		jsonOut: fs.String("json", "", "also write the table to a JSON `file`"),
		cells: fs.String("cells", "", "`file` in which finished cells are kept until all are; empty for none (default: "+
			"--json "+
			"or --csv with .cells behind, else psld-eval.cells)"),
		resume:  fs.Bool("resume", false, "go on with the finished cells of an eval that did not end"),
		fs:      fs,
		options: addMethodFlags(fs),
	}
}

// openCells begins or goes on with the file of finished cells.
func (f *evalFlags) openCells(c *console, pics []*picture.Picture, o eval.Options, m prior.Prior) (*eval.Cells,
	error) {
	path, named := *f.cells, given(f.fs)["cells"]
	if !named {
		path = "psld-eval"
		for _, out := range []string{*f.csvOut, *f.jsonOut} {
			if out != "" {
				path = out
			}
		}
		path += ".cells"
	}
	if path == "" {
		if *f.resume {
			return nil, errors.New("--resume needs the cells of an eval: name them by --cells")
		}
		return nil, nil
	}
	if err := atomicfile.Check(path); err != nil {
		if !named && !*f.resume { // a folder that cannot be written is no reason to stop
			return nil, nil
		}
		return nil, fmt.Errorf("--cells %s cannot be written: %w", path, err)
	}
	cells, err := eval.OpenCells(path, f.facts(pics, o, m), *f.resume)
	if err != nil {
		return nil, fmt.Errorf("--cells: %w", err)
	}
	if *f.resume {
		c.say("resume    with %d finished cells of %s", cells.Len(), path)
	}
	f.cells = &path
	return cells, nil
}

// facts are all that the numbers depend on: flags, pictures, weights, kernels.
func (f *evalFlags) facts(pics []*picture.Picture, o eval.Options, m prior.Prior) string {
	h := fnv.New64a()
	for _, p := range pics {
		_ = binary.Write(h, binary.LittleEndian, p.Pix) // a hash takes all
	}
	models := []string{solver.ModelDigest(m)}
	for _, name := range slices.Sorted(maps.Keys(o.Models)) {
		models = append(models, name+" "+solver.ModelDigest(o.Models[name]))
	}
	var flags []string
	f.fs.Visit(func(g *flag.Flag) {
		switch g.Name {
		case "data", "model", "threads", "csv", "json", "cells", "resume", "max-mem":
		default:
			flags = append(flags, "--"+g.Name+" "+g.Value.String())
		}
	})
	return fmt.Sprintf("%d pictures (%x), seed %d, models %.12s, kernels %s, flags %q", len(pics), h.Sum64(), o.Seed,
		models, asm.Active(), flags)
}

func (f *evalFlags) run(ctx context.Context, c *console, _ []string) error {
	o, err := f.check()
	if err != nil {
		return err
	}
	if err := f.threads(); err != nil {
		return err
	}
	pics, err := f.load(c)
	if err != nil {
		return err
	}
	m, err := f.model.open(ctx)
	if err != nil {
		return err
	}
	c.say("%s", f.describe(len(pics), o.Seed, m))
	if *f.model.path == "" {
		if o.Models, err = f.pixelModels(ctx, c, o.Methods); err != nil {
			return err
		}
	}
	if o.Cells, err = f.openCells(c, pics, o, m); err != nil {
		return err
	}
	bar := newProgress(c.log, "picture")
	before := 0
	per := 1 + len(o.Methods)
	o.Progress = func(t psld.Task, method string, done, of int) {
		bar.step(before+done, len(o.Tasks)*per*of, string(t)+" "+method)
		if done == of {
			before += of
		}
	}
	report, err := eval.Run(ctx, m, pics, o)
	bar.clear()
	if err != nil {
		if o.Cells != nil {
			err = errors.Join(err, o.Cells.Close())
		}
		if o.Cells != nil && ctx.Err() != nil {
			c.say("finished cells are in %s: the same command with --resume goes on with the rest", *f.cells)
		}
		return err
	}
	if err := report.Markdown(c.out); err != nil {
		return err
	}
	for _, g := range []struct {
		path  string
		write func(io.Writer) error
	}{{*f.csvOut, report.CSV}, {*f.jsonOut, report.JSON}} {
		if g.path != "" {
			if err := atomicfile.Write(g.path, g.write); err != nil {
				return err
			}
		}
	}
	if o.Cells != nil { // they have served
		if err := errors.Join(o.Cells.Close(), os.Remove(*f.cells)); err != nil {
			c.say("warning   %v", err)
		}
	}
	return nil
}

// pixelModels gives the embedded pixel prior to the methods that are better off with it.
func (f *evalFlags) pixelModels(ctx context.Context, c *console, methods []string) (map[string]prior.Prior, error) {
	own := map[string]prior.Prior{}
	for _, name := range methods {
		spec, err := solver.Lookup(name)
		if err != nil {
			return nil, err
		}
		if !spec.Needs.PrefersPixels() {
			continue
		}
		if own[name], err = f.model.openAny(ctx, true); err != nil {
			return nil, err
		}
		c.say("%s on %s", name, prior.Describe(own[name]))
	}
	return own, nil
}

// check looks at the flags.
func (f *evalFlags) check() (o eval.Options, err error) {
	if *f.data == "" {
		return o, fmt.Errorf("--data is missing (see psld help eval)")
	}
	if err := f.picturesFlags.check(); err != nil {
		return o, err
	}
	o.Sigma, o.Methods = *f.sigma, list(*f.methods)
	if o.Solve, err = f.options.options(o.Methods...); err != nil {
		return o, err
	}
	if o.Seed, err = f.seed(); err != nil {
		return o, err
	}
	if o.Tasks, err = drawnTasks(*f.tasks); err != nil {
		return o, err
	}
	if len(o.Tasks) == 0 || len(o.Methods) == 0 {
		return o, fmt.Errorf("--tasks and --methods need at least one name")
	}
	if o.Metrics, err = f.openMetrics(); err != nil {
		return o, err
	}
	for _, g := range [][3]string{{"--csv", *f.csvOut, ".csv"}, {"--json", *f.jsonOut, ".json"}} {
		if g[1] != "" {
			if err := checkOutput(g[0], g[1], g[2:]); err != nil {
				return o, err
			}
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
