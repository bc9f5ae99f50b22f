package config_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/config"
)

func TestParse(t *testing.T) {
	keys := config.Keys{"act": {`"silu"`}, "flag": {"false", "null"}, "scale": {"1"}, "list": {"[1, 2]"},
		"sample_size": nil}
	type inner struct {
		N int
	}
	for _, c := range []struct{ json, err string }{
		{`{"N": 3, "act": "silu", "flag": null, "unknown": [1], "scale": 1.0, "list": [1,2]}`, ""},
		{`{"N": 3, "sample_size": {"any": "thing"}, "opt": null}`, ""},
		{`{"N": 3, "x": -Infinity}`, ""},
		{`{"act": "relu"}`, `act is "relu"`},
		{`{"flag": true}`, "flag is true"},
		{`{"scale": 2}`, "scale is 2"},
		{`{"scale": Infinity}`, `scale is "Infinity"`},
		{`{"list": [1]}`, "list is [1]"},
		{`{"N": "three"}`, `config.json: N is "three", want a whole number`},
		{`{"opt": 1.5}`, "config.json: opt is 1.5, want a whole number"},
		{`{"N": null}`, "N is null"},
		{`{"N": NaN}`, `config.json: N is "NaN", want a whole number`},
		{`[]`, "config.json"},
		{``, "config.json"},
	} {
		var v struct {
			inner
			Opt *int `json:"opt"`
		}
		err := config.Parse([]byte(c.json), &v, keys)
		if c.err == "" {
			require.NoError(t, err, c.json)
			require.Equal(t, 3, v.N)
			continue
		}
		require.ErrorContains(t, err, c.err, c.json)
	}
	var v struct{ inner }
	text := []byte(`{"b": 1, "N": 1, "_x": 2, "act": 0, "opt": NaN}`)
	require.Equal(t, []string{"b", "opt"}, config.Unknown(text, v, keys))
}

// TestPlain: what stands outside of texts becomes a text, and comes back.
func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		`{"a": -Infinity, "b": [NaN, Infinity]}`: `{"a": "-Infinity", "b": ["NaN", "Infinity"]}`,
		`{"NaN": "Infinity \" NaN"}`:             `{"NaN": "Infinity \" NaN"}`,
		`{"a": 1}`:                               `{"a": 1}`,
	} {
		require.Equal(t, want, string(config.Plain([]byte(in))))
	}
	const indented = "{\n  \"a\": -Infinity,\n  \"b\": NaN\n}"
	require.Equal(t, indented, string(config.Python(config.Plain([]byte(indented)))))
}

// FuzzPlain: valid JSON keeps its meaning.
func FuzzPlain(f *testing.F) {
	f.Add([]byte(`{"a": "NaN\\", "b": NaN}`))
	f.Add([]byte(`{"Infinity": [-Infinity, "\"Infinity"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		plain := config.Plain(data)
		if json.Valid(data) {
			require.Equal(t, string(data), string(plain))
		}
	})
}
