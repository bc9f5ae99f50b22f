package psld

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"

	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
	"psld/tensor"
)

// Problem is a measured picture and what is known of its damage.
type Problem struct {
	Damage
	// Measurement is y: any image, or a *picture.Picture where 16 bits or values beyond
	// [-1,1] (noise) matter.
	Measurement image.Image
}

// Options steer Solve. Zero fields take the defaults given. Options are the same after JSON, but for what a run is
// given to call.
type Options struct {
	Method string `json:"method,omitempty"` // a name of solver.Names, or Auto; "" for psld
	// Params are parameters of the method by name, as in its struct (package param): they win over presets. What is
	// not in it has its preset (see [Preset]).
	Params  param.Values `json:"params,omitempty"`
	Presets Presets      `json:"presets,omitempty"` // win over the built-in ones
	Seed    uint64       `json:"seed"`

	// Quality is a name of Qualities, "" for the preset as it is: it chooses the method, where that is Auto, and the
	// number of steps. Params win over it.
	Quality string `json:"quality,omitempty"`

	// Reference follows the published code: back "reference", a start from noise, and a sample from
	// the encoder in place of its mean. Params win over it. The code also
	// adds fresh noise to the predicted measurement in every step, of the deviation of
	// the measurement's own noise: loop_noise. For methods of pixels it takes solver.Published, and no presets (see
	// HasReference).
	Reference bool `json:"reference,omitempty"`

	// Prompt describes the picture to a model that knows prompts, Negative what it is not; GuidanceScale is that of
	// classifier-free guidance, 0 for 1 without prompts and 7.5 with. Emphasis: see prior.Generation.
	Prompt        string  `json:"prompt,omitempty"`
	Negative      string  `json:"negative,omitempty"`
	GuidanceScale float64 `json:"guidance_scale,omitempty"`
	Emphasis      bool    `json:"emphasis,omitempty"`

	// LightCodec decodes and encodes by the model's light autoencoder in the steps (see solver.Options).
	LightCodec bool `json:"light_codec,omitempty"`

	// Sigma is the deviation of the measurement's noise on [-1,1]; nil: estimated (see
	// NoiseOf). It decides how far the result is moved to the measurement in
	// pixel space at the end, and how much is allowed for noise of a picture to denoise that was cut off at black and
	// white (see allowForCutOff), which Raw leaves out, both.
	Sigma *float64 `json:"sigma,omitempty"`
	Raw   bool     `json:"raw,omitempty"`

	// PasteKnown puts the measured pixels back into the result of an inpainting
	// task and moves the rest to meet them without a seam. Right for pictures
	// without noise; nil stands for true, as the command's --paste.
	PasteKnown *bool `json:"paste_known,omitempty"`

	// MaxMemory is the memory in bytes that the process may take, 0 for a default (see solver.Options).
	MaxMemory int64 `json:"max_memory,omitempty"`

	// Keep says where the state of the run is kept on disk, and whether it goes on from there.
	Keep solver.Keep `json:"keep,omitzero"`

	// Start, when set, is called for the rough picture of a run that begins from one (strength below 1, see solver.DDIM),
	// in place of the task's own. What it returns is only read.
	Start func(context.Context) ([]float32, error) `json:"-"`

	// Runtime is the budget that the run shares with others, nil for that of the process.
	Runtime  *Runtime              `json:"-"`
	Progress func(solver.Progress) `json:"-"`

	// What the states of a run in windows carry, and what they are told apart by.
	carry map[string]*tensor.Tensor
	facts []solver.Fact
}

// Runtime is the budget of memory, and the number of runs at the same time, that the runs which are given it share.
type Runtime = solver.Runtime

// Result is a restored picture.
type Result struct {
	Picture *picture.Picture // of the size of the undamaged picture
	Steps   int              // steps done
	Begun   int              // steps before them, of the run whose picture it began from (from_diffpir)
	RMS     float64          // of A x - y over the measured values, on [-1,1]; in windows that of the worst one
	Noise   float64          // deviation that the measurement's noise was taken to have; 0 too where nothing tells it
	Method  solver.Method    // with all its parameters
	Windows int              // in which the holes of a large picture were painted, 0 for the whole at once
	Coarse  int              // how often the sides of a large latent were halved, to decode it soon after a stop

	state *solver.State // of its last step
}

// quickFinish is the number of pixels up to which the last step takes no time that anybody notices, on a busy machine
// either.
const quickFinish = 1 << 18

// MaxPixels is the largest picture that Solve takes on. A large one takes long, and some 60 bytes a pixel.
const MaxPixels = 1 << 28

