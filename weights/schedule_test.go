package weights_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/weights"
)

// scheduled is the tiny Stable Diffusion with another scheduler.
func scheduled(t *testing.T, config string) (*weights.Model, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(golden.Kind(t, "tiny-sd"), "diffusers"))))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "scheduler", "scheduler_config.json"), []byte(config), 0o600))
	return openModel(t, dir, weights.Options{}), dir
}

// TestSchedulerConfig: alphas of each kind of schedule against their definition.
func TestSchedulerConfig(t *testing.T) {
	m, _ := scheduled(t, `{"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}`)
	require.Nil(t, m.AlphasCumprod, "Stable Diffusion's own")
	require.Equal(t, "epsilon", m.Prediction)

	product := func(n int, beta func(i int) float64) []float64 {
		alphas, p := make([]float64, n), 1.0
		for i := range alphas {
			p *= 1 - beta(i)
			alphas[i] = p
		}
		return alphas
	}
	linear := func(i int) float64 { return 1e-4 + float64(i)*(0.02-1e-4)/999 }
	bar := func(x float64) float64 { return math.Pow(math.Cos((x+0.008)/1.008*math.Pi/2), 2) }
	for config, want := range map[string][]float64{
		`{}`:                           product(1000, linear),
		`{"beta_schedule": "linear"}`:  product(1000, linear),
		`{"num_train_timesteps": 500}`: product(500, func(i int) float64 { return 1e-4 + float64(i)*(0.02-1e-4)/499 }),
		`{"beta_schedule": "squaredcos_cap_v2"}`: product(1000, func(i int) float64 {
			return min(0.999, 1-bar(float64(i+1)/1000)/bar(float64(i)/1000))
		}),
		`{"num_train_timesteps": 3, "trained_betas": [0.1, 0.2, 0.5]}`: {0.9, 0.72, 0.36},
	} {
		m, _ := scheduled(t, config)
		require.Len(t, m.AlphasCumprod, len(want), config)
		for i, a := range want {
			require.InEpsilon(t, a, m.AlphasCumprod[i], 1e-6, "%s: time %d", config, i)
		}
	}

	m, _ = scheduled(t, `{"num_train_timesteps": 3, "trained_betas": [0.1, 0.2, 0.5], "rescale_betas_zero_snr": true,
		"prediction_type": "v_prediction", "timestep_spacing": "trailing", "steps_offset": 0, "set_alpha_to_one": true,
		"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "my_own": 3, "other": null}`)
	mid := (math.Sqrt(0.72) - math.Sqrt(0.36)) * math.Sqrt(0.9) / (math.Sqrt(0.9) - math.Sqrt(0.36))
	require.InDeltaSlice(t, []float32{0.9, float32(mid * mid), 0}, m.AlphasCumprod, 1e-6)
	require.Equal(t, "v_prediction", m.Prediction)
	require.Equal(t, "trailing", m.Spacing)
	require.Equal(t, 0, *m.Offset)
	require.True(t, m.EndsAtOne)
	require.Equal(t, []string{"scheduler config: unknown and not looked at: my_own, other"}, m.Warnings)

	m, _ = scheduled(t, `{"_class_name": "DDIMScheduler"}`)
	require.True(t, m.EndsAtOne, "the default of that class")
}

// TestSaveSchedule: what a folder says of its noise comes back from a single file and from a folder.
func TestSaveSchedule(t *testing.T) {
	m, _ := scheduled(t, `{"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
		"beta_end": 0.012, "rescale_betas_zero_snr": true, "prediction_type": "v_prediction", "set_alpha_to_one": false,
		"timestep_spacing": "trailing", "steps_offset": 0, "lambda_min_clipped": -Infinity}`)
	file, dir := filepath.Join(t.TempDir(), "one.safetensors"), filepath.Join(t.TempDir(), "again")
	require.NoError(t, weights.SaveSingle(ctx, file, m, weights.SaveOptions{}))
	single := openModel(t, file, weights.Options{})
	require.Equal(t, m.Diffusion, single.Diffusion)
	require.NoError(t, weights.SaveDiffusers(ctx, dir, single, weights.SaveOptions{}))
	require.Equal(t, m.Diffusion, openModel(t, dir, weights.Options{}).Diffusion)
	text, err := os.ReadFile(filepath.Join(dir, "scheduler", "scheduler_config.json"))
	require.NoError(t, err)
	require.Contains(t, string(text), `"lambda_min_clipped": -Infinity`, "as Python's json reads it")

	// Others read the markers.
	f, err := weights.Open(file)
	require.NoError(t, err)
	defer f.Close()
	require.True(t, f.Has("v_pred"))
	require.True(t, f.Has("ztsnr"))

	plain := openModel(t, filepath.Join(golden.Kind(t, "tiny-sd"), "diffusers"), weights.Options{})
	require.NoError(t, weights.SaveSingle(ctx, file, plain, weights.SaveOptions{}))
	g, err := weights.Open(file)
	require.NoError(t, err)
	defer g.Close()
	require.Equal(t, map[string]string{"format": "pt"}, g.Metadata(), "nothing to say")
	require.False(t, slices.Contains(g.Names(), "alphas_cumprod"))

	m, _ = scheduled(t, `{"prediction_type": "sample"}`)
	require.ErrorContains(t, weights.SaveSingle(ctx, file, m, weights.SaveOptions{}), "prediction_type sample")
}

