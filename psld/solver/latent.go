package solver

import (
	"context"
	"fmt"
	"math"
	"slices"

	"psld/autograd"
	"psld/internal/memstat"
	"psld/psld/operator"
	"psld/psld/prior"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/vae"
)

// gluing is what the latent methods differ in: the picture whose encoding should
// be z0 again.
type gluing int

const (
	glued   gluing = iota // PSLD: x + B(y - A x)
	unglued               // GML-DPS: x itself
	none                  // LDPS: no such term
)

// latentMethod is the family of PSLD (Rout et al. 2023, algorithm 2): DDIM steps
// in latent space, each followed by z -= grad of
//
//	omega |A D(z0) - y| + gamma |E(x + B(y - A x)) - z0|,  x = D(z0),
//
// with respect to z_t, through UNet, decoder and encoder.
func latentMethod(kind gluing) Method {
	return func(ctx context.Context, m *prior.LatentDiffusion, p Problem, o Options) (*Result, error) {
		var d *schedule.DDIM
		var err error
		if o.Start == nil {
			d, err = m.Schedule().DDIM(o.Steps, o.Eta)
		} else {
			d, err = m.Schedule().DDIMUntil(o.Steps, o.Strength, o.Eta)
		}
		if err != nil {
			return nil, err
		}
		s := &latentRun{m: m, guide: m, p: p, o: o, d: d, kind: kind}
		if o.GuideTAESD {
			s.guide = taesdGuide{m.TAESD}
		}
		if o.Gamma == 0 {
			s.kind = none
		}
		if s.o.Context == nil {
			s.o.Context = m.Empty
		}
		if s.o.Negative == nil {
			s.o.Negative = m.Empty
		}
		in := p.A.In()
		mult, f := m.Multiple(), m.VAE.Factor()
		s.h, s.w = (in.H+mult-1)/mult*mult, (in.W+mult-1)/mult*mult
		s.memory.start(m, s.h, s.w, o.MaxMemory)
		z := tensor.From(slices.Clone(o.Noise("start", 0, s.h/f*s.w/f*m.VAE.LatentChannels)), 1, s.h/f, s.w/f, m.VAE.LatentChannels)
		k := &keeper{Keep: o.Keep}
		if k.File != "" {
			k.run = s.facts(z.Data)
		}
		now, err := k.resume(d.Len(), z.Shape)
		if err != nil {
			return nil, err
		}
		if now == nil {
			if o.Start != nil {
				s.start(z)
			}
			now = &State{Steps: d.Len(), Latent: z, Z0: z}
		}
		return s.walk(ctx, now, k)
	}
}

// walk does the steps after now.
func (s *latentRun) walk(ctx context.Context, now *State, k *keeper) (*Result, error) {
	result := func(latent *tensor.Tensor) *Result {
		in := s.p.A.In()
		res := &Result{H: in.H, W: in.W, Latent: latent, Steps: now.Step, RMS: now.RMS}
		s.decode(res)
		return res
	}
	for first := now.Step; now.Step < now.Steps; {
		if ctx.Err() != nil {
			at := fmt.Sprintf("stopped after step %d of %d", now.Step, now.Steps)
			if err := k.keep(*now); err != nil {
				return result(now.Z0), fmt.Errorf("%s; %w: %w", at, err, ctx.Err())
			}
			return result(now.Z0), fmt.Errorf("%s: %w", at, ctx.Err())
		}
		i := s.d.Len() - 1 - now.Step
		st, err := s.step(now.Latent, i)
		if err != nil {
			return nil, s.broken(now, i, k)
		}
		if now.Step == first {
			if err := s.memory.choose(); err != nil {
				return nil, err
			}
		}
		now.Step++
		now.Latent, now.Z0, now.RMS = tensor.From(st.Latent, now.Latent.Shape...), tensor.From(st.Z0, now.Latent.Shape...), st.RMS
		st.Step, st.Steps = now.Step, now.Steps
		st.Memory, _ = memstat.Process()
		st.Kept, st.KeepErr = k.after(*now)
		if s.o.Progress != nil {
			s.o.Progress(st)
		}
	}
	return result(now.Latent), nil
}

