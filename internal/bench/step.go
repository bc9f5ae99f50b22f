package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"psld/asm"
	"psld/autograd"
	"psld/internal/memstat"
	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/tensor/devices"
)

// StepOptions says which step to measure.
type StepOptions struct {
	Model     *prior.LatentDiffusion
	DType     string // of products: a precision of devices.Backends; the model was loaded for it
	Size      int    // pixels a side
	Steps     int    // timed ones, after one that is not
	Batch     int    // pictures that are solved at the same time; 0 for 1
	MaxMemory int64  // see solver.Options
	// Progress is called after each step of the first picture: 0 is the one that is not timed.
	Progress func(step int, seconds float64)
}

// StepResult is the time of a PSLD step in seconds, medians of the timed ones; the parts are those of the first
// picture of a batch. Parts are forward plus backward.
type StepResult struct {
	Seconds  float64 `json:"seconds"`
	UNet     float64 `json:"unet_s"`
	Decoder  float64 `json:"decoder_s"`
	Encoder  float64 `json:"encoder_s"`
	TFLOP    float64 `json:"tflop"`    // see StepWork; of all pictures of a batch
	Fraction float64 `json:"fraction"` // of the rate of multiply-adds on registers, measured between the steps
	Peak     int64   `json:"peak_rss_bytes"`
	// PeakDevice is the most memory that tensors took on a device with memory of its own, weights included.
	PeakDevice int64  `json:"peak_device_bytes,omitempty"`
	DType      string `json:"dtype"`
	Tier       string `json:"tier"`
	Threads    int    `json:"threads"`
	Size       int    `json:"size"`

	Batch           int     `json:"batch"`
	Steps           int     `json:"steps"`
	CeilingGFLOPS   float64 `json:"ceiling_gflops"`
	UNetForward     float64 `json:"unet_forward_s"`
	UNetBackward    float64 `json:"unet_backward_s"`
	DecoderForward  float64 `json:"decoder_forward_s"`
	DecoderBackward float64 `json:"decoder_backward_s"`
	EncoderForward  float64 `json:"encoder_forward_s"`
	EncoderBackward float64 `json:"encoder_backward_s"`
	First           float64 `json:"first_s"`      // the step that is not timed
	UNetAlone       float64 `json:"unet_alone_s"` // forward without a gradient: a step of generation without guidance
	UNetAloneTFLOP  float64 `json:"unet_alone_tflop"`
	Weights         int64   `json:"weights_bytes"` // 4, 2 or 1 bytes each
	Predicted1000   float64 `json:"predicted_1000_steps_s"`
	Predicted200    float64 `json:"predicted_200_steps_s"`
}

