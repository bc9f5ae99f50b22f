package psld

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"

	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/solver/tv"
)

// Problem is a measured picture and what is known of its damage.
type Problem struct {
	Damage
	// Measurement is y: any image, or a *picture.Picture where 16 bits or values beyond
	// [-1,1] (noise) matter.
	Measurement image.Image
}

// Options steer Solve. Zero fields take the task's preset (see [Preset]).
type Options struct {
	Presets      *Presets // win over the built-in ones; nil for none
	Method       string   // "psld", "gmldps" or "ldps"
	Steps        int      // DDIM steps
	Gamma, Omega *float64 // weights of gluing and measurement; nil: preset
	Eta          *float64 // 0 deterministic .. 1; nil: preset
	Squared      bool     // squared norms, the paper's formula, in place of norms, its code's
	Back         string   // how PSLD glues: "adjoint", "pinv" or "reference"; see BackProjection
	Seed         uint64

	// Strength in (0,1] is the share of the diffusion time that is run: below 1 the run
	// starts from a rough restoration (see Rough) in place of noise. nil: preset.
	Strength *float64

	// Reference follows the published code: Back "reference", a start from noise, and a sample from
	// the encoder in place of its mean. Fields that are set win over it. The code also
	// adds fresh noise to the predicted measurement in every step, of the deviation of
	// the measurement's own noise: LoopNoise.
	Reference bool
	LoopNoise float64

	// Prompt describes the picture to a model that knows prompts, Negative what it is not; Guidance is the scale of
	// classifier-free guidance, 0 for 1 without a prompt and 7.5 with one. Emphasis: see prior.Generation.
	Prompt, Negative string
	Guidance         float64
	Emphasis         bool

	// MaxMemory is the memory in bytes that the process may take, 0 for a default (see solver.Options).
	MaxMemory int64

	// Keep says where the state of the run is kept on disk, and whether it goes on from there.
	Keep solver.Keep

	// GuideTAESD decodes and encodes by the model's tiny autoencoder in the steps (see solver.Options).
	GuideTAESD bool

	// GluingEvery k needs the encoder in every k-th step only (see solver.Options); 0: preset.
	GluingEvery int

	// Sigma is the deviation of the measurement's noise on [-1,1]; nil: estimated (see
	// EstimateNoise). It decides how far the result is moved to the measurement in
	// pixel space at the end, which Raw leaves out.
	Sigma *float64
	Raw   bool

	// PasteKnown puts the measured pixels back into the result of an inpainting
	// task and moves the rest to meet them without a seam. Right for pictures
	// without noise.
	PasteKnown bool

	Progress func(solver.Progress)
}

// Result is a restored picture.
type Result struct {
	Picture *picture.Picture // of the size of the undamaged picture
	Steps   int              // steps done
	RMS     float64          // of A x - y over the measured values, on [-1,1]
	Used    solver.Options   // the options with their presets filled in
}

// MaxPixels is the largest picture that Solve takes on; larger ones would
// take hours.
const MaxPixels = 2 << 20

// Solve restores the measurement of p with the model m. When ctx ends early it returns the
// best picture so far together with an error that wraps ctx's.
//
// A grey measurement gives a grey result; its alpha is kept where the sizes agree.
func Solve(ctx context.Context, m *prior.LatentDiffusion, p Problem, o Options) (*Result, error) {
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
	so, back := Preset(m, p.Task, h, w, o)
	so.GuideTAESD, so.MaxMemory, so.Keep = o.GuideTAESD, o.MaxMemory, o.Keep
	if err := prompts(m, &so, o); err != nil {
		return nil, err
	}
	prob := solver.Problem{A: a, Y: append([]float32(nil), y.Pix...)}
	if so.Method == "psld" && so.Gamma > 0 {
		if prob.Back, err = BackProjection(back, a); err != nil {
			return nil, err
		}
	}
	if p.Task.Inpainting() { // whatever stands in the hole was not measured
		a.Apply(prob.Y, y.Pix)
	}
	if so.Strength < 1 {
		if so.Start, err = Rough(ctx, p, a); err != nil {
			return nil, err
		}
	}
	so.Progress = o.Progress
	res, err := solver.Solve(ctx, m, prob, so)
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
	return &Result{Picture: clipped(x), Steps: res.Steps, RMS: res.RMS, Used: so}, err
}

// prompts sets the contexts and the guidance.
func prompts(m *prior.LatentDiffusion, so *solver.Options, o Options) error {
	c, _, err := m.Prompts(o.Prompt, o.Negative, o.Emphasis)
	if err != nil {
		return err
	}
	so.Context, so.Negative, so.Guidance = c.Prompt, c.Negative, o.Guidance
	if so.Guidance == 0 && o.Prompt != o.Negative {
		so.Guidance = 7.5
	}
	return nil
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
	return tv.Solve(ctx, a, y, tv.Options{Lambda: tvWeights[p.Task]})
}

// BackProjection is the map B of the gluing x + B (y - A x):
//
//	"adjoint"    A', as the paper has it
//	"pinv"       (A'A + 0.01)^-1 A', which agrees with the measurement up to its noise
//	"reference"  what the published code uses: the identity, or nearest enlargement
func BackProjection(name string, a operator.Linear) (operator.Linear, error) {
	switch name {
	case "adjoint":
		return operator.Transposed(a), nil
	case "pinv":
		return operator.NewPseudoInverse(a, 0.01, 20)
	case "reference":
		return operator.PublishedTranspose(a), nil
	}
	return nil, fmt.Errorf("unknown back-projection %q, want adjoint, pinv or reference", name)
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
