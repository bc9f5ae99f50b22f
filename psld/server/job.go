package server

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"slices"
	"strings"
	"sync"
	"time"

	"psld/psld/client"
)

// job is a job and who looks on.
type job struct {
	mu         sync.Mutex
	client.Job // under mu; ID and Options never change
	cancelled  bool
	halt       context.CancelCauseFunc // of the run, nil while it waits
	problem    *problem                // as it was handed in, nil where the run is to read it; under Server.mu
	curve      int                     // counts the samples whose losses Loss has been, so that events can tell
	news       chan struct{}           // closed and replaced at every change
	preview    []byte                  // JPEG
	over       chan struct{}           // closed when it has ended, or was given back to the queue's files
}

func newJob(j client.Job) *job {
	if j.Loss == nil {
		j.Loss = []float64{}
	}
	if j.Results == nil {
		j.Results = []client.Result{}
	}
	n := &job{Job: j, news: make(chan struct{}), over: make(chan struct{})}
	if j.State.Ended() {
		close(n.over)
	}
	return n
}

// newID draws 128 bits.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// isID tells whether a text has the form of newID's, and is safe as a file's name.
func isID(s string) bool {
	return len(s) == 26 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// update changes the job and tells those who look on.
func (j *job) update(change func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change()
	close(j.news)
	j.news = make(chan struct{})
}

func (j *job) changed() { j.update(func() {}) }

// look is a copy of the job, and a channel that closes at the next change.
func (j *job) look() (client.Job, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.Job
	c.Loss, c.Results, c.Notes = slices.Clone(c.Loss), slices.Clone(c.Results), slices.Clone(c.Notes)
	return c, j.news
}

// heard is how much of a job's losses an observer has got.
type heard struct{ curve, n int }

// since is look with those losses alone that the observer has not got.
func (j *job) since(had *heard) (client.Job, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.Job
	if had.curve == j.curve && had.n <= len(c.Loss) {
		c.LossFrom = had.n
	}
	*had = heard{j.curve, len(c.Loss)}
	c.Loss, c.Results, c.Notes = slices.Clone(c.Loss[c.LossFrom:]), slices.Clone(c.Results), slices.Clone(c.Notes)
	return c, j.news
}

// stop ends the run that is under way, or the one that begins next.
func (j *job) stop() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cancelled = true
	if j.halt != nil {
		j.halt(context.Canceled)
	}
}

// begin makes the context of a run.
func (j *job) begin(ctx context.Context) context.Context {
	j.mu.Lock()
	defer j.mu.Unlock()
	ctx, j.halt = context.WithCancelCause(ctx)
	if j.cancelled {
		j.halt(context.Canceled)
	}
	return ctx
}

// finished is when the job ended, zero where it has not.
func (j *job) finished() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.State.Ended() && j.Finished != nil {
		return *j.Finished
	}
	return time.Time{}
}

// sortByEnd puts those that ended first to the front.
func sortByEnd(jobs []*job) {
	slices.SortFunc(jobs, func(a, b *job) int { return a.finished().Compare(b.finished()) })
}
