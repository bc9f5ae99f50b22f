// Package tune looks for the parameters of a method for a task on a set of pictures, and measures quality against
// time.
//
// The search is successive halving (Jamieson and Talwalkar 2016): the preset and candidates drawn around it are
// measured on a few pictures, the better half of them on twice as many, and so on up to all. It is deterministic: the
// candidates come from the seed. The winner is the candidate of fewest steps whose score is within a tolerance of the
// best one, among those that were measured on all pictures; the preset is always one of them.
package tune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"psld/psld"
	"psld/psld/eval"
	"psld/psld/metric"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

// Result is what parameters are worth.
type Result struct {
	Task     psld.Task    `json:"task"`
	Method   string       `json:"method"`
	Params   param.Values `json:"params"` // on pictures of the search's size
	Pictures int          `json:"pictures"`
	Score    float64      `json:"score"`   // mean of the metric over the pictures
	Seconds  float64      `json:"seconds"` // of wall clock a picture, see eval.Row
}

// Normal gives the parameters of a result that comes from a file the types that the method has.
func (r *Result) Normal() error {
	spec, err := solver.Lookup(r.Method)
	if err != nil {
		return err
	}
	m := spec.Default()
	if err := r.Params.Apply(m); err != nil {
		return fmt.Errorf("%s: %w", r.Method, err)
	}
	r.Params = param.ValuesOf(m)
	return nil
}

// Parameters are those that are varied where nothing else is said, by name.
var Parameters = []string{"gamma", "omega", "eta", "steps", "zeta", "rho", "lambda"}

// Search is a search on pictures of one size, each with damage and noise of its own.
type Search struct {
	Model      prior.Prior // nil for methods that need none
	Pictures   []*picture.Picture
	Sigma      float64 // of the measurement's noise on [-1,1]
	Seed       uint64
	Metric     metric.Metric // of single pictures; nil for PSNR
	Vary       []string      // parameters; those that a method has not are left out. nil for Parameters
	Candidates int           // beside the preset
	Tolerance  float64       // of the score, see the package's comment
	Budget     time.Duration // after which nothing new is measured; 0 for none

	// Known are results of an earlier search on the same pictures, which are not measured again. Found, when set, is
	// called with each new one, which is added to Known; an error ends the search.
	Known []Result
	Found func(Result) error

	start time.Time
}

// ErrBudget ends a search whose time is over.
var ErrBudget = errors.New("the time is over")

// Task looks for the best parameters of a method for a task; preset is what the task's preset is worth on all
// pictures. With an error, such as ErrBudget or that of a ctx that has ended, there is no result.
func (s *Search) Task(ctx context.Context, t psld.Task, method string) (best, preset Result, err error) {
	if s.start.IsZero() {
		s.start = time.Now()
	}
	if len(s.Pictures) == 0 {
		return best, preset, errors.New("no pictures, want at least one")
	}
	own, err := s.Preset(t, method)
	if err != nil {
		return best, preset, err
	}
	field := append([]param.Values{own}, s.candidates(t, method, own)...)
	n := max(1, len(s.Pictures)/4)
	for {
		results := make([]Result, len(field))
		for i, v := range field {
			if results[i], err = s.try(ctx, t, method, v, n); err != nil {
				return best, preset, err
			}
		}
		preset = results[0] // it stays the first
		others := results[1:]
		slices.SortStableFunc(others, func(a, b Result) int { return -cmp.Compare(s.good(a), s.good(b)) })
		if n == len(s.Pictures) {
			return s.cheapest(results), preset, nil
		}
		field = []param.Values{own}
		for _, r := range others[:(len(others)+1)/2] {
			field = append(field, r.Params)
		}
		n = min(2*n, len(s.Pictures))
	}
}

// metric is that of the scores.
func (s *Search) metric() metric.Metric {
	if s.Metric == nil {
		return metric.Default()[0]
	}
	return s.Metric
}

// good is the score with the better end up.
func (s *Search) good(r Result) float64 {
	if s.metric().Info().Higher {
		return r.Score
	}
	return -r.Score
}

// Preset are the parameters that a task starts from, on pictures of the search's size.
func (s *Search) Preset(t psld.Task, method string) (param.Values, error) {
	x := s.Pictures[0]
	d, err := task.Must(t).FitDamage(x.H, x.W, s.Seed)
	if err != nil {
		return nil, err
	}
	m, err := psld.Preset(s.Model, d, x.H, x.W, psld.Options{Method: method, Sigma: &s.Sigma})
	if err != nil {
		return nil, err
	}
	return param.ValuesOf(m), nil
}

