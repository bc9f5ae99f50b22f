package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"

	kernels "psld/internal/bench"
	"psld/internal/memstat"
	"psld/psld/prior"
	"psld/tensor/cpu"
)

// stepFlags are those of psld bench step.
type stepFlags struct {
	fs                              *flag.FlagSet
	size, steps, batch              *int
	model                           *modelFlags
	random, tiny                    *bool
	maxMem                          *string
	sizes, threadCounts, batchSizes *string
}

// stepOnly names the flags that bench kernels has no use for.
var stepOnly = []string{"size", "steps", "batch", "model", "dtype", "random", "tiny", "max-mem", "sizes",
	"thread-counts", "batches"}

func addStepFlags(fs *flag.FlagSet) *stepFlags {
	none := new(string)
	return &stepFlags{
		fs:    fs,
		size:  fs.Int("size", 512, "step: `pixels` a side, a multiple of 64"),
		steps: fs.Int("steps", 1, "step: `N` timed steps, after one that is not"),
		batch: fs.Int("batch", 1, "step: `N` pictures at the same time"),
		model: &modelFlags{
			path:  fs.String("model", "", "step: `model`, as of psld restore (default: random weights)"),
			dtype: fs.String("dtype", "f32", "step: `precision` of matrix products, as of psld restore"), variant: none,
			vae: none, vocab: none, taesd: none, lora: new(loraFlag), device: deviceFlag(fs), windows: new(bool)},
		random:       fs.Bool("random", false, "step: random weights in memory; the default without --model"),
		tiny:         fs.Bool("tiny", false, "step: random weights, with few channels"),
		maxMem:       fs.String("max-mem", "", "step: `size` of memory that the program may take, as of psld restore"),
		sizes:        fs.String("sizes", "", "step: `list` of sizes, for a table of time and memory"),
		threadCounts: fs.String("thread-counts", "", "step: `list` of numbers of threads for the table"),
		batchSizes:   fs.String("batches", "", "step: `list` of numbers of pictures for the table"),
	}
}

// run measures one step, or the table that the lists ask for. threads applies --threads.
func (f *stepFlags) run(ctx context.Context, c *console, threads func() error, asJSON bool) error {
	if *f.size < 8 || *f.size > 2048 || *f.steps < 1 || *f.steps > 100 || *f.batch < 1 || *f.batch > 64 {
		return fmt.Errorf("--size %d --steps %d --batch %d, want 8 to 2048, 1 to 100 and 1 to 64", *f.size,
			*f.steps, *f.batch)
	}
	if *f.model.path != "" && (*f.random || *f.tiny) {
		return fmt.Errorf("--model %s and random weights exclude each other", *f.model.path)
	}
	maxMem, err := parseSize(*f.maxMem)
	if err != nil {
		return fmt.Errorf("--max-mem: %w", err)
	}
	if err := f.model.check(); err != nil {
		return err
	}
	if err := threads(); err != nil {
		return err
	}
	if *f.sizes != "" || *f.threadCounts != "" || *f.batchSizes != "" {
		return f.table(ctx, c, asJSON)
	}
	start := time.Now()
	var m *prior.LatentDiffusion
	if *f.model.path != "" {
		m, err = f.model.open(ctx, c)
	} else {
		m, err = f.randomModel()
	}
	if err != nil {
		return err
	}
	if mult := m.Multiple(); *f.size%mult != 0 {
		return fmt.Errorf("--size %d, want a multiple of %d for this model", *f.size, mult)
	}
	c.say("%s, loaded in %s; %dx%d, %s, %s", m.Name, round(time.Since(start)), *f.size, *f.size, *f.model.dtype,
		machine())
	o := kernels.StepOptions{Model: m, DType: *f.model.dtype, Size: *f.size, Steps: *f.steps, Batch: *f.batch,
		MaxMemory: maxMem}
	o.Progress = func(step int, seconds float64) {
		what := fmt.Sprintf("step %d of %d", step, *f.steps)
		if step == 0 {
			what = "first step, not counted"
		}
		c.say("%s: %.2f s", what, seconds)
	}
	r, err := kernels.Step(ctx, o)
	if err != nil {
		return err
	}
	if asJSON {
		printJSON(c, r)
		return nil
	}
	printStep(c, r, kernels.StepWork(m, *f.size, *f.size))
	return nil
}

