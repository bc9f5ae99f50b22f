package schedule_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/rng"
	"psld/psld/schedule"
)

// TestSamplersAllSteps: for every number of steps the times fall within the
// schedule, Z0 finds what AddNoise noised, and a run stays finite.
func TestSamplersAllSteps(t *testing.T) {
	source := rng.NewCUDA(1)
	z, e := []float32{1, -2, 0.5}, []float32{0.3, 1, -1}
	for _, name := range schedule.Samplers() {
		for steps := 1; steps <= schedule.TrainSteps; steps++ {
			if steps > 60 && steps%97 != 0 && steps < 998 {
				continue
			}
			s, err := schedule.NewSampler(name, steps, schedule.SamplerOptions{})
			if name == "lcm" && steps > 50 {
				require.ErrorContains(t, err, "want 1 to 50")
				continue
			}
			require.NoError(t, err)
			require.Equal(t, steps, s.Len())
			x, y := make([]float32, 3), make([]float32, 3)
			for i := range steps {
				if time := s.Time(i); time < 0 || time > 999 || i > 0 && time > s.Time(i-1) {
					t.Fatalf("%s, %d steps: time %d is %v", name, steps, i, time)
				}
				s.AddNoise(x, z, e, i)
				s.Z0(y, x, e, i)
				require.InDeltaSlice(t, z, y, 1e-4)
				s.Step(x, e, i, source.Normal)
				for _, v := range x {
					if math.IsNaN(float64(v)) || math.Abs(float64(v)) > 200 {
						t.Fatalf("%s, %d steps: step %d gives %v", name, steps, i, x)
					}
				}
			}
			if name != "ddim" { // the noise was e all along: the last step ends at z
				require.InDeltaSlice(t, z, x, 1e-4, "%s, %d steps", name, steps)
			}
		}
	}
}

// TestSamplerRestart: a sampler that starts over, or starts in the middle, does
// as a new one.
func TestSamplerRestart(t *testing.T) {
	s, err := schedule.NewSampler("dpm++2m", 6, schedule.SamplerOptions{})
	require.NoError(t, err)
	run := func(s *schedule.Sampler, from int) []float32 {
		x := []float32{1, 2}
		for i := from; i < s.Len(); i++ {
			s.Step(x, []float32{x[0] / 2, 0.1}, i, nil)
		}
		return x
	}
	for _, from := range []int{0, 0, 3, 2} {
		fresh, err := schedule.NewSampler("dpm++2m", 6, schedule.SamplerOptions{})
		require.NoError(t, err)
		require.Equal(t, run(fresh, from), run(s, from))
	}
}

func TestSamplerErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps int
		eta   float64
		want  string
	}{
		{"ddim", 0, 0, "sampler ddim: 0 steps, want 1 to 1000"}, {"euler", 1001, 0, "1001 steps"},
		{"lcm", 51, 0, "want 1 to 50"},
		{"ddim", 10, 1.5, "eta 1.5, want 0 to 1"}, {"ddim", 10, math.NaN(), "eta NaN"},
		{"euler", 10, 0.5, "only ddim has an eta"},
		{"plms", 10, 0, `sampler "plms", want one of ddim, ddpm, euler`},
	} {
		_, err := schedule.NewSampler(c.name, c.steps, schedule.SamplerOptions{Eta: c.eta})
		require.ErrorContains(t, err, c.want)
	}
	for _, alphas := range [][]float32{nil, {0.5}, {0.9, 0.9}, {0.5, 0}, {1, 0.5}, {0.5, float32(math.NaN())}} {
		n := schedule.Noise{AlphasCumprod: alphas}
		_, err := n.Sampler("ddim", 1, schedule.SamplerOptions{})
		require.ErrorContains(t, err, "noise schedule: ")
		_, err = n.DDIM(1, 0)
		require.ErrorContains(t, err, "noise schedule: ")
	}
	for strength, want := range map[float64]string{0: "strength: 0", 1.1: "strength: 1.1", math.NaN(): "strength: NaN",
		0.05: "leaves no step"} {
		_, err := schedule.StartStep(10, strength)
		require.ErrorContains(t, err, want)
	}
}

// Two numbers go from noise to a picture, the network being one that predicts
// the noise that leaves 0.5.
func ExampleNewSampler() {
	s, err := schedule.NewSampler("euler", 4, schedule.SamplerOptions{})
	if err != nil {
		panic(err)
	}
	source, err := rng.New("torch", 42)
	if err != nil {
		panic(err)
	}
	alphas := schedule.AlphasCumprod()
	network := func(x []float32, time float32) []float32 {
		a := float64(alphas[int(time)])
		eps := make([]float32, len(x))
		for i, v := range x {
			eps[i] = float32((float64(v) - math.Sqrt(a)*0.5) / math.Sqrt(1-a))
		}
		return eps
	}

	x, in := make([]float32, 2), make([]float32, 2)
	source.Normal(x)
	for i := range x {
		x[i] *= s.Init()
	}
	for i := range s.Len() {
		s.ScaleInput(in, x, i)
		s.Step(x, network(in, s.Time(i)), i, source.Normal)
		fmt.Printf("time %3.0f: %.2f\n", s.Time(i), x)
	}
	// Output:
	// time 999: [1.38 0.78]
	// time 666: [0.78 0.59]
	// time 333: [0.51 0.50]
	// time   0: [0.50 0.50]
}
