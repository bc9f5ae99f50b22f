package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"psld/asm"
	kernels "psld/internal/bench"
	"psld/internal/nearest"
	"psld/tensor/cpu"
)

var benchVerb = verb{
	talks: true,
	name:  "bench", args: "kernels|step|train",
	short: "time the operations of the engine, whole steps of PSLD, or of a training", maxArgs: 1,
	notes: `kernels: every heavy operation at the shapes of Stable Diffusion 1.5, against what this machine can do.
step: PSLD steps of the solver itself with UNet and autoencoder of Stable Diffusion 1.5 (no text encoder unless --model
has one), seconds by part, operations, fraction of the ceiling, peak memory. At 512x512 in f32 it takes about 12 GiB.
train: steps of a training on random pictures: pictures a second, operations, how much of it making the pictures takes.
  psld bench step --dtype bf16
  psld bench step --sizes 256,384,512,768,1024 --dtype bf16
The second prints a table of time and memory over the size; --thread-counts 1,2 and --batches 1,2 add rows. Each row
is a process of its own.

`,
	setup: bench,
}

func bench(fs *flag.FlagSet) work {
	filter := fs.String("filter", "", "kernels: regular `expression`: only rows whose op/shape/dtype matches")
	tier := fs.String("tier", "", "kernels: `tier` to time (default: those in use, the fastest that this machine has)")
	seconds := fs.Float64("seconds", 0.2, "kernels: least `time` for each row")
	quick := fs.Bool("quick", false, "kernels: a few small shapes only")
	asJSON := fs.Bool("json", false, "print JSON lines")
	threads, step := threadsFlag(fs), addStepFlags(fs)
	training := addBenchTrainFlags(fs)
	return func(ctx context.Context, c *console, args []string) error {
		other := stepOnly
		switch {
		case len(args) > 0 && args[0] == "step":
			other = []string{"filter", "tier", "seconds", "quick", "network", "precisions"}
		case len(args) > 0 && args[0] == "train":
			other = []string{"filter", "tier", "seconds", "quick", "dtype", "device", "sizes", "max-mem", "model", "random",
				"thread-counts", "batches", "tiny"}
		case len(args) == 0 || args[0] != "kernels":
			return fmt.Errorf("bench what? psld bench kernels, psld bench step or psld bench train%s (see psld help bench)",
				nearest.Hint(strings.Join(args, " "), []string{"kernels", "step", "train"}))
		}
		for _, name := range other {
			if name == "dtype" && args[0] == "kernels" && *step.model.device != "cpu" {
				continue // on the processor each row has its own
			}
			if given(fs)[name] {
				return fmt.Errorf("--%s has no meaning for bench %s", name, args[0])
			}
		}
		if args[0] == "train" {
			return training.run(ctx, c, step, threads, *asJSON)
		}
		if args[0] == "step" {
			return step.run(ctx, c, threads, *asJSON)
		}
		o := kernels.Options{Tier: asm.Active(), Seconds: *seconds, Quick: *quick}
		var err error
		if o.Filter, err = regexp.Compile(*filter); err != nil {
			return fmt.Errorf("--filter: %w", err)
		}
		if !(*seconds >= 0 && *seconds <= 3600) {
			return fmt.Errorf("--seconds %v, want 0 to 3600", *seconds)
		}
		if *quick && !given(fs)["seconds"] {
			o.Seconds = 0.02
		}
		if *tier != "" {
			i := slices.IndexFunc(asm.Available(), func(t asm.Tier) bool { return t.String() == *tier })
			if i < 0 {
				return fmt.Errorf("--tier %q, this machine has %v", *tier, asm.Available())
			}
			o.Tier = asm.Available()[i]
		}
		if err := threads(); err != nil {
			return err
		}
		if *step.model.device != "cpu" {
			precision := ""
			if given(fs)["dtype"] {
				precision = *step.model.dtype
			}
			return benchDevice(ctx, c, *step.model.device, precision, o, *asJSON)
		}
		count := kernels.Count(o)
		if count == 0 {
			return fmt.Errorf("--filter %s matches no operation", *filter)
		}
		c.say("%d rows of SD 1.5 at 512x512; kernels %s, %d threads", count, o.Tier, cpu.Threads())
		return benchRows(c, *asJSON, func(emit func(kernels.Row)) error { return kernels.Run(ctx, o, emit) })
	}
}

