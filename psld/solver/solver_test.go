package solver

import (
	"context"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/prior"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/unet"
	"psld/vae"
)

func noise(seed uint64, n int, scale float32) []float32 {
	x := generator(seed)("x", 0, n)
	for i := range x {
		x[i] *= scale
	}
	return x
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

// TestGradient holds the gradient of the whole loss, in the default mode and at an
// odd size that is padded, against central differences.
func TestGradient(t *testing.T) {
	m := prior.RandomTiny(3)
	for _, c := range []struct {
		kind    gluing
		squared bool
	}{{glued, false}, {glued, true}, {unglued, false}, {none, false}} {
		p := blurProblem(t, 13, 18)
		p.Back = operator.Transposed(p.A)
		d, err := schedule.StableDiffusion().DDIM(10, 0)
		require.NoError(t, err)
		s := &latentRun{m: m, guide: m, p: p, d: d, kind: c.kind, h: 16, w: 20,
			o: Options{Omega: 1, Gamma: 0.5, Squared: c.squared, Context: m.Empty, Negative: m.Empty}}
		z := tensor.From(noise(5, 8*10*4, 1), 1, 8, 10, 4)
		dir := noise(6, z.Len(), 1)
		st, err := s.step(z, 4)
		require.NoError(t, err)
		var got float64
		for i, v := range dir {
			got += float64(v) * float64(st.Grad[i])
		}
		loss := func(e float32) float64 {
			q := z.Clone()
			for i, v := range dir {
				q.Data[i] += e * v
			}
			st, err := s.step(q, 4)
			require.NoError(t, err)
			return st.Loss
		}
		const h = 3e-3
		want := (loss(h) - loss(-h)) / (2 * h)
		require.InEpsilon(t, want, got, 2e-2, "%+v", c)
	}
}

func TestSameBitsOnAnyThreads(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 24, 20)
	var want []float32
	for _, threads := range []int{1, 2, 5} {
		old := runtime.GOMAXPROCS(threads)
		res, err := Solve(context.Background(), m, p, Options{Steps: 3, Gamma: 0.1, Omega: 1, Eta: 1, Seed: 9})
		runtime.GOMAXPROCS(old)
		require.NoError(t, err)
		require.Len(t, res.X, 24*20*3)
		if want == nil {
			want = res.X
		}
		require.Equal(t, want, res.X, "%d threads", threads)
	}
}

// TestCancel: a run that is cut short gives the picture of its last step.
func TestCancel(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	ctx, cancel := context.WithCancel(context.Background())
	o := Options{Steps: 10, Omega: 1, Progress: func(p Progress) {
		if p.Step == 2 {
			cancel()
		}
	}}
	res, err := Solve(ctx, m, p, o)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 2, res.Steps)
	require.Len(t, res.X, 16*16*3)
}

// TestEqualPromptsSkipGuidance: a guidance scale with equal contexts changes no bit.
func TestEqualPromptsSkipGuidance(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	plain, err := Solve(context.Background(), m, p, Options{Steps: 2, Omega: 1})
	require.NoError(t, err)
	guided, err := Solve(context.Background(), m, p, Options{Steps: 2, Omega: 1, Guidance: 7.5})
	require.NoError(t, err)
	require.Equal(t, plain.X, guided.X)
}

func TestErrors(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	good := Options{Steps: 2, Omega: 1}
	for name, c := range map[string]struct {
		change func(p *Problem, o *Options)
		want   string
	}{
		"method":    {func(p *Problem, o *Options) { o.Method = "magic" }, "want one of"},
		"steps":     {func(p *Problem, o *Options) { o.Steps = 0 }, "steps"},
		"many":      {func(p *Problem, o *Options) { o.Steps = 1001 }, "1 to 1000"},
		"eta":       {func(p *Problem, o *Options) { o.Eta = 2 }, "eta"},
		"gamma":     {func(p *Problem, o *Options) { o.Gamma = math.NaN() }, "gamma"},
		"omega":     {func(p *Problem, o *Options) { o.Omega = -1 }, "omega"},
		"short y":   {func(p *Problem, o *Options) { p.Y = p.Y[1:] }, "measurement has"},
		"NaN y":     {func(p *Problem, o *Options) { p.Y = append([]float32{float32(math.NaN())}, p.Y[1:]...) }, "NaN"},
		"channels":  {func(p *Problem, o *Options) { p.A = operator.Identity(operator.Shape{H: 8, W: 8, C: 1}) }, "channels"},
		"wrong B":   {func(p *Problem, o *Options) { p.Back = operator.Identity(operator.Shape{H: 8, W: 8, C: 3}) }, "back-projection"},
		"huge step": {func(p *Problem, o *Options) { o.Omega = 1e38; o.Squared = true }, "step 1 of 2 (t=501): infinity in the loss; smaller gamma and omega may help"},
	} {
		q, o := p, good
		c.change(&q, &o)
		_, err := Solve(context.Background(), m, q, o)
		require.ErrorContains(t, err, c.want, name)
	}
}

// TestUnconditional: a model without contexts, with a codebook, goes through all methods.
func TestUnconditional(t *testing.T) {
	ucfg, vcfg := unet.LDMVQ4(), vae.VQF4()
	ucfg.BlockOutChannels, ucfg.Heads, ucfg.NormNumGroups = []int{32, 32, 64, 64}, unet.Heads{1, 1, 2, 2}, 8
	vcfg.BlockOutChannels, vcfg.NumEmbeddings, vcfg.NormNumGroups = []int{16, 16, 32}, 64, 8
	m := &prior.LatentDiffusion{UNet: unet.New(ucfg), VAE: vae.New(vcfg), Noise: schedule.ScaledLinear(0.0015, 0.0195, 1000)}
	m.UNet.Params.Init(1)
	m.VAE.Params.Init(2)
	a, err := operator.NewSR(32, 32, 3, 4)
	require.NoError(t, err)
	for _, method := range Names() {
		o := Options{Method: method, Steps: 2, Gamma: 0.1, Omega: 1, SampleEncoder: true}
		res, err := Solve(context.Background(), m, Problem{A: a, Y: make([]float32, a.Out().Len())}, o)
		require.NoError(t, err)
		require.Len(t, res.X, 32*32*3)
	}
}

// TestGuideTiny: a tiny autoencoder guides; without one that is an error.
func TestGuideTiny(t *testing.T) {
	m := prior.RandomTiny(1)
	a, err := operator.NewSR(16, 16, 3, 4)
	require.NoError(t, err)
	p := Problem{A: a, Y: make([]float32, a.Out().Len())}
	o := Options{Steps: 2, Gamma: 0.1, Omega: 1, GuideTAESD: true}
	_, err = Solve(context.Background(), m, p, o)
	require.ErrorContains(t, err, "no tiny autoencoder")
	m.TAESD = vae.NewTAESD(vae.TAESDConfig{InChannels: 3, LatentChannels: 4, Channels: 8, EncoderBlocks: []int{1, 1}, DecoderBlocks: []int{1, 1}})
	m.TAESD.Params.Init(3)
	guided, err := Solve(context.Background(), m, p, o)
	require.NoError(t, err)
	o.GuideTAESD = false
	plain, err := Solve(context.Background(), m, p, o)
	require.NoError(t, err)
	require.NotEqual(t, plain.X, guided.X)
}
