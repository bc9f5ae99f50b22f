// Package tune looks for the parameters of a restoration on a set of pictures, and measures
// quality against time.
//
// The search is deterministic: a walk along one parameter at a time. For each number of steps, from the
// smallest, it starts at the best setting of the number before (first the task's preset), and tries
// twice and half the strength, omega and gamma in that order, going on in a direction as long as the mean
// PSNR grows, until none of them helps or after three rounds. Of the best it then tries the
// numbers of steps between two gluings. The winner is the setting of least work whose PSNR is
// within a tolerance of the best one found.
package tune

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"psld/psld"
	"psld/psld/eval"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
)

// Result is what a setting is worth.
type Result struct {
	Task psld.Task `json:"task"`
	psld.TaskPreset
	PSNR    float64 `json:"psnr_db"` // means over the pictures
	SSIM    float64 `json:"ssim"`
	Seconds float64 `json:"seconds"`           // of wall clock a picture, several at a time
	CPU     float64 `json:"processor_seconds"` // a picture, all threads together; 0 where the system does not tell
	TFLOP   float64 `json:"tflop"`             // a picture
}

// Search is a search on pictures of one size, each with damage and noise of its own.
type Search struct {
	Model     *prior.LatentDiffusion
	Pictures  []*picture.Picture
	Sigma     float64 // of the measurement's noise on [-1,1]
	Seed      uint64
	Steps     []int         // numbers of steps to try
	Gluing    []int         // numbers of steps from gluing to gluing to try
	Fixed     []string      // parameters that keep the preset's value: strength, omega, gamma
	Tolerance float64       // in dB, see the package's comment
	Budget    time.Duration // after which no new setting is tried; 0 for none

	// Work is the operations of a step with and without gluing.
	Work func(gluing bool) float64
	// Known are results of an earlier search on the same pictures, which are not computed again. Found, when
	// set, is called with each new one, which is added to Known; an error ends the search.
	Known []Result
	Found func(Result) error

	start time.Time
}

// ErrBudget ends a search whose time is over.
var ErrBudget = errors.New("the time is over")

// Parameters are the names that Search.Fixed may have, in the order of the walk.
var Parameters = []string{"strength", "omega", "gamma"}

func parameter(p *psld.TaskPreset, name string) *float64 {
	return map[string]*float64{"strength": &p.Strength, "omega": &p.Omega, "gamma": &p.Gamma}[name]
}

// Preset is what a task starts from. Its gluing is in every step.
func (s *Search) Preset(t psld.Task) psld.TaskPreset {
	m, err := psld.Preset(s.Model, t, s.Pictures[0].H, s.Pictures[0].W, psld.Options{})
	if err != nil {
		panic(err) // psld is there, and its presets are in range
	}
	o := m.(*solver.PSLD)
	return psld.TaskPreset{Steps: o.Steps, Strength: o.Strength, Gamma: o.Gamma, Omega: o.Omega,
		GluingEvery: 1, Back: o.Back}
}

