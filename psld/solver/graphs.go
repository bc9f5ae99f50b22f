package solver

import (
	"context"
	"math"
	"slices"

	"psld/autograd"
	"psld/psld/prior"
	"psld/tensor"
	"psld/tensor/cpu"
)

// Run is what a method works with: the problem, the prior, and graphs and random numbers that are watched by the loop.
type Run struct {
	Problem
	Prior prior.Prior // nil for a method that needs none
	Start []float32   // the rough picture to begin from, nil for none
	// H and W are the size of the pictures that go through the prior: A.In(), padded to multiples of the prior's.
	H, W int

	o      Options
	codec  prior.Codec // the full one
	light  prior.Codec // nil for none
	memory memory
	timing Timing
	watch  stopwatch
	find   *finder         // where a step stops to be finite; nil in a run that is well
	ctx    context.Context // of the step under way, whose graphs end with it; nil outside of steps
	y      *tensor.Tensor  // the measurement on the device; nil until it is asked for
	seen   *tensor.Tensor  // a picture on the device that a method decoded last; nil for none

	estimate float64 // seconds that the noise estimates of the last step took
	coarse   int     // how often the sides of states are halved that are decoded to pictures; 0 but after a stop

	small        *Run // for a smaller picture, of a method that begins there; nil for none
	at           int  // the number of the step under way
	orientations int  // of each noise estimate, see Equivariant
	turned       orientations
}

func newRun(m prior.Prior, p Problem, o Options) *Run {
	in := p.A.In()
	r := &Run{Problem: p, Prior: m, Start: o.Start, H: in.H, W: in.W, o: o}
	r.watch.dev = r.Device()
	if m != nil {
		r.pad(m.Multiple())
		r.codec = prior.CodecOf(m)
		r.light, _, _ = prior.LightCodecOf(m)
	}
	return r
}

// pad makes H and W multiples of mult.
func (r *Run) pad(mult int) {
	in := r.A.In()
	r.H, r.W = (in.H+mult-1)/mult*mult, (in.W+mult-1)/mult*mult
}

// budget is the run's share of the machine.
func (r *Run) budget() *Runtime {
	if r.o.Runtime != nil {
		return r.o.Runtime
	}
	return &process
}

// Noise draws n standard normal numbers. Each stream has numbers of its own in each step, so that no draw depends on
// which others were made. Streams are told apart by their whole names.
func (r *Run) Noise(stream string, step, n int) []float32 {
	if r.o.noise != nil {
		return r.o.noise(stream, step, n)
	}
	return draw(r.o.Seed, stream, step, n)
}

// Shape is that of the prior's state.
func (r *Run) Shape() []int { return r.Prior.Shape(r.H, r.W) }

// Device is that of the prior; without one it is the CPU.
func (r *Run) Device() tensor.Device {
	if r.Prior == nil {
		return cpu.F32
	}
	return r.Prior.Device()
}

// Graph makes a graph of the step's own that records. It plans its memory, and is searched for what is not finite. The
// method releases it.
func (r *Run) Graph() *autograd.Graph {
	g := r.watched(autograd.NewGraph(r.Device()))
	g.Frugal = true
	g.Plan = r.memory.plan
	return g
}

// measurement is y in a graph, of shape [1,H,W,C]. It is copied to the device once.
func (r *Run) measurement(g *autograd.Graph) *autograd.Value {
	out := r.A.Out()
	if r.y == nil {
		r.y = r.Device().Get(1, out.H, out.W, out.C)
		r.Device().Upload(r.y, r.Y)
	}
	return g.Const(r.y)
}

// release gives back what the run has on the device.
func (r *Run) release() {
	if r.y != nil {
		r.Device().Put(r.y)
		r.y = nil
	}
	r.see(nil)
	if r.small != nil {
		r.small.release()
	}
}

// see notes a picture of the device's Get in place of the one before, which goes back.
func (r *Run) see(x *tensor.Tensor) {
	if r.seen != nil {
		r.Device().Put(r.seen)
	}
	r.seen = x
}

// fresh are the standard normal numbers of a stream in a step (see Noise) as a value of g.
func (r *Run) fresh(g *autograd.Graph, stream string, step int, shape []int) *autograd.Value {
	return g.Const(tensor.From(r.Noise(stream, step, tensor.Len(shape)), shape...))
}

// NoGrad makes a graph without a tape. The method releases it.
func (r *Run) NoGrad() *autograd.Graph { return r.watched(autograd.NoGrad(r.Device())) }

// context is that of the step under way.
func (r *Run) context() context.Context {
	if r.ctx == nil {
		return context.Background()
	}
	return r.ctx
}

func (r *Run) watched(g *autograd.Graph) *autograd.Graph {
	if r.find != nil {
		g.OnOp = r.find.see
	}
	if r.ctx != nil {
		g.Stop = r.ctx.Err
	}
	return g
}

// Eps predicts the noise in the state z at time t, with guidance where the run has any.
func (r *Run) Eps(g *autograd.Graph, z *autograd.Value, t float32) *autograd.Value {
	r.watch.lap(nil)
	e := r.everyWay(g, z, func(z *autograd.Value) []*autograd.Value {
		return []*autograd.Value{prior.EpsOf(g, r.Prior, z, t, r.o.Conditions)}
	})
	r.watch.lap(&r.timing.UNet.Forward)
	return r.watch.mark(g, e[0], nil)
}

