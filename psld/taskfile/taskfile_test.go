package taskfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/task"
)

// in is a task file with this measurement, written as the published ones are.
func in(measurement string) string {
	return "conditioning:\n  method: ps\n  params:\n    scale: 0.3\n\ndata:\n  name: ffhq\n\nmeasurement:\n  " +
		strings.ReplaceAll(measurement, "\n", "\n  ")
}

const gaussian = "\nnoise:\n  name: gaussian\n  sigma: 0.05\n"

// TestParse: the operators and noises of the DPS and PSLD repositories, with what their code does with the numbers.
func TestParse(t *testing.T) {
	fine := operator.Noise{Kind: operator.GaussianNoise, Level: 0.05}
	for text, want := range map[string]File{
		"operator:\n  name: super_resolution\n  in_shape: !!python/tuple [1, 3, 512, 512]\n  scale_factor: 4" + gaussian: {
			Task: task.SR4, Noise: fine, Size: 512},
		"operator:\n  name: gaussian_blur\n  kernel_size: 61\n  intensity: 3.0" + gaussian: {
			Task: task.DeblurGaussian, Noise: fine, Values: task.Values{"kernel-std": 3}},
		"operator:\n  name: motion_blur\n  kernel_size: 121\n  intensity: 0.5" + gaussian: {
			Task: task.DeblurMotion, Noise: fine, Values: task.Values{"motion-window": 121}},
		"operator:\n  name: inpainting\nmask_opt:\n  mask_type: box\n" +
			"  mask_len_range: !!python/tuple [256, 257]  # for box\n  image_size: 512\n" + gaussian: {
			Task: task.InpaintBox, Noise: fine, Values: task.Values{"box": 0.5}, Size: 512},
		"operator:\n  name: inpainting\nmask_opt:\n  mask_type: random\n  mask_prob_range: !!python/tuple [0.3, 0.7]\n" +
			"  image_size: 256" + gaussian: {
			Task: task.InpaintRandom, Noise: fine, Values: task.Values{"missing": 0.3, "missing-most": 0.7}, Size: 256},
		"operator:\n  name: noise\nnoise:\n  name: poisson\n  rate: 1.0": {
			Task: task.Denoise, Noise: operator.Noise{Kind: operator.PoissonNoise, Level: 255}},
		"operator: {name: noise}\nnoise: {name: clean}": {
			Task: task.Denoise, Noise: operator.Noise{Kind: operator.GaussianNoise}},
	} {
		got, err := Parse([]byte(in(text)))
		require.NoError(t, err, text)
		require.Len(t, got.Aside, 2)
		got.Aside = nil
		require.Equal(t, want, got)
		spec := task.Must(got.Task)
		a, err := spec.DrawDamage(256, 256, got.Values, 1)
		require.NoError(t, err, "what it asks for can be drawn")
		require.Equal(t, got.Task, a.Task)
	}
}

func TestParseErrors(t *testing.T) {
	const blur = "operator: {name: gaussian_blur, kernel_size: 61, intensity: 3"
	for text, want := range map[string]string{
		in("operator:\n  name: phase_retrieval\n  oversample: 2.0" + gaussian): `operator "phase_retrieval" is not`,
		in("operator:\n  name: nonlinear_blur\n  opt_yml_path: x" + gaussian):  `operator "nonlinear_blur" is not`,
		in(blur + ", blur: 1}" + gaussian):                                     "operator.blur is not understood",
		in(blur + "}\nmask_opt: {mask_type: box}" + gaussian):                  "measurement.mask_opt is not understood",
		in(blur + "}\nnoise: {name: gaussian}"):                                "sigma is missing, want a number",
		in(blur + "}\nnoise: {name: gaussian, sigma: -1}"):                     "deviation -1, want",
		in(blur + "}\nnoise: {name: speckle}"):                                 `noise "speckle" is not understood`,
		in(blur + "}\nnoise: {name: clean, sigma: 1}"):                         "noise.sigma is not understood",
		in(blur + "}"): "noise is missing, want entries",
		in("operator: {name: gaussian_blur, kernel_size: 9, intensity: 3}" + gaussian):      "at least 8 deviations",
		in("operator: {name: motion_blur, kernel_size: 61, intensity: 0.1}" + gaussian):     "intensity is 0.1, want 0.5",
		in("operator: {name: super_resolution, scale_factor: 3}" + gaussian):                "scale_factor is 3, want",
		in("operator: {name: inpainting}\nmask_opt: {mask_type: extreme, image_size: 256}"): `mask_type "extreme"`,
		in(blur+"}"+gaussian) + "\nmore: 1":                                                 "more is not understood",
		"a: &a [1]\nb: *a":                                                                  "aliases",
		"":                                                                                  "it is not a task file",
		"- 1":                                                                               "it is not a task file",
		"measurement: 3":                                                                    "measurement is 3, want",
		"{":                                                                                 "yaml",
	} {
		_, err := Parse([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
	path := filepath.Join(t.TempDir(), "x.yaml")
	require.NoError(t, os.WriteFile(path, []byte("a: 1"), 0o600))
	_, err := Load(path)
	require.ErrorContains(t, err, path)
}

// FuzzParse: no text makes the reader panic, and what it takes can be drawn.
func FuzzParse(f *testing.F) {
	f.Add([]byte(in("operator:\n  name: motion_blur\n  kernel_size: 121\n  intensity: 0.5" + gaussian)))
	f.Add([]byte(in("operator: {name: inpainting}\nmask_opt: {mask_type: box, mask_len_range: [8, 9], image_size: 16}" +
		gaussian)))
	f.Add([]byte("measurement: {operator: {name: noise}, noise: {name: poisson, rate: 1}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Parse(text)
		if err != nil {
			return
		}
		require.NoError(t, got.Noise.Check())
		_, _ = task.Must(got.Task).DrawDamage(16, 16, got.Values, 1)
	})
}
