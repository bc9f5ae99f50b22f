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
	"psld/psld/param"
	"psld/psld/prior"
	"psld/tensor"
	"psld/vae"
)

// stopAfter ends a run after a number of steps.
func stopAfter(t *testing.T, m prior.Prior, p Problem, method Method, o Options, steps int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Progress = func(p Progress) {
		require.NoError(t, p.KeepErr)
		if p.Step == steps {
			cancel()
		}
	}
	res, err := Solve(ctx, m, p, method, o)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, steps, res.Steps)
}

type resumeCase struct {
	m      prior.Prior
	method Method
	o      Options
}

// resumeCases are every method, and what makes steps differ.
func resumeCases(t *testing.T) map[string]resumeCase {
	m := prior.RandomTiny(3)
	m.TAESD = vae.NewTAESD(vae.TAESDConfig{InChannels: 3, LatentChannels: 4, Channels: 8, EncoderBlocks: []int{1, 1},
		DecoderBlocks: []int{1, 1}})
	m.TAESD.Params.Init(3)
	windows := *m
	windows.Window = 16
	cat, _, err := m.Prompts("cat", "", false)
	require.NoError(t, err)
	cat.Scale = 3
	random := &PSLD{DDIM{Steps: 5, Strength: 1, Eta: 1}, Fit{Omega: 0.01, Squared: true, LoopNoise: 0.1},
		Gluing{Gamma: 0.01, GluingEvery: 1, SampleEncoder: true}, "adjoint"}
	start, rare := glued(5, 1, 1), glued(5, 1, 1)
	start.Strength, rare.GluingEvery = 0.4, 2
	cases := map[string]resumeCase{
		"all randomness":   {m, random, Options{}},
		"start picture":    {m, start, Options{Start: noise(8, 24*20*3, 0.3)}},
		"prompt":           {m, glued(5, 1, 1), Options{Conditions: cat}},
		"windows":          {&windows, glued(5, 1, 1), Options{}},
		"light, some glue": {m, rare, Options{LightCodec: true}},
		"rare saves":       {m, glued(5, 1, 1), Options{Keep: Keep{Steps: 100, Every: time.Hour}}},
		"saves by time":    {m, glued(5, 1, 1), Options{Keep: Keep{Every: 1}}},
	}
	for _, spec := range Specs() {
		name, steps := spec.Name, 5
		switch name {
		case "ding":
			steps = 4 // and the last look at the clean state
		case "lanpaint":
			steps = 3 // and a Langevin step at two of the levels
		case "patchmatch": // its number of steps is that of the picture's scales: TestPatchMatchSteps
			continue
		}
		if !spec.Needs.Pixel {
			cases[name] = resumeCase{m, method(t, name, steps), Options{}}
		}
		cases[name+" on pixels"] = resumeCase{randomPixel(), method(t, name, steps), Options{}}
	}
	for _, name := range []string{"lanpaint", "lanpaint on pixels"} {
		cases[name].method.(*LanPaint).Inner = 1
	}
	turned := method(t, "diffpir", 5).(*DiffPIR)
	turned.Orientations = 2
	cases["turned and flipped"] = resumeCase{randomPixel(), turned, Options{}}
	coarse := method(t, "diffpir", 1).(*DiffPIR)
	coarse.Coarse = 4 // five resolutions
	cases["coarse to fine"] = resumeCase{randomPixel(), coarse, Options{}}
	none := cases["tv"]
	none.m = nil
	cases["tv without a model"] = none
	return cases
}

// TestResume: a run that was stopped goes on to the same bits, for every method and what makes steps differ; with
// other threads or memory, too.
func TestResume(t *testing.T) {
	blur, hole := blurProblem(t, 24, 20), holeProblem(t, 24, 20)
	for name, c := range resumeCases(t) {
		t.Run(name, func(t *testing.T) {
			o, p := c.o, blur
			if SpecOf(c.method).Needs.Mask {
				p = hole
			}
			o.Seed = 7
			want, err := Solve(context.Background(), c.m, p, c.method, o)
			require.NoError(t, err)
			require.Equal(t, 5, want.Steps)
			for _, steps := range []int{2, 5} {
				o.Keep.File = filepath.Join(t.TempDir(), "state")
				o.Keep.Resume, o.MaxMemory = false, 0
				if steps < want.Steps {
					stopAfter(t, c.m, p, c.method, o, steps)
				} else {
					o.Keep.Steps = 1
					_, err := Solve(context.Background(), c.m, p, c.method, o)
					require.NoError(t, err)
				}
				st, err := ReadState(o.Keep.File)
				require.NoError(t, err)
				require.Equal(t, steps, st.Step)
				o.Keep.Resume, o.MaxMemory = true, 1<<50
				var seen []int
				o.Progress = func(p Progress) { seen = append(seen, p.Step) }
				got, err := Solve(context.Background(), c.m, p, c.method, o)
				require.NoError(t, err)
				require.Equal(t, want.State.Vars, got.State.Vars)
				require.Equal(t, want.X, got.X)
				require.Equal(t, want.RMS, got.RMS)
				require.Equal(t, want.Steps, got.Steps)
				require.Len(t, seen, want.Steps-steps)
				o.Progress = nil
			}
		})
	}
}

