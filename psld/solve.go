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
)

// Problem is a measured picture and what is known of its damage.
type Problem struct {
	Damage
	// Measurement is y: any image, or a *picture.Picture where 16 bits or values beyond
	// [-1,1] (noise) matter.
	Measurement image.Image
}

// Options steer Solve. Zero fields take the defaults given. Options are the same after JSON, but for what a run is given
// to call.
type Options struct {
	Method string `json:"method,omitempty"` // a name of solver.Names; "" for psld
	// Params are parameters of the method by name, as in its struct (package param): they win over presets. What is not in
	// it has its preset (see [Preset]).
	Params  param.Values `json:"params,omitempty"`
	Presets *Presets     `json:"presets,omitempty"` // win over the built-in ones; nil for none
	Seed    uint64       `json:"seed"`

	// Reference follows the published code: back "reference", a start from noise, and a sample from
	// the encoder in place of its mean. Params win over it. The code also
	// adds fresh noise to the predicted measurement in every step, of the deviation of
	// the measurement's own noise: loop_noise.
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
	// EstimateNoise). It decides how far the result is moved to the measurement in
	// pixel space at the end, which Raw leaves out.
	Sigma *float64 `json:"sigma,omitempty"`
	Raw   bool     `json:"raw,omitempty"`

	// PasteKnown puts the measured pixels back into the result of an inpainting
	// task and moves the rest to meet them without a seam. Right for pictures
	// without noise.
	PasteKnown bool `json:"paste_known,omitempty"`

	// MaxMemory is the memory in bytes that the process may take, 0 for a default (see solver.Options).
	MaxMemory int64 `json:"max_memory,omitempty"`

	// Keep says where the state of the run is kept on disk, and whether it goes on from there.
	Keep solver.Keep `json:"keep,omitzero"`

	// Runtime is the budget that the run shares with others, nil for that of the process.
	Runtime  *Runtime              `json:"-"`
	Progress func(solver.Progress) `json:"-"`
}

// Runtime is the budget of memory, and the number of runs at the same time, that the runs which are given it share.
type Runtime = solver.Runtime

// Result is a restored picture.
type Result struct {
	Picture *picture.Picture // of the size of the undamaged picture
	Steps   int              // steps done
	RMS     float64          // of A x - y over the measured values, on [-1,1]
	Method  solver.Method    // with all its parameters
}

// MaxPixels is the largest picture that Solve takes on; larger ones would
// take hours.
const MaxPixels = 2 << 20

