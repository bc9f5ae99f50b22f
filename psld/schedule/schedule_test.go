package schedule_test

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/tensor/cpu"
)

// TestAllSteps selects times for every number of steps: they rise from 1, stay
// within the schedule, and noise never goes negative.
func TestAllSteps(t *testing.T) {
	for steps := 1; steps <= schedule.TrainSteps; steps++ {
		d, err := schedule.StableDiffusion().DDIM(steps, 1)
		require.NoError(t, err)
		require.GreaterOrEqual(t, d.Len(), steps)
		for i, time := range d.Timesteps {
			rises := time >= 1 && time <= schedule.TrainSteps && (i == 0 || time > d.Timesteps[i-1])
			if !rises || d.Alphas[i] > d.AlphasPrev[i] || 1-d.AlphasPrev[i]-d.Sigmas[i]*d.Sigmas[i] < 0 {
				t.Fatalf("%d steps: step %d at time %d: alpha %v to %v, sigma %v",
					steps, i, time, d.Alphas[i], d.AlphasPrev[i], d.Sigmas[i])
			}
		}
	}
}

func TestNewDDIMErrors(t *testing.T) {
	for _, c := range []struct {
		steps int
		eta   float64
		want  string
	}{{0, 0, "steps: 0"}, {1001, 0, "steps: 1001"}, {10, -0.1, "eta: -0.1"}, {10, 1.5, "eta: 1.5"}} {
		_, err := schedule.StableDiffusion().DDIM(c.steps, c.eta)
		require.ErrorContains(t, err, c.want)
	}
}

// TestRoundTrip noises a known latent: Z0 finds it again, and Step without
// fresh noise gives it with the next step's share of the same noise.
func TestRoundTrip(t *testing.T) {
	d, err := schedule.StableDiffusion().DDIM(4, 0)
	require.NoError(t, err)
	z0, e := []float32{1, -2, 0.5}, []float32{0.3, 1, -1}
	for i := 0; i < d.Len()-1; i++ {
		g := autograd.NewGraph(cpu.F32)
		noise := g.Const(tensor.From(e, 3))
		z := d.Step(g, g.Const(tensor.From(z0, 3)), noise, nil, i+1) // what the step after this one in time ends at
		got := d.Z0(g, z, noise, i)
		require.InDeltaSlice(t, z0, got.T.Data, 1e-5)
		g.Release()
	}
}

// TestGoldenSteps checks Z0 and Step in the recorded PSLD runs: with the
// recorded noise prediction, gradient and draws, each step gives the next latent.
func TestGoldenSteps(t *testing.T) {
	dir := golden.Kind(t, "psld")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	require.NoError(t, err)
	shared := golden.Load(t, filepath.Join(dir, "shared.safetensors"))
	for _, path := range files {
		var c struct {
			S     int
			Eta   float64
			Index []int   `json:"ddim_index_in_order"`
			Times []int   `json:"timesteps_in_order"`
			Scale float64 `json:"unconditional_guidance_scale"`
		}
		golden.JSON(t, path, &c)
		if len(c.Index) == 0 {
			continue // not a run
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			f := golden.Load(t, strings.TrimSuffix(path, ".json")+".safetensors")
			limit := 1e-5
			if c.Scale != 1 {
				limit = 4e-5
			}
			d, err := schedule.StableDiffusion().DDIM(c.S, c.Eta)
			require.NoError(t, err)
			z, shape := golden.F32(t, shared, "x_T")
			for n, i := range c.Index {
				read := func(name string) []float32 {
					data, _ := golden.F32(t, f, fmt.Sprintf("step%d.%s", n, name))
					return data
				}
				require.Equal(t, c.Times[n], d.Timesteps[i])
				g := autograd.NoGrad(cpu.F32)
				value := func(x []float32) *autograd.Value { return g.Const(tensor.From(x, shape...)) }
				e := value(read("e_t"))
				z0 := d.Z0(g, value(z), e, i)
				golden.Check(t, fmt.Sprintf("step%d.pred_z_0", n), z0.T.Data, read("pred_z_0"), limit)
				var noise *autograd.Value
				if c.Eta > 0 {
					noise = value(read("ddim_noise"))
				}
				next := g.Sub(d.Step(g, z0, e, noise, i), value(read("grad")))
				z = read("z_prev")
				golden.Check(t, fmt.Sprintf("step%d.z_prev", n), next.T.Data, z, limit)
				g.Release()
			}
		})
	}
}

func Example() {
	d, err := schedule.StableDiffusion().DDIM(4, 0)
	fmt.Println(d.Timesteps, err)
	fmt.Println(d.Alphas)
	// Output:
	// [1 251 501 751] <nil>
	// [0.998296 0.67215145 0.27499905 0.05571903]
}

// TestUntil: the times of a part of the schedule rise evenly from 1 to the share asked for.
func TestUntil(t *testing.T) {
	for _, c := range []struct {
		steps       int
		share       float64
		first, last int
		n           int
	}{{30, 0.1, 1, 100, 30}, {200, 0.35, 1, 350, 200}, {40, 0.01, 1, 10, 10}, {1, 0.5, 500, 500, 1},
		{1000, 1, 1, 999, 999}} {
		d, err := schedule.StableDiffusion().DDIMUntil(c.steps, c.share, 0)
		require.NoError(t, err)
		require.Equal(t, c.n, d.Len())
		require.Equal(t, c.first, d.Timesteps[0])
		require.Equal(t, c.last, d.Timesteps[d.Len()-1])
		for i := 1; i < d.Len(); i++ {
			require.Greater(t, d.Timesteps[i], d.Timesteps[i-1])
			require.Equal(t, d.Alphas[i-1], d.AlphasPrev[i])
		}
	}
	for _, share := range []float64{0, -1, 1.1, math.NaN()} {
		_, err := schedule.StableDiffusion().DDIMUntil(10, share, 0)
		require.ErrorContains(t, err, "share")
	}
}
