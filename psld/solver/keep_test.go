package solver

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/prior"
	"psld/tensor"
	"psld/vae"
)

// stopAfter ends a run after a number of steps.
func stopAfter(t *testing.T, m *prior.LatentDiffusion, p Problem, o Options, steps int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Progress = func(p Progress) {
		require.NoError(t, p.KeepErr)
		if p.Step == steps {
			cancel()
		}
	}
	res, err := Solve(ctx, m, p, o)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, steps, res.Steps)
}

// TestResume: a run that was stopped goes on to the same bits, for every method and what makes steps differ; with
// other threads or memory, too.
func TestResume(t *testing.T) {
	m := prior.RandomTiny(3)
	m.TAESD = vae.NewTAESD(vae.TAESDConfig{InChannels: 3, LatentChannels: 4, Channels: 8, EncoderBlocks: []int{1, 1}, DecoderBlocks: []int{1, 1}})
	m.TAESD.Params.Init(3)
	windows := *m
	windows.Window = 16
	cat, _, err := m.Prompts("cat", "", false)
	require.NoError(t, err)
	cases := map[string]struct {
		m *prior.LatentDiffusion
		o Options
	}{
		"all randomness":  {m, Options{Eta: 1, SampleEncoder: true, LoopNoise: 0.1, Squared: true, Gamma: 0.01, Omega: 0.01}},
		"start picture":   {m, Options{Start: noise(8, 24*20*3, 0.3), Strength: 0.4, Gamma: 1, Omega: 1}},
		"prompt":          {m, Options{Context: cat.Prompt, Guidance: 3, Gamma: 1, Omega: 1}},
		"windows":         {&windows, Options{Gamma: 1, Omega: 1}},
		"tiny, some glue": {m, Options{GuideTAESD: true, GluingEvery: 2, Gamma: 1, Omega: 1}},
		"rare saves":      {m, Options{Gamma: 1, Omega: 1, Keep: Keep{Steps: 100, Every: time.Hour}}},
		"saves by time":   {m, Options{Gamma: 1, Omega: 1, Keep: Keep{Every: 1}}},
	}
	for _, name := range Names() {
		cases[name] = struct {
			m *prior.LatentDiffusion
			o Options
		}{m, Options{Method: name, Gamma: 1, Omega: 1}}
	}
	p := blurProblem(t, 24, 20)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := c.o
			o.Steps, o.Seed = 5, 7
			want, err := Solve(context.Background(), c.m, p, o)
			require.NoError(t, err)
			for _, steps := range []int{2, 5} {
				o.Keep.File = filepath.Join(t.TempDir(), "state")
				o.Keep.Resume, o.MaxMemory = false, 0
				if steps < want.Steps {
					stopAfter(t, c.m, p, o, steps)
				} else {
					o.Keep.Steps = 1
					_, err := Solve(context.Background(), c.m, p, o)
					require.NoError(t, err)
				}
				st, err := ReadState(o.Keep.File)
				require.NoError(t, err)
				require.Equal(t, steps, st.Step)
				o.Keep.Resume, o.MaxMemory = true, 1<<50
				var seen []int
				o.Progress = func(p Progress) { seen = append(seen, p.Step) }
				got, err := Solve(context.Background(), c.m, p, o)
				require.NoError(t, err)
				require.Equal(t, want.Latent.Data, got.Latent.Data)
				require.Equal(t, want.X, got.X)
				require.Equal(t, want.RMS, got.RMS)
				require.Equal(t, want.Steps, got.Steps)
				require.Len(t, seen, want.Steps-steps)
				o.Progress = nil
			}
		})
	}
}

