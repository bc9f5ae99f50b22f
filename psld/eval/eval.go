// Package eval measures methods on pictures whose truth is known: it damages them, restores them by each method, and
// gathers metrics of the results. A cell is a picture, a task and a method; no cell depends on another. Finished cells
// are kept in a file, from which an evaluation that was stopped goes on, and from which reports are made. Pictures may
// be shared among processes (Shard), each with a file of its own, and read together (Open).
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
	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
	"psld/tensor/cpu"
)

// Measurement is the method that does nothing: the measurement itself, in the picture's size.
const Measurement = "measurement"

// Baseline is the method that the others are compared with, picture by picture.
const Baseline = "psld"

// Source has the pictures of an evaluation, all of one size. Each is asked for once a task, and let go after it. It is
// safe for concurrent use.
type Source interface {
	Len() int
	At(i int) (*picture.Picture, error)
}

// List is a Source of pictures that are there.
type List []*picture.Picture

// Len implements Source.
func (l List) Len() int { return len(l) }

// At implements Source.
func (l List) At(i int) (*picture.Picture, error) { return l[i], l[i].Validate() }

// Config is how the test measurements of a task are made.
type Config struct {
	Values task.Values    // parameters of the damage; what is not in it has its default
	Noise  operator.Noise // the zero value is Gaussian noise of Options.Sigma
}

// Options steer Run. Zero fields mean the defaults given.
type Options struct {
	Tasks   []task.Name          // default: task.Usual
	Configs map[task.Name]Config // of tasks that are not measured as usual
	Methods []string             // names of solver methods, or psld.Auto; default tv, ldps, gmldps, psld
	Metrics []metric.Metric      // default: PSNR and SSIM
	Sigma   float64              // of the measurement noise on [-1,1]; 0 means none
	Seed    uint64               // picture i has the damage and noise of Seed+i
	Shard   Shard                // default: all pictures
	// Models has methods by name that run on a model of their own in place of Run's.
	Models map[string]prior.Prior
	Solve  psld.Options // of all methods; Method, Seed, Start and Sigma are set by Run, Keep is left out

	// Dir is a folder for finished cells, from which the same evaluation goes on. Tasks and methods may be others: a row
	// whose parameters or facts have changed is measured again. One with the cells of another evaluation (pictures,
	// seed, metrics, facts of all methods) is an error, but with Overwrite. "" keeps nothing.
	Dir       string
	Overwrite bool
	// Grid is the number of pictures, the first ones, whose results are kept in Dir for Report.Write to show.
	Grid int
	// Facts are further things that the numbers depend on, such as the digest of a model, and versions.
	Facts []Fact

	// Plan is called before the first cell.
	Plan func(Plan)
	// Progress is called after every cell.
	Progress func(t task.Name, method string, done, of int)
}

// Fact is a name with its value.
type Fact struct {
	Name, Value string
	Methods     []string `json:",omitempty"` // whose results depend on it; nil for all
}