// TestResumeConverged: a method that ends before its last step goes on, from a state of any step, to the same end.
func TestResumeConverged(t *testing.T) {
	p, o := blurProblem(t, 16, 16), Options{Keep: Keep{File: filepath.Join(t.TempDir(), "state"), Steps: 1}}
	tv := &TV{Lambda: 0.1, Iterations: 200, CGSteps: 10, Tol: 1e-2}
	want, err := Solve(context.Background(), nil, p, tv, o)
	require.NoError(t, err)
	require.Less(t, want.Steps, 200)
	o.Keep.Resume = true
	got, err := Solve(context.Background(), nil, p, tv, o) // that of the last step
	require.NoError(t, err)
	require.Equal(t, want.X, got.X)
	require.Equal(t, want.Steps, got.Steps)
}

// TestResumeOfAnother: the state of another run is refused, and the error says what differs and nothing else.
func TestResumeOfAnother(t *testing.T) {
	m := prior.RandomTiny(3)
	p := blurProblem(t, 24, 20)
	kernel, err := operator.Gaussian(9, 1.001)
	require.NoError(t, err)
	other, err := operator.NewBlur(24, 20, 3, kernel)
	require.NoError(t, err)
	cat, _, err := m.Prompts("cat", "dog", false)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "state")
	keep := Options{Keep: Keep{File: file}, Conditions: prior.Conditions{Scale: 1}}
	stopAfter(t, m, p, glued(4, 0.5, 1), keep, 2)
	model := func(change func(m *prior.LatentDiffusion)) *prior.LatentDiffusion {
		m := prior.RandomTiny(3)
		change(m)
		return m
	}
	for name, c := range map[string]struct {
		m      *prior.LatentDiffusion
		change func(p *Problem, m *PSLD, o *Options)
		want   string
	}{
		"nothing": {nil, func(p *Problem, m *PSLD, o *Options) {}, ""},
		"measurement": {nil, func(p *Problem, m *PSLD, o *Options) {
			p.Y = append([]float32(nil), p.Y...)
			p.Y[77] = math.Nextafter32(p.Y[77], 1)
		}, "measurement is another one"},
		"operator": {nil, func(p *Problem, m *PSLD, o *Options) { p.A = other },
			"operator (mask or blur kernel) is another one"},
		"back":  {nil, func(p *Problem, m *PSLD, o *Options) { m.Back = "pinv" }, "back is pinv, was adjoint"},
		"gamma": {nil, func(p *Problem, m *PSLD, o *Options) { m.Gamma = 0.25 }, "gamma is 0.25, was 0.5"},
		"two": {nil, func(p *Problem, m *PSLD, o *Options) { m.Omega, m.Squared = 2, true },
			"omega is 2, was 1; squared is true, was false"},
		"seed":  {nil, func(p *Problem, m *PSLD, o *Options) { o.Seed = 1 }, "seed is 1, was 0"},
		"steps": {nil, func(p *Problem, m *PSLD, o *Options) { m.Steps = 5 }, "steps is 5, was 4"},
		"prompt": {nil, func(p *Problem, m *PSLD, o *Options) { o.Conditions.Prompt = cat.Prompt },
			"prompt is another one"},
		"negative": {nil, func(p *Problem, m *PSLD, o *Options) { o.Conditions.Negative = cat.Negative },
			"negative prompt is another one"},
		"gluing every": {nil, func(p *Problem, m *PSLD, o *Options) { m.GluingEvery = 3 }, "gluing-every is 3, was 1"},
		"start": {nil, func(p *Problem, m *PSLD, o *Options) { o.Start = make([]float32, 24*20*3) },
			"start picture is another one"},
		"UNet": {model(func(m *prior.LatentDiffusion) { m.UNet.Params.All()[5].Value.T.Data[1] += 1e-6 }),
			nil, "model's unet is another one"},
		"VAE": {model(func(m *prior.LatentDiffusion) { m.VAE.ScalingFactor = 1.001 }), nil,
			"model's vae is another one"},
		"window": {model(func(m *prior.LatentDiffusion) { m.Window = 16 }), nil,
			"layout is in overlapping windows of 12x16 pixels, blended in every step (larger than the 16x16 pictures of the " +
				"training), was in one piece (larger than the 16x16 pictures of the training); model's unet is another one"},
	} {
		t.Run(name, func(t *testing.T) {
			p, method, o := p, glued(4, 0.5, 1), keep
			o.Keep.Resume = true
			if c.change != nil {
				c.change(&p, method, &o)
			}
			model := m
			if c.m != nil {
				model = c.m
			}
			_, err := Solve(context.Background(), model, p, method, o)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, file+" is the state of another run: "+c.want)
		})
	}
}

