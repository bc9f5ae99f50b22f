// Package bench measures the engine's operations at the shapes of Stable Diffusion 1.5
// against what the machine itself can do.
//
// A rate counts the work that the operation's definition asks for, not what an implementation
// happens to do: two operations for a multiply-add of the plain sum, and every byte that has
// to be read or written at least once (twice where a statistic over a large tensor has to be
// known first). The ceilings are measured in alternation with the operations, so that both
// see the same clock and the same neighbours; all times are medians. Errors are against
// float64 sums of the same inputs for a random sample of outputs.
package bench

import (
	"context"
	"regexp"
	"runtime"
	"slices"
	"time"

	"psld/asm"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/tensor/devices"
)

// Row is one measurement.
type Row struct {
	Op            string  `json:"op"`    // "ceiling" for what the machine can do
	Shape         string  `json:"shape"` // see cases.go
	DType         string  `json:"dtype"` // of the factors of products: f32 or bf16
	Tier          string  `json:"tier"`
	Threads       int     `json:"threads"`
	GFLOPS        float64 `json:"gflops"`
	CeilingGFLOPS float64 `json:"ceiling_gflops"`
	// Fraction is of the ceiling: of the copy bandwidth where GBs is given, else of multiply-adds.
	Fraction float64 `json:"fraction"`
	// GBs counts bytes read and bytes written, as does the copy that is its ceiling.
	GBs        float64 `json:"gbs,omitempty"`
	CeilingGBs float64 `json:"ceiling_gbs,omitempty"`
	// Err is the relative L2 error; the largest one where the operation has several results.
	Err   float64 `json:"err_rel_l2"`
	Group string  `json:"-"` // operations whose mean is of interest
}

// Options says what to measure.
type Options struct {
	Tier    asm.Tier       // one of asm.Available
	Filter  *regexp.Regexp // matched with op/shape/dtype; nil takes all
	Seconds float64        // least time for a row; with 0 each is timed only once
	Quick   bool           // a few small shapes
}

// rounds is how often everything is timed.
func (o Options) rounds() int {
	switch {
	case o.Seconds == 0:
		return 1
	case o.Quick:
		return 3
	}
	return 5
}

// Count is the number of rows that Run would give, without ceilings.
func Count(o Options) int {
	n := 0
	for _, p := range cases(o.Quick) {
		n += len(p.choose(o.Filter))
	}
	return n
}

// Run measures the ceilings of every tier and then each operation on o.Tier with cpu.Threads
// threads, and hands each row to emit as soon as it is known. It stops between two
// timings when ctx ends, with ctx's error. It switches the kernels of the whole process, so
// that nothing else may compute meanwhile.
func Run(ctx context.Context, o Options, emit func(Row)) error {
	old := asm.Use(o.Tier)
	defer asm.Use(old)
	m := machine{tier: o.Tier, threads: cpu.Threads()}
	defer cpu.Memory().Drop()
	if err := m.ceilings(ctx, 2*o.rounds(), emit); err != nil {
		return err
	}
	for _, p := range cases(o.Quick) {
		chosen := p.choose(o.Filter)
		if len(chosen) == 0 {
			continue
		}
		if err := m.problem(ctx, p, chosen, o, emit); err != nil {
			return err
		}
		cpu.Memory().Drop()
		runtime.GC() // weights are large, and the next ones are not these
	}
	return nil
}

// problem is a set of tensors and the operations on them, which are timed in turn.
type problem struct {
	shape string
	ops   []op
	// setup makes the tensors and gives a job for each operation.
	setup func(r *random) []job
}

// op is what is known of an operation without running it.
type op struct {
	name, group string
	flop, bytes float64 // of one call; bytes is 0 unless bandwidth is the limit
	pairs       bool    // also timed with factors in bfloat16
	split       bool    // and with sums of three products of bfloat16, where the tier has these
}

type job struct {
	run func(d tensor.Device)
	// check runs once and compares.
	check func(d tensor.Device, s *sample)
}

// choice is an operation of a problem on a device.
type choice struct {
	op    int
	dtype string
}

func (c choice) device() tensor.Device {
	e, _ := devices.Find(c.dtype)
	dev, err := e.Open()
	if err != nil {
		panic(err) // the processor is always there
	}
	return dev
}

func (p problem) choose(filter *regexp.Regexp) (list []choice) {
	for i, op := range p.ops {
		for _, dtype := range []string{"f32", "bf16", "f32x3"} {
			if (dtype == "f32" || dtype == "bf16" && op.pairs || dtype == "f32x3" && op.split && asm.HasSplit()) &&
				(filter == nil || filter.MatchString(op.name+"/"+p.shape+"/"+dtype)) {
				list = append(list, choice{i, dtype})
			}
		}
	}
	return list
}

// problem times the chosen operations and the ceilings in turn.
func (m *machine) problem(ctx context.Context, p problem, chosen []choice, o Options, emit func(Row)) error {
	jobs := p.setup(newRandom(p.shape))
	rows := make([]Row, len(chosen))
	rounds := o.rounds()
	warmUp := make([]bool, len(chosen)) // short enough to be repeated for that
	for i, c := range chosen {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		op := p.ops[c.op]
		rows[i] = Row{Op: op.name, Shape: p.shape, DType: c.dtype, Tier: m.tier.String(), Threads: m.threads,
			Group: op.group}
		var s sample
		jobs[c.op].check(c.device(), &s) // also packs weights and fills the pool
		rows[i].Err = s.error()
		start := time.Now()
		jobs[c.op].run(c.device())
		took := time.Since(start)
		warmUp[i] = took < 20*time.Millisecond
		if took > 300*time.Millisecond {
			rounds = min(rounds, 3)
		}
	}
	times := make([][]float64, len(chosen)) // seconds of a call
	var peaks, pairs, copies []float64
	for range rounds {
		for i, c := range chosen {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if p.ops[c.op].bytes > 0 && len(copies) == len(times[i]) {
				copies = append(copies, m.copyRate(m.threads, len(m.src), 2*slice))
			}
			if len(peaks) == len(times[i]) {
				peaks = append(peaks, fma(m.tier, false, m.threads, 2*slice))
			}
			if c.dtype != "f32" && len(pairs) == len(times[i]) {
				pairs = append(pairs, fma(m.tier, true, m.threads, 2*slice))
			}
			run, d := jobs[c.op].run, c.device()
			if warmUp[i] {
				run(d)
			}
			n, start := 0, time.Now()
			for n == 0 || time.Since(start).Seconds() < o.Seconds/float64(rounds) {
				run(d)
				n++
			}
			times[i] = append(times[i], time.Since(start).Seconds()/float64(n))
		}
	}
	for i, c := range chosen {
		op, row, t := p.ops[c.op], &rows[i], median(times[i])
		row.GFLOPS = op.flop / t / 1e9
		row.CeilingGFLOPS = median(peaks)
		if c.dtype == "bf16" {
			row.CeilingGFLOPS = median(pairs)
		}
		if c.dtype == "f32x3" {
			row.CeilingGFLOPS = median(pairs) / 3
		}
		row.Fraction = row.GFLOPS / row.CeilingGFLOPS
		if op.bytes > 0 {
			row.GBs = op.bytes / t / 1e9
			row.CeilingGBs = median(copies)
			row.Fraction = row.GBs / row.CeilingGBs
		}
		emit(*row)
	}
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}