// TestSingleFileMarkers: v_pred, ztsnr, and the yaml beside a file.
func TestSingleFileMarkers(t *testing.T) {
	plain := openModel(t, filepath.Join(golden.Kind(t, "tiny-sd"), "diffusers"), weights.Options{})
	path := filepath.Join(t.TempDir(), "model.safetensors")
	require.NoError(t, weights.SaveSingle(ctx, path, plain, weights.SaveOptions{}))
	with := func(markers ...string) *weights.Model {
		f, err := weights.Open(path)
		require.NoError(t, err)
		defer f.Close()
		var entries []weights.Entry
		for _, name := range f.Names() {
			info, _ := f.Info(name)
			raw, err := f.Bytes(name)
			require.NoError(t, err)
			entries = append(entries, weights.Entry{Name: name, DType: info.DType, Shape: info.Shape, Raw: raw})
		}
		for _, name := range markers {
			entries = append(entries, weights.Entry{Name: name, DType: weights.F32, Shape: []int{0}})
		}
		marked := filepath.Join(t.TempDir(), "marked.safetensors")
		require.NoError(t, weights.Write(marked, entries, nil))
		return openModel(t, marked, weights.Options{})
	}
	m := with()
	require.Empty(t, m.Prediction)
	require.Nil(t, m.AlphasCumprod)
	m = with("v_pred")
	require.Equal(t, "v_prediction", m.Prediction)
	require.Nil(t, m.AlphasCumprod)
	m = with("v_pred", "ztsnr")
	require.Equal(t, "v_prediction", m.Prediction)
	require.Zero(t, m.AlphasCumprod[999])
	require.InEpsilon(t, 1-0.00085, m.AlphasCumprod[0], 1e-6)

	yaml := filepath.Join(filepath.Dir(path), "model.yaml")
	for line, want := range map[string]string{`"v"`: "v_prediction", "v  # as trained": "v_prediction", "eps": "epsilon",
		"'x0'": "sample"} {
		text := fmt.Sprintf("model:\n  target: ldm.models.diffusion.ddpm.LatentDiffusion\n  params:\n"+
			"    parameterization: %s\n    linear_start: 0.00085\n", line)
		require.NoError(t, os.WriteFile(yaml, []byte(text), 0o600))
		require.Equal(t, want, openModel(t, path, weights.Options{}).Prediction, line)
	}
	require.NoError(t, os.WriteFile(yaml, []byte("model:\n  params:\n    parameterization: flow\n"), 0o600))
	_, err := weights.OpenModel(path, weights.Options{})
	require.ErrorContains(t, err, `parameterization is "flow"`)
	require.NoError(t, os.WriteFile(yaml, []byte("model: {}\n"), 0o600))
	require.Empty(t, openModel(t, path, weights.Options{}).Prediction)
}

// FuzzScheduler: a config is an error, or its alphas fall.
func FuzzScheduler(f *testing.F) {
	f.Add([]byte(`{"beta_schedule": "squaredcos_cap_v2", "rescale_betas_zero_snr": true, "steps_offset": 1}`))
	f.Add([]byte(`{"num_train_timesteps": 2, "trained_betas": [0.1, 1], "x": NaN}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			return
		}
		alphas, err := weights.SchedulerAlphas(text)
		if err != nil {
			return
		}
		last := float32(1)
		for i, a := range alphas {
			require.True(t, a < last && (a > 0 || i == len(alphas)-1), "%v after %v", a, last)
			last = a
		}
	})
}
