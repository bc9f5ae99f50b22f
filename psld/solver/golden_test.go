package solver

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/prior"
	"psld/tensor"
	"psld/unet"
	"psld/vae"
	"psld/weights"
)

// goldenCase is the JSON beside each recorded run.
type goldenCase struct {
	Task, Measurement, Mask, Operator, Variant string
	Gamma, Omega, Eta                          float64
	S                                          int
	Guidance                                   float64 `json:"unconditional_guidance_scale"`
	Conditioning                               string
	Unconditional                              *string  `json:"unconditional_conditioning"`
	LoopNoise                                  *float64 `json:"in_loop_noiser_sigma"`
	Encode                                     string
	StepsRun                                   int `json:"steps_run"`
	OperatorArgs                               struct {
		KernelSize  int `json:"kernel_size"`
		ScaleFactor int `json:"scale_factor"`
	} `json:"operator_args"`
}

var variants = map[string]string{"PSLD": "psld", "LDPS": "ldps", "GML-DPS": "gmldps"}

// tinyModel loads the tiny-sd of the same golden set.
func tinyModel(t *testing.T, psldDir string) *prior.LatentDiffusion {
	m := golden.Model(t, filepath.Join(filepath.Dir(psldDir), "tiny-sd"))
	ucfg, err := unet.ParseConfig(m.UNetConfig)
	require.NoError(t, err)
	vcfg, err := vae.ParseConfig(m.VAEConfig)
	require.NoError(t, err)
	p := &prior.LatentDiffusion{Name: "tiny-sd", UNet: unet.New(ucfg), VAE: vae.New(vcfg)}
	require.NoError(t, p.UNet.Params.Load(m.UNet))
	require.NoError(t, p.VAE.Params.Load(m.VAE))
	return p
}

// hwc reads a recorded [1,C,H,W] tensor in the order of this program.
func hwc(t *testing.T, f *weights.File, name string) (data []float32, h, w, c int) {
	raw, s := golden.F32(t, f, name)
	require.Len(t, s, 4, name)
	return tensor.FromNCHW(raw, s[0], s[1], s[2], s[3]).Data, s[2], s[3], s[1]
}

func goldenOperator(t *testing.T, c goldenCase, shared *weights.File, h, w int) operator.Linear {
	var a operator.Linear
	var err error
	switch {
	case c.Operator == "inpainting":
		mask, _ := golden.F32(t, shared, "mask."+c.Task)
		keep := make([]bool, len(mask))
		for i, v := range mask {
			keep[i] = v != 0
		}
		a, err = operator.NewMask(h, w, 3, keep)
	case c.OperatorArgs.ScaleFactor > 0:
		a, err = operator.NewSR(h, w, 3, c.OperatorArgs.ScaleFactor)
	default:
		name, _, _ := strings.Cut(c.Task, "_")
		values, shape := golden.F32(t, shared, "kernel."+name)
		k64 := make([]float64, len(values))
		for i, v := range values {
			k64[i] = float64(v)
		}
		var k *operator.Kernel
		k, err = operator.NewKernel(shape[0], k64)
		require.NoError(t, err)
		a, err = operator.NewBlur(h, w, 3, k)
	}
	require.NoError(t, err)
	return a
}

// TestGoldenPSLD runs every recorded sampler with the recorded noises, in the mode
// that follows the published code, and compares each step.
func TestGoldenPSLD(t *testing.T) {
	for _, dir := range golden.Folders(t, "psld") {
		paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
		require.NoError(t, err)
		shared := golden.Load(t, filepath.Join(dir, "shared.safetensors"))
		m := tinyModel(t, dir)
		for _, path := range paths {
			name := strings.TrimSuffix(filepath.Base(path), ".json")
			if name == "shared" {
				continue
			}
			t.Run(name, func(t *testing.T) { runGolden(t, m, shared, path) })
		}
	}
}

// method is the sampler that was recorded, in the mode that follows the published code.
func (c goldenCase) method(t *testing.T) Method {
	name := variants[c.Variant]
	if name == "" {
		name = variants[strings.Fields(c.Variant)[0]]
	}
	require.NotEmpty(t, name, "variant %q", c.Variant)
	values := param.Values{"steps": c.S, "eta": c.Eta, "gamma": c.Gamma, "omega": c.Omega,
		"sample_encoder": strings.Contains(c.Encode, "enc_eps"), "back": "reference"}
	if c.LoopNoise != nil {
		values["loop_noise"] = *c.LoopNoise
	}
	spec, err := Lookup(name)
	require.NoError(t, err)
	run := spec.Default()
	require.NoError(t, values.Only(run).Apply(run))
	return run
}

func runGolden(t *testing.T, m *prior.LatentDiffusion, shared *weights.File, path string) {
	var c goldenCase
	golden.JSON(t, path, &c)
	f := golden.Load(t, strings.TrimSuffix(path, ".json")+".safetensors")
	latent, h, w, ch := hwc(t, shared, "x_T")
	fac := m.VAE.Factor()
	a := goldenOperator(t, c, shared, h*fac, w*fac)
	y, _, _, _ := hwc(t, shared, "y."+c.Task)
	context_ := func(name string) *tensor.Tensor {
		data, s := golden.F32(t, shared, name)
		return tensor.From(data, s...)
	}
	run := c.method(t)
	o := Options{Conditions: prior.Conditions{Prompt: context_(c.Conditioning), Scale: c.Guidance}}
	o.Conditions.Negative = o.Conditions.Prompt
	if c.Unconditional != nil {
		o.Conditions.Negative = context_(*c.Unconditional)
	}
	stepName := func(step int) string { return "step" + string(rune('0'+step)) }
	o.noise = func(kind string, step, n int) []float32 {
		if kind == "start" {
			return latent
		}
		names := map[string]string{"ddim": ".ddim_noise", "measurement": ".meas_noise", "encoder": ".enc_eps"}
		noise, _, _, _ := hwc(t, f, stepName(step)+names[kind])
		return noise
	}
	// As the published code: fresh limits from the README of the golden data, four times with guidance.
	loose := 1.0
	if c.Guidance != 1 {
		loose = 4
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	check := func(name string, got []float32, limit float64) {
		if !f.Has(name) {
			t.Logf("%s is not in this set", name)
			return
		}
		want, _, _, _ := hwc(t, f, name)
		golden.Check(t, name, got, want, limit*loose)
	}
	var last []float32
	steps := 0
	o.Inner = true
	o.Progress = func(p Progress) {
		n := stepName(p.Step - 1)
		check(n+".e_t", p.Inner["eps"], 3e-5)
		check(n+".pred_z_0", p.State.Host("z0"), 1e-5)
		check(n+".grad", p.Inner["grad"], 3e-5)
		check(n+".z_prev", p.State.Host("z"), 1e-5)
		scalars, err := f.Float64(n + ".scalars")
		require.NoError(t, err)
		require.InEpsilon(t, scalars[0], p.Measurement, 3e-5*loose)
		if c.Gamma != 0 {
			require.InEpsilon(t, scalars[1], p.Term("gluing"), 3e-5*loose)
		}
		require.InEpsilon(t, scalars[2], p.Loss, 3e-5*loose)
		last = p.State.Host("z")
		if steps++; steps == c.StepsRun {
			cancel()
		}
	}
	p := Problem{A: a, Y: y}
	_, err := Solve(ctx, m, p, run, o)
	if err != nil {
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Equal(t, c.StepsRun, steps)
	check("z_0", last, 1e-5)
	if f.Has("image") {
		check("image", newRun(m, p, o).DecodePicture(tensor.From(last, 1, h, w, ch)), 1e-5)
	}
}
