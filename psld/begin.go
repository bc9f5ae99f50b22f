package psld

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

// beginning is the run of DiffPIR on the embedded pixel model whose result a method begins from, see solver.DDIM. The
// pixel model errs less, the latent one draws sharper: what PSLD makes of that picture has some of both.
type beginning struct {
	model   prior.Prior
	options Options
	steps   int         // its own
	all     int         // with those of the method
	work    float64     // its multiply-adds
	share   float64     // of the work of both
	keep    solver.Keep // of the method's run
}

// beginsFrom tells whether a method begins from DiffPIR's result.
func beginsFrom(method solver.Method) bool {
	v := param.ValuesOf(method)
	strength, _ := v["strength"].(float64)
	return v["from_diffpir"] == true && strength < 1
}

// beginning readies the run that the method m begins from, nil for none. o has the deviation of the noise.
func (o *Options) beginning(m prior.Prior, method solver.Method, d Damage, h, w int) (*beginning, error) {
	if o.Params["from_diffpir"] == true && param.ValuesOf(method)["from_diffpir"] == true && !beginsFrom(method) {
		return nil, errors.New("from_diffpir with strength 1, which starts from noise: want a strength below 1")
	}
	if !beginsFrom(method) || m == nil {
		return nil, nil
	}
	pixels, err := prior.OpenPixel("", m.Device())
	if err != nil {
		return nil, err
	}
	first := Options{Method: "diffpir", Presets: o.Presets, Seed: o.Seed, Quality: o.Quality, Sigma: o.Sigma, Raw: o.Raw,
		PasteKnown: o.PasteKnown, MaxMemory: o.MaxMemory, Runtime: o.Runtime, Progress: o.Progress, Keep: o.Keep,
		carry: o.carry, facts: o.facts}
	its, err := Preset(pixels, d, h, w, first)
	if err != nil {
		return nil, err
	}
	b := &beginning{model: pixels, options: first, steps: stepsOf(its), share: 0.5, keep: o.Keep,
		work: runMACs(pixels, pixels, its, d.Keep, h, w)}
	b.all = b.steps + stepsOf(method)
	if c, ok := m.(prior.Costed); ok {
		b.share = b.work / (b.work + runMACs(c, m, method, d.Keep, h, w))
	}
	return b, nil
}

// resume decides which of the two runs a state on disk is of: one file has those of both, one after the other. Where
// it is the method's, this run is made again, which gives the same bits.
func (b *beginning) resume() error {
	if !b.keep.Resume {
		return nil
	}
	st, err := solver.ReadState(b.keep.File)
	switch {
	case errors.Is(err, fs.ErrNotExist): // the solver says so
	case err != nil:
		return err
	case slices.Contains(st.Run, solver.Fact{Name: "method", Value: b.options.Method}):
		b.keep.Resume = false
	default:
		b.options.Keep = solver.Keep{}
	}
	return nil
}

// solve runs it before method, on the model m with noise of deviation sigma: what that would refuse is refused now.
// When ctx ends early it returns the best picture so far as well.
func (b *beginning) solve(ctx context.Context, m prior.Prior, method solver.Method, sigma float64, d Damage,
	y *picture.Picture, t *task.Task) (*Result, error) {
	h, w := t.Scale*y.H, t.Scale*y.W
	err := errors.Join(solver.Check(m, method, sigma),
		solver.CheckOnePiece(m, h, w, b.options.MaxMemory, b.options.Runtime))
	if err == nil {
		err = b.resume()
	}
	if err != nil {
		return nil, err
	}
	o := b.options
	if report := o.Progress; report != nil {
		o.Progress = func(p solver.Progress) {
			p.Share = b.share * p.Done()
			p.Loss, p.Measurement, p.Terms = 0, 0, nil // another one than the method's
			p.Steps, p.Timing = b.all, solver.Timing{} // by which nobody shall predict the method's
			report(p)
		}
	}
	return solveWhole(ctx, b.model, d, y, t, o)
}

// stopped keeps the last state of the run, which ended well, where the method's was stopped before its first step; err
// says so.
func (b *beginning) stopped(res *Result, err error) error {
	if b.options.Keep.File == "" {
		return err
	}
	if e := res.state.Write(b.options.Keep.File); e != nil {
		return fmt.Errorf("the state of the run cannot be kept: %w: %w", e, err)
	}
	return err
}

// after is the report of the steps behind it.
func (b *beginning) after(report func(solver.Progress)) func(solver.Progress) {
	if report == nil {
		return nil
	}
	return func(p solver.Progress) {
		p.Share = b.share + (1-b.share)*p.Done()
		p.Step, p.Steps = p.Step+b.steps, p.Steps+b.steps
		report(p)
	}
}
