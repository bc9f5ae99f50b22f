package psld

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

func writePresets(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "presets.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// A preset of a file wins over the built-in one, entry by entry, grows with the side, and gives way to what is set.
func TestPresets(t *testing.T) {
	p, err := LoadPresets(writePresets(t, `
presets:
  embedded:
    size: 64
    tasks:
      sr4:
        psld: {steps: 7, strength: 0.5, gamma: 0.25, omega: 2, gluing_every: 3, back: pinv}
        tv: {lambda: 0.25}
      default: {diffpir: {steps: 3}}
  stable-diffusion:
    tasks:
      denoise: {psld: {steps: 9}}
tuning: {anything: 1}
`))
	require.NoError(t, err)
	for _, sd := range []bool{false, true} {
		m := prior.RandomTiny(1)
		m.StableDiffusion = sd
		preset := func(task Task, side int, o Options) *solver.PSLD {
			method, err := Preset(m, Damage{Task: task}, side, side, o)
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
		published := preset(SR4, 128, Options{Reference: true, Params: param.Values{"strength": 0.5}})
		require.Equal(t, []any{"reference", 0.5, true}, []any{published.Back, published.Strength,
			published.SampleEncoder})
		want := preset(Denoise, 64, Options{})
		if sd {
			want.Steps = 9
		}
		require.Equal(t, want, preset(Denoise, 64, Options{Presets: p}), "what is not in the file stays")
		ldps, err := Preset(m, Damage{Task: SR4}, 64, 64, Options{Method: "ldps", Presets: p})
		require.NoError(t, err)
		require.Equal(t, 7, ldps.(*solver.LDPS).Steps, "it takes psld's")
	}
	tv, err := Preset(nil, Damage{Task: SR4}, 64, 64, Options{Method: "tv", Presets: p})
	require.NoError(t, err)
	require.Equal(t, 0.25, tv.(*solver.TV).Lambda)
	diffpir, err := Preset(nil, Damage{Task: SR4}, 64, 64, Options{Method: "diffpir", Presets: p})
	require.NoError(t, err)
	require.Equal(t, 3, diffpir.(*solver.DiffPIR).Steps)
	_, err = Preset(nil, Damage{Task: SR4}, 64, 64, Options{Method: "tv", Params: param.Values{"gamma": 1}})
	require.ErrorContains(t, err, `unknown parameter "gamma", want one of lambda,`)

	again, err := ParsePresets([]byte(p.Text("What this is\nand why.")))
	require.NoError(t, err)
	require.Equal(t, p, again)
}

// TestBuiltinPresets: the program's own file has every task, and can be written and read.
func TestBuiltinPresets(t *testing.T) {
	p := builtin()
	for _, spec := range task.All() {
		require.NotNil(t, p[PresetsEmbedded].Tasks[spec.Name]["psld"], spec.Name)
		require.NotNil(t, p[PresetsStableDiffusion].Tasks[spec.Name]["psld"], spec.Name)
	}
	again, err := ParsePresets([]byte(p.Text("")))
	require.NoError(t, err)
	require.Equal(t, p, again)
}

func TestLoadPresetsErrors(t *testing.T) {
	one := func(fields string) string {
		return "presets: {embedded: {size: 64, tasks: {sr4: {psld: {steps: 7, " + fields + "}}}}}"
	}
	for want, text := range map[string]string{
		"did not find expected":      `{`,
		"of size 3, want":            "presets: {embedded: {size: 3}}",
		"it has no presets":          "tuning: {}",
		"field size not found":       "size: 64",
		`presets of models "sd"`:     "presets: {sd: {}}",
		`unknown task "sr5"`:         "presets: {embedded: {tasks: {sr5: {}}}}",
		`unknown method "magic"`:     "presets: {embedded: {tasks: {sr4: {magic: {}}}}}",
		"its name here is tv":        "presets: {embedded: {tasks: {sr4: {admm-tv: {}}}}}",
		`unknown parameter "iters"`:  one("iters: 3"),
		"strength 2, want":           one("strength: 2"),
		"gamma -1, want a finite":    one("gamma: -1"),
		"omega 1e+99, want":          one("omega: 1.0e+99"),
		"gluing_every -2, want":      one("gluing_every: -2"),
		`back "front", want adj`:     one("back: front"),
		"sr4, psld: eta [], want 0 ": one("eta: []"),
	} {
		path := writePresets(t, text)
		_, err := LoadPresets(path)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
	}
	_, err := LoadPresets(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorContains(t, err, "none.yaml")
}

// FuzzPresets: no file makes the reader panic, and what it takes can be run and written.
func FuzzPresets(f *testing.F) {
	f.Add([]byte("presets: {embedded: {size: 64, tasks: {sr4: {psld: {steps: 7}, tv: {lambda: 1}}}}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePresets(text)
		if err != nil {
			return
		}
		_, _ = Preset(nil, Damage{Task: SR4}, 64, 64, Options{Method: "psld", Presets: p}) // a weight may grow too large
		_, err = ParsePresets([]byte(p.Text("")))
		require.NoError(t, err)
	})
}
