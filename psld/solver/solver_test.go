package solver

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/unet"
	"psld/vae"
)

func noise(seed uint64, n int, scale float32) []float32 {
	x := draw(seed, "x", 0, n)
	for i := range x {
		x[i] *= scale
	}
	return x
}

// glued is a PSLD with the usual settings of these tests.
func glued(steps int, gamma, omega float64) *PSLD {
	return &PSLD{DDIM{Steps: steps, Strength: 1}, Fit{Omega: omega}, Gluing{Gamma: gamma, GluingEvery: 1}, "adjoint"}
}

// randomPixel is a pixel prior with few channels and random weights.
func randomPixel() *prior.Pixel {
	m := &prior.Pixel{Name: "random", Noise: prior.PixelSchedule(), TrainSize: 16, UNet: unet.NewGuided(unet.GuidedConfig{
		ImageSize: 16, NumChannels: 8, NumResBlocks: 1, ChannelMult: []int{1, 2}, LearnSigma: true, ScaleShift: true,
		NormGroups: 4})}
	m.UNet.Params.Init(4)
	return m
}

// method is any registered one with defaults but for the number of steps.
func method(t *testing.T, name string, steps int) Method {
	spec, err := Lookup(name)
	require.NoError(t, err)
	m := spec.Default()
	require.NoError(t, param.Values{"steps": steps, "iterations": steps, "inner": 2, "rounds": 1,
		"guesses": 0}.Only(m).Apply(m))
	if dpm, ok := m.(*DPM); ok {
		dpm.Fits = min(dpm.Fits, dpm.Steps)
	}
	return m
}

// stepOf does one step of a method from the state z.
func stepOf(t *testing.T, m prior.Prior, p Problem, o Method, step int, z *tensor.Tensor) (*State, Report, Timing) {
	r := newRun(m, p, Options{Inner: true})
	s, err := o.Bind(r)
	require.NoError(t, err)
	next, st, err := r.step(t.Context(), s, &State{Step: step, Steps: s.Len(),
		Vars: map[string]*tensor.Tensor{"z": z}})
	require.NoError(t, err)
	return next, st, r.timing
}

func blurProblem(t *testing.T, h, w int) Problem {
	k, err := operator.Gaussian(9, 1)
	require.NoError(t, err)
	a, err := operator.NewBlur(h, w, 3, k)
	require.NoError(t, err)
	y := make([]float32, a.Out().Len())
	a.Apply(y, noise(1, a.In().Len(), 0.3))
	return Problem{A: a, Y: y}
}

// holeProblem lacks a quarter of the picture.
func holeProblem(t *testing.T, h, w int) Problem {
	keep := make([]bool, h*w)
	for i := range keep {
		keep[i] = i/w >= h/2 || i%w >= w/2
	}
	a, err := operator.NewMask(h, w, 3, keep)
	require.NoError(t, err)
	y := make([]float32, a.Out().Len())
	a.Apply(y, noise(1, a.In().Len(), 0.3))
	return Problem{A: a, Y: y}
}

// TestGradient holds the gradient of the whole loss, in the default mode and at an
// odd size that is padded, against central differences.
func TestGradient(t *testing.T) {
	var latent, pixel prior.Prior = prior.RandomTiny(3), randomPixel()
	fit, gluing := Fit{Omega: 1}, Gluing{Gamma: 0.5, GluingEvery: 1}
	ddim := DDIM{Steps: 10, Strength: 1}
	for name, c := range map[string]struct {
		m prior.Prior
		o Method
	}{
		"psld":    {latent, &PSLD{ddim, fit, gluing, "adjoint"}},
		"squared": {latent, &PSLD{ddim, Fit{Omega: 1, Squared: true}, gluing, "adjoint"}},
		"gmldps":  {latent, &GMLDPS{ddim, fit, gluing}},
		"ldps":    {latent, &LDPS{ddim, fit}},
		"dps":     {pixel, &LDPS{ddim, fit}},
		"pixel":   {pixel, &PSLD{ddim, fit, gluing, "adjoint"}},
	} {
		m, o, p := c.m, c.o, blurProblem(t, 13, 18)
		shape := newRun(m, p, Options{}).Shape()
		z := tensor.From(noise(5, tensor.Len(shape), 1), shape...)
		dir := noise(6, z.Len(), 1)
		_, st, _ := stepOf(t, m, p, o, 5, z)
		var got float64
		for i, v := range dir {
			got += float64(v) * float64(st.Inner["grad"][i])
		}
		loss := func(e float32) float64 {
			q := z.Clone()
			for i, v := range dir {
				q.Data[i] += e * v
			}
			_, st, _ := stepOf(t, m, p, o, 5, q)
			return st.Loss
		}
		const h = 3e-3
		want := (loss(h) - loss(-h)) / (2 * h)
		require.InEpsilon(t, want, got, 2e-2, name)
	}
}