// CheckSize reports a result of h x w pixels that Solve does not take on.
func CheckSize(h, w int) error {
	if h < 1 || w < 1 || h > MaxPixels/w {
		return fmt.Errorf("the result would have %dx%d pixels; the limit is %d megapixels", w, h, MaxPixels/1_000_000)
	}
	return nil
}

// Solve restores the measurement of p with the model m, which may be nil for a method that needs none. When ctx ends
// early it returns the best picture so far together with an error that wraps ctx's; none where the first step of a
// large picture in latents has not ended.
//
// Small holes of a large picture are painted each in a window of its own, where PasteKnown keeps all other pixels.
//
// A grey measurement gives a grey result, one of 16 bits one of 16 bits; its alpha is kept where the sizes agree.
func Solve(ctx context.Context, m prior.Prior, p Problem, o Options) (*Result, error) {
	if err := checkArguments(ctx, m, p.Measurement, o); err != nil {
		return nil, err
	}
	t, err := task.Find(string(p.Task))
	if err != nil {
		return nil, err
	}
	y := picture.FromImage(p.Measurement)
	h, w := t.Scale*y.H, t.Scale*y.W
	if err := CheckSize(h, w); err != nil {
		return nil, err
	}
	o.Method = o.choose(p.Damage, h, w, m)
	if list := o.windows(t, m, p.Keep, h, w); list != nil {
		if _, err := p.Operator(h, w); err != nil {
			return nil, err
		}
		if o.Sigma == nil {
			if sigma, _, ok := NoiseOf(t, y, p.Keep); ok {
				o.Sigma = &sigma
			}
		}
		return solveWindows(ctx, m, p.Damage, y, t, list, o)
	}
	return solveWhole(ctx, m, p.Damage, y, t, o)
}

// pastes tells whether known pixels are put back.
func (o *Options) pastes() bool { return o.PasteKnown == nil || *o.PasteKnown }

// windows are those of a picture whose holes are painted one by one, nil for none.
func (o *Options) windows(t *task.Task, m prior.Prior, keep []bool, h, w int) []window {
	if t.Needs != task.Mask || !o.pastes() || o.Start != nil || len(keep) != h*w {
		return nil
	}
	side := 0
	if _, latent := m.(prior.Codec); latent {
		side = m.Info().TrainSize // it knows nothing of smaller pictures
	}
	return holeWindows(keep, h, w, side)
}

