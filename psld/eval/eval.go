// Package eval measures methods on pictures whose truth is known: it damages them, restores them by each method, and
// gathers metrics of the results. A cell is a picture, a task and a method; no cell depends on another, so that
// pictures may be shared among processes (Shard) and the reports put together again (Merge).
package eval

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"psld/internal/memstat"
	"psld/psld"
	"psld/psld/metric"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
	"psld/tensor/cpu"
)

// Measurement is the method that does nothing: the measurement itself, in the picture's size.
const Measurement = "measurement"

// Options steer Run. Zero fields mean the defaults given.
type Options struct {
	Tasks   []task.Name     // default: task.Usual
	Methods []string        // names of solver methods; default tv, ldps, gmldps, psld
	Metrics []metric.Metric // default: PSNR and SSIM
	Sigma   float64         // of the measurement noise on [-1,1]; 0 means none
	Seed    uint64          // picture i has the damage and noise of Seed+i
	Shard   Shard           // default: all pictures
	// Models has methods by name that run on a model of their own in place of Run's.
	Models map[string]prior.Prior
	Solve  psld.Options // of all methods; Method, Seed, Start and Sigma are set by Run, Keep is left out
	// Cells keeps finished cells on disk, and has those of an evaluation that was stopped; nil for none.
	Cells *Cells
	// Progress is called after every picture; of is the number of pictures of a row.
	Progress func(t task.Name, method string, done, of int)
}

// Shard is part Index (from 0) of Of parts of the pictures; the zero value is all of them.
type Shard struct{ Index, Of int }

// bounds are the first picture of the part and the one behind its last.
func (s Shard) bounds(n int) (from, to int, err error) {
	if s == (Shard{}) {
		return 0, n, nil
	}
	if s.Index < 0 || s.Index >= s.Of {
		return 0, 0, fmt.Errorf("shard %d of %d: want one of 0 to %d", s.Index, s.Of, s.Of-1)
	}
	return s.Index * n / s.Of, (s.Index + 1) * n / s.Of, nil
}

// Run damages pictures of one size, restores them by every method and returns the rows, task by task: first that of
// the measurement, then the methods in their order. As many pictures are restored at the same time as there are
// processors, or fewer where memory is short; that changes no number. With an error the report has the rows that are
// done.
func Run(ctx context.Context, m prior.Prior, pics []*picture.Picture, o Options) (*Report, error) {
	if o.Tasks == nil {
		for _, t := range task.Usual() {
			o.Tasks = append(o.Tasks, t.Name)
		}
	}
	if o.Methods == nil {
		o.Methods = []string{"tv", "ldps", "gmldps", "psld"}
	}
	if o.Metrics == nil {
		o.Metrics = metric.Default()
	}
	if ctx == nil {
		return nil, errors.New("ctx is nil, want a context such as context.Background()")
	}
	for i, p := range pics {
		if err := p.Validate(); err != nil {
			return nil, fmt.Errorf("pics[%d]: %w", i, err)
		}
	}
	from, to, err := o.Shard.bounds(len(pics))
	if err != nil {
		return nil, err
	}
	r := &Report{Pictures: len(pics), From: from, To: to, Sigma: o.Sigma, Seed: o.Seed}
	e := &run{m: m, o: o, first: from, pics: pics[from:to], runtime: o.Solve.Runtime}
	for _, name := range o.Tasks {
		t, err := task.FindDrawn(string(name))
		if err != nil {
			return r, err
		}
		e.begin(t)
		for _, method := range append([]string{Measurement}, o.Methods...) {
			row, err := e.row(ctx, method)
			if err != nil {
				return r, fmt.Errorf("%s, %s: %w", name, method, err)
			}
			r.Rows = append(r.Rows, row)
		}
	}
	return r, nil
}

