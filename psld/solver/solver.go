// Package solver holds the methods that sample a picture x from a measurement
// y = A x + noise and a prior. One file per method family; each is registered in Methods.
package solver

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"psld/psld/operator"
	"psld/psld/prior"
	"psld/tensor"
)

// Problem is what is known of the picture: y = A x + noise.
type Problem struct {
	A operator.Linear // A.In() is the picture's size, 3 channels
	Y []float32       // the measurement, of shape A.Out(), on the scale of pictures in [-1,1]
	// Back is the map B from measurements to pictures that glues a picture to its
	// measurement, x + B (y - A x): A' in the paper. nil stands for A'.
	Back operator.Linear
}

// Measured is the number of values that the measurement really holds; in a hole it holds none.
func (p Problem) Measured() int { return operator.MeasuredOf(p.A) }

// Options steer a solver. The zero value of a number means 0, not a default; Steps must be set.
type Options struct {
	Method       string  // a name of Methods, default "psld"
	Steps        int     // DDIM steps, 1 to 1000
	Eta          float64 // 0 deterministic DDIM .. 1
	Gamma, Omega float64 // weights of the gluing and of the measurement term, both >= 0
	Squared      bool    // squared norms (the paper's formula) in place of norms (its code)
	Seed         uint64  // of every random number

	// Start, when set, is a rough picture of shape A.In() to begin from: the run leaves
	// out the earliest times and starts from Start's latent with the noise of that
	// time ("come closer, diffuse faster", Chung et al. 2022). Strength in (0,1] is the share of
	// the diffusion time that is left; all Steps lie in it. Without Start it has no effect.
	Start    []float32
	Strength float64

	// Context [1,L,D] of the prompt, nil: the empty prompt. Negative is the other side
	// of classifier-free guidance of the given scale; guidance is left out where it
	// changes nothing, i.e. scale 1 or equal contexts.
	Context, Negative *tensor.Tensor
	Guidance          float64

	// GuideTAESD decodes and encodes by the model's tiny autoencoder in the steps: less work, rougher
	// gradients. The result is decoded by the full one.
	GuideTAESD bool

	// MaxMemory is the memory in bytes that the process may take (resident, with the weights). The first step keeps as
	// little as it can; the others keep activations for the gradient up to it, in place of computing them
	// again. 0 is no such limit. GOMEMLIMIT is a second one, and three quarters of what the machine had available at the start, where it
	// tells, a third: the lowest one counts. A step that needs more than the first two is an error. Small models on small
	// pictures keep everything where neither is set.
	MaxMemory int64

	// GluingEvery k does the gluing in every k-th step only, the first one included, k times as strong: the
	// others need no encoder. 0 and 1: in all steps.
	GluingEvery int

	// SampleEncoder draws from the encoder's posterior, as the published code does,
	// in place of taking its mean. LoopNoise is the deviation of the fresh noise
	// that the published code adds to the predicted measurement in every step.
	SampleEncoder bool
	LoopNoise     float64

	// Keep says where the state of the run is kept on disk, and whether it goes on from there.
	Keep Keep

	// Progress, when set, is called after every step.
	Progress func(Progress)
	// Noise, when set, replaces the random generator: kind is "start", "ddim",
	// "measurement" or "encoder", n the number of values in the order [H,W,C].
	Noise func(kind string, step, n int) []float32
}

// Progress is the state after a step.
type Progress struct {
	Step, Steps   int
	Measurement   float64 // |A D(z0) - y|
	Gluing        float64 // |E(...) - z0|, 0 where the method has no such term
	Loss          float64
	RMS           float64 // Measurement / sqrt(number of measured values): the noise level when the picture fits
	Timing        Timing
	Memory        int64     // resident bytes of the process, 0 for unknown
	Kept          bool      // the state after the step is on disk (see Keep)
	KeepErr       error     // why it is not, though it was time to; the run goes on
	Latent        []float32 // z after the step; read only
	Z0, Eps, Grad []float32 // of the step; read only
}

// Result is a restored picture.
type Result struct {
	X      []float32 // [H,W,3], about [-1,1], not clamped
	H, W   int
	Latent *tensor.Tensor // the latent that X is decoded from
	Steps  int            // steps done, with those before a resume
	RMS    float64        // of the last step
}

// Method runs one solver. On cancellation it returns the best picture so far with ctx's error.
type Method func(ctx context.Context, m *prior.LatentDiffusion, p Problem, o Options) (*Result, error)

// Methods are the solvers by name.
var Methods = map[string]Method{
	"psld":   latentMethod(glued),
	"gmldps": latentMethod(unglued),
	"ldps":   latentMethod(none),
}

// Names lists the methods.
func Names() []string {
	var names []string
	for n := range Methods {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Solve runs the method that o names.
func Solve(ctx context.Context, m *prior.LatentDiffusion, p Problem, o Options) (*Result, error) {
	if o.Method == "" {
		o.Method = "psld"
	}
	f := Methods[o.Method]
	if f == nil {
		return nil, fmt.Errorf("unknown method %q, want one of %s", o.Method, strings.Join(Names(), ", "))
	}
	in, out := p.A.In(), p.A.Out()
	switch {
	case in.C != 3:
		return nil, fmt.Errorf("operator works on %d channels, want 3", in.C)
	case len(p.Y) != out.Len():
		return nil, fmt.Errorf("measurement has %d values, the operator gives %v", len(p.Y), out)
	case p.Back != nil && (p.Back.In() != out || p.Back.Out() != in):
		return nil, fmt.Errorf("back-projection maps %v to %v, want %v to %v", p.Back.In(), p.Back.Out(), out, in)
	case o.Start != nil && len(o.Start) != in.Len():
		return nil, fmt.Errorf("start picture has %d values, want %v", len(o.Start), in)
	case (o.Start != nil || o.Strength != 0) && !(o.Strength > 0 && o.Strength <= 1):
		return nil, fmt.Errorf("strength %v, want more than 0 and at most 1", o.Strength)
	case o.Gamma < 0 || o.Omega < 0 || math.IsNaN(o.Gamma+o.Omega) || math.IsInf(o.Gamma+o.Omega, 0):
		return nil, fmt.Errorf("gamma %v and omega %v must be finite and not negative", o.Gamma, o.Omega)
	case o.GluingEvery < 0:
		return nil, fmt.Errorf("gluing every %d steps, want at least 1", o.GluingEvery)
	}
	switch tiny := m.TAESD; {
	case !o.GuideTAESD:
	case tiny == nil:
		return nil, fmt.Errorf("no tiny autoencoder to guide by: the model was opened without one")
	case o.Gamma > 0 && !tiny.HasEncoder():
		return nil, fmt.Errorf("the tiny autoencoder has no encoder, which gamma %v needs", o.Gamma)
	}
	for i, v := range p.Y {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("measurement value %d is %v", i, v)
		}
	}
	if p.Back == nil {
		p.Back = operator.Transposed(p.A)
	}
	if o.Noise == nil {
		o.Noise = generator(o.Seed)
	}
	return f(ctx, m, p, o)
}

// generator draws standard normal numbers; each (kind, step) has a stream of its own, so
// that no draw depends on which others were made.
func generator(seed uint64) func(kind string, step, n int) []float32 {
	return func(kind string, step, n int) []float32 {
		r := rand.New(rand.NewPCG(seed, uint64(step)<<8|uint64(kind[0])))
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(r.NormFloat64())
		}
		return out
	}
}
