package psld

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/task"
)

// TestBest: where all holes are thin, another method is best for inpainting than where one is thick; not with latent
// models, nor for other tasks. Latent models but Stable Diffusion fill holes by what is PSLD but for deep ones.
func TestBest(t *testing.T) {
	const h, w = 40, 60
	lines := func(width int) []bool {
		keep := make([]bool, h*w)
		for i := range keep {
			keep[i] = i%w < 20 || i%w >= 20+width
		}
		return keep
	}
	require.Equal(t, 8, thickness(lines(7), h, w))
	require.Equal(t, 8, thickness(lines(8), h, w))
	require.Zero(t, thickness(lines(0), h, w))
	usual := or(task.Must(task.Inpaint).Best, "psld")
	name, why := Best(Damage{Task: task.Inpaint, Keep: lines(3)}, h, w, nil, "")
	require.Equal(t, task.Must(task.Inpaint).Thin, name)
	require.Equal(t, "the holes are thin, at most 4 pixels across", why)
	for want, d := range map[string]Damage{"the holes are not thin, up to 20 pixels across": {Task: task.Inpaint,
		Keep: lines(20)}, "": {Task: task.Inpaint}} {
		name, why = Best(d, h, w, nil, "")
		require.Equal(t, usual, name)
		require.Equal(t, want, why)
	}
	for _, sd := range []bool{false, true} {
		m := prior.RandomTiny(1)
		m.StableDiffusion = sd
		name, _ = Best(Damage{Task: task.Inpaint, Keep: lines(3)}, h, w, m, "")
		require.Equal(t, map[bool]string{false: usual, true: "psld"}[sd], name)
		name, _ = Best(Damage{Task: task.Denoise}, h, w, m, "")
		require.Equal(t, "psld", name)
	}
	pixel, err := prior.DefaultPixel()
	require.NoError(t, err)
	for quality, want := range map[string]string{"": "diffpir", QualityGood: "diffpir", QualityBest: "psld"} {
		name, why = Choose(Auto, Damage{Task: task.SR4}, h, w, false, quality)
		require.Equal(t, want, name)
		require.Equal(t, want == "psld", why != "")
		name, _ = Best(Damage{Task: task.SR4}, h, w, pixel, quality)
		require.Equal(t, "diffpir", name)
	}
	name, _ = Best(Damage{Task: task.Destripe, Keep: lines(3)}, h, w, nil, "")
	require.Equal(t, task.Must(task.Destripe).Best, name)
}

// TestPresetOfBlur: DiffPIR's parameters for a Gaussian blur follow the width of the kernel, without a jump.
func TestPresetOfBlur(t *testing.T) {
	lambda := func(std float64) float64 {
		d, err := task.Must(task.DeblurGaussian).DrawDamage(64, 64, task.Values{"kernel-std": std}, 0)
		require.NoError(t, err)
		m, err := Preset(nil, d, 64, 64, Options{Method: "diffpir"})
		require.NoError(t, err)
		return param.ValuesOf(m)["lambda"].(float64)
	}
	require.InDelta(t, 1, lambda(0.6), 1e-9)
	require.InDelta(t, 1, lambda(0.8), 0.01)
	require.InDelta(t, 0.7, lambda(1.51), 0.01)
	require.InDelta(t, 0.7, lambda(4), 1e-9)
	for std := 0.7; std < 1.7; std += 0.05 {
		require.LessOrEqual(t, lambda(std+0.05), lambda(std))
		require.Greater(t, lambda(std+0.05), 0.85*lambda(std))
	}
}

// TestPresetOfNoise: PnP-ADMM fills pixels in with parameters that follow the noise of the others.
func TestPresetOfNoise(t *testing.T) {
	for sigma, want := range map[float64][2]float64{0: {0.02, 0.1}, 0.05: {0.07, 0.12}, 0.15: {0.21, 0.3}} {
		m, err := Preset(nil, Damage{Task: task.InpaintRandom}, 64, 64,
			Options{Method: "pnp-admm", Sigma: &sigma})
		require.NoError(t, err)
		values := param.ValuesOf(m)
		require.InDelta(t, want[0], values["rho"], 1e-9)
		require.InDelta(t, want[1], values["level"], 1e-9)
	}
}

// TestThicknessOfSlantedScratch: a scratch is as thick as it is across, whatever its direction.
func TestThicknessOfSlantedScratch(t *testing.T) {
	const side, thick = 200, 6.0
	for angle := 0.0; angle < 180; angle += 7.5 {
		sin, cos := math.Sincos(angle * math.Pi / 180)
		keep := make([]bool, side*side)
		for i := range keep {
			x, y := float64(i%side-side/2), float64(i/side-side/2)
			keep[i] = math.Abs(x*sin-y*cos) > thick/2 || math.Abs(x*cos+y*sin) > 80
		}
		require.InDelta(t, thick+1, float64(thickness(keep, side, side)), 1, "%g degrees", angle)
	}
}
