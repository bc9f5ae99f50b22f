package train

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"time"

	"psld/autograd"
	"psld/psld/picture"
	"psld/tensor"
	"psld/weights"
)

// trainer is a run of a training.
type trainer struct {
	Options
	task
	photos *Photos
	opt    *AdamW

	since meter // the last log line
	saved int   // step of the checkpoint on disk
}

// meter adds up what a log line shows.
type meter struct {
	terms   []term
	steps   int
	started time.Time
	input   time.Duration // of it, for making the pictures
}

func newTrainer(o Options, photos *Photos, t task) *trainer {
	r := &trainer{Options: o, task: t, photos: photos, opt: NewAdamW(t.params().All(), o.device()),
		since: meter{started: time.Now()}}
	r.opt.EMA = o.EMA
	t.params().RequireGrad(true)
	return r
}

// run is the training loop. Everything random in step s comes from (Seed, s), so a
// resumed run makes the same steps.
func run(ctx context.Context, o Options, photos *Photos, t task) (err error) {
	defer tensor.Catch(&err)
	if ctx == nil {
		return errors.New("ctx is nil, want a context such as context.Background()")
	}
	if err := o.check(); err != nil {
		return err
	}
	if o.Init != "" && !o.Resume {
		if err := initialise(t.params(), o.Init); err != nil {
			return err
		}
	}
	if err := o.prepareOut(); err != nil {
		return err
	}
	r := newTrainer(o, photos, t)
	defer r.opt.Release()
	if o.Resume {
		if err := r.load(); err != nil {
			return err
		}
	}
	if err := r.checkSpace(); err != nil {
		return err
	}
	logFile, err := openLog(filepath.Join(o.Out, "log.csv"), r.opt.step)
	if err != nil {
		return err
	}
	defer logFile.Close()
	if o.Begin != nil {
		o.Begin()
	}
	return r.steps(ctx, csv.NewWriter(logFile))
}

// steps does those that are left.
func (r *trainer) steps(ctx context.Context, log *csv.Writer) error {
	o := r.Options
	for r.opt.step < o.Steps {
		err := ctx.Err()
		if err == nil {
			err = r.step(ctx)
		}
		if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			var saved error
			if r.saved != r.opt.step {
				saved = r.saveSoon()
			}
			return errors.Join(saved, fmt.Errorf("stopped at step %d: %w", r.opt.step, ctx.Err()))
		}
		if err != nil {
			return err
		}
		s := r.opt.step
		if s%o.LogEvery == 0 || s == o.Steps {
			report(o.Log, log, s, o.Steps, r.line())
		}
		if s%o.SaveEvery == 0 || s == o.Steps {
			if err := r.save(log); err != nil {
				return err
			}
		}
	}
	return nil
}

// step does one step of the optimizer. Where ctx ends before it has all gradients it changes no weights and returns
// ctx's error.
func (r *trainer) step(ctx context.Context) error {
	s := r.opt.step
	terms, err := r.gradients(ctx, rand.New(rand.NewPCG(r.Seed, uint64(s))))
	if err != nil {
		return err
	}
	norm, err := r.opt.Step(rate(r.Options, s))
	if err != nil {
		return err
	}
	r.since.terms = add(r.since.terms, append(terms, term{"grad", norm}), 1)
	r.since.steps++
	return nil
}

// gradients adds those of a batch's mean loss to the parameters' and returns the loss's terms.
func (r *trainer) gradients(ctx context.Context, random *rand.Rand) (terms []term, err error) {
	defer tensor.Catch(&err)
	micro := max(1, r.Micro)
	for range micro {
		started := time.Now()
		x := r.photos.Batch(random, r.Batch/micro, r.Size)
		r.since.input += time.Since(started)
		terms = add(terms, r.backward(ctx, x, random, micro), 1/float64(micro))
	}
	return terms, nil
}

// backward adds the gradients of a part of a batch, one of so many, and returns its loss's terms.
func (r *trainer) backward(ctx context.Context, x *tensor.Tensor, random *rand.Rand, parts int) []term {
	g := autograd.NewGraph(r.device())
	g.Stop = ctx.Err
	defer g.Release()
	loss, terms := r.loss(g, x, random)
	if parts > 1 {
		loss = g.Scale(loss, 1/float32(parts))
	}
	g.Backward(loss, nil)
	return terms
}

// add adds terms times w to sum.
func add(sum, terms []term, w float64) []term {
	if sum == nil {
		sum = make([]term, len(terms))
	}
	for i, v := range terms {
		sum[i].name = v.name
		sum[i].value += w * v.value
	}
	return sum
}

// line is that of the steps since the last one.
func (r *trainer) line() []term {
	speed := r.speed()
	line := add(nil, r.since.terms, 1/float64(r.since.steps))
	line = append(line, term{"lr", rate(r.Options, r.opt.step-1)}, term{"images/s", speed.Pictures},
		term{"GFLOP/s", speed.GFLOPS}, term{"input %", 100 * speed.Input})
	r.since = meter{started: time.Now()}
	return line
}

// save writes checkpoint, model (with the averaged weights) and a sample sheet. Validation comes
// first, since the VAE's scaling factor is measured there.
func (r *trainer) save(log *csv.Writer) error {
	started := time.Now()
	r.opt.Swap()
	line, err := r.validate()
	if err == nil {
		report(r.Log, log, r.opt.step, r.Steps, line)
		err = errors.Join(
			picture.Save(filepath.Join(r.Out, fmt.Sprintf("sheet-%06d.png", r.opt.step)), r.sheet()),
			saveModel(filepath.Join(r.Out, "model.safetensors"), r.task, r.device()))
	}
	r.opt.Swap()
	if err := errors.Join(err, r.opt.Save(r.checkpoint(), r.checkpointMetadata())); err != nil {
		return err
	}
	r.saved = r.opt.step
	// A plot that fails is no reason to stop.
	if err := Curves(filepath.Join(r.Out, "log.csv"), filepath.Join(r.Out, "curves.png")); err != nil && r.Log != nil {
		fmt.Fprintln(r.Log, "curves:", err)
	}
	r.since.started = r.since.started.Add(time.Since(started))
	return nil
}

// saveSoon writes checkpoint and model for who stopped the run and waits: without validation and sample sheet.
func (r *trainer) saveSoon() error {
	r.opt.Swap()
	err := r.ready()
	if err == nil {
		err = saveModel(filepath.Join(r.Out, "model.safetensors"), r.task, r.device())
	}
	r.opt.Swap()
	if err := errors.Join(err, r.opt.Save(r.checkpoint(), r.checkpointMetadata())); err != nil {
		return err
	}
	r.saved = r.opt.step
	return nil
}

func (r *trainer) checkpoint() string { return filepath.Join(r.Out, "checkpoint.safetensors") }

func (r *trainer) load() error {
	f, err := weights.Open(r.checkpoint())
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	err = r.checkFacts(f.Metadata())
	if err == nil {
		err = r.opt.Load(f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("resume %s: %w", r.checkpoint(), err)
	}
	r.saved = r.opt.step
	return nil
}

func report(w io.Writer, log *csv.Writer, step, steps int, line []term) {
	row := []string{strconv.Itoa(step)}
	text := fmt.Sprintf("step %d/%d", step, steps)
	for _, v := range line {
		row = append(row, v.name, strconv.FormatFloat(v.value, 'g', 6, 64))
		text += fmt.Sprintf("  %s %.4g", v.name, v.value)
	}
	_ = log.Write(row)
	log.Flush()
	if w != nil {
		fmt.Fprintln(w, text)
	}
}