// Step runs the solver on a picture with a hole and measures its steps.
func Step(ctx context.Context, o StepOptions) (StepResult, error) {
	m, n := o.Model, o.Size
	if n < m.Multiple() || n%m.Multiple() != 0 {
		return StepResult{}, fmt.Errorf("pictures of %d pixels a side, want a multiple of %d", n, m.Multiple())
	}
	if o.Steps < 1 || o.Steps > 999 || o.Batch < 0 {
		return StepResult{}, fmt.Errorf("%d steps and a batch of %d, want 1 to 999 steps", o.Steps, o.Batch)
	}
	work := StepWork(m, n, n)
	cpu.Memory().Drop()
	r := StepResult{DType: o.DType, Tier: asm.Active().String(), Threads: cpu.Threads(), Size: n,
		Batch: max(1, o.Batch), Steps: o.Steps,
		Weights:        int64(m.UNet.Params.Count()+m.VAE.Params.Count()) * int64(devices.WeightBytes(m.Device())),
		UNetAloneTFLOP: work.UNet.Forward / 1e12}
	rate := func() float64 { return ceiling(o.DType, r.Threads) }
	if d, ok := m.Device().(interface {
		MultiplyAdds(about time.Duration) float64
	}); ok {
		r.Tier, rate = m.Device().Name(), func() float64 { return d.MultiplyAdds(slice) }
	}
	memory, counts := m.Device().(tensor.Meter)
	if counts {
		memory.Peak() // from here on
	}
	r.TFLOP = work.Total() / 1e12 * float64(r.Batch)

	var ceilings []float64
	var seconds, first []float64
	var timings []solver.Timing
	start := time.Now()
	err := o.solve(ctx, r.Batch, func(p solver.Progress) {
		took := time.Since(start).Seconds()
		if p.Step == 1 {
			first = append(first, took)
		} else {
			seconds, timings = append(seconds, took), append(timings, p.Timing)
		}
		if o.Progress != nil {
			o.Progress(p.Step-1, took)
		}
		if r.Batch == 1 { // else the others compute now
			ceilings = append(ceilings, rate())
		}
		start = time.Now()
	})
	if err != nil {
		return r, err
	}
	_, r.Peak = memstat.Process()
	if counts {
		r.PeakDevice = memory.Peak()
	}
	for range 3 {
		ceilings = append(ceilings, rate())
	}
	of := func(f func(t solver.Timing) float64) float64 {
		var v []float64
		for _, t := range timings {
			v = append(v, f(t))
		}
		return median(v)
	}
	r.Seconds, r.First, r.CeilingGFLOPS = median(seconds), first[0], median(ceilings)
	r.UNetForward, r.UNetBackward = of(func(t solver.Timing) float64 { return t.UNet.Forward }),
		of(func(t solver.Timing) float64 { return t.UNet.Backward })
	r.DecoderForward, r.DecoderBackward = of(func(t solver.Timing) float64 { return t.Decoder.Forward }),
		of(func(t solver.Timing) float64 { return t.Decoder.Backward })
	r.EncoderForward, r.EncoderBackward = of(func(t solver.Timing) float64 { return t.Encoder.Forward }),
		of(func(t solver.Timing) float64 { return t.Encoder.Backward })
	r.UNet, r.Decoder, r.Encoder = r.UNetForward+r.UNetBackward, r.DecoderForward+r.DecoderBackward,
		r.EncoderForward+r.EncoderBackward
	r.Fraction = r.TFLOP * 1e3 / r.Seconds / r.CeilingGFLOPS
	r.Predicted1000, r.Predicted200 = 1000*r.Seconds/float64(r.Batch), 200*r.Seconds/float64(r.Batch)
	r.UNetAlone = unetAlone(m, n)
	return r, nil
}

// solve runs o.Steps+1 steps on the first picture of a batch, and the others meanwhile; after is called after each
// step of the first.
func (o StepOptions) solve(parent context.Context, batch int, after func(solver.Progress)) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	n := o.Size
	keep, err := operator.BoxMask(n, n, 0.5, false, 1)
	if err != nil {
		return err
	}
	a, err := operator.NewMask(n, n, 3, keep)
	if err != nil {
		return err
	}
	y := newRandom("picture").tensor(0, 1, n, n, 3).Data
	a.Apply(y, slices.Clone(y))
	errs := make([]error, batch)
	var wg sync.WaitGroup
	for i := range batch {
		wg.Go(func() {
			var method solver.PSLD
			param.SetDefaults(&method)
			method.Steps = 1000
			so := solver.Options{Seed: uint64(i), MaxMemory: o.MaxMemory}
			if i == 0 {
				so.Progress = func(p solver.Progress) {
					after(p)
					if p.Step > o.Steps {
						cancel()
					}
				}
			}
			if _, errs[i] = solver.Solve(ctx, o.Model, solver.Problem{A: a, Y: y}, &method, so); !errors.Is(errs[i],
				context.Canceled) {
				cancel() // one failure is enough
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return parent.Err()
}

// ceiling is the rate in GFLOP/s of multiply-adds on registers in the kind of product: pairs of bfloat16 where
// the kernels in use multiply them. f32x3 takes three products in place of one.
func ceiling(dtype string, threads int) float64 {
	tier := asm.Active()
	pairs := dtype != "f32" && dtype != "f32x3" && asm.MultipliesPairs(tier) || dtype == "f32x3" && asm.HasSplit()
	rate := fma(tier, pairs, threads, 2*slice)
	if dtype == "f32x3" && pairs {
		return rate / 3
	}
	return rate
}

// unetAlone is the time of the UNet forward without a gradient, the better of two.
func unetAlone(m *prior.LatentDiffusion, n int) float64 {
	f := m.VAE.Factor()
	z := newRandom("latent").tensor(0, 1, 1, n/f, n/f, m.VAE.LatentChannels)
	best := math.Inf(1)
	for range 2 {
		g := autograd.NoGrad(m.Device())
		start := time.Now()
		m.Eps(g, g.Const(z), 500, m.Empty)
		m.Device().Sync()
		best = min(best, time.Since(start).Seconds())
		g.Release()
	}
	return best
}
