// Package solver holds the methods that restore a picture x from a measurement y = A x + noise, most of them by a
// prior.
//
// A method is a file that holds its parameters and its loss or its update (psld.go, tv.go); Solve drives any of them:
// steps, progress, states kept on disk, cancelling, the search for numbers that are not finite, memory, times. It is
// registered by a line in the list of method.go, or from outside by Register.
package solver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"

	"psld/psld/operator"
	"psld/psld/prior"
	"psld/tensor"
)

// Problem is what is known of the picture: y = A x + noise.
type Problem struct {
	A operator.Linear // A.In() is the picture's size; methods with a prior want 3 channels
	Y []float32       // the measurement, of shape A.Out(), on the scale of pictures in [-1,1]
	// Sigma is the deviation of the measurement's noise on that scale, at least 0, for methods that want to know it.
	Sigma float64
}

// Measured is the number of values that the measurement really holds; in a hole it holds none.
func (p Problem) Measured() int { return operator.MeasuredOf(p.A) }

// Options steer a run of any method.
type Options struct {
	Seed uint64 // of every random number

	// Start, when set, is a rough picture of shape A.In() for methods that can begin from one.
	Start []float32

	// Conditions are the prompts, and the guidance away from the negative one.
	Conditions prior.Conditions

	// LightCodec decodes and encodes by the prior's light codec in the steps: less work, rougher gradients. The
	// result is decoded by the full one.
	LightCodec bool

	// MaxMemory is the memory in bytes that the process may take (resident, with the weights). The first step keeps as
	// little as it can; the others keep activations for the gradient up to it, in place of computing them
	// again. 0 is no such limit. GOMEMLIMIT is a second one, and three quarters of what the machine had available at
	// the start, where it tells, a third: the lowest one counts. A step that needs more than the first two is an
	// error. Small models on small pictures keep everything where neither is set.
	MaxMemory int64

	// Runtime is the budget that the run shares with others, nil for that of the process (see [Runtime]).
	Runtime *Runtime

	// Keep says where the state of the run is kept on disk, and whether it goes on from there.
	Keep Keep

	// Carry are variables that the states carry along beside the method's own, under other names, and Facts what such
	// a run depends on beside what it knows by itself.
	Carry map[string]*tensor.Tensor
	Facts []Fact

	// Progress, when set, is called after every step. Inner asks for Report.Inner, which takes copies.
	Progress func(Progress)
	Inner    bool

	// noise, when set, replaces the random generator: see Run.Noise.
	noise func(stream string, step, n int) []float32
}

// Progress is the state after a step.
type Progress struct {
	Report
	Step, Steps int
	RMS         float64 // Measurement / sqrt(number of measured values): the noise level when the picture fits
	Timing      Timing
	Memory      int64  // resident bytes of the process, 0 for unknown
	Kept        bool   // the state after the step is on disk (see Keep)
	KeepErr     error  // why it is not, though it was time to; the run goes on
	State       *State // read only, by State.Host, until Progress returns: its memory is used again
	// Picture is what the result would be if the run stopped here, of shape A.In(). It decodes the state, at the
	// work of a decoding, by the prior's light codec where it has one, and must be called before Progress returns.
	Picture func() ([]float32, error)
}

// Done is the part of the work that is done, 0 to 1.
func (p Progress) Done() float64 {
	if p.Share > 0 {
		return p.Share
	}
	return float64(p.Step) / float64(p.Steps)
}

// Result is a restored picture.
type Result struct {
	X     []float32 // of shape A.In(), about [-1,1], not clamped
	State *State    // that X is made of, in host memory; it knows its run where Options.Keep has a file
	Steps int       // steps done, with those before a resume
	RMS   float64   // of the last step
	// Coarse is how often the sides of the state were halved for X, since nobody waits for a large one after a stop.
	Coarse int
}

