package psld

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/prior"
)

func writePresets(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "presets.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// A preset of a file wins over the built-in one, grows with the side, and gives way to what is set.
func TestPresets(t *testing.T) {
	p, err := LoadPresets(writePresets(t, `{"size": 64, "more": 1, "tasks": {"sr4": {"steps": 7, "strength": 0.5, "gamma": 0.25, "omega": 2, "gluing_every": 3, "back": "pinv"}}}`))
	require.NoError(t, err)
	for _, sd := range []bool{false, true} {
		m := prior.RandomTiny(1)
		m.StableDiffusion = sd
		so, back := Preset(m, SR4, 128, 128, Options{Presets: p})
		require.Equal(t, "pinv", back)
		require.Equal(t, []float64{7, 0.5, 0.5, 4, 3}, []float64{float64(so.Steps), so.Strength, so.Gamma, so.Omega, float64(so.GluingEvery)})
		gamma := 9.0
		so, back = Preset(m, SR4, 128, 128, Options{Presets: p, Gamma: &gamma, Steps: 5, GluingEvery: 1, Back: "adjoint"})
		require.Equal(t, "adjoint", back)
		require.Equal(t, []float64{5, 0.5, 9, 4, 1}, []float64{float64(so.Steps), so.Strength, so.Gamma, so.Omega, float64(so.GluingEvery)})
		so, _ = Preset(m, Denoise, 64, 64, Options{Presets: p})
		want, _ := Preset(m, Denoise, 64, 64, Options{})
		require.Equal(t, want, so)
	}
}

func TestLoadPresetsErrors(t *testing.T) {
	one := func(field string) string {
		return `{"size":64,"tasks":{"sr4":{"steps":7,"strength":0.5,"gamma":0.25,"omega":2,"back":"pinv",` + field + `}}}`
	}
	for want, text := range map[string]string{
		"unexpected end":         `{`,
		"presets for pictures":   `{"tasks":{}}`,
		"no presets":             `{"size":64}`,
		`unknown task "sr5"`:     `{"size":64,"tasks":{"sr5":{}}}`,
		"steps 0, want":          one(`"steps":0`),
		"strength 2, want":       one(`"strength":2`),
		"gamma -1 and omega":     one(`"gamma":-1`),
		"omega 1e+99, want":      one(`"omega":1e99`),
		"gluing_every -2, want":  one(`"gluing_every":-2`),
		`back "front", want adj`: one(`"back":"front"`),
	} {
		path := writePresets(t, text)
		_, err := LoadPresets(path)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
	}
	_, err := LoadPresets(filepath.Join(t.TempDir(), "none.json"))
	require.ErrorContains(t, err, "none.json")
}
