// Package server is the web application of `psld serve`: a page, an API (openapi.yaml) and a queue of jobs, each a
// picture that is restored. Jobs live in files (store.go) and go on after a restart, to the same bits.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"psld/psld/client"
	"psld/psld/prior"
)

// Model is a model that jobs may name.
type Model struct {
	client.Model
	// Open loads it when the first job wants it. Of the embedded ones pixel says which: what the method prefers.
	Open func(ctx context.Context, pixel bool) (prior.Prior, error)
}

// Sample is a picture to try the program on.
type Sample struct {
	Name, Title string
	Options     client.JobOptions // that restore it
	Data        []byte            // PNG or JPEG
}

// Options steer a server. Zero fields take the defaults given.
type Options struct {
	Data    string  // folder of the jobs, which is made where it is missing
	Models  []Model // at least one; the first one is the default
	Samples []Sample
	Version string

	Queue     int           // jobs that may wait (32)
	MaxUpload int64         // bytes of a request (64 MiB)
	MaxPixels int           // of a result (24 million)
	MaxTime   time.Duration // that a job may take by its prediction (1 hour)
	KeepFor   time.Duration // age at which ended jobs are removed (7 days)
	KeepBytes int64         // of all jobs, above which the oldest ended ones are removed (4 GiB)
	Grace     time.Duration // that the running job gets at the end of the server before it is stopped and kept (10 s)

	Token string   // that requests must bring; "" for none
	Hosts []string // names of this server beside localhost and addresses, against DNS rebinding
	Log   *slog.Logger
}

func (o *Options) setDefaults() error {
	if o.Data == "" || len(o.Models) == 0 {
		return errors.New("a server needs Options.Data, a folder, and Options.Models")
	}
	if o.Queue <= 0 {
		o.Queue = 32
	}
	if o.MaxUpload <= 0 {
		o.MaxUpload = 64 << 20
	}
	if o.MaxPixels <= 0 {
		o.MaxPixels = 24_000_000
	}
	if o.MaxTime <= 0 {
		o.MaxTime = time.Hour
	}
	if o.KeepFor <= 0 {
		o.KeepFor = 7 * 24 * time.Hour
	}
	if o.KeepBytes <= 0 {
		o.KeepBytes = 4 << 30
	}
	if o.Grace <= 0 {
		o.Grace = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, m := range o.Models {
		if m.Name == "" || m.Open == nil {
			return fmt.Errorf("model %q: want a name and a way to open it", m.Name)
		}
	}
	return nil
}

// Server is a running server. Its methods are safe for concurrent use.
type Server struct {
	o       Options
	store   *store
	models  map[string]*model
	metrics *metrics
	decode  chan struct{} // pictures that are decoded at the same time

	mu       sync.Mutex
	jobs     map[string]*job
	queue    []*job // that wait, the next one first
	coming   int    // whose pictures are being received
	kept     int64  // bytes of the pictures of those that wait, see keep
	running  *job
	draining bool
	wake     chan struct{} // for the worker: there is something to do

	stop    context.CancelCauseFunc // of the worker
	stopped chan struct{}           // closed when the worker has ended
	ended   chan struct{}           // closed when the server drains, for streams of events
}

// errDraining is the cause with which the server's end stops a job that will go on.
var errDraining = errors.New("the server is being shut down")

// New opens a server, reads the jobs that its folder holds, and goes on with those that have not ended.
func New(o Options) (*Server, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	st, err := openStore(o.Data)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, store: st, models: map[string]*model{}, metrics: newMetrics(), decode: make(chan struct{}, 2),
		jobs: map[string]*job{}, wake: make(chan struct{}, 1), stopped: make(chan struct{}), ended: make(chan struct{})}
	for _, m := range o.Models {
		if s.models[m.Name] != nil {
			return nil, fmt.Errorf("two models of the name %q", m.Name)
		}
		s.models[m.Name] = &model{Model: m}
	}
	list, err := st.load()
	if err != nil {
		return nil, errors.Join(err, st.close())
	}
	for _, j := range list { // the oldest first
		s.jobs[j.ID] = j
		if !j.State.Ended() {
			j.State = client.Queued
			s.queue = append(s.queue, j)
		}
	}
	s.metrics.watch(s)
	ctx, stop := context.WithCancelCause(context.Background())
	s.stop = stop
	go s.work(ctx)
	s.nudge()
	return s, nil
}