// Solve restores the measurement of p with the model m, which may be nil for a method that needs none. When ctx ends early
// it returns the best picture so far together with an error that wraps ctx's.
//
// A grey measurement gives a grey result; its alpha is kept where the sizes agree.
func Solve(ctx context.Context, m prior.Prior, p Problem, o Options) (*Result, error) {
	if p.Measurement == nil {
		return nil, errors.New("no measurement to restore")
	}
	y := picture.FromImage(p.Measurement)
	h, w := y.H, y.W
	if p.Task == SR4 {
		h, w = 4*h, 4*w
	}
	if h*w > MaxPixels {
		return nil, fmt.Errorf("a picture of %dx%d pixels has %.1f megapixels, the limit is %.1f: crop it or make it smaller", w, h, float64(h*w)/1e6, MaxPixels/1e6)
	}
	a, err := p.Operator(h, w)
	if err != nil {
		return nil, err
	}
	method, err := Preset(m, p.Task, h, w, o)
	if err != nil {
		return nil, err
	}
	so := solver.Options{Seed: o.Seed, LightCodec: o.LightCodec, MaxMemory: o.MaxMemory, Runtime: o.Runtime, Keep: o.Keep, Progress: o.Progress}
	if so.Conditions, err = prompts(m, o); err != nil {
		return nil, err
	}
	prob := solver.Problem{A: a, Y: append([]float32(nil), y.Pix...)}
	if p.Task.Inpainting() { // whatever stands in the hole was not measured
		a.Apply(prob.Y, y.Pix)
	}
	if strength, ok := param.ValuesOf(method)["strength"].(float64); ok && strength < 1 {
		if so.Start, err = Rough(ctx, p, a); err != nil {
			return nil, err
		}
	}
	res, err := solver.Solve(ctx, m, prob, method, so)
	if res == nil {
		return nil, err
	}
	if err != nil && !errors.Is(err, ctx.Err()) {
		return nil, err
	}
	x := &picture.Picture{W: w, H: h, Pix: res.X, Grey: y.Grey}
	if y.W == w && y.H == h {
		x.Alpha = slices.Clone(y.Alpha)
	}
	switch {
	case o.PasteKnown && p.Task.Inpainting():
		paste(x.Pix, y.Pix, p.Keep, h, w)
	case !o.Raw && !o.Reference:
		sigma, ok := 0.0, true
		if o.Sigma != nil {
			sigma = *o.Sigma
		} else {
			sigma, ok = EstimateNoise(y.Pix, y.H, y.W, p.Keep)
		}
		if ok {
			if e := finish(x.Pix, prob, sigma); e != nil {
				return nil, e
			}
		}
	}
	for i := 0; y.Grey && i < len(x.Pix); i += 3 {
		px := x.Pix[i : i+3]
		v := (px[0] + px[1] + px[2]) / 3
		px[0], px[1], px[2] = v, v, v
	}
	return &Result{Picture: clipped(x), Steps: res.Steps, RMS: res.RMS, Method: method}, err
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

// Rough is a quick restoration to start from, of shape a.In(): missing pixels are
// interpolated smoothly (Laplace's equation); blurred and small pictures are restored with
// total variation; a noisy picture is taken as it is.
func Rough(ctx context.Context, p Problem, a operator.Linear) ([]float32, error) {
	in, y := a.In(), picture.FromImage(p.Measurement).Pix
	switch {
	case p.Task.Inpainting():
		x := make([]float32, in.Len())
		paste(x, y, p.Keep, in.H, in.W)
		return x, nil
	case p.Task == Denoise:
		return y, nil
	}
	return solver.RestoreTV(ctx, a, y, tvWeights[p.Task], 0)
}

// paste puts the known pixels of y into x. At the rim of a hole x and y differ a
// little; the difference is continued into the hole by the smoothest field there
// is (Laplace's equation, as in Poisson image editing, Pérez et al. 2003), so that no
// seam shows.
func paste(x, y []float32, keep []bool, h, w int) {
	d := make([]float32, len(x))
	var mean [3]float64
	known := 0
	for i, k := range keep {
		if k {
			known++
			for c := range 3 {
				d[3*i+c] = y[3*i+c] - x[3*i+c]
				mean[c] += float64(d[3*i+c])
			}
		}
	}
	if known == 0 {
		return
	}
	for i, k := range keep {
		if !k {
			for c := range 3 {
				d[3*i+c] = float32(mean[c] / float64(known))
			}
		}
	}
	// Successive over-relaxation; far from the rim the field may stay approximate.
	relax := float32(2 / (1 + math.Sin(math.Pi/float64(min(64, max(h, w))))))
	for range 200 {
		for i, k := range keep {
			if k {
				continue
			}
			r, col := i/w, i%w
			for c := range 3 {
				var sum float32
				var n float32
				if r > 0 {
					sum, n = sum+d[3*(i-w)+c], n+1
				}
				if r < h-1 {
					sum, n = sum+d[3*(i+w)+c], n+1
				}
				if col > 0 {
					sum, n = sum+d[3*(i-1)+c], n+1
				}
				if col < w-1 {
					sum, n = sum+d[3*(i+1)+c], n+1
				}
				d[3*i+c] += relax * (sum/n - d[3*i+c])
			}
		}
	}
	for i, v := range d {
		x[i] += v
	}
	for i, k := range keep {
		if k {
			copy(x[3*i:][:3], y[3*i:][:3])
		}
	}
}