// TestResumeOfAnother: the state of another run is refused, and the error says what differs and nothing else.
func TestResumeOfAnother(t *testing.T) {
	m := prior.RandomTiny(3)
	p := blurProblem(t, 24, 20)
	back, err := operator.NewPseudoInverse(p.A, 0.01, 5)
	require.NoError(t, err)
	kernel, err := operator.Gaussian(9, 1.001)
	require.NoError(t, err)
	other, err := operator.NewBlur(24, 20, 3, kernel)
	require.NoError(t, err)
	cat, _, err := m.Prompts("cat", "dog", false)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "state")
	good := Options{Steps: 4, Gamma: 0.5, Omega: 1, Keep: Keep{File: file}}
	stopAfter(t, m, p, good, 2)
	model := func(change func(m *prior.LatentDiffusion)) *prior.LatentDiffusion {
		m := prior.RandomTiny(3)
		change(m)
		return m
	}
	for name, c := range map[string]struct {
		m      *prior.LatentDiffusion
		change func(p *Problem, o *Options)
		want   string
	}{
		"nothing":     {nil, func(p *Problem, o *Options) {}, ""},
		"gluing of 1": {nil, func(p *Problem, o *Options) { o.GluingEvery = 1 }, ""},
		"measurement": {nil, func(p *Problem, o *Options) {
			p.Y = append([]float32(nil), p.Y...)
			p.Y[77] = math.Nextafter32(p.Y[77], 1)
		}, "measurement is another one"},
		"operator":     {nil, func(p *Problem, o *Options) { p.A = other }, "operator (mask or blur kernel) is another one; back-projection is another one"},
		"back":         {nil, func(p *Problem, o *Options) { p.Back = back }, "back-projection is another one"},
		"gamma":        {nil, func(p *Problem, o *Options) { o.Gamma = 0.25 }, "gamma is 0.25, was 0.5"},
		"two":          {nil, func(p *Problem, o *Options) { o.Omega, o.Squared = 2, true }, "omega is 2, was 1; squared is true, was false"},
		"seed":         {nil, func(p *Problem, o *Options) { o.Seed = 1 }, "seed is 1, was 0; start noise is another one"},
		"steps":        {nil, func(p *Problem, o *Options) { o.Steps = 5 }, "steps is 5, was 4"},
		"method":       {nil, func(p *Problem, o *Options) { o.Method = "ldps" }, "method is ldps, was psld"},
		"prompt":       {nil, func(p *Problem, o *Options) { o.Context = cat.Prompt }, "prompt is another one"},
		"negative":     {nil, func(p *Problem, o *Options) { o.Negative = cat.Negative }, "negative prompt is another one"},
		"gluing every": {nil, func(p *Problem, o *Options) { o.GluingEvery = 3 }, "gluing-every is 3, was 1"},
		"start": {nil, func(p *Problem, o *Options) { o.Start, o.Strength = make([]float32, 24*20*3), 1 },
			"start picture is another one; strength is 1, was 0"},
		"UNet":   {model(func(m *prior.LatentDiffusion) { m.UNet.Params.All()[5].Value.T.Data[1] += 1e-6 }), nil, "model's UNet is another one"},
		"VAE":    {model(func(m *prior.LatentDiffusion) { m.VAE.ScalingFactor = 1.001 }), nil, "model's autoencoder is another one"},
		"window": {model(func(m *prior.LatentDiffusion) { m.Window = 16 }), nil, "model's window is 16, was 0"},
	} {
		t.Run(name, func(t *testing.T) {
			p, o := p, good
			o.Keep.Resume = true
			if c.change != nil {
				c.change(&p, &o)
			}
			model := m
			if c.m != nil {
				model = c.m
			}
			_, err := Solve(context.Background(), model, p, o)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, file+" is the state of another run: "+c.want)
		})
	}
	st, err := ReadState(file)
	require.NoError(t, err)
	require.Equal(t, "kernels", st.Run[0].Name)
	st.Run[0].Value = "quantum"                                 // a machine with other kernels,
	st.Run[3].Value, st.Run[4].Value = digest(nil), digest(nil) // where all else has other last bits
	require.NoError(t, st.write(file))
	good.Keep.Resume = true
	_, err = Solve(context.Background(), m, p, good)
	require.ErrorContains(t, err, "is the state of another run: kernels is ")
	require.NotContains(t, err.Error(), "measurement")
	require.True(t, strings.HasSuffix(err.Error(), ", was quantum"), err)

	good.Keep.File += ".none"
	_, err = Solve(context.Background(), m, p, good)
	require.EqualError(t, err, "nothing to go on from: there is no state "+good.Keep.File)
}

// TestOptionFacts: every option but those named is a fact, so that none can be forgotten.
func TestOptionFacts(t *testing.T) {
	plain := optionFacts(Options{})
	v := reflect.ValueOf(&Options{}).Elem()
	for i := range v.NumField() {
		var o Options
		f := reflect.ValueOf(&o).Elem().Field(i)
		switch name := v.Type().Field(i).Name; f.Interface().(type) {
		case string:
			f.SetString("x")
		case int, int64:
			if f.SetInt(7); name == "MaxMemory" {
				require.Equal(t, plain, optionFacts(o))
				continue
			}
		case uint64:
			f.SetUint(7)
		case float64:
			f.SetFloat(7)
		case bool:
			f.SetBool(true)
		case []float32:
			f.Set(reflect.ValueOf([]float32{7}))
		case *tensor.Tensor:
			f.Set(reflect.ValueOf(tensor.New(1)))
		default:
			require.Contains(t, []string{"Keep", "Progress", "Noise"}, name)
			continue
		}
		require.NotEqual(t, plain, optionFacts(o), v.Type().Field(i).Name)
	}
}

// TestKeepFails: a state that cannot be written does not end the run, and the next one is tried again.
func TestKeepFails(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	dir := filepath.Join(t.TempDir(), "later")
	var errs []error
	o := Options{Steps: 2, Omega: 1, Keep: Keep{File: filepath.Join(dir, "state"), Steps: 1}, Progress: func(p Progress) {
		errs = append(errs, p.KeepErr)
		require.Equal(t, p.KeepErr == nil, p.Kept)
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}}
	_, err := Solve(context.Background(), m, p, o)
	require.NoError(t, err)
	require.Len(t, errs, 2)
	require.ErrorContains(t, errs[0], "the state of the run cannot be kept")
	require.NoError(t, errs[1])
}
