package solver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"psld/internal/memstat"
	"psld/psld/prior"
	"psld/tensor"
)

// drive does the steps of a method: the one loop of this package.
func (r *Run) drive(ctx context.Context, spec Spec, method Method, m Stepper) (*Result, error) {
	now := &State{Steps: m.Len(), Vars: map[string]*tensor.Tensor{}, dev: r.Device()}
	k := &keeper{Keep: r.o.Keep, dev: r.Device()}
	defer r.release()
	defer func() { now.release(r.Device(), nil) }()
	if k.File != "" {
		k.run = r.facts(spec, method)
	}
	from, err := k.resume(now.Steps)
	switch {
	case err != nil:
		return nil, err
	case from != nil:
		now, from.dev = from, r.Device()
	default:
		if err := r.begin(ctx, m, now); err != nil {
			return nil, err
		}
		maps.Copy(now.Vars, r.o.Carry)
		now.Run = k.run
	}
	r.memory.start(r, r.o.MaxMemory)
	defer r.memory.end()
	for first := now.Step; now.Step < now.Steps; {
		if ctx.Err() != nil {
			return r.stopped(m, now, k, ctx.Err())
		}
		next, st, err := r.step(ctx, m, now)
		switch {
		case err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return r.stopped(m, now, k, ctx.Err())
		case errors.Is(err, errNotFinite):
			return nil, r.broken(ctx, m, now, st, k)
		case err != nil:
			return nil, failed(now, k, fmt.Errorf("step %d of %d: %w", now.Step+1, now.Steps, err))
		}
		if now.Step == first {
			if err := r.memory.choose(); err != nil {
				return nil, err
			}
		}
		now.release(r.Device(), next)
		now = next
		if s := r.timing.UNet.Forward; s > 0 {
			r.estimate = s
		}
		p := Progress{Report: st, Step: now.Step, Steps: now.Steps, RMS: now.RMS, Timing: r.timing, State: now}
		p.Kept, p.KeepErr = k.after(*now)
		if r.o.Progress != nil {
			p.Picture = func() ([]float32, error) { return r.preview(m, now) }
			p.Memory, _ = memstat.Process()
			r.o.Progress(p)
		}
	}
	res, err := r.result(m, now)
	if err != nil {
		return nil, failed(now, k, err)
	}
	return res, nil
}

// step returns the state after now. It leaves now as it is, also where ctx ends in the middle.
func (r *Run) step(ctx context.Context, m Stepper, now *State) (_ *State, st Report, err error) {
	defer tensor.Catch(&err)
	r.ctx, r.at = ctx, now.Step
	defer func() { r.ctx = nil }()
	next := *now
	next.Vars = maps.Clone(now.Vars)
	whole := false
	defer func() { // else the state is given up, also where a device has no memory left
		if !whole {
			next.release(r.Device(), now)
		}
	}()
	r.timing = Timing{}
	r.memory.step()
	st, err = m.Step(ctx, &next)
	if err != nil {
		return nil, st, err
	}
	for _, t := range next.Vars {
		if !r.finite(t) {
			return nil, st, errNotFinite
		}
	}
	whole = true
	next.Step++
	if st.Done {
		next.Steps = next.Step
	}
	next.RMS = st.Measurement / math.Sqrt(float64(max(1, r.Measured())))
	return &next, st, nil
}

// longDecoding is the number of pixels from which on who stops a run does not wait for the decoding of a start, in
// which there is nothing to see yet.
const longDecoding = 1 << 20

// stopped is the result of a run that ctx has ended, of which large latents are decoded in a coarser resolution; nil
// before the first step of a large picture in latents.
func (r *Run) stopped(m Stepper, now *State, k *keeper, cause error) (*Result, error) {
	if _, latent := r.Prior.(prior.Codec); latent && now.Step == 0 && r.H*r.W > longDecoding {
		return nil, fmt.Errorf("stopped before the first step: %w", cause)
	}
	r.coarse = prior.Halvings(r.Prior, r.H, r.W, r.estimate)
	defer func() { r.coarse = 0 }()
	res, err := r.result(m, now)
	if err != nil {
		return nil, err
	}
	res.Coarse = r.coarse
	at := fmt.Sprintf("stopped after step %d of %d", now.Step, now.Steps)
	if err := k.keep(*now); err != nil {
		return res, fmt.Errorf("%s; %w: %w", at, err, cause)
	}
	return res, fmt.Errorf("%s: %w", at, cause)
}

// begin sets the state before the first step.
func (r *Run) begin(ctx context.Context, m Stepper, now *State) (err error) {
	defer tensor.Catch(&err)
	r.ctx = ctx
	defer func() { r.ctx = nil }()
	return m.Start(now)
}

// result is what the run gives at a state.
func (r *Run) result(m Stepper, now *State) (_ *Result, err error) {
	defer tensor.Catch(&err)
	x, err := m.Picture(now)
	if err != nil {
		return nil, err
	}
	return &Result{X: x, State: now.onHost(r.Device()), Steps: now.Step, RMS: now.RMS}, nil
}

// preview is the picture at a state, decoded by the light codec where there is one.
func (r *Run) preview(m Stepper, now *State) ([]float32, error) {
	if r.light != nil {
		defer func(full prior.Codec) { r.codec = full }(r.codec)
		r.codec = r.light
	}
	res, err := r.result(m, now)
	if err != nil {
		return nil, err
	}
	return res.X, nil
}

// broken makes the error of the step from the state now, which is kept: what is not finite, and which layer made it.
func (r *Run) broken(ctx context.Context, m Stepper, now *State, st Report, k *keeper) error {
	r.find = r.newFinder()
	defer func() { r.find = nil }()
	again := *now
	again.Vars = maps.Clone(now.Vars)
	_, _ = m.Step(ctx, &again) // the same numbers again
	defer again.release(r.Device(), now)
	what := r.find.found
	for _, name := range slices.Sorted(maps.Keys(again.Vars)) {
		if text := notFinite(r.Device().Host(again.Vars[name])); text != "" && what == "" {
			what = fmt.Sprintf("%s in the update of %s; smaller weights may help", text, name)
		}
	}
	at := fmt.Sprintf("step %d of %d", now.Step+1, now.Steps)
	if st.At != "" {
		at += " (" + st.At + ")"
	}
	return failed(now, k, errors.New(at+": "+what))
}

// failed is the error of what came after the state now, which is kept.
func failed(now *State, k *keeper, cause error) error {
	switch err := k.keep(*now); {
	case err != nil:
		return fmt.Errorf("%w; %w", cause, err)
	case k.File != "" && now.Step > 0:
		return fmt.Errorf("%w; last good state: %s", cause, k.File)
	}
	return cause
}