// Task looks for the best parameters of a task; gain is what they have over the preset's PSNR. With an error (such as
// ErrBudget or that of a ctx that has ended) it returns the best so far; Steps is 0 where there is none.
func (s *Search) Task(ctx context.Context, t psld.Task) (best Result, gain float64, err error) {
	if s.start.IsZero() {
		s.start = time.Now()
	}
	preset, err := s.try(ctx, t, s.Preset(t))
	if err != nil {
		return Result{}, 0, err
	}
	seen, from := []Result{preset}, preset
	visit := func(p psld.TaskPreset) (Result, error) {
		r, err := s.try(ctx, t, p)
		if err == nil {
			seen = append(seen, r)
		}
		return r, err
	}
	for _, steps := range slices.Sorted(slices.Values(s.Steps)) {
		p := from.TaskPreset
		p.Steps = steps
		if from, err = visit(p); err != nil {
			break
		}
		if from, err = s.walk(from, visit); err != nil {
			break
		}
		for _, k := range s.Gluing {
			p := from.TaskPreset
			p.GluingEvery = k
			if _, err = visit(p); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	best = cheapest(seen, s.Tolerance)
	return best, best.PSNR - preset.PSNR, err
}

// walk goes from a setting to a better one.
func (s *Search) walk(at Result, visit func(psld.TaskPreset) (Result, error)) (Result, error) {
	const rounds, least = 3, 0.005 // dB, below which nothing counts as better
	for range rounds {
		moved := false
		for _, name := range Parameters {
			if slices.Contains(s.Fixed, name) {
				continue
			}
			for _, factor := range []float64{2, 0.5} {
				for {
					p := at.TaskPreset
					v := parameter(&p, name)
					*v *= factor
					if name == "strength" {
						*v = min(*v, 1)
					}
					if p == at.TaskPreset {
						break
					}
					r, err := visit(p)
					if err != nil {
						return at, err
					}
					if r.PSNR < at.PSNR+least {
						break
					}
					at, moved = r, true
				}
			}
		}
		if !moved {
			break
		}
	}
	return at, nil
}

// cheapest is the result of least work among those within tolerance of the best.
func cheapest(seen []Result, tolerance float64) Result {
	top := slices.MaxFunc(seen, func(a, b Result) int { return compare(a.PSNR, b.PSNR) })
	best := top
	for _, r := range seen {
		if r.PSNR >= top.PSNR-tolerance && (r.TFLOP < best.TFLOP || r.TFLOP == best.TFLOP && r.PSNR > best.PSNR) {
			best = r
		}
	}
	return best
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Curve measures a setting with other numbers of steps and gluings. The result has
// the steps of each gluing in turn; with an error it has those that are done.
func (s *Search) Curve(ctx context.Context, t psld.Task, p psld.TaskPreset) (curve []Result, err error) {
	if s.start.IsZero() {
		s.start = time.Now()
	}
	for _, k := range s.Gluing {
		for _, steps := range slices.Sorted(slices.Values(s.Steps)) {
			p.Steps, p.GluingEvery = steps, k
			r, err := s.try(ctx, t, p)
			if err != nil {
				return curve, err
			}
			if n := len(curve); n == 0 || curve[n-1].TaskPreset != r.TaskPreset { // the strength may have no room for more
				curve = append(curve, r)
			}
		}
	}
	return curve, nil
}

// try measures a setting, or finds it among the known ones.
func (s *Search) try(ctx context.Context, t psld.Task, p psld.TaskPreset) (Result, error) {
	if p.Strength < 1 { // has room for so many steps
		p.Steps = min(p.Steps, max(1, int(p.Strength*1000+0.5)))
	}
	p.GluingEvery = max(1, p.GluingEvery)
	for _, r := range s.Known {
		if r.Task == t && r.TaskPreset == p {
			return r, nil
		}
	}
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	if s.Budget > 0 && time.Since(s.start) > s.Budget {
		return Result{}, ErrBudget
	}
	o := eval.Options{Tasks: []psld.Task{t}, Methods: []string{"psld"}, Sigma: s.Sigma, Seed: s.Seed,
		Solve: psld.Options{Params: param.Values{"steps": p.Steps, "gamma": p.Gamma, "omega": p.Omega,
			"strength":     p.Strength,
			"gluing_every": p.GluingEvery, "back": p.Back}}}
	before := processorTime()
	report, err := eval.Run(ctx, s.Model, eval.List(s.Pictures), o)
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	if err != nil {
		return Result{}, fmt.Errorf("%d steps, strength %g, gamma %g, omega %g: %w", p.Steps, p.Strength,
			p.Gamma, p.Omega, err)
	}
	row := report.Rows[len(report.Rows)-1]
	r := Result{Task: t, TaskPreset: p, PSNR: row.Result("psnr").Mean, SSIM: row.Result("ssim").Mean,
		Seconds: row.Seconds,
		CPU:     (processorTime() - before).Seconds() / float64(len(s.Pictures)), TFLOP: s.work(p) / 1e12}
	s.Known = append(s.Known, r)
	if s.Found != nil {
		err = s.Found(r)
	}
	return r, err
}

// work is the operations of a run.
func (s *Search) work(p psld.TaskPreset) float64 {
	glued := 0
	if p.Gamma > 0 {
		glued = (p.Steps + p.GluingEvery - 1) / p.GluingEvery
	}
	return float64(glued)*s.Work(true) + float64(p.Steps-glued)*s.Work(false)
}
