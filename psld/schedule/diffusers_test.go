package schedule_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/schedule"
)

// f32 is a list of numbers, in JSON base64 of little-endian float32.
type f32 []float32

func (x *f32) UnmarshalJSON(data []byte) error {
	var b []byte // JSON bytes are base64
	if err := json.Unmarshal(data, &b); err != nil {
		return err
	}
	*x = make([]float32, len(b)/4)
	_, err := binary.Decode(b, binary.LittleEndian, []float32(*x))
	return err
}

// reference is testdata/diffusers.json.
type reference struct {
	Alphas   f32            `json:"alphas_cumprod_f32"`
	Others   map[string]f32 `json:"other_alphas_cumprod_every_111th"`
	Start    f32            `json:"start_f32"`
	Clean    f32            `json:"clean_f32"`
	Noises   f32            `json:"noises_f32"` // 8 for each step
	Samplers map[string]struct {
		Runs     []run
		TimeSums [][3]float64 `json:"time_sums"` // steps, sum of times, sum of (i+1) times[i]
	}
}

type run struct {
	Steps    int
	Begin    int
	Strength float64
	Times    []float32
	Draws    int
	Path     f32 `json:"path_f32"`   // x before each step and at the end; the end only for 50 steps
	Sigmas   f32 `json:"sigmas_f32"` // noise over signal, of the Euler and DPM-Solver++ samplers
}

// TestDiffusers holds every sampler against diffusers' scheduler on a made-up
// network: the times, what is drawn, and each step from the recorded latent
// before it, then the whole run. With diffusers' own alphas (formed in float32)
// x may differ by 1e-6 of the largest number a step, with ours by 5e-6.
func TestDiffusers(t *testing.T) {
	var ref reference
	data, err := os.ReadFile("testdata/diffusers.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &ref))
	require.Len(t, ref.Samplers, len(schedule.Samplers())+2) // ddim with three etas
	require.InDeltaSlice(t, ref.Alphas, schedule.AlphasCumprod(), 5e-7)
	for name, n := range map[string]schedule.Noise{
		"scaled_linear 0.0015 0.0195": schedule.ScaledLinear(0.0015, 0.0195, 1000),
		"linear 0.0001 0.02":          schedule.Linear(0.0001, 0.02, 1000),
	} {
		for i, want := range ref.Others[name] {
			require.InEpsilon(t, want, n.AlphasCumprod[i*111], 3e-6, "%s: time %d", name, i*111)
		}
		require.Len(t, ref.Others[name], 10)
	}
	for name, c := range ref.Samplers {
		name, eta, _ := strings.Cut(name, " eta ")
		o := schedule.SamplerOptions{Eta: map[string]float64{"0.5": 0.5, "1": 1}[eta]}
		t.Run(name+eta, func(t *testing.T) {
			for _, r := range c.Runs {
				s, err := schedule.Noise{AlphasCumprod: ref.Alphas}.Sampler(name, r.Steps, o)
				require.NoError(t, err)
				checkRun(t, &ref, s, r, 1e-6)
				s, err = schedule.NewSampler(name, r.Steps, o)
				require.NoError(t, err)
				checkRun(t, &ref, s, r, 5e-6)
			}
			for _, sums := range c.TimeSums {
				s, err := schedule.NewSampler(name, int(sums[0]), o)
				require.NoError(t, err)
				var sum, weighted float64
				for i := range s.Len() {
					sum += float64(s.Time(i))
					weighted += float64(i+1) * float64(s.Time(i))
				}
				require.InEpsilon(t, sums[1], sum, 1e-6, "sum of %v times", sums[0])
				require.InEpsilon(t, sums[2], weighted, 1e-6)
			}
		})
	}
}

func checkRun(t *testing.T, ref *reference, s *schedule.Sampler, r run, limit float64) {
	t.Helper()
	const width = 8
	require.Equal(t, r.Steps, s.Len())
	x := make([]float32, width)
	if r.Strength == 0 {
		for i, v := range ref.Start {
			x[i] = v * s.Init()
		}
	} else {
		begin, err := schedule.StartStep(r.Steps, r.Strength)
		require.NoError(t, err)
		require.Equal(t, r.Begin, begin)
		s.AddNoise(x, ref.Clean, ref.Noises[len(ref.Noises)-width:], begin)
	}
	path := r.Path
	draws, free := 0, len(path) == width
	check := func(want []float32, what string, i int) {
		t.Helper()
		largest := 0.0
		for _, v := range want {
			largest = max(largest, math.Abs(float64(v)))
		}
		for j := range want {
			require.InDelta(t, want[j], x[j], limit*largest, "%d steps, strength %v: %s %d", r.Steps, r.Strength, what, i)
		}
	}
	for n, time := range r.Times {
		i := r.Begin + n
		require.InDelta(t, time, s.Time(i), 1e-3, "%d steps, time %d", r.Steps, i)
		if len(r.Sigmas) > 0 { // x = z + sigma e, over its deviation
			one := []float32{1}
			s.AddNoise(one, []float32{0}, []float32{1}, i)
			signal := []float32{1}
			s.AddNoise(signal, []float32{1}, []float32{0}, i)
			require.InEpsilon(t, r.Sigmas[i], one[0]/signal[0], limit, "sigma %d", i)
		}
		if !free {
			check(path[n*width:][:width], "latent before step", i)
			copy(x, path[n*width:])
		}
		eps := make([]float32, width)
		s.ScaleInput(eps, x, i)
		for j, v := range eps {
			eps[j] = float32(.7*float64(v) + .3*math.Cos(2*float64(v)+float64(s.Time(i))/200))
		}
		s.Step(x, eps, i, func(dst []float32) {
			require.True(t, s.Draws(i))
			draws++
			copy(dst, ref.Noises[n*width:])
		})
	}
	require.Equal(t, r.Draws, draws)
	if free {
		limit *= 4 // 50 steps without a stop
	}
	check(path[len(path)-width:], "result of step", s.Len())
}