// benchDevice times the kernels of a device with memory of its own.
func benchDevice(ctx context.Context, c *console, name, precision string, o kernels.Options, asJSON bool) error {
	dev, err := openDevice(name, precision)
	if err != nil {
		return err
	}
	d, ok := dev.(kernels.Ceilings)
	if !ok {
		return fmt.Errorf("--device %s: %s does not measure what it can do at best", name, dev.Name())
	}
	c.say("%s; ceilings are measured in turn with the operations", dev.Name())
	return benchRows(c, asJSON, func(emit func(kernels.Row)) error { return kernels.RunDevice(ctx, d, o, emit) })
}

// benchRows prints the rows that run emits, as JSON or as a table.
func benchRows(c *console, asJSON bool, run func(emit func(kernels.Row)) error) error {
	table := benchTable{c: c}
	emit := table.row
	if asJSON {
		emit = func(r kernels.Row) { printJSON(c, r) }
	}
	err := run(emit)
	if !asJSON {
		table.means()
	}
	if err != nil {
		return fmt.Errorf("stopped: %w", err)
	}
	return nil
}

// benchTable prints rows as they come.
type benchTable struct {
	c     *console
	ops   bool // the heading of the operations is out
	rows  int
	order []string // groups with their dtypes
	group map[string][]kernels.Row
}

const benchColumns = "%-19s %-21s %-4s %9s %8s %9s %9s %9s\n"

func (t *benchTable) row(r kernels.Row) {
	rate := func(v float64) string {
		if v == 0 {
			return ""
		}
		return fmt.Sprintf("%.1f", v)
	}
	if r.Op == "ceiling" {
		if t.rows++; t.rows == 1 {
			fmt.Fprintln(t.c.out, "What this machine can do: multiply-adds on registers; copies, bytes read plus bytes "+
				"written.")
			fmt.Fprintf(t.c.out, "%-21s %-4s %-10s %7s %9s %8s\n", "", "", "kernels", "threads", "GFLOP/s", "GB/s")
		}
		fmt.Fprintf(t.c.out, "%-21s %-4s %-10s %7d %9s %8s\n", r.Shape, r.DType, r.Tier, r.Threads,
			rate(r.GFLOPS), rate(r.GBs))
		return
	}
	if !t.ops {
		t.ops = true
		fmt.Fprintf(t.c.out, "\nFraction: of the ceiling, which is in GB/s where GB/s are given. Error: relative L2, "+
			"against float64.\n")
		fmt.Fprintf(t.c.out, benchColumns, "operation", "shape", "", "GFLOP/s", "GB/s", "ceiling", "fraction", "error")
	}
	ceiling := r.CeilingGFLOPS
	if r.GBs > 0 {
		ceiling = r.CeilingGBs
	}
	fmt.Fprintf(t.c.out, benchColumns, r.Op, r.Shape, r.DType, rate(r.GFLOPS), rate(r.GBs), rate(ceiling),
		fmt.Sprintf("%.2f", r.Fraction), fmt.Sprintf("%.1e", r.Err))
	key := r.Group + " " + r.DType
	if t.group == nil {
		t.group = map[string][]kernels.Row{}
	}
	if t.group[key] == nil {
		t.order = append(t.order, key)
	}
	t.group[key] = append(t.group[key], r)
}

// means prints the geometric mean of each group's fractions, and its worst row.
func (t *benchTable) means() {
	if len(t.order) == 0 {
		return
	}
	fmt.Fprintf(t.c.out, "\nGeometric means of the fractions:\n")
	for _, key := range t.order {
		rows := t.group[key]
		logs := 0.0
		for _, r := range rows {
			logs += math.Log(r.Fraction)
		}
		worst := slices.MinFunc(rows, func(a, b kernels.Row) int { return int(math.Copysign(1, a.Fraction-b.Fraction)) })
		fmt.Fprintf(t.c.out, "%-36s %5.2f of %2d, worst %.2f %s\n", key, math.Exp(logs/float64(len(rows))), len(rows),
			worst.Fraction, worst.Op+" "+worst.Shape)
	}
}
