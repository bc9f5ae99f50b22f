package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"psld/psld"
	"psld/psld/client"
	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

// model is a model that is opened once it is wanted: two networks where it is the embedded one.
type model struct {
	Model
	mu    sync.Mutex
	open  [2]prior.Prior
	speed [2]float64 // multiply-adds a second
}

// get opens the model; pixel says which of the embedded ones.
func (m *model) get(ctx context.Context, pixel bool) (prior.Prior, float64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := 0
	if pixel {
		i = 1
	}
	if m.open[i] == nil {
		p, err := m.Open(ctx, pixel)
		if err != nil {
			return nil, 0, fmt.Errorf("model %s: %w", m.Name, err)
		}
		m.open[i], m.speed[i] = p, psld.Speed(p)
	}
	return m.open[i], m.speed[i], nil
}

// bound are the model and the method of a job.
type bound struct {
	prior  prior.Prior // nil where the method needs none
	method solver.Method
	work   time.Duration // that a sample takes by prediction, 0 for unknown
}

// bind finds them; d may be without mask and kernel.
func (s *Server) bind(ctx context.Context, m *model, t *task.Task, d psld.Damage, h, w int, o psld.Options) (b bound,
	err error) {
	quality := o.Quality
	if m.Kind != "embedded" {
		quality = ""
	}
	name, _ := psld.Choose(o.Method, d, h, w, m.Kind == "latent", quality)
	spec, err := solver.Lookup(name)
	if err != nil {
		return b, bad("%s", err)
	}
	speed := 0.0
	if spec.Needs.Prior {
		if b.prior, speed, err = m.get(ctx, spec.Needs.PrefersPixels()); err != nil {
			return b, err
		}
	}
	if b.method, err = psld.Preset(b.prior, d, h, w, o); err != nil {
		return b, bad("%s", err)
	}
	sigma := 0.0
	if o.Sigma != nil {
		sigma = *o.Sigma
	}
	if err := solver.Check(b.prior, b.method, sigma); err != nil {
		return b, bad("method %s: %s", solver.SpecOf(b.method).Name, err)
	}
	if _, latent := b.prior.(prior.Codec); latent && solver.SpecOf(b.method).Needs.Pixel {
		return b, bad("method %s needs a model of pixels, which %s is not", solver.SpecOf(b.method).Name, m.Name)
	}
	if speed > 0 {
		b.work = time.Duration(psld.Work(b.prior, b.method, d, h, w, o) / speed * float64(time.Second))
	}
	return b, nil
}

// run restores the samples of a job that are not there yet.
func (s *Server) run(ctx context.Context, j *job) {
	ctx = j.begin(ctx)
	defer j.halt(nil)
	now := time.Now()
	j.update(func() {
		j.State, j.Error = client.Running, ""
		if j.Started == nil {
			j.Started = &now
		}
	})
	s.log(j, "job begins")
	err := s.save(j)
	if err == nil {
		err = s.samples(ctx, j)
	}
	s.mu.Lock()
	s.running = nil
	s.mu.Unlock()
	switch {
	case err == nil:
		s.end(j, client.Done, "")
	case errors.Is(context.Cause(ctx), errDraining): // it goes on when the server is there again
		s.log(j, "job waits for the server's next start")
		close(j.over)
	case errors.Is(err, context.Canceled):
		s.end(j, client.Cancelled, "")
	default:
		s.o.Log.Error("job failed", "job", short(j.ID), "error", err)
		s.end(j, client.Failed, failure(err, s.store.path(j.ID, "")))
	}
}

// failure is an error's text for whoever sent the job: without this server's paths.
func failure(err error, dir string) string {
	var full *fs.PathError
	var link *os.LinkError // of a rename
	switch {
	case errors.As(err, &full):
		return fmt.Sprintf("the result cannot be stored: %v", full.Err)
	case errors.As(err, &link):
		return fmt.Sprintf("the result cannot be stored: %v", link.Err)
	}
	return unnamed(err, dir)
}

// save stores what has become of a job.
func (s *Server) save(j *job) error { return s.store.save(new(copyOf(j))) }

// copyOf is what is stored of a job.
func copyOf(j *job) client.Job {
	c, _ := j.look()
	c.Position, c.SecondsLeft, c.Preview = 0, nil, 0 // made anew by the run
	if !c.State.Ended() {
		c.Loss = nil
	}
	return c
}

// end writes what has become of a job.
func (s *Server) end(j *job, state client.State, text string) {
	now := time.Now()
	expires := now.Add(s.o.KeepFor)
	j.update(func() {
		j.State, j.Error, j.Finished, j.Expires, j.SecondsLeft = state, text, &now, &expires, nil
		j.preview = nil
	})
	if err := s.save(j); err != nil {
		s.o.Log.Error("the end of a job cannot be stored", "job", short(j.ID), "error", err)
		if state != client.Failed {
			j.update(func() { j.Notes = append(j.Notes, "the end of this job could not be stored: the disk may be full") })
		}
	}
	s.metrics.ended(copyOf(j), state)
	s.store.removeStates(j.ID)
	s.log(j, "job ended")
	close(j.over)
}

