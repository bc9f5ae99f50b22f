package psld

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

// stableDiffusion is a prior that says it is one.
type stableDiffusion struct{ *prior.LatentDiffusion }

func (s stableDiffusion) Info() prior.Info {
	i := s.LatentDiffusion.Info()
	i.Family = prior.FamilyStableDiffusion
	return i
}

// A quality sets the number of steps, Params win over it, and with Stable Diffusion it chooses a method that it can
// afford.
func TestQuality(t *testing.T) {
	tiny := prior.RandomTiny(1)
	steps := func(m prior.Prior, what Task, o Options) (string, int) {
		method, err := Preset(m, Damage{Task: what}, 64, 64, o)
		require.NoError(t, err)
		v := param.ValuesOf(method)
		n, ok := v["steps"].(int)
		if !ok {
			n = v["iterations"].(int)
		}
		return o.choose(Damage{Task: what}, 64, 64, m), n
	}
	_, plain := steps(nil, task.SR4, Options{Method: "diffpir"})
	last := 0
	for _, q := range Qualities() {
		_, n := steps(nil, task.SR4, Options{Method: "diffpir", Quality: q})
		require.Greater(t, n, last)
		last = n
		if q == QualityGood {
			require.Equal(t, plain, n)
		}
		_, n = steps(nil, task.SR4, Options{Method: "diffpir", Quality: q, Params: param.Values{"steps": 7}})
		require.Equal(t, 7, n)
	}
	for _, spec := range solver.Specs() { // also where there is no preset
		if HasQuality(spec) {
			_, few := steps(tiny, task.Inpaint, Options{Method: spec.Name, Quality: QualityPreview})
			_, many := steps(tiny, task.Inpaint, Options{Method: spec.Name, Quality: QualityBest})
			require.Less(t, few, many, spec.Name)
			continue
		}
		require.Contains(t, []string{"tv", "patchmatch"}, spec.Name)
	}
	// Noise goes in two steps, the best quality in all orientations; latents have none.
	for q, want := range map[string][2]int{"preview": {1, 1}, "good": {2, 1}, "best": {2, 8}} {
		m, err := Preset(nil, Damage{Task: task.Denoise}, 64, 64, Options{Method: "diffpir", Quality: q})
		require.NoError(t, err)
		d := m.(*solver.DiffPIR)
		require.Equal(t, want, [2]int{d.Steps, d.Orientations}, q)
		m, err = Preset(tiny, Damage{Task: task.Denoise}, 64, 64, Options{Method: "diffpir", Quality: q})
		require.NoError(t, err)
		require.Zero(t, m.(*solver.DiffPIR).Orientations)
	}
	large := stableDiffusion{tiny}
	for _, want := range []struct {
		quality, method string
		steps           int
	}{{"", "psld", 200}, {"preview", "dpm", 8}, {"good", "dpm", 20}, {"best", "psld", 120}} {
		name, n := steps(large, task.Inpaint, Options{Method: Auto, Quality: want.quality})
		require.Equal(t, want.method, name, want.quality)
		require.Equal(t, want.steps, n, want.quality)
	}
	// What begins from DiffPIR's picture has no use for more steps.
	_, good := steps(tiny, task.SR4, Options{Method: "psld", Quality: QualityGood})
	_, best := steps(tiny, task.SR4, Options{Method: "psld", Quality: QualityBest})
	require.Equal(t, good, best)
	_, err := Preset(nil, Damage{Task: task.Denoise}, 64, 64, Options{Method: "diffpir", Quality: "fast"})
	require.ErrorContains(t, err, "want preview, good, best")
}