func (f *stepFlags) randomModel() (*prior.LatentDiffusion, error) {
	dev, err := openDevice(*f.model.device, *f.model.dtype)
	if err != nil {
		return nil, err
	}
	return kernels.RandomModel(*f.tiny, dev)
}

func printStep(c *console, r kernels.StepResult, w kernels.Work) {
	fmt.Fprintf(c.out, "%-8s %9s %9s %9s %8s %9s %9s\n", "", "forward s", "backwd s", "both s", "TFLOP",
		"GFLOP/s", "fraction")
	part := func(name string, forward, backward, seconds, flop float64) {
		fmt.Fprintf(c.out, "%-8s %9.3f %9.3f %9.3f %8.3f %9.1f %9.2f\n", name, forward, backward, seconds, flop/1e12,
			flop/1e9/seconds, flop/1e9/seconds/r.CeilingGFLOPS)
	}
	part("UNet", r.UNetForward, r.UNetBackward, r.UNet, w.UNet.Total())
	part("decoder", r.DecoderForward, r.DecoderBackward, r.Decoder, w.Decoder.Total())
	part("encoder", r.EncoderForward, r.EncoderBackward, r.Encoder, w.Encoder.Total())
	part("step", r.UNetForward+r.DecoderForward+r.EncoderForward, r.UNetBackward+r.DecoderBackward+r.EncoderBackward,
		r.Seconds, r.TFLOP*1e12)
	fmt.Fprintf(c.out, "\nceiling %.1f GFLOP/s of multiply-adds on registers, %s, %s, %d threads\n", r.CeilingGFLOPS,
		r.DType, r.Tier, r.Threads)
	if r.Batch > 1 {
		fmt.Fprintf(c.out, "%d pictures at the same time: %.3f s for a step of one\n", r.Batch, r.Seconds/float64(r.Batch))
	}
	fmt.Fprintf(c.out, "UNet forward alone, a step of text to image without guidance: %.3f s, %.1f GFLOP/s\n",
		r.UNetAlone, r.UNetAloneTFLOP*1e3/r.UNetAlone)
	if r.Peak > 0 {
		fmt.Fprintf(c.out, "peak of resident memory %s, of it weights %s\n", memstat.Words(r.Peak), memstat.Words(r.Weights))
	}
	if r.PeakDevice > 0 {
		fmt.Fprintf(c.out, "peak of memory on the device %s\n", memstat.Words(r.PeakDevice))
	}
	fmt.Fprintf(c.out, "predicted: a run of 1000 steps %s, of 200 steps %s\n", seconds(r.Predicted1000),
		seconds(r.Predicted200))
}

func seconds(s float64) time.Duration { return round(time.Duration(s * float64(time.Second))) }