// candidates are drawn around the preset: numbers of a limited range anywhere in it or up to the double, all others
// from a quarter to four times, whole ones from half to twice. What is 0 without such a range stays.
func (s *Search) candidates(t psld.Task, method string, preset param.Values) (list []param.Values) {
	spec, err := solver.Lookup(method)
	if err != nil {
		return nil
	}
	vary := s.Vary
	if vary == nil {
		vary = Parameters
	}
	name := fnv.New64a()                              // each task and method has numbers of its own
	_, _ = io.WriteString(name, string(t)+" "+method) // never fails
	rng := rand.New(rand.NewPCG(s.Seed, name.Sum64()))
	for range s.Candidates {
		v := maps.Clone(preset)
		for _, f := range param.Fields(spec.New()) {
			if !slices.Contains(vary, f.Name) {
				continue
			}
			u := rng.Float64()
			switch x := v[f.Name].(type) {
			case int:
				v[f.Name] = int(min(max(math.Round(float64(x)*math.Exp2(2*u-1)), f.Min, 1), f.Max))
			case float64:
				if math.IsInf(f.Max, 1) {
					v[f.Name] = round(x * math.Exp2(4*u-2))
				} else {
					v[f.Name] = round(f.Min + (f.Max-f.Min)*u)
				}
			}
		}
		if s.takes(spec, v) {
			list = append(list, v)
		}
	}
	return list
}

// takes tells whether the values are in range, and not at odds with each other.
func (s *Search) takes(spec solver.Spec, v param.Values) bool {
	method := spec.Default()
	return v.Apply(method) == nil && solver.Check(s.Model, method, s.Sigma) == nil
}

// round keeps three digits, for files that people read.
func round(v float64) float64 {
	if v == 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-2)
	r := math.Round(v/unit) * unit
	return math.Round(r*1e9) / 1e9
}

// cheapest is the result of fewest steps among those within the tolerance of the best.
func (s *Search) cheapest(results []Result) Result {
	top := results[0]
	for _, r := range results {
		if s.good(r) > s.good(top) {
			top = r
		}
	}
	best := top
	for _, r := range results {
		if s.good(r) < s.good(top)-s.Tolerance {
			continue
		}
		if n := steps(r); n < steps(best) || n == steps(best) && s.good(r) > s.good(best) {
			best = r
		}
	}
	return best
}

// steps is what the time of a method grows with, and, unlike time, the same in each run.
func steps(r Result) int {
	_, n := r.Params.Steps()
	return n
}

// Curve measures a method with other numbers of steps. With an error it has those that are done.
func (s *Search) Curve(ctx context.Context, t psld.Task, method string, v param.Values, steps []int) (curve []Result,
	err error) {
	if s.start.IsZero() {
		s.start = time.Now()
	}
	name, _ := v.Steps()
	for _, n := range slices.Sorted(slices.Values(steps)) {
		w := maps.Clone(v)
		w[name] = n
		if fits, ok := w["fits"].(int); ok {
			w["fits"] = min(fits, n)
		}
		r, err := s.try(ctx, t, method, w, len(s.Pictures))
		if err != nil {
			return curve, err
		}
		curve = append(curve, r)
	}
	return curve, nil
}

// try measures parameters on the first n pictures, or finds them among the known ones.
func (s *Search) try(ctx context.Context, t psld.Task, method string, v param.Values, n int) (Result, error) {
	for _, r := range s.Known {
		if r.Task == t && r.Method == method && r.Pictures == n && reflect.DeepEqual(r.Params, v) {
			return r, nil
		}
	}
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	if s.Budget > 0 && time.Since(s.start) > s.Budget {
		return Result{}, ErrBudget
	}
	report, err := eval.Run(ctx, s.Model, eval.List(s.Pictures[:n]), eval.Options{Tasks: []psld.Task{t},
		Methods: []string{method}, Metrics: []metric.Metric{s.metric()}, Sigma: s.Sigma, Seed: s.Seed,
		Solve: psld.Options{Params: v}})
	if err != nil && ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	if err != nil {
		return Result{}, fmt.Errorf("%s, %s: %w", method, psld.Words(method, v), err)
	}
	row := report.Rows[len(report.Rows)-1]
	if row.Refused != "" {
		return Result{}, &solver.Refused{Reason: row.Refused}
	}
	r := Result{Task: t, Method: method, Params: v, Pictures: n, Score: row.Results[0].Mean, Seconds: row.Seconds}
	s.Known = append(s.Known, r)
	if s.Found != nil {
		err = s.Found(r)
	}
	return r, err
}
