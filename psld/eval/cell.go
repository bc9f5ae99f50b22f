package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"psld/psld"
	"psld/psld/metric"
	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/solver"
	"psld/psld/task"
	"psld/tensor/cpu"
)

// job is a picture under a task, and the methods whose cells are to measure.
type job struct {
	*run
	task    *task.Task
	picture int
	methods []string

	x, y   *picture.Picture // the truth, its measurement
	damage psld.Damage

	start     sync.Once
	rough     []float32
	roughErr  error
	roughTime time.Duration
}

// seed is that of the picture's damage and noise.
func (j *job) seed() uint64 { return j.o.Seed + uint64(j.picture) }

// needsPrior tells that a method of the job runs a network.
func (j *job) needsPrior() bool {
	return slices.ContainsFunc(j.methods, func(name string) bool {
		needs, _ := usesPrior(name)
		return needs
	})
}

// named says where an error is from.
func (j *job) named(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%s, picture %d: %w", j.task.Name, j.picture, err)
}

// do measures the cells.
func (j *job) do(ctx context.Context) (err error) {
	defer func() { j.x, j.y, j.damage, j.rough = nil, nil, psld.Damage{}, nil }() // jobs stay, pictures go
	if err := ctx.Err(); err != nil {
		return err
	}
	if j.x, err = j.pics.At(j.picture); err != nil {
		return err
	}
	if h := j.cells.head; j.x.W != h.Width || j.x.H != h.Height {
		return fmt.Errorf("it has %dx%d pixels, the first one %dx%d", j.x.W, j.x.H, h.Width, h.Height)
	}
	if j.damage, err = j.run.damage(j.task, j.x.H, j.x.W, j.seed()); err != nil {
		return err
	}
	if j.y, err = task.MeasureWith(j.x, j.damage, j.o.noise(j.task.Name), j.seed()); err != nil {
		return err
	}
	for _, method := range j.methods {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := j.cell(ctx, method); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
	}
	return nil
}

// cell measures a cell and keeps it.
func (j *job) cell(ctx context.Context, method string) error {
	c := cell{Task: j.task.Name, Method: method, Picture: j.picture}
	cpu.Memory().ResetPeak()
	live := cpu.Memory().Live()
	begun := time.Now()
	r, shared, err := j.restore(ctx, method)
	c.Seconds = (time.Since(begun) + shared).Seconds() / float64(j.atOnce)
	if needs, _ := usesPrior(method); j.alone && needs {
		c.Memory = cpu.Memory().Peak() - live
		j.memory = max(j.memory, c.Memory)
	}
	refused := (*solver.Refused)(nil)
	switch {
	case errors.As(err, &refused):
		c.Refused = refused.Reason
	case err != nil:
		return err
	default:
		for _, m := range j.o.Metrics {
			a := m.New()
			if err := a.Add(r, j.x); err != nil {
				return err
			}
			state, err := a.MarshalJSON()
			if err != nil {
				return err
			}
			c.Metrics = append(c.Metrics, state)
		}
		if err := j.show(method, r); err != nil {
			return err
		}
	}
	if err := j.cells.keep(c); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.done++
	if j.o.Progress != nil {
		j.o.Progress(j.task.Name, method, j.done, j.of)
	}
	return nil
}

// show keeps the picture for the grid, and the truth with the first one.
func (j *job) show(method string, r *picture.Picture) error {
	if j.o.Dir == "" || j.picture >= j.o.Grid {
		return nil
	}
	if method == Measurement {
		if err := savePicture(j.o.Dir, j.task.Name, truth, j.picture, j.x); err != nil {
			return err
		}
	}
	return savePicture(j.o.Dir, j.task.Name, method, j.picture, r)
}

// solveOptions are those of a method.
func (o *Options) solveOptions(method string, noise operator.Noise) (psld.Options, error) {
	spec, err := solver.Lookup(method)
	if err != nil {
		return psld.Options{}, err
	}
	so := o.Solve
	so.Method, so.Keep = method, solver.Keep{}
	if so.Sigma = nil; noise.Kind == operator.GaussianNoise {
		so.Sigma = &noise.Level
	}
	so.Params = so.Params.Only(spec.New()) // they are for all methods
	so.Raw = so.Raw || !spec.Needs.Prior   // such a method has no autoencoder to make up for
	if so.PasteKnown == nil {
		so.PasteKnown = new(bool) // the known pixels are noisy
	}
	return so, nil
}

// restore restores the picture by a method; shared is the time of a start that an earlier method has made.
func (j *job) restore(ctx context.Context, method string) (r *picture.Picture, shared time.Duration, err error) {
	if method == Measurement {
		r, err = j.plain()
		return r, 0, err
	}
	method = j.standsFor(method, j.damage, j.x.H, j.x.W)
	o, err := j.o.solveOptions(method, j.o.noise(j.task.Name))
	if err != nil {
		return nil, 0, err
	}
	o.Seed, o.Runtime = j.seed(), j.runtime
	o.Start = func(ctx context.Context) ([]float32, error) {
		fresh := false
		j.start.Do(func() {
			fresh = true
			begun := time.Now()
			j.rough, j.roughErr = j.roughly(ctx)
			j.roughTime = time.Since(begun)
		})
		if !fresh {
			shared = j.roughTime
		}
		return j.rough, j.roughErr
	}
	res, err := psld.Solve(ctx, j.prior(method), psld.Problem{Damage: j.damage, Measurement: j.y}, o)
	if err != nil {
		return nil, 0, err
	}
	return res.Picture, shared, nil
}

// roughly is the task's rough restoration. Solvers only read it.
func (j *job) roughly(ctx context.Context) ([]float32, error) {
	a, err := j.damage.Operator(j.x.H, j.x.W)
	if err != nil {
		return nil, err
	}
	return j.task.Start(ctx, a, task.Measured(j.y, a), j.damage)
}

// plain is the measurement to look at, enlarged by cubic interpolation where it is smaller.
func (j *job) plain() (*picture.Picture, error) {
	if j.y.W != j.x.W || j.y.H != j.x.H {
		return picture.Resize(j.y, j.x.W, j.x.H, operator.CubicSmall)
	}
	return clipped(&picture.Picture{W: j.y.W, H: j.y.H, Pix: slices.Clone(j.y.Pix)}), nil
}

func clipped(p *picture.Picture) *picture.Picture {
	for i, v := range p.Pix {
		p.Pix[i] = min(max(v, -1), 1)
	}
	return p
}

// accumulators are empty ones of the metrics.
func accumulators(metrics []metric.Metric) (list []metric.Accumulator) {
	for _, m := range metrics {
		list = append(list, m.New())
	}
	return list
}
