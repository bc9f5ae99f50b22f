package psld

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
)

// TestOptionsJSON: options are the same after JSON, every field of them, but for what a run is given to call.
func TestOptionsJSON(t *testing.T) {
	sigma := 0.05
	want := Options{Method: "gmldps", Quality: QualityBest,
		Params:  param.Values{"steps": 30.0, "eta": 0.1, "squared": true, "back": "pinv"},
		Presets: Presets{"embedded": {Size: 64, Tasks: map[Task]map[string]param.Values{SR4: {"psld": {"steps": 7.0}}}}},
		Seed:    1<<64 - 1, Reference: true, Prompt: "a \"rose\"", Negative: "<b>", GuidanceScale: 1.0 / 3, Emphasis: true,
		LightCodec: true,
		Sigma:      &sigma, Raw: true, PasteKnown: new(bool), MaxMemory: 1 << 40,
		Keep: solver.Keep{File: "f", Steps: 3, Every: 5 * time.Minute, Resume: true}}
	v := reflect.ValueOf(want)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if !v.Type().Field(i).IsExported() {
			continue
		}
		if v.Type().Field(i).Tag.Get("json") == "-" {
			require.Contains(t, []string{"Runtime", "Progress", "Start"}, name)
			continue
		}
		require.False(t, v.Field(i).IsZero(), "%s is not tested", name)
	}
	text, err := json.Marshal(want)
	require.NoError(t, err)
	var got Options
	require.NoError(t, json.Unmarshal(text, &got))
	require.Equal(t, want, got)

	// Whole numbers that a program sets are the same run, though JSON has one kind of number only.
	a, err := Preset(prior.RandomTiny(1), Damage{Task: SR4}, 64, 64, Options{Params: param.Values{"steps": 12,
		"gamma": 1}})
	require.NoError(t, err)
	got = Options{}
	require.NoError(t, json.Unmarshal([]byte(`{"params": {"steps": 12, "gamma": 1}}`), &got))
	b, err := Preset(prior.RandomTiny(1), Damage{Task: SR4}, 64, 64, got)
	require.NoError(t, err)
	require.Equal(t, a, b)
}
