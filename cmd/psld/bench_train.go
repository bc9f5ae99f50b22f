package main

import (
	"context"
	"flag"
	"fmt"

	kernels "psld/internal/bench"
	"psld/tensor/cpu"
)

// benchTrainFlags are those of psld bench train that bench step does not have.
type benchTrainFlags struct{ network, precisions *string }

func addBenchTrainFlags(fs *flag.FlagSet) *benchTrainFlags {
	return &benchTrainFlags{
		network:    fs.String("network", "pixel", "train: `network` to train: pixel or vae"),
		precisions: fs.String("precisions", "f32,bf16", "train: `list` of precisions of matrix products, timed in turn"),
	}
}

func (f *benchTrainFlags) run(ctx context.Context, c *console, step *stepFlags, threads func() error,
	asJSON bool) error {
	o := kernels.Training{Network: *f.network, Precisions: list(*f.precisions), Size: 64, Batch: 16, Steps: 4, Visits: 3}
	set := given(step.fs)
	if set["size"] {
		o.Size = *step.size
	}
	if set["batch"] {
		o.Batch = *step.batch
	}
	if set["steps"] {
		o.Steps = *step.steps
	}
	switch {
	case o.Network != "pixel" && o.Network != "vae":
		return fmt.Errorf("--network %q, want pixel or vae", o.Network)
	case o.Size < 8 || o.Size > 512 || o.Size%8 != 0 || o.Batch < 1 || o.Batch > 256 || o.Steps < 1 || o.Steps > 1000:
		return fmt.Errorf("--size %d --batch %d --steps %d, want a multiple of 8 from 8 to 512, 1 to 256 and 1 to 1000",
			o.Size, o.Batch, o.Steps)
	}
	if err := threads(); err != nil {
		return err
	}
	c.say("training of the %s network, %d pictures of %d pixels a step, %d threads", o.Network, o.Batch,
		o.Size, cpu.Threads())
	rows, err := kernels.Train(ctx, o)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if asJSON {
			printJSON(c, r)
		} else {
			fmt.Fprintln(c.out, r)
		}
	}
	return nil
}