// solveWhole is Solve for a picture in one piece.
func solveWhole(ctx context.Context, m prior.Prior, d Damage, y *picture.Picture, t *task.Task, o Options) (*Result,
	error) {
	h, w := t.Scale*y.H, t.Scale*y.W
	a, err := d.Operator(h, w)
	if err != nil {
		return nil, err
	}
	sigma, sure := o.noise(t, y, d.Keep)
	d.Grey = y.Grey
	withSigma := o
	withSigma.Sigma = &sigma
	method, err := Preset(m, d, h, w, withSigma)
	if err != nil {
		return nil, err
	}
	so := solver.Options{Seed: o.Seed, LightCodec: o.LightCodec, MaxMemory: o.MaxMemory, Runtime: o.Runtime,
		Keep: o.Keep, Progress: o.Progress, Carry: o.carry, Facts: o.facts}
	if so.Conditions, err = prompts(m, o); err != nil {
		return nil, err
	}
	noise := sigma // of y
	prob := solver.Problem{A: a, Y: withoutHoles(task.Measured(y, a), operator.KnownOf(a))}
	measured := prob // without noise in its colours
	if d.Grey && len(prob.Y) == len(y.Pix) && solver.SpecOf(method).Needs.Prior {
		prob.Y = withoutHoles(whitened(prob.Y, sigma, o.Seed), operator.KnownOf(a))
		sigma *= greyNoise
	}
	prob.Sigma = sigma
	begin, err := withSigma.beginning(m, method, d, h, w)
	if err != nil {
		return nil, err
	}
	var first *Result // of the run that it begins from
	switch {
	case begin != nil:
		if first, err = begin.solve(ctx, m, method, sigma, d, y, t); err != nil {
			return first, err
		}
		so.Start, so.Progress, so.Keep = first.Picture.Pix, begin.after(o.Progress), begin.keep
	case o.startsRough(t, method):
		if o.Start == nil {
			o.Start = func(ctx context.Context) ([]float32, error) { return t.Start(ctx, a, slices.Clone(prob.Y), d) }
		}
		if so.Start, err = o.Start(ctx); err != nil {
			return nil, err
		}
	}
	res, err := solver.Solve(ctx, m, prob, method, so)
	switch stopped := err != nil && errors.Is(err, ctx.Err()); {
	case first != nil && stopped && (res == nil || res.Steps == 0):
		return first, begin.stopped(first, err)
	case res == nil, err != nil && !stopped:
		return nil, err
	}
	x := (&picture.Picture{W: w, H: h, Pix: res.X}).As(y)
	x.Grey = y.Grey && a.Out().C != 1
	if y.W == w && y.H == h {
		x.Alpha = slices.Clone(y.Alpha)
	}
	rms := res.RMS
	if x.Grey {
		grey(x.Pix)
		_, square := residual(x.Pix, measured)
		rms = math.Sqrt(square)
	}
	finished := sure && !o.Raw && !o.Reference
	within := ctx
	if err != nil { // a small picture that was stopped is finished, too
		within = context.WithoutCancel(ctx)
	}
	switch {
	case o.pastes() && t.Needs == task.Mask && err != nil && h*w > quickFinish:
		task.PasteSoon(x.Pix, y.Pix, d.Keep, h, w)
	case o.pastes() && t.Needs == task.Mask:
		if e := task.Paste(within, x.Pix, y.Pix, d.Keep, h, w); e != nil {
			task.PasteSoon(x.Pix, y.Pix, d.Keep, h, w)
			err = stoppedBehind(res.State, so.Keep, fmt.Errorf("before the seam was hidden: %w", e))
		}
	case err != nil && h*w > quickFinish: // stopped: who waits shall not wait long
	case finished:
		switch e := finish(within, x.Pix, prob, sigma); {
		case e != nil && ctx.Err() != nil && errors.Is(e, ctx.Err()):
			err = stoppedBehind(res.State, so.Keep, fmt.Errorf("before the result was moved to the measurement: %w", e))
		case e != nil:
			return nil, e
		}
	}
	if x.Grey {
		grey(x.Pix)
	}
	if t.Direct && finished && err == nil {
		allowForCutOff(x.Pix, y.Pix, noise)
	}
	whole := &Result{Picture: clipped(x), Steps: res.Steps, RMS: rms, Noise: noise, Method: method, state: res.State,
		Coarse: res.Coarse}
	if first != nil {
		whole.Begun = first.Steps
	}
	return whole, err
}

// stoppedBehind keeps the state after the last step of a run that ctx ended in what comes after it: a solver keeps
// none of a run that it has done.
func stoppedBehind(last *solver.State, keep solver.Keep, why error) error {
	err := fmt.Errorf("stopped behind the last step, %w", why)
	if keep.File == "" {
		return err
	}
	if e := last.Write(keep.File); e != nil {
		return fmt.Errorf("the state of the run cannot be kept: %w: %w", e, err)
	}
	return err
}

// noise is the deviation of y's noise, as told or estimated; sure is false where there is too little to estimate it
// by.
func (o *Options) noise(t *task.Task, y *picture.Picture, keep []bool) (sigma float64, sure bool) {
	if o.Sigma != nil {
		return *o.Sigma, true
	}
	sigma, _, sure = NoiseOf(t, y, keep)
	return sigma, sure
}

// withoutHoles clears what stands in the holes of y, which was not measured, and returns y.
func withoutHoles(y []float32, known []bool) []float32 {
	for i, k := range known {
		if !k {
			clear(y[3*i : 3*i+3])
		}
	}
	return y
}

// startsRough tells whether a method begins from a rough restoration: where its parameters leave the first part of the
// diffusion out, and where it always does and one is quickly made.
func (o *Options) startsRough(t *task.Task, method solver.Method) bool {
	strength, ok := param.ValuesOf(method)["strength"].(float64)
	return ok && strength < 1 || solver.SpecOf(method).Needs.Start && t.Rough != nil
}

// prompts encodes the prompts.
func prompts(m prior.Prior, o Options) (c prior.Conditions, err error) {
	p, ok := m.(prior.Prompter)
	switch {
	case ok:
		c, _, err = p.Prompts(o.Prompt, o.Negative, o.Emphasis)
	case o.Prompt != "" || o.Negative != "":
		err = errors.New("this model knows no prompts")
	}
	c.Scale = o.GuidanceScale
	switch {
	case c.Scale != 0:
	case o.Prompt == o.Negative:
		c.Scale = 1
	default:
		c.Scale = 7.5
	}
	return c, err
}

func clipped(p *picture.Picture) *picture.Picture {
	for i, v := range p.Pix {
		p.Pix[i] = min(max(v, -1), 1)
	}
	return p
}
