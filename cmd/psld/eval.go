package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"psld/psld"
)

func evaluate(fs *flag.FlagSet) func(context.Context, *console, []string) error {
	var names []string
	for _, t := range psld.Tasks[1:] {
		names = append(names, string(t))
	}
	data := fs.String("data", "", "`folder` of pictures")
	n := fs.Int("n", 32, "`N` pictures; 0 for all")
	size := fs.Int("size", 64, "`pixels` a side")
	tasks := fs.String("tasks", strings.Join(names, ","), "`list` of tasks")
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
		o := psld.EvalOptions{Sigma: *sigma}
		var err error
		o.Methods = list(*methods)
		if o.Solve, err = flags.options(o.Methods...); err != nil {
			return err
		}
		if o.Seed, err = seed(); err != nil {
			return err
		}
		for _, name := range list(*tasks) {
			t, err := psld.ParseTask(name)
			if err != nil {
				return err
			}
			if t == psld.Inpaint {
				return fmt.Errorf("task inpaint has no masks of its own: use inpaint-random or inpaint-box")
			}
			o.Tasks = append(o.Tasks, t)
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
		pics, err := psld.LoadSquares(*data, *n, *size)
		if err != nil {
			return fmt.Errorf("--data: %w", err)
		}
		m, err := model.open(ctx)
		if err != nil {
			return err
		}
		c.say("%d pictures of %dx%d, noise %g on [-1,1], seed %d, model %s, %s", len(pics), *size, *size, *sigma, o.Seed, describeModel(m), machine())
		bar := newProgress(c.log, "picture")
		before := 0
		per := 1 + len(o.Methods)
		o.Progress = func(t psld.Task, method string, done, of int) {
			bar.step(before+done, len(o.Tasks)*per*of, string(t)+" "+method)
			if done == of {
				before += of
			}
		}
		scores, err := psld.Evaluate(ctx, m, pics, o)
		bar.clear()
		if err != nil {
			return err
		}
		printScores(c, scores)
		if *csvOut != "" {
			if err := writeFile(*csvOut, scoresCSV(scores)); err != nil {
				return err
			}
		}
		if *jsonOut != "" {
			b, err := json.MarshalIndent(scores, "", "  ")
			if err != nil {
				return err
			}
			return writeFile(*jsonOut, append(b, '\n'))
		}
		return nil
	}
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// printScores prints a Markdown table.
func printScores(c *console, scores []psld.Score) {
	fmt.Fprintln(c.out, "| Task | Method | Pictures | PSNR dB | SSIM | s/picture |")
	fmt.Fprintln(c.out, "|---|---|---:|---:|---:|---:|")
	for _, s := range scores {
		fmt.Fprintf(c.out, "| %s | %s | %d | %.2f | %.4f | %.2f |\n", s.Task, s.Method, s.N, s.PSNR, s.SSIM, s.Seconds)
	}
}

func scoresCSV(scores []psld.Score) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"task", "method", "pictures", "psnr_db", "ssim", "seconds_per_picture"}) // a Buffer takes all
	for _, s := range scores {
		num := func(v float64) string { return strconv.FormatFloat(v, 'f', 5, 64) }
		_ = w.Write([]string{string(s.Task), s.Method, strconv.Itoa(s.N), num(s.PSNR), num(s.SSIM), num(s.Seconds)})
	}
	w.Flush()
	return b.Bytes()
}