type latentRun struct {
	m     *prior.LatentDiffusion
	guide autoencoder // in the steps
	p     Problem
	o     Options
	d     *schedule.DDIM
	kind  gluing
	h, w  int // padded to a multiple of the networks' factors

	memory memory
	find   *finder // where a step stops to be finite; nil in a run that is well
}

// autoencoder maps pictures to scaled latents and back, as prior.LatentDiffusion does.
type autoencoder interface {
	Encode(g *autograd.Graph, x *autograd.Value, eps *tensor.Tensor) *autograd.Value
	Decode(g *autograd.Graph, z *autograd.Value) *autograd.Value
}

// taesdGuide is a tiny autoencoder as a guide; it has no posterior to sample from.
type taesdGuide struct{ *vae.TAESD }

func (t taesdGuide) Encode(g *autograd.Graph, x *autograd.Value, _ *tensor.Tensor) *autograd.Value {
	return t.TAESD.Encode(g, x)
}

// start turns the noise z into the latent of the start picture with as much noise as
// the first step expects.
func (s *latentRun) start(z *tensor.Tensor) {
	in := s.p.A.In()
	x := tensor.New(1, s.h, s.w, 3)
	for r := range s.h { // the padding repeats the last row and column
		for c := range s.w {
			from := (min(r, in.H-1)*in.W + min(c, in.W-1)) * 3
			copy(x.Data[(r*s.w+c)*3:][:3], s.o.Start[from:])
		}
	}
	g := autograd.NoGrad(s.m.Device())
	defer g.Release()
	z0 := g.Device().Host(s.m.Encode(g, g.Const(x), nil).T)
	a := float64(s.d.Alphas[s.d.Len()-1])
	signal, noise := float32(math.Sqrt(a)), float32(math.Sqrt(1-a))
	for i, v := range z0 {
		z.Data[i] = signal*v + noise*z.Data[i]
	}
}

// crop takes the picture's part of a padded picture.
func (s *latentRun) crop(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	in := s.p.A.In()
	if in.H == s.h && in.W == s.w {
		return x
	}
	return g.Windows(x, in.H, in.W, [][2]int{{0, 0}})
}

// pad is the transpose of crop: zeros outside the picture.
func (s *latentRun) pad(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	in := s.p.A.In()
	if in.H == s.h && in.W == s.w {
		return x
	}
	return g.AddWindows(x, s.h, s.w, [][2]int{{0, 0}})
}

func apply(g *autograd.Graph, x *autograd.Value, a operator.Linear) *autograd.Value {
	out := a.Out()
	return g.Map(x, []int{1, out.H, out.W, out.C}, a.Apply, a.Adjoint)
}

// eps predicts the noise, with guidance where it has an effect.
func (s *latentRun) eps(g *autograd.Graph, z *autograd.Value, t float32) *autograd.Value {
	cond := s.m.Eps(g, z, t, s.o.Context)
	if s.o.Guidance == 0 || s.o.Guidance == 1 || equal(s.o.Context, s.o.Negative) {
		return cond
	}
	uncond := s.m.Eps(g, z, t, s.o.Negative)
	return g.Add(uncond, g.Scale(g.Sub(cond, uncond), float32(s.o.Guidance)))
}

func equal(a, b *tensor.Tensor) bool {
	if a == nil || b == nil {
		return a == b
	}
	if !tensor.Same(a.Shape, b.Shape) {
		return false
	}
	for i, v := range a.Data {
		if v != b.Data[i] {
			return false
		}
	}
	return true
}

func (s *latentRun) norm(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	if s.o.Squared {
		return g.SumSquares(x)
	}
	return g.Norm2(x)
}