// table measures each combination in a process of its own, since a process has only one peak of memory.
func (f *stepFlags) table(ctx context.Context, c *console, asJSON bool) error {
	sizes, err := counts("--sizes", *f.sizes, *f.size)
	if err != nil {
		return err
	}
	threads, err := counts("--thread-counts", *f.threadCounts, cpu.Threads())
	if err != nil {
		return err
	}
	batches, err := counts("--batches", *f.batchSizes, *f.batch)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	common := []string{"bench", "step", "--json", "--steps", strconv.Itoa(*f.steps)}
	set := given(f.fs)
	for _, name := range []string{"model", "dtype", "device", "random", "tiny", "max-mem"} {
		if set[name] {
			common = append(common, "--"+name+"="+f.fs.Lookup(name).Value.String())
		}
	}
	var rows []kernels.StepResult
	for _, n := range threads {
		for _, b := range batches {
			for _, size := range sizes {
				args := append(slices.Clone(common), "--size", strconv.Itoa(size), "--threads", strconv.Itoa(n),
					"--batch", strconv.Itoa(b))
				cmd := exec.CommandContext(ctx, self, args...)
				cmd.Stderr = c.log
				out, err := cmd.Output()
				if ctx.Err() != nil {
					return fmt.Errorf("stopped: %w", ctx.Err())
				}
				var r kernels.StepResult
				if err == nil {
					err = json.Unmarshal(out, &r)
				}
				if err != nil {
					c.say("size %d, %d threads, batch %d left out: %v", size, n, b, err)
					continue
				}
				if asJSON {
					printJSON(c, r)
					continue
				}
				if len(rows) == 0 {
					fmt.Fprintln(c.out, "| Size | Threads | Batch | s/step | s/step and picture | TFLOP | Fraction of ceiling | "+
						"Peak GiB | beyond weights |")
					fmt.Fprintln(c.out, "|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
				}
				fmt.Fprintf(c.out, "| %d | %d | %d | %.3g | %.3g | %.3g | %.2f | %.2f | %.2f |\n", r.Size, r.Threads, r.Batch,
					r.Seconds, r.Seconds/float64(r.Batch), r.TFLOP, r.Fraction, float64(r.Peak)/(1<<30),
					float64(r.Peak-r.Weights)/(1<<30))
				rows = append(rows, r)
			}
		}
	}
	if len(rows) > 1 {
		printGrowth(c, rows)
	}
	return nil
}

// counts reads a list of whole numbers from 1 up, "" for other alone.
func counts(flag, text string, other int) (v []int, err error) {
	for _, word := range list(text) {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > 4096 {
			return nil, fmt.Errorf("%s %q, want a list of whole numbers from 1 to 4096", flag, text)
		}
		v = append(v, n)
	}
	if v == nil {
		v = []int{other}
	}
	return v, nil
}

// printGrowth fits powers: time and memory over pixels, time over threads and over pictures, each with the rest fixed
// as in the first row.
func printGrowth(c *console, rows []kernels.StepResult) {
	first := rows[0]
	fit := func(over string, x func(r kernels.StepResult) float64, same func(r kernels.StepResult) bool) {
		var at, work, time, memory []float64
		for _, r := range rows {
			if same(r) {
				at = append(at, x(r))
				work, time, memory = append(work, r.TFLOP), append(time, r.Seconds), append(memory, float64(r.Peak-r.Weights))
			}
		}
		if len(at) > 1 {
			fmt.Fprintf(c.out, "%s: time grows with exponent %.2f, operations %.2f, memory beyond weights %.2f\n", over,
				exponent(at, time), exponent(at, work), exponent(at, memory))
		}
	}
	fmt.Fprintln(c.out)
	fit("Over pixels", func(r kernels.StepResult) float64 { return float64(r.Size * r.Size) },
		func(r kernels.StepResult) bool { return r.Threads == first.Threads && r.Batch == first.Batch })
	fit("Over threads", func(r kernels.StepResult) float64 { return float64(r.Threads) },
		func(r kernels.StepResult) bool { return r.Size == first.Size && r.Batch == first.Batch })
	fit("Over pictures", func(r kernels.StepResult) float64 { return float64(r.Batch) },
		func(r kernels.StepResult) bool { return r.Size == first.Size && r.Threads == first.Threads })
}

// exponent is the slope of log y over log x by least squares; NaN where a value is not positive.
func exponent(x, y []float64) float64 {
	var sx, sy, sxx, sxy float64
	for i := range x {
		a, b := math.Log(x[i]), math.Log(y[i])
		sx, sy, sxx, sxy = sx+a, sy+b, sxx+a*a, sxy+a*b
	}
	n := float64(len(x))
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}
