package schedule_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/schedule"
)

// TestSpacing: the times of Lin et al. 2024, table 2, for ten of a thousand steps (counted from 1 there), and those of
// diffusers' schedulers.
func TestSpacing(t *testing.T) {
	for _, c := range []struct {
		sampler, kind string
		offset        int
		want          []float32
	}{
		{"ddim", "leading", 0, []float32{900, 800, 700, 600, 500, 400, 300, 200, 100, 0}},
		{"ddim", "leading", 1, []float32{901, 801, 701, 601, 501, 401, 301, 201, 101, 1}},
		{"ddim", "linspace", 1, []float32{999, 888, 777, 666, 555, 444, 333, 222, 111, 0}},
		{"ddim", "trailing", 1, []float32{999, 899, 799, 699, 599, 499, 399, 299, 199, 99}},
		{"ddpm", "trailing", 0, []float32{999, 899, 799, 699, 599, 499, 399, 299, 199, 99}},
		{"euler", "leading", 1, []float32{901, 801, 701, 601, 501, 401, 301, 201, 101, 1}},
		{"euler", "trailing", 1, []float32{999, 899, 799, 699, 599, 499, 399, 299, 199, 99}},
		{"euler_a", "", 1, []float32{999, 888, 777, 666, 555, 444, 333, 222, 111, 0}},
		{"dpm++2m", "", 0, []float32{999, 899, 799, 699, 599, 500, 400, 300, 200, 100}},
		{"dpm++2m", "leading", 1, []float32{901, 811, 721, 631, 541, 451, 361, 271, 181, 91}}, // 1000/11 = 90
		{"dpm++2m", "trailing", 1, []float32{999, 899, 799, 699, 599, 499, 399, 299, 199, 99}},
	} {
		n := schedule.StableDiffusion()
		n.Spacing = &schedule.Spacing{Kind: c.kind, Offset: c.offset}
		s, err := n.Sampler(c.sampler, 10, schedule.SamplerOptions{})
		require.NoError(t, err)
		var got []float32
		for i := range s.Len() {
			got = append(got, s.Time(i))
		}
		require.InDeltaSlice(t, c.want, got, 1e-4, "%s %s", c.sampler, c.kind)
	}
}

// TestSpacingRuns: for every spacing and number of steps the times fall within the schedule and a run ends at the
// picture whose noise the network knows.
func TestSpacingRuns(t *testing.T) {
	for _, kind := range []string{"leading", "linspace", "trailing"} {
		for _, name := range schedule.Samplers() {
			for _, steps := range []int{1, 2, 3, 7, 30, 49, 50, 333, 501, 999, 1000} {
				n := schedule.StableDiffusion()
				n.Spacing = &schedule.Spacing{Kind: kind, Offset: 1, EndsAtOne: true}
				s, err := n.Sampler(name, steps, schedule.SamplerOptions{})
				if name == "lcm" && steps > 50 {
					continue
				}
				require.NoError(t, err)
				x := make([]float32, 1)
				for i := range s.Len() {
					require.False(t, s.Time(i) < 0 || s.Time(i) > 999 || i > 0 && s.Time(i) > s.Time(i-1),
						"%s %s %d steps: time %v", name, kind, steps, s.Time(i))
					s.AddNoise(x, []float32{0.5}, []float32{-1}, i)
					s.Step(x, []float32{-1}, i, func(dst []float32) { dst[0] = 0.3 })
				}
				// As in diffusers, a step of ddim is times over steps long, so that the last may end above all noise.
				if name != "ddim" || kind == "leading" && steps <= 500 {
					require.InDelta(t, 0.5, x[0], 1e-4, "%s %s %d steps", name, kind, steps)
				}
			}
		}
	}
}

// kinds of outputs that mean the same noise e in x = signal z + sigma e.
func outputs(x, e, signal, sigma float64) map[schedule.Prediction]float64 {
	z := (x - sigma*e) / signal
	n := math.Sqrt(signal*signal + sigma*sigma)
	return map[schedule.Prediction]float64{schedule.Epsilon: e, schedule.V: (signal*e - sigma*z) / n, schedule.Sample: z}
}

// TestPredictions: a network that predicts v or the clean latent goes the way of one that predicts the noise.
func TestPredictions(t *testing.T) {
	g := gauss{0.7, 0.5}
	for _, name := range schedule.Samplers() {
		runs := map[schedule.Prediction][]float64{}
		for _, kind := range []schedule.Prediction{schedule.Epsilon, schedule.V, schedule.Sample} {
			n := schedule.StableDiffusion()
			n.Prediction = kind
			s, err := n.Sampler(name, 12, schedule.SamplerOptions{})
			require.NoError(t, err)
			x := []float32{1.3 * s.Init()}
			for i := range s.Len() {
				signal, sigma := space(s, i)
				norm := math.Sqrt(signal*signal + sigma*sigma)
				a := signal * signal / (norm * norm)
				e := g.eps(float64(x[0])/norm, a)
				s.Step(x, []float32{float32(outputs(float64(x[0]), e, signal, sigma)[kind])}, i,
					func(dst []float32) { dst[0] = 0.3 })
				runs[kind] = append(runs[kind], float64(x[0]))
			}
		}
		for i, want := range runs[schedule.Epsilon] {
			require.InDelta(t, want, runs[schedule.V][i], 2e-5*(1+math.Abs(want)), "%s: v, step %d", name, i)
			require.InDelta(t, want, runs[schedule.Sample][i], 2e-5*(1+math.Abs(want)), "%s: sample, step %d", name, i)
		}
	}
}