func TestSameBitsOnAnyThreads(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 24, 20)
	o := glued(3, 0.1, 1)
	o.Eta = 1
	var want []float32
	for _, threads := range []int{1, 2, 5} {
		old := runtime.GOMAXPROCS(threads)
		res, err := Solve(context.Background(), m, p, o, Options{Seed: 9})
		runtime.GOMAXPROCS(old)
		require.NoError(t, err)
		require.Len(t, res.X, 24*20*3)
		if want == nil {
			want = res.X
		}
		require.Equal(t, want, res.X, "%d threads", threads)
	}
}

// TestCancel: a run that is cut short gives the picture of the clean latent that its last step expected, which is the
// same as in a run that goes on.
func TestCancel(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 13, 18)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var z0 *tensor.Tensor
	res, err := Solve(ctx, m, p, glued(10, 0, 1), Options{Progress: func(p Progress) {
		if p.Step == 2 {
			z0 = tensor.From(p.State.Host("z0"), p.State.Vars["z0"].Shape...)
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "stopped after step 2 of 10: ")
	require.Equal(t, 2, res.Steps)
	require.Equal(t, newRun(m, p, Options{}).DecodePicture(z0), res.X)
	_, err = Solve(context.Background(), m, p, glued(10, 0, 1), Options{Progress: func(p Progress) {
		if p.Step == 2 {
			require.Equal(t, z0.Data, p.State.Host("z0"))
		}
	}})
	require.NoError(t, err)
}

// endsAfter is a context that ends when it has been asked so often.
type endsAfter struct {
	context.Context
	left int
}

func (c *endsAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestCancelInsideStep: a run that ends in the middle of a step gives what it had before that step, and a state from
// which it goes on to the same bits.
func TestCancelInsideStep(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 13, 18)
	whole, err := Solve(context.Background(), m, p, glued(4, 0.1, 1), Options{})
	require.NoError(t, err)
	live := cpu.Memory().Live()
	stops := map[int]bool{}
	for asked := 50; ; asked += 190 {
		o := Options{Keep: Keep{File: filepath.Join(t.TempDir(), "state")}}
		res, err := Solve(&endsAfter{context.Background(), asked}, m, p, glued(4, 0.1, 1), o)
		if err == nil {
			require.Equal(t, whole.X, res.X)
			break
		}
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, live, cpu.Memory().Live())
		if res == nil || res.Steps == 0 { // there is no state yet
			continue
		}
		stops[res.Steps] = true
		o.Keep.Resume = true
		res, err = Solve(context.Background(), m, p, glued(4, 0.1, 1), o)
		require.NoError(t, err)
		require.Equal(t, whole.X, res.X)
	}
	require.Greater(t, len(stops), 2)
}

// endsAtStart is a method during whose start the run is stopped, and which has no picture.
type endsAtStart struct{ cancel func() }

func (m *endsAtStart) Bind(*Run) (Stepper, error)                   { return m, nil }
func (m *endsAtStart) Len() int                                     { return 1 }
func (m *endsAtStart) Start(s *State) error                         { m.cancel(); return nil }
func (m *endsAtStart) Step(context.Context, *State) (Report, error) { panic("no step") }
func (m *endsAtStart) Picture(*State) ([]float32, error)            { panic("a long decoding") }

// TestCancelBeforeStep: who stops a run on a large picture in latents before its first step does not wait for the
// decoding of its start.
func TestCancelBeforeStep(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := operator.Identity(operator.Shape{H: 1 << 10, W: 1<<10 + 8, C: 3})
	res, err := Solve(ctx, prior.RandomTiny(3), Problem{A: a, Y: make([]float32, a.Out().Len())}, &endsAtStart{cancel},
		Options{})
	require.Nil(t, res)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "stopped before the first step")
}

// TestEqualPromptsSkipGuidance: a guidance scale with equal contexts changes no bit.
func TestEqualPromptsSkipGuidance(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	plain, err := Solve(context.Background(), m, p, glued(2, 0, 1), Options{})
	require.NoError(t, err)
	guided, err := Solve(context.Background(), m, p, glued(2, 0, 1), Options{Conditions: prior.Conditions{Scale: 7.5}})
	require.NoError(t, err)
	require.Equal(t, plain.X, guided.X)
}