// Plan is what an evaluation is about to do.
type Plan struct {
	Cells, Done int
	Void        int           // cells in Dir of other parameters or models, which are measured again
	Predicted   time.Duration // about, of the networks alone; 0 for unknown
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

// complete fills in the defaults.
func (o *Options) complete() {
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
}

// noise is that of a task's measurements.
func (o *Options) noise(t task.Name) operator.Noise {
	if n := o.Configs[t].Noise; n.Kind != "" {
		return n
	}
	return operator.Noise{Kind: operator.GaussianNoise, Level: o.Sigma}
}

// Run damages pictures, restores them by every method and reports on them, task by task: first the measurement, then
// the methods in their order. As many pictures are restored at the same time as there are processors, or fewer where
// memory is short; that changes no number. A method that a task has no use for (a *solver.Refused) has no result, and
// the report says why. Any other error ends the run; what is finished is in Dir.
func Run(ctx context.Context, m prior.Prior, pics Source, o Options) (*Report, error) {
	o.complete()
	if ctx == nil {
		return nil, errors.New("ctx is nil, want a context such as context.Background()")
	}
	if pics == nil || pics.Len() == 0 {
		return nil, errors.New("no pictures, want at least one")
	}
	from, to, err := o.Shard.bounds(pics.Len())
	if err != nil {
		return nil, err
	}
	e := &run{m: m, o: o, pics: pics, runtime: o.Solve.Runtime}
	for _, name := range o.Tasks {
		t, err := task.FindDrawn(string(name))
		if err != nil {
			return nil, err
		}
		e.tasks = append(e.tasks, t)
	}
	head, err := e.head(from, to)
	if err != nil {
		return nil, err
	}
	if e.cells, err = openCells(o.Dir, o.Shard, head, o.Overwrite); err != nil {
		return nil, err
	}
	defer e.cells.close()
	if err := e.all(ctx, e.jobs(from, to)); err != nil {
		return nil, err
	}
	r, err := report([]*cells{e.cells}, o.Metrics)
	if r != nil && o.Dir != "" {
		r.Dirs = []string{o.Dir}
	}
	return r, err
}

// run is an evaluation under way.
type run struct {
	m     prior.Prior
	o     Options
	pics  Source
	tasks []*task.Task
	cells *cells

	atOnce  int
	alone   bool  // the cell that is measured now is the only one
	memory  int64 // bytes that a cell takes, 0 for unknown
	runtime *psld.Runtime

	mu       sync.Mutex
	done, of int
}

// methods are those of the table's rows.
func (o *Options) methods() []string { return append([]string{Measurement}, o.Methods...) }

// head says which evaluation it is.
func (e *run) head(from, to int) (h Head, err error) {
	x, err := e.pics.At(0)
	if err != nil {
		return h, err
	}
	h = Head{Format: cellsFormat, Tasks: e.o.Tasks, Methods: e.o.methods(), Pictures: e.pics.Len(), From: from, To: to,
		Width: x.W, Height: x.H, Seed: e.o.Seed, Noise: map[task.Name]string{}, Facts: e.o.Facts,
		Damage: map[task.Name]task.Values{}, Parameters: map[task.Name]map[string]param.Values{}}
	for _, m := range e.o.Metrics {
		h.Metrics = append(h.Metrics, m.Info().Name)
		if !metric.Available(m) {
			h.Missing = append(h.Missing, m.Info().Name)
		}
	}
	for _, t := range e.tasks {
		h.Noise[t.Name] = e.o.noise(t.Name).String()
		if v := e.o.Configs[t.Name].Values; len(v) > 0 {
			h.Damage[t.Name] = v
		}
		h.Parameters[t.Name] = map[string]param.Values{}
		for _, name := range e.o.Methods {
			method, err := e.method(t, name, x.H, x.W)
			if err != nil {
				return h, fmt.Errorf("%s, %s: %w", t.Name, name, err)
			}
			refused := (*solver.Refused)(nil) // a cell will say so
			err = solver.Check(e.prior(solver.SpecOf(method).Name), method, e.o.Sigma)
			if err != nil && !errors.As(err, &refused) {
				return h, fmt.Errorf("%s, %s: %w", t.Name, name, err)
			}
			h.Parameters[t.Name][name] = param.ValuesOf(method)
		}
	}
	return h, nil
}

// method is a method with the parameters that it will have on the first picture.
func (e *run) method(t *task.Task, name string, h, w int) (solver.Method, error) {
	d, err := e.damage(t, h, w, e.o.Seed)
	if err != nil {
		return nil, err
	}
	name = e.standsFor(name, d, h, w)
	o, err := e.o.solveOptions(name, e.o.noise(t.Name))
	if err != nil {
		return nil, err
	}
	return psld.Preset(e.prior(name), d, h, w, o)
}

// damage makes up the damage of a picture.
func (e *run) damage(t *task.Task, h, w int, seed uint64) (psld.Damage, error) {
	if config, ok := e.o.Configs[t.Name]; ok {
		return t.DrawDamage(h, w, config.Values, seed)
	}
	return t.FitDamage(h, w, seed)
}

// standsFor is the method itself, or what psld.Auto stands for.
func (e *run) standsFor(method string, d psld.Damage, h, w int) string {
	if method != psld.Auto {
		return method
	}
	name, _ := psld.Best(d, h, w, nil, "")
	name, _ = psld.Best(d, h, w, e.prior(name), "")
	return name
}

// prior is the model of a method.
func (e *run) prior(method string) prior.Prior {
	if m, ok := e.o.Models[method]; ok {
		return m
	}
	return e.m
}

// jobs are the pictures under tasks of which cells are left to measure.
func (e *run) jobs(from, to int) (list []*job) {
	for _, t := range e.tasks {
		for i := from; i < to; i++ {
			j := &job{run: e, task: t, picture: i}
			for _, method := range e.o.methods() {
				e.of++
				if e.cells.has(t.Name, method, i) {
					e.done++
					continue
				}
				j.methods = append(j.methods, method)
			}
			if j.methods != nil {
				list = append(list, j)
			}
		}
	}
	return list
}

// all does the jobs.
func (e *run) all(ctx context.Context, jobs []*job) error {
	if e.o.Plan != nil {
		e.o.Plan(Plan{e.of, e.done, e.cells.void, e.predict(jobs)})
	}
	errs := make([]error, len(jobs))
	ctx, cancel := context.WithCancel(ctx) // the first error stops the others
	defer cancel()
	next := 0
	// The first run of a network is alone and shows what it takes.
	for e.atOnce = 1; next < len(jobs) && e.memory == 0; next++ {
		e.alone = true
		if errs[next] = jobs[next].do(ctx); errs[next] != nil {
			return jobs[next].named(errs[next])
		}
		e.alone = false
		if !jobs[next].needsPrior() {
			next++
			break
		}
	}
	_, available := memstat.System()
	e.atOnce = AtOnce(cpu.Threads(), e.memory, available)
	if e.o.Solve.Runtime == nil {
		e.runtime = &psld.Runtime{Runs: e.atOnce}
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, e.atOnce)
	for i := next; i < len(jobs); i++ {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if errs[i] = jobs[i].do(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	var stopped error
	for i, err := range errs {
		switch {
		case err == nil:
		case errors.Is(err, context.Canceled):
			stopped = err
		default:
			return jobs[i].named(err)
		}
	}
	return stopped
}

// predict is about how long the networks of the jobs take.
func (e *run) predict(jobs []*job) time.Duration {
	speeds, works := map[prior.Prior]float64{}, map[string]float64{}
	var seconds float64
	for _, j := range jobs {
		for _, name := range j.methods {
			key := string(j.task.Name) + " " + name
			if _, ok := works[key]; !ok {
				works[key] = e.seconds(j.task, name, speeds)
			}
			seconds += works[key]
		}
	}
	return time.Duration(seconds * float64(time.Second))
}

// seconds is about how long the networks of a cell take.
func (e *run) seconds(t *task.Task, name string, speeds map[prior.Prior]float64) float64 {
	h := e.cells.head
	if name == Measurement {
		return 0
	}
	method, err := e.method(t, name, h.Height, h.Width)
	if err != nil {
		return 0
	}
	spec := solver.SpecOf(method)
	m := e.prior(spec.Name)
	if !spec.Needs.Prior || m == nil {
		return 0
	}
	work := psld.Work(m, method, psld.Damage{Task: t.Name}, h.Height, h.Width, e.o.Solve)
	if work == 0 {
		return 0
	}
	if speeds[m] == 0 {
		speeds[m] = psld.Speed(m)
	}
	return work / speeds[m]
}

// usesPrior tells that a method runs a network.
func usesPrior(method string) (bool, error) {
	if method == Measurement || method == psld.Auto {
		return method == psld.Auto, nil
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
