package psld

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
)

func writePresets(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "presets.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// A preset of a file wins over the built-in one, grows with the side, and gives way to what is set.
func TestPresets(t *testing.T) {
	p, err := LoadPresets(writePresets(t,
		`{"size": 64, "more": 1, "tasks": {"sr4": {"steps": 7, "strength": 0.5, "gamma": 0.25, "omega": 2,
			"gluing_every": 3, "back": "pinv"}}}`))
	require.NoError(t, err)
	for _, sd := range []bool{false, true} {
		m := prior.RandomTiny(1)
		m.StableDiffusion = sd
		preset := func(task Task, side int, o Options) *solver.PSLD {
			method, err := Preset(m, task, side, side, o)
			require.NoError(t, err)
			return method.(*solver.PSLD)
		}
		check := func(back string, numbers []float64, o *solver.PSLD) {
			require.Equal(t, back, o.Back)
			require.Equal(t, numbers, []float64{float64(o.Steps), o.Strength, o.Gamma, o.Omega,
				float64(o.GluingEvery)})
		}
		check("pinv", []float64{7, 0.5, 0.5, 4, 3}, preset(SR4, 128, Options{Presets: p}))
		check("adjoint", []float64{5, 0.5, 9, 4, 1}, preset(SR4, 128, Options{Presets: p,
			Params: param.Values{"gamma": 9, "steps": 5, "gluing_every": 1, "back": "adjoint"}}))
		require.Equal(t, preset(Denoise, 64, Options{}), preset(Denoise, 64, Options{Presets: p}))
		published := preset(SR4, 128, Options{Reference: true, Params: param.Values{"strength": 0.5}})
		require.Equal(t, []any{"reference", 0.5, true}, []any{published.Back, published.Strength,
			published.SampleEncoder})
	}
	tv, err := Preset(nil, SR4, 64, 64, Options{Method: "tv", Presets: p})
	require.NoError(t, err)
	require.Equal(t, 0.005, tv.(*solver.TV).Lambda)
	_, err = Preset(nil, SR4, 64, 64, Options{Method: "tv", Params: param.Values{"gamma": 1}})
	require.ErrorContains(t, err, `unknown parameter "gamma", want one of lambda,`)
}

func TestLoadPresetsErrors(t *testing.T) {
	one := func(field string) string {
		return `{"size":64,"tasks":{"sr4":{"steps":7,"strength":0.5,"gamma":0.25,"omega":2,"back":"pinv",` + field + `}}}`
	}
	for want, text := range map[string]string{
		"unexpected end":          `{`,
		"presets for pictures":    `{"tasks":{}}`,
		"no presets":              `{"size":64}`,
		`unknown task "sr5"`:      `{"size":64,"tasks":{"sr5":{}}}`,
		"steps 0, want":           one(`"steps":0`),
		"strength 2, want":        one(`"strength":2`),
		"gamma -1, want a finite": one(`"gamma":-1`),
		"omega 1e+99, want":       one(`"omega":1e99`),
		"gluing_every -2, want":   one(`"gluing_every":-2`),
		`back "front", want adj`:  one(`"back":"front"`),
	} {
		path := writePresets(t, text)
		_, err := LoadPresets(path)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
	}
	_, err := LoadPresets(filepath.Join(t.TempDir(), "none.json"))
	require.ErrorContains(t, err, "none.json")
}