func TestErrors(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	for name, c := range map[string]struct {
		change func(p *Problem, m *PSLD, o *Options)
		want   string
	}{
		"steps": {func(p *Problem, m *PSLD, o *Options) { m.Steps = 0 }, "steps 0, want 1 to 1000"},
		"many":  {func(p *Problem, m *PSLD, o *Options) { m.Steps = 1001 }, "steps 1001, want 1 to 1000"},
		"eta":   {func(p *Problem, m *PSLD, o *Options) { m.Eta = 2 }, "eta 2, want 0 to 1"},
		"strength": {func(p *Problem, m *PSLD, o *Options) { m.Strength = 0 },
			"strength 0, want more than 0 and at most 1"},
		"gamma": {func(p *Problem, m *PSLD, o *Options) { m.Gamma = math.NaN() }, "gamma NaN, want"},
		"omega": {func(p *Problem, m *PSLD, o *Options) { m.Omega = -1 },
			"omega -1, want a finite number of at least 0"},
		"gluing": {func(p *Problem, m *PSLD, o *Options) { m.GluingEvery = 0 }, "gluing_every 0, want 1 to 1000"},
		"back": {func(p *Problem, m *PSLD, o *Options) { m.Back = "" },
			`back "", want adjoint, pinv or reference`},
		"short y": {func(p *Problem, m *PSLD, o *Options) { p.Y = p.Y[1:] }, "measurement has"},
		"NaN y": {func(p *Problem, m *PSLD, o *Options) {
			p.Y = append([]float32{float32(math.NaN())},
				p.Y[1:]...)
		}, "NaN"},
		"channels": {func(p *Problem, m *PSLD, o *Options) {
			p.A, p.Y = operator.Identity(operator.Shape{H: 8, W: 8, C: 1}), make([]float32, 64)
		}, "channels"},
		"start": {func(p *Problem, m *PSLD, o *Options) { o.Start = []float32{1} }, "start picture has 1 values"},
		"scale": {func(p *Problem, m *PSLD, o *Options) { o.Conditions.Prompt = tensor.New(1) },
			"guidance scale 0 would leave the prompt out"},
		"light": {func(p *Problem, m *PSLD, o *Options) { o.LightCodec = true }, "no light autoencoder"},
		"huge step": {func(p *Problem, m *PSLD, o *Options) { m.Omega, m.Squared = 1e38, true },
			"step 1 of 2 (t=501): infinity in the loss; smaller weights may help"},
	} {
		q, method, o := p, glued(2, 0, 1), Options{}
		c.change(&q, method, &o)
		_, err := Solve(context.Background(), m, q, method, o)
		require.ErrorContains(t, err, c.want, name)
	}
	_, err := Solve(context.Background(), nil, p, glued(2, 0, 1), Options{})
	require.EqualError(t, err, "method psld needs a model")
	_, err = Lookup("magic")
	require.EqualError(t, err, `unknown method "magic", want one of psld, gmldps, ldps, dps, mcg, score-sde, ddrm, `+
		`diffpir, pnp-admm, latino, treg, dcdp, guess, dpm, ding, lanpaint, latentdaps, stsl, patchmatch, `+
		`psld-patchmatch, tv`)
	alias, err := Lookup("admm-tv")
	require.NoError(t, err)
	require.Equal(t, "tv", alias.Name)
	require.PanicsWithValue(t, `solver: there are two methods "tv"`, func() {
		Register(Spec{Name: "tv",
			New: func() Method { return new(TV) }})
	})
}

// TestUnconditional: a model without contexts, with a codebook, goes through all methods of latents. Its decoder does
// not see a change of z0 within a code's cell, but the gradient passes straight through: an update along it does not
// raise the loss.
func TestUnconditional(t *testing.T) {
	ucfg, vcfg := unet.LDMVQ4(), vae.VQF4()
	ucfg.BlockOutChannels, ucfg.Heads, ucfg.NormNumGroups = []int{32, 32, 64, 64}, unet.Heads{1, 1, 2, 2}, 8
	vcfg.BlockOutChannels, vcfg.NumEmbeddings, vcfg.NormNumGroups = []int{16, 16, 32}, 64, 8
	m := &prior.LatentDiffusion{UNet: unet.New(ucfg), VAE: vae.New(vcfg), Noise: schedule.ScaledLinear(0.0015,
		0.0195, 1000)}
	m.UNet.Params.Init(1)
	m.VAE.Params.Init(2)
	a, err := operator.NewSR(32, 32, 3, 4)
	require.NoError(t, err)
	p := Problem{A: a, Y: noise(2, a.Out().Len(), 0.1)}
	for _, spec := range Specs() {
		if spec.Needs.Pixel || spec.Needs.Mask {
			continue
		}
		o := method(t, spec.Name, 2)
		require.NoError(t, param.Values{"sample_encoder": true}.Only(o).Apply(o))
		res, err := Solve(context.Background(), m, p, o, Options{})
		require.NoError(t, err)
		// The report's distance to the measurement is that of the picture: A x - y of the clean latent of the last
		// step, or before the last of its inner steps.
		if z0 := res.State.Vars["z0"]; z0 != nil && param.ValuesOf(o)["inner"] == nil {
			ax := make([]float32, len(p.Y))
			a.Apply(ax, newRun(m, p, Options{}).DecodePicture(z0))
			var sq float64
			for i, v := range ax {
				sq += float64(v-p.Y[i]) * float64(v-p.Y[i])
			}
			require.InEpsilon(t, math.Sqrt(sq/float64(len(ax))), res.RMS, 1e-4, spec.Name)
		}
	}
}

