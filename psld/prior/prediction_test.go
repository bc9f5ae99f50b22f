package prior

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/psld/schedule"
	"psld/tensor"
)

// TestEpsOfPredictions: the noise that Eps tells fits the clean latent that the network's output means, by the
// definitions of Salimans and Ho 2022, at every time, that without signal among them.
func TestEpsOfPredictions(t *testing.T) {
	m := RandomTiny(1)
	z := tensor.New(1, 8, 8, 4)
	for i := range z.Data {
		z.Data[i] = float32(math.Sin(float64(i)))
	}
	alphas := append([]float32(nil), schedule.AlphasCumprod()...)
	alphas[999] = 0
	for _, kind := range []schedule.Prediction{schedule.Epsilon, schedule.V, schedule.Sample} {
		m.Noise = schedule.Noise{AlphasCumprod: alphas, Prediction: kind}
		for _, at := range []int{0, 1, 500, 998, 999} {
			g := autograd.NoGrad(m.Device())
			in := g.Const(z)
			out := m.output(g, in, float32(at), m.Empty).T.Data
			e := m.Eps(g, in, float32(at), m.Empty).T.Data
			a := float64(m.Schedule().AlphasCumprod[at])
			for i := range e {
				zi, oi := float64(z.Data[i]), float64(out[i])
				want := map[schedule.Prediction]float64{schedule.Epsilon: oi,
					schedule.V:      math.Sqrt(a)*oi + math.Sqrt(1-a)*zi,
					schedule.Sample: (zi - math.Sqrt(a)*oi) / math.Sqrt(1-a)}[kind]
				require.InDelta(t, want, e[i], 2e-6*(1+math.Abs(want)/math.Sqrt(1-a)), "kind %d, time %d", kind, at)
			}
			g.Release()
		}
	}
}

// TestSchedulerOfFolder: what a folder's scheduler says changes what is made, or is refused.
func TestSchedulerOfFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "testdata", "golden", "tiny-sd", "diffusers"))))
	config := filepath.Join(dir, "scheduler", "scheduler_config.json")
	open := func(text string) (*LatentDiffusion, error) {
		require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
		return Open(context.Background(), dir, Options{})
	}
	const sd = `"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "set_alpha_to_one": false`
	seen := map[string]string{}
	for _, more := range []string{"", `, "beta_start": 0.001`, `, "prediction_type": "v_prediction"`,
		`, "prediction_type": "sample"`, `, "timestep_spacing": "trailing"`, `, "timestep_spacing": "linspace"`,
		`, "steps_offset": 0`, `, "set_alpha_to_one": true`,
		`, "rescale_betas_zero_snr": true, "prediction_type": "v_prediction"`, `, "num_train_timesteps": 500`} {
		m, err := open("{" + sd + more + "}")
		require.NoError(t, err, more)
		require.Empty(t, m.Warnings)
		images, err := m.Generate(context.Background(), Generation{Width: 64, Height: 64, Steps: 4, Sampler: "ddim"})
		require.NoError(t, err, more)
		key := string(pixels(t, images[0]))
		require.NotContains(t, seen, key, "%q is as %q", more, seen[key])
		seen[key] = more
	}
	_, err := open("{" + sd + `, "rescale_betas_zero_snr": true}`)
	require.ErrorContains(t, err, "rescale_betas_zero_snr")
	require.ErrorContains(t, err, "prediction_type epsilon")
	_, err = Inspect(context.Background(), dir, Options{}, false)
	require.NoError(t, err, "may be converted all the same")
	m, err := open("{" + sd + `, "brand_new": 1}`)
	require.NoError(t, err)
	require.Equal(t, []string{"scheduler config: unknown and not looked at: brand_new"}, m.Warnings)
}