// Close takes no more jobs, waits for the running one for Options.Grace, stops it behind that, with its state on disk,
// and ends. It returns when nothing runs any more, or with ctx.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining {
		s.draining = true
		close(s.ended)
	}
	running := s.running
	s.mu.Unlock()
	if running != nil {
		select {
		case <-running.over:
		case <-time.After(s.o.Grace):
		case <-ctx.Done():
		}
	}
	s.stop(errDraining)
	select {
	case <-s.stopped:
		return s.store.close()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// nudge wakes the worker.
func (s *Server) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// work runs the jobs, one after the other: each of them uses all threads.
func (s *Server) work(ctx context.Context) {
	defer close(s.stopped)
	tidy := time.NewTicker(time.Minute)
	defer tidy.Stop()
	s.tidy(time.Now())
	for ctx.Err() == nil {
		if j := s.next(); j != nil {
			s.run(ctx, j)
			s.tidy(time.Now())
			continue
		}
		select {
		case <-s.wake:
		case <-tidy.C:
			s.tidy(time.Now())
		case <-ctx.Done():
		}
	}
}

// next takes the next job out of the queue, nil where there is none.
func (s *Server) next() *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining || len(s.queue) == 0 {
		return nil
	}
	j := s.queue[0]
	s.queue = s.queue[1:]
	s.running = j
	for _, other := range s.queue {
		other.changed() // its place
	}
	return j
}

// position is the number of jobs before j.
func (s *Server) position(j *job) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.queue {
		if other == j {
			if s.running != nil {
				i++
			}
			return i
		}
	}
	return 0
}

// find is the job of an identifier.
func (s *Server) find(id string) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[id]
}

// errBusy is a queue that is full.
var errBusy = &refusal{http.StatusServiceUnavailable, "the queue is full: try again in a while"}

// reserve keeps a place in the queue for a job that is about to be received, so that no more are received at the same
// time than could wait. It is given up by enqueue, or by calling what it returns.
func (s *Server) reserve() (giveUp func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return nil, &refusal{http.StatusServiceUnavailable, errDraining.Error()}
	case len(s.queue)+s.coming >= s.o.Queue:
		return nil, errBusy
	}
	s.coming++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.coming--
	}), nil
}

// enqueue puts a new job behind the others, in a place that was reserved.
func (s *Server) enqueue(j *job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return &refusal{http.StatusServiceUnavailable, errDraining.Error()}
	}
	s.jobs[j.ID] = j
	s.queue = append(s.queue, j)
	s.nudge()
	return nil
}

// cancel stops a job, keeping what there is of it.
func (s *Server) cancel(j *job) {
	s.mu.Lock()
	for i, other := range s.queue {
		if other == j {
			s.queue = append(s.queue[:i:i], s.queue[i+1:]...)
			s.mu.Unlock()
			s.release(j)
			s.end(j, client.Cancelled, "")
			return
		}
	}
	s.mu.Unlock()
	j.stop()
}

// remove forgets a job and its files. A running one ends first.
func (s *Server) remove(ctx context.Context, j *job) error {
	s.cancel(j)
	select {
	case <-j.over:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	delete(s.jobs, j.ID)
	s.mu.Unlock()
	return s.store.remove(j.ID)
}

// tidy removes ended jobs that are too old, and the oldest ones where all together are too large.
func (s *Server) tidy(now time.Time) {
	s.mu.Lock()
	var old []*job
	for _, j := range s.jobs {
		if finished := j.finished(); !finished.IsZero() {
			old = append(old, j)
		}
	}
	s.mu.Unlock()
	sortByEnd(old)
	total := s.store.bytes()
	for _, j := range old {
		if now.Sub(j.finished()) < s.o.KeepFor && total <= s.o.KeepBytes {
			continue
		}
		total -= s.store.bytesOf(j.ID)
		if err := s.remove(context.Background(), j); err != nil {
			s.o.Log.Error("an old job cannot be removed", "job", short(j.ID), "error", err)
		}
	}
}

// short is the part of an identifier that logs may show: who knows all of it owns the job.
func short(id string) string { return id[:min(6, len(id))] + strings.Repeat(".", 3) }