// Solve runs a method on a problem; m may be nil for methods that need no prior. When ctx ends early it returns the
// best picture so far together with an error that wraps ctx's; no picture where the first step of a large one in
// latents has not ended.
func Solve(ctx context.Context, m prior.Prior, p Problem, method Method, o Options) (*Result, error) {
	switch {
	case ctx == nil:
		return nil, errors.New("ctx is nil, want a context such as context.Background()")
	case isNil(p.A):
		return nil, errors.New("Problem.A is nil, want the operator of the damage")
	}
	if v, ok := m.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, fmt.Errorf("the model m: %w", err)
		}
	}
	if err := checkProblem(p, m); err != nil {
		return nil, err
	}
	if err := Check(m, method, p.Sigma); err != nil {
		return nil, err
	}
	spec := SpecOf(method)
	in := p.A.In()
	switch {
	case m == nil && spec.Needs.Prior:
		return nil, fmt.Errorf("method %s needs a model", spec.Name)
	case o.Conditions.Scale == 0 && o.Conditions.Prompt != nil:
		return nil, fmt.Errorf("guidance scale 0 would leave the prompt out, want 1 for no guidance, or more")
	case o.Start != nil && len(o.Start) != in.Len():
		return nil, fmt.Errorf("start picture has %d values, want %v", len(o.Start), in)
	}
	if err := spec.refuse(m, p.A); err != nil {
		return nil, err
	}
	if spec.Needs.Prior {
		h, w := Seen(method, m, operator.MaskOf(p.A), in.H, in.W)
		if err := CheckOnePiece(m, h, w, o.MaxMemory, o.Runtime); err != nil {
			return nil, err
		}
	}
	m, err := show(m, p)
	if err != nil {
		return nil, err
	}
	r := newRun(m, p, o)
	if o.LightCodec && r.light == nil {
		return nil, fmt.Errorf("no light autoencoder for the steps: the model was opened without one")
	}
	leave, err := r.budget().enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("stopped before the first step: %w", err)
	}
	defer leave()
	s, err := method.Bind(r)
	if err != nil {
		return nil, err
	}
	return r.drive(ctx, spec, method, s)
}

// Refused says that a method cannot run on a prior or an operator, and what would work.
type Refused struct{ Reason string }

// Error implements error.
func (e *Refused) Error() string { return e.Reason }

// refuse is a [*Refused] for a prior or an operator that the method has no use for.
func (s Spec) refuse(m prior.Prior, a operator.Linear) error {
	if s.Needs.Prior {
		if err := refusePainter(m, a); err != nil {
			return err
		}
	}
	if s.Needs.Pixel {
		if _, latent := m.(prior.Codec); latent {
			return &Refused{fmt.Sprintf("method %s works on pixels, and the model %q on latents: "+
				"take a pixel model, or method ldps, psld or diffpir", s.Name, m.Info().Name)}
		}
	}
	if s.Needs.Mask && operator.MaskOf(a) == nil {
		return &Refused{fmt.Sprintf("method %s fills holes, and this damage has none: take method diffpir or psld", s.Name)}
	}
	if s.Needs.SVD && operator.SVDOf(a) == nil {
		return &Refused{fmt.Sprintf("method %s needs the singular vectors of the damage, which this one has not (a kernel "+
			"that is not separable, or a side over 512 pixels): take method diffpir, dps or tv", s.Name)}
	}
	return nil
}

func checkProblem(p Problem, m prior.Prior) error {
	in, out := p.A.In(), p.A.Out()
	switch {
	case !(p.Sigma >= 0) || math.IsInf(p.Sigma, 0):
		return fmt.Errorf("noise deviation %v, want a number of at least 0", p.Sigma)
	case m != nil && in.C != 3:
		return fmt.Errorf("operator works on %d channels, want 3", in.C)
	case len(p.Y) != out.Len():
		return fmt.Errorf("measurement has %d values, the operator gives %v (%d)", len(p.Y), out, out.Len())
	}
	for i, v := range p.Y {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("measurement value %d is %v", i, v)
		}
	}
	return nil
}

// isNil tells nothing, and a nil pointer, inside an interface.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return v == nil || r.Kind() == reflect.Pointer && r.IsNil()
}