func (s *Server) log(j *job, text string) {
	c, _ := j.look()
	s.o.Log.Info(text, "job", short(c.ID), "task", c.Options.Task, "state", c.State)
}

// samples restores those that are missing, and the map of their spread.
func (s *Server) samples(ctx context.Context, j *job) (err error) {
	defer func() {
		if r := recover(); r != nil { // a mistake of this program's: the other jobs need not suffer
			s.o.Log.Error("job panicked", "job", short(j.ID), "panic", r, "stack", string(debug.Stack()))
			err = errors.New("this program made a mistake on this job; the server's log has it")
		}
	}()
	path := func(name string) string { return s.store.path(j.ID, name) }
	o := j.Options
	p := s.release(j)
	if p == nil {
		if p, err = s.readProblem(o, path); err != nil {
			return err
		}
	}
	b, err := s.bind(ctx, s.models[o.Model], p.task, p.damage, p.h, p.w, p.options(o, 0))
	if err != nil {
		return err
	}
	j.update(func() {
		j.Method, j.Steps, j.SecondsLeft = psld.DescribeMethod(b.method), 0, nil
		if left := o.Samples - len(j.Results); b.work > 0 { // until the steps tell it better
			seconds := float64(left) * b.work.Seconds()
			j.SecondsLeft = &seconds
		}
	})
	r := &sampler{s: s, j: j, p: p, b: b, path: path}
	for i := range o.Samples {
		if i < len(j.Results) && has(path(resultName(i))) { // before a restart
			continue
		}
		if err := r.sample(ctx, i); err != nil {
			return err
		}
	}
	if o.Samples > 1 {
		return r.spread()
	}
	return nil
}

func resultName(sample int) string { return fmt.Sprintf("result-%d.png", sample) }

// sampler restores the samples of one job.
type sampler struct {
	s    *Server
	j    *job
	p    *problem
	b    bound
	path func(name string) string

	first   int           // step of the sample at which this process began it
	started time.Time     // then
	shown   time.Time     // the last preview
	cost    time.Duration // of it
}

// saveEvery is the time between states on disk. Tests shorten it.
var saveEvery = 4 * time.Second

// previewEvery is the time between previews.
const previewEvery = 1500 * time.Millisecond

func (r *sampler) sample(ctx context.Context, i int) error {
	state := r.path(stateName(i))
	o := r.p.options(r.j.Options, i)
	o.Keep = solver.Keep{File: state, Every: saveEvery, Resume: has(state)}
	o.Progress = func(p solver.Progress) { r.progress(i, p) }
	r.first, r.started = -1, time.Now()
	problem := psld.Problem{Damage: r.p.damage, Measurement: r.p.y}
	res, err := psld.Solve(ctx, r.b.prior, problem, o)
	if err != nil && o.Keep.Resume && ctx.Err() == nil { // a state of another version of this program
		r.s.o.Log.Warn("a state is of no use", "job", short(r.j.ID), "error", err)
		o.Keep.Resume = false
		res, err = psld.Solve(ctx, r.b.prior, problem, o)
	}
	draining := errors.Is(context.Cause(ctx), errDraining)
	if err != nil && (res == nil || draining || res.Steps == 0) {
		return err
	}
	steps := res.Steps + res.Begun
	done := client.Result{Sample: i, Seed: o.Seed, Steps: steps, Partial: err != nil, RMS: res.RMS,
		Seconds: time.Since(r.started).Seconds()}
	settings := fmt.Sprintf("Task: %s, %s, Seed: %d, Model: %s, Size: %dx%d, Version: psld %s", r.p.task.Name,
		psld.MethodSettings(res.Method, steps, steps), o.Seed, r.j.Options.Model, r.p.w, r.p.h, r.s.o.Version)
	if e := picture.Save(r.path(resultName(i)), res.Picture, picture.Text{Key: "parameters", Value: settings},
		r.record(o.Seed).Text()); e != nil {
		return e
	}
	r.j.update(func() {
		r.j.Results = append(r.j.Results, done)
		if doubt := res.Doubt(); doubt != "" && err == nil {
			r.j.Notes = append(r.j.Notes, fmt.Sprintf("sample %d: %s", i+1, doubt))
		}
	})
	if e := r.s.save(r.j); e != nil {
		return e
	}
	if e := os.Remove(state); e != nil && !errors.Is(e, fs.ErrNotExist) {
		return e
	}
	return err
}

