package main

import (
	"context"
	"flag"
	"fmt"
	"regexp"
	"time"

	"psld/autograd"
	"psld/internal/optable"
)

func bench(fs *flag.FlagSet) func(context.Context, *console, []string) error {
	filter := fs.String("filter", "", "regular `expression`: only operations whose name matches")
	seconds := fs.Float64("seconds", 0.3, "least `time` for each operation")
	asJSON := fs.Bool("json", false, "print JSON lines")
	threads := threadsFlag(fs)
	return func(ctx context.Context, c *console, args []string) error {
		if len(args) == 0 || args[0] != "kernels" {
			return fmt.Errorf("bench what? psld bench kernels (see psld help bench)")
		}
		re, err := regexp.Compile(*filter)
		if err != nil {
			return fmt.Errorf("--filter: %w", err)
		}
		if !(*seconds >= 0 && *seconds <= 3600) {
			return fmt.Errorf("--seconds %v, want 0 to 3600", *seconds)
		}
		if err := threads(); err != nil {
			return err
		}
		c.say("forward passes; %s", machine())
		count := 0
		for _, op := range optable.Bench() {
			if !re.MatchString(op.Name) {
				continue
			}
			if ctx.Err() != nil {
				return fmt.Errorf("stopped: %w", ctx.Err())
			}
			count++
			t := timeOp(op, time.Duration(*seconds*float64(time.Second)))
			rate := op.Flops / t.Seconds() / 1e9
			if *asJSON {
				printJSON(c, map[string]any{"name": op.Name, "seconds": t.Seconds(), "gflops": rate})
			} else {
				fmt.Fprintf(c.out, "%-56s %10.3f ms %9.1f GFLOP/s\n", op.Name, 1e3*t.Seconds(), rate)
			}
		}
		if count == 0 {
			return fmt.Errorf("--filter %s matches no operation", *filter)
		}
		return nil
	}
}

// timeOp is the mean time of a forward pass over at least d.
func timeOp(op optable.Case, d time.Duration) time.Duration {
	g := autograd.NoGrad()
	x := op.Values(g, op.Inputs(), false)
	once := func() {
		op.Run(g, x)
		g.Release()
	}
	once() // packs the weights, fills the pool
	n, start := 0, time.Now()
	for n == 0 || time.Since(start) < d {
		once()
		n++
	}
	return time.Since(start) / time.Duration(n)
}
