package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"psld/internal/atomicfile"
	"psld/psld"
	"psld/psld/eval"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/task"
)

var evalVerb = verb{
	name: "eval", args: "--data DIR", short: "compare methods on a folder of pictures",
	notes: `The pictures are spread evenly over the folder; of each the largest central square is scaled to
--size. Every picture has damage and noise of its own, the same for all methods.
Needs no Internet and prints a Markdown table. An eval that was stopped starts over.

`,
	setup: evaluate,
}

func evaluate(fs *flag.FlagSet) work {
	data := fs.String("data", "", "`folder` of pictures")
	n := fs.Int("n", 32, "`N` pictures; 0 for all")
	size := fs.Int("size", 64, "`pixels` a side")
	tasks := fs.String("tasks", taskNames(task.Drawn(), ",", ","), "`list` of tasks")
	methods := fs.String("methods", "tv,ldps,gmldps,psld", "`list` of methods")
	sigma := fs.Float64("sigma", psld.DefaultSigma, "standard `deviation` of the noise on [-1,1]")
	model := addModelFlags(fs)
	csvOut := fs.String("csv", "", "also write the table to a CSV `file`")
	jsonOut := fs.String("json", "", "also write the table to a JSON `file`")
	flags, seed, threads := addMethodFlags(fs), seedFlag(fs), threadsFlag(fs)

	return func(ctx context.Context, c *console, _ []string) error {
		if *data == "" {
			return fmt.Errorf("--data is missing (see psld help eval)")
		}
		if *n < 0 || *size < 8 || *size > 2048 {
			return fmt.Errorf("--n %d --size %d, want at least 0 and 8 to 2048", *n, *size)
		}
		if !(*sigma >= 0 && *sigma <= 100) {
			return fmt.Errorf("--sigma %v, want 0 to 100", *sigma)
		}
		o := eval.Options{Sigma: *sigma}
		var err error
		o.Methods = list(*methods)
		if o.Solve, err = flags.options(o.Methods...); err != nil {
			return err
		}
		if o.Seed, err = seed(); err != nil {
			return err
		}
		if o.Tasks, err = drawnTasks(*tasks); err != nil {
			return err
		}
		if len(o.Tasks) == 0 || len(o.Methods) == 0 {
			return fmt.Errorf("--tasks and --methods need at least one name")
		}
		for _, f := range [][3]string{{"--csv", *csvOut, ".csv"}, {"--json", *jsonOut, ".json"}} {
			if f[1] != "" {
				if err := checkOutput(f[0], f[1], f[2:]); err != nil {
					return err
				}
			}
		}
		if err := threads(); err != nil {
			return err
		}
		pics, err := picture.LoadSquares(*data, *n, *size)
		if err != nil {
			return fmt.Errorf("--data: %w", err)
		}
		m, err := model.open(ctx)
		if err != nil {
			return err
		}
		c.say("%d pictures of %dx%d, noise %g on [-1,1], seed %d, model %s, %s", len(pics), *size, *size, *sigma, o.Seed, prior.Describe(m), machine())
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
			return err
		}
		if err := report.Markdown(c.out); err != nil {
			return err
		}
		for _, f := range []struct {
			path  string
			write func(io.Writer) error
		}{{*csvOut, report.CSV}, {*jsonOut, report.JSON}} {
			if f.path != "" {
				if err := atomicfile.Write(f.path, f.write); err != nil {
					return err
				}
			}
		}
		return nil
	}
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