// step does DDIM step i from z and returns the state after it. The only error is errNotFinite.
func (s *latentRun) step(z *tensor.Tensor, i int) (Progress, error) {
	g := autograd.NewGraph(s.m.Device())
	defer g.Release()
	g.Frugal = true
	if s.memory.plan != nil {
		g.Plan = s.memory.plan
		g.Plan.Start()
	}
	if s.find != nil {
		g.OnOp = s.find.see
	}
	dev := g.Device()
	step := s.d.Len() - 1 - i

	var st Progress
	var watch stopwatch
	watch.lap(nil)
	zt := g.Input(z)
	e := s.eps(g, zt, float32(s.d.Timesteps[i]))
	watch.lap(&st.Timing.UNet.Forward)
	e = watch.mark(g, e, nil)
	z0 := s.d.Z0(g, zt, e, i)

	var ddim []float32
	if s.d.Sigmas[i] != 0 {
		ddim = s.o.Noise("ddim", step, z.Len())
	}
	watch.lap(nil)
	x := s.guide.Decode(g, watch.mark(g, z0, &st.Timing.Decoder.Backward))
	watch.lap(&st.Timing.Decoder.Forward)
	x = watch.mark(g, x, nil)
	xc := s.crop(g, x)
	ax := apply(g, xc, s.p.A)
	y := g.Const(tensor.From(s.p.Y, ax.T.Shape...))
	pred := ax
	if s.o.LoopNoise > 0 {
		noise := tensor.From(s.o.Noise("measurement", step, len(s.p.Y)), ax.T.Shape...)
		pred = g.Add(ax, g.Scale(g.Const(noise), float32(s.o.LoopNoise)))
	}
	residual := g.Sub(pred, y)
	meas := s.norm(g, residual)
	loss := g.Scale(meas, float32(s.o.Omega))
	st.Measurement = math.Sqrt(dev.SumSquares(residual.T))
	st.RMS = st.Measurement / math.Sqrt(float64(max(1, s.p.Measured())))

	if s.kind != none && s.o.glues(step) {
		if s.kind == glued {
			x = g.Add(x, s.pad(g, apply(g, g.Sub(y, ax), s.p.Back)))
		}
		var eps *tensor.Tensor
		if s.o.SampleEncoder {
			eps = tensor.From(s.o.Noise("encoder", step, z.Len()), z.Shape...)
		}
		watch.lap(nil)
		again := s.guide.Encode(g, watch.mark(g, x, &st.Timing.Encoder.Backward), eps)
		watch.lap(&st.Timing.Encoder.Forward)
		diff := g.Sub(again, z0)
		st.Gluing = math.Sqrt(dev.SumSquares(diff.T))
		loss = g.Add(loss, g.Scale(s.norm(g, diff), float32(s.o.gluing())))
	}
	st.Loss = loss.Item()
	st.Z0 = append([]float32(nil), dev.Host(z0.T)...)
	st.Eps = append([]float32(nil), dev.Host(e.T)...)
	watch.lap(nil)
	g.Backward(loss, nil)
	watch.lap(&st.Timing.UNet.Backward)

	st.Grad = append([]float32(nil), dev.Host(zt.Grad())...)
	st.Latent = make([]float32, z.Len())
	s.d.Step(st.Latent, st.Z0, st.Eps, ddim, i)
	for k, v := range st.Grad {
		st.Latent[k] -= v
	}
	if notFinite(st.Latent) != "" {
		return st, errNotFinite
	}
	return st, nil
}

// decode fills the result's picture from its latent.
func (s *latentRun) decode(res *Result) {
	g := autograd.NoGrad(s.m.Device())
	defer g.Release()
	x := s.crop(g, s.m.Decode(g, g.Const(res.Latent)))
	res.X = append([]float32(nil), g.Device().Host(x.T)...)
}