// EpsVariance is Eps without guidance, and the variance that the prior has learnt, nil for none (see
// [prior.Variances]).
func (r *Run) EpsVariance(g *autograd.Graph, z *autograd.Value, t float32) (eps, v *autograd.Value) {
	r.watch.lap(nil)
	list := r.everyWay(g, z, func(z *autograd.Value) []*autograd.Value {
		eps, v := prior.EpsVarianceOf(g, r.Prior, z, t)
		if v == nil {
			return []*autograd.Value{eps}
		}
		return []*autograd.Value{eps, v}
	})
	r.watch.lap(&r.timing.UNet.Forward)
	if len(list) > 1 {
		v = list[1]
	}
	return r.watch.mark(g, list[0], nil), v
}

// stepCodec is that of the steps.
func (r *Run) stepCodec() prior.Codec {
	if r.o.LightCodec {
		return r.light
	}
	return r.codec
}

// Decode maps a state to a padded picture [1,H,W,3].
func (r *Run) Decode(g *autograd.Graph, z *autograd.Value) *autograd.Value {
	r.watch.lap(nil)
	x := r.stepCodec().Decode(g, r.watch.mark(g, z, &r.timing.Decoder.Backward))
	r.watch.lap(&r.timing.Decoder.Forward)
	return r.watch.mark(g, x, nil)
}

// CanEncode tells whether the run has an Encode: there are light codecs without one.
func (r *Run) CanEncode() bool {
	if !r.o.LightCodec {
		return true
	}
	_, _, encodes := prior.LightCodecOf(r.Prior)
	return encodes
}

// Encode maps a padded picture [1,H,W,3] to a state: a sample for the noise eps, or the mean where that is nil.
func (r *Run) Encode(g *autograd.Graph, x *autograd.Value, eps *tensor.Tensor) *autograd.Value {
	r.watch.lap(nil)
	z := r.stepCodec().Encode(g, r.watch.mark(g, x, &r.timing.Encoder.Backward), eps)
	r.watch.lap(&r.timing.Encoder.Forward)
	return z
}

// Backward computes the gradient of a loss and returns its value. It gives back what it has passed: afterwards only
// the inputs and their gradients can be read. The time that no other network has taken is the UNet's.
func (r *Run) Backward(g *autograd.Graph, loss *autograd.Value) float64 {
	value := loss.Item()
	r.watch.lap(nil)
	g.Backward(loss, nil)
	r.watch.lap(&r.timing.UNet.Backward)
	return value
}

// inner notes values on the way where they are asked for.
func (r *Run) inner(st *Report, name string, t *tensor.Tensor) {
	if !r.o.Inner {
		return
	}
	if st.Inner == nil {
		st.Inner = map[string][]float32{}
	}
	st.Inner[name] = slices.Clone(r.Device().Host(t))
}

// Crop takes the picture's part of a padded picture.
func (r *Run) Crop(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	in := r.A.In()
	if in.H == r.H && in.W == r.W {
		return x
	}
	return g.Windows(x, in.H, in.W, [][2]int{{0, 0}})
}

// Pad is the transpose of Crop: zeros outside the picture.
func (r *Run) Pad(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	in := r.A.In()
	if in.H == r.H && in.W == r.W {
		return x
	}
	return g.AddWindows(x, r.H, r.W, [][2]int{{0, 0}})
}

// PadPicture repeats the last row and column of a picture of shape A.In() up to [1,H,W,3].
func (r *Run) PadPicture(x []float32) *tensor.Tensor {
	in := r.A.In()
	t := tensor.New(1, r.H, r.W, in.C)
	for row := range r.H {
		for col := range r.W {
			from := (min(row, in.H-1)*in.W + min(col, in.W-1)) * in.C
			copy(t.Data[(row*r.W+col)*in.C:][:in.C], x[from:])
		}
	}
	return t
}

// EncodePicture is the state of a picture of shape A.In(), by the full codec.
func (r *Run) EncodePicture(x []float32) []float32 {
	g := r.NoGrad()
	defer g.Release()
	return slices.Clone(g.Device().Host(r.codec.Encode(g, g.Const(r.PadPicture(x)), nil).T))
}

// DecodePicture is the picture of shape A.In() of a state, by the full codec.
func (r *Run) DecodePicture(z *tensor.Tensor) []float32 {
	g := r.NoGrad()
	defer g.Release()
	return slices.Clone(g.Device().Host(r.Crop(g, prior.DecodeCoarse(g, r.codec, g.Const(z), r.coarse)).T))
}

// expect is the clean picture that a pixel prior expects of x at time t, whose share of signal is a, and the noise;
// all of shape A.In().
func (r *Run) expect(x []float32, t, a float64) (x0, eps []float32) {
	g := r.NoGrad()
	defer g.Release()
	e := r.Crop(g, r.Eps(g, g.Const(r.PadPicture(x)), float32(t)))
	eps, x0 = slices.Clone(g.Device().Host(e.T)), make([]float32, len(x))
	signal, noise := float32(math.Sqrt(a)), float32(math.Sqrt(1-a))
	for k, v := range eps {
		x0[k] = (x[k] - noise*v) / signal
	}
	return x0, eps
}

// residual is |A x - y|.
func (r *Run) residual(x []float32) float64 {
	ax := make([]float32, len(r.Y))
	r.A.Apply(ax, x)
	var sq float64
	for i, v := range ax {
		sq += float64(v-r.Y[i]) * float64(v-r.Y[i])
	}
	return math.Sqrt(sq)
}