// TestLightCodec: the steps decode and encode by the light autoencoder, the result is decoded by the full one.
// Without a light one that is an error.
func TestLightCodec(t *testing.T) {
	m := prior.RandomTiny(1)
	a, err := operator.NewSR(16, 16, 3, 4)
	require.NoError(t, err)
	p := Problem{A: a, Y: make([]float32, a.Out().Len())}
	o := glued(2, 0.1, 1)
	m.TAESD = vae.NewTAESD(vae.TAESDConfig{InChannels: 3, LatentChannels: 4, Channels: 8, EncoderBlocks: []int{1, 1},
		DecoderBlocks: []int{1, 1}})
	m.TAESD.Params.Init(3)
	light, err := Solve(context.Background(), m, p, o, Options{LightCodec: true})
	require.NoError(t, err)
	full := *m
	full.TAESD = nil
	require.Equal(t, newRun(&full, p, Options{}).DecodePicture(light.State.Vars["z"]), light.X)
	ax := make([]float32, len(p.Y)) // the distance that the steps see is that of the light decoder's picture
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	a.Apply(ax, m.TAESD.Decode(g, g.Const(light.State.Vars["z0"])).T.Data)
	require.InEpsilon(t, math.Sqrt(operator.Dot(ax, ax)/float64(len(ax))), light.RMS, 1e-4)

	m.TAESD = vae.NewTAESD(vae.TAESDConfig{InChannels: 3, LatentChannels: 4, Channels: 8, DecoderBlocks: []int{1, 1}})
	m.TAESD.Params.Init(3)
	_, err = Solve(context.Background(), m, p, o, Options{LightCodec: true})
	require.ErrorContains(t, err, "has no encoder, which a gamma above 0 needs")
	o.Gamma = 0
	_, err = Solve(context.Background(), m, p, o, Options{LightCodec: true})
	require.NoError(t, err)
}

// TestStreams: the first streams keep the numbers that their first letters gave them; others are told apart by the
// whole name.
func TestStreams(t *testing.T) {
	first := func(seed, word uint64) float32 { return float32(rand.New(rand.NewPCG(seed, word)).NormFloat64()) }
	for stream, letter := range map[string]uint64{"start": 's', "ddim": 'd', "measurement": 'm', "encoder": 'e'} {
		require.Equal(t, first(7, 3<<8|letter), draw(7, stream, 3, 1)[0])
	}
	seen := map[float32]string{}
	for _, stream := range []string{"start", "sde", "ddpm", "ddim", "langevin", "langevin.2", "encode", "encoder",
		""} {
		for step := range 3 {
			v := draw(7, stream, step, 1)[0]
			require.Empty(t, seen[v], stream)
			seen[v] = stream
		}
	}
}

// TestLightPreview: a picture on the way is decoded by the light codec where there is one; the result is not.
func TestLightPreview(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	var last []float32
	o := Options{Progress: func(p Progress) {
		var err error
		last, err = p.Picture()
		require.NoError(t, err)
	}}
	want, err := Solve(t.Context(), m, p, glued(3, 0.1, 1), o)
	require.NoError(t, err)
	require.Equal(t, want.X, last)
	m.TAESD = vae.NewTAESD(vae.TAESDConfig{InChannels: 3, LatentChannels: 4, Channels: 8, EncoderBlocks: []int{1, 1},
		DecoderBlocks: []int{1, 1}})
	m.TAESD.Params.Init(3)
	got, err := Solve(t.Context(), m, p, glued(3, 0.1, 1), o)
	require.NoError(t, err)
	require.Equal(t, want.X, got.X)
	g := autograd.NoGrad(m.Device())
	defer g.Release()
	require.Equal(t, m.TAESD.Decode(g, g.Const(want.State.Vars["z"])).Host(), last)
}