// run is an evaluation under way.
type run struct {
	m     prior.Prior
	o     Options
	first int // number of pics[0] among all
	pics  []*picture.Picture

	task  *task.Task
	cells []*cell // of the task, one a picture

	alone    bool  // the run that goes on now is the only one
	measured bool  // memory is known, as far as the system tells
	memory   int64 // bytes that one run takes, 0 for unknown
	runtime  *psld.Runtime
}

// begin starts a task.
func (e *run) begin(t *task.Task) {
	e.task, e.cells = t, make([]*cell, len(e.pics))
	for i, x := range e.pics {
		e.cells[i] = &cell{run: e, x: x, seed: e.o.Seed + uint64(e.first+i)}
	}
}

// row restores all pictures by a method.
func (e *run) row(ctx context.Context, method string) (Row, error) {
	row := newRow(e.task.Name, method, e.o.Metrics)
	results, errs := make([]Row, len(e.pics)), make([]error, len(e.pics))
	begun := time.Now()
	ctx, cancel := context.WithCancel(ctx) // the first error stops the other pictures
	defer cancel()
	var mu sync.Mutex
	done := 0
	one := func(i int) {
		results[i] = newRow(e.task.Name, method, e.o.Metrics)
		if errs[i] = e.one(ctx, method, i, &results[i]); errs[i] != nil {
			cancel()
			return
		}
		if e.o.Progress != nil {
			mu.Lock()
			done++
			e.o.Progress(e.task.Name, method, done, len(e.pics))
			mu.Unlock()
		}
	}
	atOnce := cpu.Threads()
	next := 0
	needs, err := usesPrior(method)
	if err != nil {
		return row, err
	}
	if needs {
		for !e.measured && next < len(e.pics) { // the first run of a network is alone and shows what one takes
			e.alone = true
			one(next)
			e.alone, e.measured = false, results[next].kept == 0
			next++
		}
		_, available := memstat.System()
		atOnce = AtOnce(atOnce, e.memory, available)
	}
	if e.o.Solve.Runtime == nil {
		e.runtime = &psld.Runtime{Runs: atOnce}
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := next; i < len(e.pics); i++ {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			one(i)
		})
	}
	wg.Wait()
	if err := first(errs, e.first); err != nil {
		return row, err
	}
	var shared time.Duration // starts that an earlier method has made
	for i := range results {
		if err := row.merge(results[i]); err != nil {
			return row, err
		}
		shared += results[i].shared + results[i].kept
	}
	took := time.Since(begun) + shared/time.Duration(atOnce)
	row.Seconds = took.Seconds() / float64(max(1, len(e.pics)))
	return row, nil
}

// one measures cell i, or takes what an evaluation that was stopped has measured.
func (e *run) one(ctx context.Context, method string, i int, row *Row) error {
	key := cellKey{e.task.Name, method, e.first + i}
	seconds, ok, err := e.o.Cells.read(key, row)
	if ok || err != nil {
		row.kept = max(1, time.Duration(seconds*float64(time.Second)))
		return err
	}
	begun := time.Now()
	if err := e.cells[i].measure(ctx, method, row); err != nil {
		return err
	}
	return e.o.Cells.keep(key, time.Since(begun).Seconds(), row)
}

// usesPrior tells that a method runs a network.
func usesPrior(method string) (bool, error) {
	if method == Measurement {
		return false, nil
	}
	spec, err := solver.Lookup(method)
	return spec.Needs.Prior, err
}

// AtOnce is how many pictures are restored at the same time: as many as there are processors, but not more than fit
// into three quarters of the memory that is available, in bytes, when each takes perRun; 0 stands for unknown. It is
// at least 1.
func AtOnce(processors int, perRun, available int64) int {
	n := processors
	if perRun > 0 && available > 0 {
		n = int(min(int64(n), available/4*3/perRun))
	}
	return max(1, n)
}

// first is the first error that is not another's doing, with the number of its picture.
func first(errs []error, offset int) error {
	for i, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("picture %d: %w", offset+i, err)
		}
	}
	return errors.Join(errs...)
}