// TestResumeElsewhere: a state of another method, of other kernels, and none at all.
func TestResumeElsewhere(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 24, 20)
	file := filepath.Join(t.TempDir(), "state")
	keep := Options{Keep: Keep{File: file}}
	stopAfter(t, m, p, glued(4, 0.5, 1), keep, 2)
	keep.Keep.Resume = true
	_, err := Solve(context.Background(), m, p, &LDPS{DDIM{Steps: 4, Strength: 1}, Fit{Omega: 1}}, keep)
	require.EqualError(t, err, file+" is the state of another run: method is ldps, was psld")

	st, err := ReadState(file)
	require.NoError(t, err)
	require.Equal(t, "kernels", st.Run[0].Name)
	st.Run[0].Value = "quantum"                                 // a machine with other kernels,
	st.Run[3].Value, st.Run[4].Value = digest(nil), digest(nil) // where all else has other last bits
	require.NoError(t, st.Write(file))
	_, err = Solve(context.Background(), m, p, glued(4, 0.5, 1), keep)
	require.ErrorContains(t, err, "is the state of another run: kernels is ")
	require.NotContains(t, err.Error(), "measurement")
	require.True(t, strings.HasSuffix(err.Error(), ", was quantum"), err)

	keep.Keep.File += ".none"
	_, err = Solve(context.Background(), m, p, glued(4, 0.5, 1), keep)
	require.EqualError(t, err, "nothing to go on from: there is no state "+keep.Keep.File)
}

// TestOldState: what the version before kept is refused in clear words.
func TestOldState(t *testing.T) {
	const file = "testdata/old.state" // of psld restore --task denoise on 16x16 pixels, interrupted
	_, err := ReadState(file)
	require.EqualError(t, err, file+" is no state of this version: it was kept by an older version of this program, "+
		"whose runs this one cannot go on with; start over, or finish it with that version")
}

// TestFacts: every parameter of every method and every option of a run but those named is a fact, so that none can be
// forgotten.
func TestFacts(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	m.TAESD = vae.NewTAESD(vae.TAESDConfig{InChannels: 3, LatentChannels: 4, Channels: 8, DecoderBlocks: []int{1, 1}})
	m.TAESD.Params.Init(3)
	facts := func(method Method, o Options) []Fact { return newRun(m, p, o).facts(SpecOf(method), method) }
	for _, spec := range Specs() {
		plain := facts(spec.Default(), Options{})
		for _, f := range param.Fields(spec.New()) {
			changed := spec.Default()
			values := map[reflect.Kind]any{reflect.Int: min(7, f.Max), reflect.Float64: 0.375, reflect.Bool: f.Default != true}
			v := values[f.Kind]
			if f.Choices != nil {
				v = f.Choices[len(f.Choices)-1]
			}
			require.NoError(t, param.Values{f.Name: v}.Apply(changed))
			require.NotEqual(t, plain, facts(changed, Options{}), "%s of %s", f.Name, spec.Name)
		}
	}
	plain := facts(glued(4, 1, 1), Options{})
	for name, o := range map[string]*Options{
		"facts": {Facts: []Fact{{"mask", "another"}}}, "Seed": {Seed: 7}, "Start": {Start: []float32{7}},
		"LightCodec": {LightCodec: true},
		"Conditions": {Conditions: prior.Conditions{Prompt: tensor.New(1)}},
		"":           {Conditions: prior.Conditions{Negative: tensor.New(1)}},
		" ":          {Conditions: prior.Conditions{Scale: 7}}} {
		require.NotEqual(t, plain, facts(glued(4, 1, 1), *o), name)
	}
	known := []string{"Seed", "Start", "LightCodec", "Conditions", "MaxMemory", "Runtime", "Keep", "Carry", "Facts",
		"Progress", "Inner", "noise"}
	for i := range reflect.TypeFor[Options]().NumField() {
		require.Contains(t, known, reflect.TypeFor[Options]().Field(i).Name, "is it a fact?")
	}
}

// TestKeepFails: a state that cannot be written does not end the run, and the next one is tried again.
func TestKeepFails(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	dir := filepath.Join(t.TempDir(), "later")
	var errs []error
	o := Options{Keep: Keep{File: filepath.Join(dir, "state"), Steps: 1}, Progress: func(p Progress) {
		errs = append(errs, p.KeepErr)
		require.Equal(t, p.KeepErr == nil, p.Kept)
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}}
	_, err := Solve(context.Background(), m, p, glued(2, 0, 1), o)
	require.NoError(t, err)
	require.Len(t, errs, 2)
	require.ErrorContains(t, errs[0], "the state of the run cannot be kept")
	require.NoError(t, errs[1])
}
