package weights

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"psld/internal/betas"
	"psld/internal/config"
)

// Diffusion is what the files of a model tell of the noise that it was trained with, of what its network predicts, and
// of how its sampler spaces the steps. The zero value is Stable Diffusion's.
type Diffusion struct {
	// AlphasCumprod are the products of 1-beta, one for each diffusion time, where the model brings a schedule of its
	// own; nil stands for Stable Diffusion's. They fall from below 1 to above 0; the last is 0 where the model was
	// trained with zero terminal signal.
	AlphasCumprod []float32
	// Prediction is "epsilon" or "" for the noise, "v_prediction", or "sample" for the clean latent.
	Prediction string
	// Spacing of a sampler's times: "leading", "linspace", "trailing", or "" for what the sampler has of itself.
	Spacing string
	// Offset is added to times of leading spacing; nil stands for 1, as in Stable Diffusion.
	Offset *int
	// EndsAtOne: the last step of sampler ddim goes to a share of signal of 1, not to the first of the schedule.
	EndsAtOne bool
}

// trainSteps is the number of noise levels of the models that do not say it.
const trainSteps = 1000

// maxTimes bounds the memory that a config may ask for.
const maxTimes = 100_000

// schedulerConfig is what is read of diffusers' scheduler_config.json, with its defaults.
type schedulerConfig struct {
	Schedule   string    `json:"beta_schedule"`
	Start      float64   `json:"beta_start"`
	End        float64   `json:"beta_end"`
	Times      int       `json:"num_train_timesteps"`
	Trained    []float64 `json:"trained_betas"`
	ZeroSNR    bool      `json:"rescale_betas_zero_snr"`
	Prediction string    `json:"prediction_type"`
	Offset     *int      `json:"steps_offset"`
	EndsAtOne  *bool     `json:"set_alpha_to_one"`
}

// schedulerKeys are all other keys of the schedulers of diffusers. Those without values say which sampler is best, and
// how it works: that is for the caller to choose.
var schedulerKeys = config.Keys{
	"_class_name": {`"PNDMScheduler"`, `"DDIMScheduler"`, `"DDIMInverseScheduler"`, `"DDIMParallelScheduler"`,
		`"DDPMScheduler"`, `"DDPMParallelScheduler"`, `"DEISMultistepScheduler"`, `"DPMSolverMultistepScheduler"`,
		`"DPMSolverMultistepInverseScheduler"`, `"DPMSolverSDEScheduler"`, `"DPMSolverSinglestepScheduler"`,
		`"EulerAncestralDiscreteScheduler"`, `"EulerDiscreteScheduler"`, `"HeunDiscreteScheduler"`, `"IPNDMScheduler"`,
		`"KDPM2AncestralDiscreteScheduler"`, `"KDPM2DiscreteScheduler"`, `"LCMScheduler"`, `"LMSDiscreteScheduler"`,
		`"SASolverScheduler"`, `"TCDScheduler"`, `"UniPCMultistepScheduler"`, `""`, "null"},
	"clip_sample":                {"false"}, // clipped latents are no pictures; diffusers' pipelines turn it off
	"dynamic_thresholding_ratio": nil,       // of thresholding
	"clip_sample_range":          nil,       // of clip_sample
	"sample_max_value":           nil,       // of thresholding
	"final_sigmas_type":          {`"zero"`, "null"},
	"interpolation_type":         {`"linear"`},
	"sigma_max":                  {"null"},
	"sigma_min":                  {"null"},
	"thresholding":               {"false"},
	"timestep_spacing":           {`"leading"`, `"linspace"`, `"trailing"`},
	"timestep_type":              {`"discrete"`},
	"timestep_values":            {"null"},
	"use_flow_sigmas":            {"false"},
	"use_dynamic_shifting":       {"false"},
	"variance_type":              {`"fixed_small"`, "null"},
	"algorithm_type":             nil,
	"corrector_order":            nil,
	"disable_corrector":          nil,
	"euler_at_final":             nil,
	"flow_shift":                 nil, // of use_flow_sigmas
	"invert_sigmas":              {"false"},
	"lambda_min_clipped":         nil,
	"lower_order_final":          nil,
	"noise_sampler_seed":         nil,
	"original_inference_steps":   nil,
	"predict_x0":                 nil,
	"predictor_order":            nil,
	"skip_prk_steps":             nil,
	"solver_order":               nil,
	"solver_p":                   nil,
	"solver_type":                nil,
	"tau_func":                   nil,
	"time_shift_type":            nil, // of use_dynamic_shifting
	"timestep_scaling":           nil,
	"use_beta_sigmas":            nil,
	"use_exponential_sigmas":     nil,
	"use_karras_sigmas":          nil,
	"use_lu_lambdas":             nil,
}

