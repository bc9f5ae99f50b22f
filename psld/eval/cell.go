package eval

import (
	"context"
	"slices"
	"sync"
	"time"

	"psld/internal/memstat"
	"psld/psld"
	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

// cell is a picture under a task: what its methods share.
type cell struct {
	*run
	x    *picture.Picture
	seed uint64

	made   sync.Once
	damage psld.Damage
	y      *picture.Picture
	err    error

	start     sync.Once
	rough     []float32
	roughErr  error
	roughTime time.Duration
}

// measurement damages the picture, once.
func (c *cell) measurement() error {
	c.made.Do(func() {
		if c.damage, c.err = c.task.FitDamage(c.x.H, c.x.W, c.seed); c.err == nil {
			c.y, c.err = task.Measure(c.x, c.damage, c.o.Sigma, c.seed)
		}
	})
	return c.err
}

// measure restores the picture by a method and adds what the metrics say to the row.
func (c *cell) measure(ctx context.Context, method string, row *Row) error {
	if err := c.measurement(); err != nil {
		return err
	}
	r, shared, err := c.restore(ctx, method)
	if err != nil {
		return err
	}
	row.shared = shared
	for _, a := range row.Sums {
		if err := a.Add(r, c.x); err != nil {
			return err
		}
	}
	return nil
}

// restore restores the picture by a method; shared is the time of a start that an earlier method has made.
func (c *cell) restore(ctx context.Context, method string) (r *picture.Picture, shared time.Duration, err error) {
	if method == Measurement {
		r, err = c.plain()
		return r, 0, err
	}
	spec, err := solver.Lookup(method)
	if err != nil {
		return nil, 0, err
	}
	o := c.o.Solve
	o.Method, o.Seed, o.Sigma, o.Keep, o.Runtime = method, c.seed, &c.o.Sigma, solver.Keep{}, c.runtime
	o.Params = o.Params.Only(spec.New()) // they are for all methods
	o.Raw = o.Raw || !spec.Needs.Prior   // such a method has no autoencoder to make up for
	if o.PasteKnown == nil {
		o.PasteKnown = new(bool) // the known pixels are noisy
	}
	o.Start = func(ctx context.Context) ([]float32, error) {
		fresh := false
		c.start.Do(func() {
			fresh = true
			begun := time.Now()
			c.rough, c.roughErr = c.roughly(ctx)
			c.roughTime = time.Since(begun)
		})
		if !fresh {
			shared = c.roughTime
		}
		return c.rough, c.roughErr
	}
	if c.alone {
		before, _ := memstat.Process()
		o.Progress = func(p solver.Progress) { c.memory = max(c.memory, p.Memory-before) }
	}
	res, err := psld.Solve(ctx, c.prior(method), psld.Problem{Damage: c.damage, Measurement: c.y}, o)
	if err != nil {
		return nil, 0, err
	}
	return res.Picture, shared, nil
}

// roughly is the task's rough restoration. Solvers only read it.
func (c *cell) roughly(ctx context.Context) ([]float32, error) {
	a, err := c.damage.Operator(c.x.H, c.x.W)
	if err != nil {
		return nil, err
	}
	return c.task.Start(ctx, a, task.Measured(c.y, a), c.damage)
}

// prior is the model of a method.
func (c *cell) prior(method string) prior.Prior {
	if m, ok := c.o.Models[method]; ok {
		return m
	}
	return c.m
}

// plain is the measurement to look at, enlarged by cubic interpolation where it is smaller.
func (c *cell) plain() (*picture.Picture, error) {
	if c.y.W != c.x.W || c.y.H != c.x.H {
		return picture.Resize(c.y, c.x.W, c.x.H, operator.CubicSmall)
	}
	return clipped(&picture.Picture{W: c.y.W, H: c.y.H, Pix: slices.Clone(c.y.Pix)}), nil
}

func clipped(p *picture.Picture) *picture.Picture {
	for i, v := range p.Pix {
		p.Pix[i] = min(max(v, -1), 1)
	}
	return p
}