// record says how psld restore makes the sample of that seed from the measurement.
func (r *sampler) record(seed uint64) psld.Record {
	o := r.j.Options
	flags := map[string]string{"task": o.Task, "seed": strconv.FormatUint(seed, 10)}
	files := map[string]string{}
	put := func(name, value string, given bool) {
		if given {
			flags[name] = value
		}
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	put("quality", o.Quality, psld.HasQuality(solver.SpecOf(r.b.method)))
	put("method", o.Method, o.Method != psld.Auto)
	put("prompt", o.Prompt, o.Prompt != "")
	put("invert-mask", "true", o.InvertMask)
	put("mask-box", strings.Trim(strings.Join(strings.Fields(fmt.Sprint(o.MaskBox)), ","), "[]"), o.MaskBox != nil)
	put("paste", "false", o.Paste != nil && !*o.Paste)
	latent, ok := r.b.prior.(*prior.LatentDiffusion)
	put("windows", "true", ok && latent.Whole == 0)
	for name, v := range o.Params {
		flags[strings.ReplaceAll(name, "_", "-")] = fmt.Sprint(v)
	}
	switch {
	case o.Sigma != nil:
		flags["sigma"] = number(*o.Sigma)
	case o.Try:
		flags["sigma"] = number(psld.DefaultSigma)
	}
	told, err := blurOf(r.p.task, o)
	for name, v := range told {
		put(name, number(v), err == nil)
	}
	needs := r.p.task.Needs
	if has(r.path("mask")) || o.Try && needs == task.Mask {
		files["mask"] = "mask.png"
	}
	if has(r.path("kernel")) || o.Try && needs == task.Kernel && len(told) == 0 {
		files["kernel"] = "kernel.png"
	}
	if m := r.s.models[o.Model]; m.Kind != "embedded" && solver.SpecOf(r.b.method).Needs.Prior {
		files["model"] = o.Model
	}
	return psld.Record{Command: "restore", Version: r.s.o.Version, Flags: flags, Files: files}
}

// progress shows a step of a sample.
func (r *sampler) progress(sample int, p solver.Progress) {
	if r.first < 0 {
		r.first = p.Step - 1
	}
	r.s.metrics.steps.Inc()
	samples := r.j.Options.Samples
	share := p.Done()
	done := share * float64(p.Step-r.first) / float64(p.Step) // since the start or the resume
	left := time.Since(r.started).Seconds() / done * (float64(samples-sample) - share)
	shot := r.preview(p)
	r.j.update(func() {
		r.j.Step, r.j.Steps, r.j.SecondsLeft = sample*p.Steps+p.Step, samples*p.Steps, &left
		if p.Step == 1 || p.Step == r.first+1 && len(r.j.Loss) > p.Step {
			r.j.Loss = r.j.Loss[:0]
			r.j.curve++
		}
		if loss := float64(p.Loss); p.HasLoss() && !math.IsNaN(loss) && len(r.j.Loss) < 1000 {
			r.j.Loss = append(r.j.Loss, loss)
		}
		if shot != nil {
			r.j.preview = shot
			r.j.Preview++
		}
	})
}

// preview is the picture of a step as JPEG, nil where it is not time for one.
func (r *sampler) preview(p solver.Progress) []byte {
	if time.Since(r.shown) < max(previewEvery, 10*r.cost) || p.Step == p.Steps {
		return nil
	}
	start := time.Now()
	x, err := p.Picture()
	if err != nil {
		return nil
	}
	pic := (&picture.Picture{W: r.p.w, H: r.p.h, Pix: x}).As(r.p.y)
	pic.Meta = picture.Meta{}
	const side = 1024
	if most := max(pic.W, pic.H); most > side {
		pic, err = picture.Resize(pic, max(1, pic.W*side/most), max(1, pic.H*side/most), operator.Area)
	}
	var b bytes.Buffer
	if err != nil || picture.EncodeJPEG(&b, pic) != nil {
		return nil
	}
	r.shown, r.cost = time.Now(), time.Since(start)
	return b.Bytes()
}

// spread writes the deviation of each pixel over the samples: black for none, white for the largest.
func (r *sampler) spread() error {
	n := float64(r.j.Options.Samples)
	sum, squares := make([]float64, 3*r.p.h*r.p.w), make([]float64, 3*r.p.h*r.p.w)
	for i := range r.j.Options.Samples {
		x, err := picture.Load(r.path(resultName(i)))
		if err != nil {
			return err
		}
		for k, v := range x.Pix {
			sum[k] += float64(v)
			squares[k] += float64(v) * float64(v)
		}
	}
	out := picture.New(r.p.w, r.p.h)
	out.Grey = true
	deviations, largest := make([]float64, r.p.h*r.p.w), 0.0
	for k := range sum {
		deviations[k/3] += max(0, squares[k]/n-sum[k]/n*sum[k]/n) / 3
	}
	for i, v := range deviations {
		deviations[i] = math.Sqrt(v)
		largest = max(largest, deviations[i])
	}
	for i, v := range deviations {
		if largest > 0 {
			v /= largest
		}
		for c := range 3 {
			out.Pix[3*i+c] = float32(2*v - 1)
		}
	}
	return picture.Save(r.path("spread.png"), out)
}