// readScheduler reads the text of a scheduler_config.json.
func readScheduler(text json.RawMessage) (d Diffusion, unknown []string, err error) {
	c := struct {
		schedulerConfig
		Class   string `json:"_class_name"`
		Spacing string `json:"timestep_spacing"`
	}{schedulerConfig: schedulerConfig{Schedule: "linear", Start: 1e-4, End: 0.02, Times: trainSteps,
		Prediction: "epsilon"}}
	fail := func(err error) (Diffusion, []string, error) {
		return Diffusion{}, nil, fmt.Errorf("scheduler_%w", err)
	}
	if err := config.Parse(text, &c, schedulerKeys); err != nil {
		return fail(err)
	}
	all, err := c.betas()
	if err != nil {
		return fail(fmt.Errorf("config.json: %w", err))
	}
	alphas := betas.Products(all)
	if c.ZeroSNR {
		alphas = betas.ZeroSNR(alphas)
	}
	d = Diffusion{AlphasCumprod: betas.Round(alphas), Prediction: c.Prediction, Spacing: c.Spacing, Offset: c.Offset,
		EndsAtOne: c.Class == "DDIMScheduler"} // of which it is the default
	if c.EndsAtOne != nil {
		d.EndsAtOne = *c.EndsAtOne
	}
	if err := checkAlphas(d.AlphasCumprod); err != nil {
		return fail(fmt.Errorf("config.json: beta_start, beta_end or trained_betas: %w", err))
	}
	switch c.Prediction {
	case "epsilon", "v_prediction", "sample":
	default:
		return fail(fmt.Errorf("config.json: prediction_type is %.80q, want epsilon, v_prediction or sample", c.Prediction))
	}
	if c.Offset != nil && (*c.Offset < 0 || *c.Offset >= c.Times) {
		return fail(fmt.Errorf("config.json: steps_offset is %d, want 0 to less than num_train_timesteps %d", *c.Offset,
			c.Times))
	}
	return d, config.Unknown(text, c, schedulerKeys), nil
}

// betas are those that the config names.
func (c *schedulerConfig) betas() ([]float64, error) {
	if c.Times < 2 || c.Times > maxTimes {
		return nil, fmt.Errorf("num_train_timesteps %d, want 2 to %d", c.Times, maxTimes)
	}
	if c.Trained != nil {
		if len(c.Trained) != c.Times {
			return nil, fmt.Errorf("%d trained_betas, want %d as num_train_timesteps", len(c.Trained), c.Times)
		}
		return c.Trained, nil
	}
	switch c.Schedule {
	case "linear":
		return betas.Linear(c.Start, c.End, c.Times), nil
	case "scaled_linear":
		return betas.ScaledLinear(c.Start, c.End, c.Times), nil
	case "squaredcos_cap_v2":
		return betas.Cosine(c.Times), nil
	}
	return nil, fmt.Errorf("beta_schedule is %.80q, want linear, scaled_linear or squaredcos_cap_v2", c.Schedule)
}

// checkAlphas wants values that fall from below 1 to above 0; the last may be 0.
func checkAlphas(a []float32) error {
	last := float32(1)
	for i, v := range a {
		if !(v > 0 && v < last) && !(v == 0 && i > 0 && i == len(a)-1) {
			return fmt.Errorf("element %d is %v after %v: a noise schedule falls from 1 towards 0", i, v, last)
		}
		last = v
	}
	return nil
}

// Tensors by whose names the programs of Stable Diffusion mark a single file: its network predicts v; its schedule is
// rescaled so that the last time has no signal.
const (
	vMarker       = "v_pred"
	zeroSNRMarker = "ztsnr"
)

// schedulerMeta is the key in the metadata of a safetensors file under which [SaveSingle] keeps scheduler_config.json.
const schedulerMeta = "scheduler_config"