// diffusers is a run of a scheduler of diffusers as its code has it, in float64: from x with a network v(x, t).
// alphas are those that it works with.
func diffusers(class string, alphas []float64, times []int, x float64, v func(x float64, t int) float64) []float64 {
	var path []float64
	sigma := func(t int) float64 { return math.Sqrt((1 - alphas[t]) / alphas[t]) }
	var last, lastLambda float64 // of DPMSolverMultistepScheduler
	for i, t := range times {
		a := alphas[t]
		switch class {
		case "DDIMScheduler": // prediction_type v_prediction, eta 0, set_alpha_to_one
			prev := t - len(alphas)/len(times)
			aPrev := 1.0
			if prev >= 0 {
				aPrev = alphas[prev]
			}
			out := v(x, t)
			z := math.Sqrt(a)*x - math.Sqrt(1-a)*out
			e := math.Sqrt(a)*out + math.Sqrt(1-a)*x
			x = math.Sqrt(aPrev)*z + math.Sqrt(1-aPrev)*e
		case "EulerDiscreteScheduler":
			s, next := sigma(t), 0.0
			if i+1 < len(times) {
				next = sigma(times[i+1])
			}
			out := v(x/math.Sqrt(s*s+1), t)
			z := out*(-s/math.Sqrt(s*s+1)) + x/(s*s+1)
			x += (x - z) / s * (next - s)
		case "DPMSolverMultistepScheduler":
			s, next := sigma(t), 0.0
			if i+1 < len(times) {
				next = sigma(times[i+1])
			}
			alphaT, sigmaT := 1/math.Sqrt(s*s+1), s/math.Sqrt(s*s+1)
			z := alphaT*x - sigmaT*v(x, t)
			alphaN, sigmaN := 1/math.Sqrt(next*next+1), next/math.Sqrt(next*next+1)
			lambda, lambdaN := math.Log(alphaT)-math.Log(sigmaT), math.Log(alphaN)-math.Log(sigmaN)
			if i == 0 || i == len(times)-1 {
				x = sigmaN/sigmaT*x - alphaN*(math.Exp(-(lambdaN-lambda))-1)*z
			} else {
				h, h0 := lambdaN-lambda, lambda-lastLambda
				d1 := h / h0 * (z - last)
				f := math.Exp(-h) - 1
				x = sigmaN/sigmaT*x - alphaN*f*z - 0.5*alphaN*f*d1
			}
			last, lastLambda = z, lambda
		}
		path = append(path, x)
	}
	return path
}

// TestZeroSignal: the schedule of rescale_betas_zero_snr with v-prediction and trailing times, as diffusers' code has
// it: DDIM with a share of signal of 0, the others with 2^-24.
func TestZeroSignal(t *testing.T) {
	alphas := []float64{} // of Stable Diffusion, rescaled
	product := 1.0
	for i := range 1000 {
		root := math.Sqrt(0.00085) + float64(i)*(math.Sqrt(0.012)-math.Sqrt(0.00085))/999
		product *= 1 - root*root
		alphas = append(alphas, product)
	}
	first, last := math.Sqrt(alphas[0]), math.Sqrt(alphas[999])
	require.InDelta(t, 0.068265, last, 5e-7, "Lin et al. 2024, table 1")
	n := schedule.Noise{Prediction: schedule.V, Spacing: &schedule.Spacing{Kind: "trailing", Offset: 1, EndsAtOne: true}}
	for i, a := range alphas {
		root := (math.Sqrt(a) - last) * first / (first - last)
		alphas[i] = root * root
		n.AlphasCumprod = append(n.AlphasCumprod, float32(alphas[i]))
	}
	require.Zero(t, alphas[999])
	times := []int{999, 899, 799, 699, 599, 499, 399, 299, 199, 99}
	network := func(x float64, at int) float64 { return .6*x + .3*math.Cos(2*x+float64(at)/200) }
	for sampler, class := range map[string]string{"ddim": "DDIMScheduler", "euler": "EulerDiscreteScheduler",
		"dpm++2m": "DPMSolverMultistepScheduler"} {
		t.Run(sampler, func(t *testing.T) {
			s, err := n.Sampler(sampler, 10, schedule.SamplerOptions{})
			require.NoError(t, err)
			work := append([]float64(nil), alphas...)
			if sampler != "ddim" {
				work[999] = 1.0 / (1 << 24)
			}
			if sampler == "euler" {
				require.InDelta(t, 4096, s.Init(), 1e-2)
			}
			start := 0.8 * float64(s.Init())
			want := diffusers(class, work, times, start, network)
			x := []float32{float32(start)}
			for i := range s.Len() {
				require.EqualValues(t, times[i], s.Time(i))
				in := []float32{0}
				s.ScaleInput(in, x, i)
				s.Step(x, []float32{float32(network(float64(in[0]), times[i]))}, i, nil)
				require.InDelta(t, want[i], x[0], 1e-5*(1+math.Abs(want[i])), "step %d", i)
			}
		})
	}
	for _, sampler := range schedule.Samplers() {
		n := n
		n.Prediction = schedule.Epsilon
		_, err := n.Sampler(sampler, 10, schedule.SamplerOptions{})
		require.ErrorContains(t, err, "rescale_betas_zero_snr")
		n.Prediction = schedule.V
		s, err := n.Sampler(sampler, 10, schedule.SamplerOptions{})
		require.NoError(t, err)
		x := []float32{s.Init()}
		for i := range s.Len() {
			s.Step(x, []float32{0.1}, i, func(dst []float32) { dst[0] = 1 })
		}
		require.Less(t, math.Abs(float64(x[0])), 10., sampler)
	}
	require.NoError(t, n.WithSignal().Check())
	require.True(t, strings.HasSuffix(fmt.Sprint(n.Check()), "the one before"))
}