// diffusionOf reads what a single file tells: the scheduler's config that SaveSingle kept, else a tensor of
// alphas (one in float16 is too coarse and passed over) and the markers, and a configuration beside the file.
func (m *Model) diffusionOf(f *File) (err error) {
	if text := f.meta[schedulerMeta]; text != "" {
		m.Scheduler = json.RawMessage(text)
		return m.readScheduler(m.Path)
	}
	d := &m.Diffusion
	const name = "alphas_cumprod"
	info, ok := f.Info(name)
	if ok && (info.DType == F32 || info.DType == F64) && len(info.Shape) == 1 && info.Shape[0] == trainSteps {
		if d.AlphasCumprod, err = f.Float32(name); err != nil {
			return err
		}
		if err := checkAlphas(d.AlphasCumprod); err != nil {
			return fmt.Errorf("%s: tensor %q: %w", f.name, name, err)
		}
	}
	if f.Has(vMarker) {
		d.Prediction = "v_prediction"
	}
	if f.Has(zeroSNRMarker) {
		alphas := betas.Products(stableDiffusionBetas())
		for i, a := range d.AlphasCumprod {
			alphas[i] = float64(a)
		}
		d.AlphasCumprod = betas.Round(betas.ZeroSNR(alphas))
	}
	return m.readYAML()
}

// parameterization is the line of a CompVis config that names what the network predicts: quotes and a comment may
// stand with the value.
var parameterization = regexp.MustCompile(
	`(?m)^[ \t]+parameterization:[ \t]*["']?([A-Za-z0-9_]*)["']?[ \t]*(?:#.*)?\r?$`)

// readYAML looks at the CompVis config beside a single file, X.yaml for X.ckpt, where there is one.
func (m *Model) readYAML() error {
	base := strings.TrimSuffix(m.Path, filepath.Ext(m.Path))
	for _, path := range []string{base + ".yaml", base + ".yml"} {
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		} else if err != nil {
			return err
		}
		match := parameterization.FindSubmatch(text)
		if match == nil {
			return nil
		}
		kinds := map[string]string{"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
		kind, ok := kinds[string(match[1])]
		if !ok {
			return fmt.Errorf("%s: parameterization is %.40q, want eps, v or x0", path, match[1])
		}
		m.Diffusion.Prediction = kind
		return nil
	}
	return nil
}

// readScheduler reads m.Scheduler, which is of the file or folder at path.
func (m *Model) readScheduler(path string) error {
	d, unknown, err := readScheduler(m.Scheduler)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(unknown) > 0 {
		m.Warnings = append(m.Warnings, "scheduler config: unknown and not looked at: "+strings.Join(unknown, ", "))
	}
	m.Diffusion = d
	if !m.isLDM() && slices.Equal(d.AlphasCumprod, betas.Alphas(stableDiffusionBetas())) {
		m.AlphasCumprod = nil
	}
	return nil
}

func stableDiffusionBetas() []float64 { return betas.ScaledLinear(0.00085, 0.012, trainSteps) }

// isDefault tells that all is as in Stable Diffusion, so that a single file need not say it.
func (d *Diffusion) isDefault() bool {
	return d.AlphasCumprod == nil && (d.Prediction == "" || d.Prediction == "epsilon") && d.Spacing == "" &&
		(d.Offset == nil || *d.Offset == 1) && !d.EndsAtOne
}

// zeroSNR tells that the last time has no signal.
func (d *Diffusion) zeroSNR() bool {
	n := len(d.AlphasCumprod)
	return n > 0 && d.AlphasCumprod[n-1] == 0
}

// betasOf turns a schedule back into a config: the two ends of a scaled_linear one where these give it, else all
// betas.
func betasOf(a []float32) schedulerConfig {
	all, last := make([]float64, len(a)), 1.0
	for i, v := range a {
		all[i] = 1 - float64(v)/last
		last = float64(v)
	}
	round := func(v float64) float64 { return math.Round(v*1e5) / 1e5 }
	b := schedulerConfig{Schedule: "scaled_linear", Start: round(all[0]), End: round(all[len(a)-1]), Times: len(a)}
	for i, v := range betas.Alphas(betas.ScaledLinear(b.Start, b.End, len(a))) {
		if math.Abs(float64(v/a[i])-1) > 1e-4 {
			b.Trained = all
			break
		}
	}
	return b
}
