package param_test

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/param"
)

type common struct {
	Steps int `json:"steps" range:"1..1000" default:"30" help:"DDIM steps"`
}

type options struct {
	common         // its fields count as the struct's
	Gamma  float64 `json:"gamma" range:"0.." default:"0.1" help:"weight" unit:"1/pixel" scale:"side"`
	Share  float64 `json:"share" range:">0..1" default:"1"`
	Any    float64 `json:"any"`
	On     bool    `json:"on"`
	Back   string  `json:"back" choices:"adjoint|pinv|reference" default:"adjoint"`
	Hidden int     `json:"-"`
}

func TestFields(t *testing.T) {
	f := param.Fields(&options{})
	var names, wants []string
	for _, x := range f {
		names, wants = append(names, x.Name), append(wants, x.Want())
	}
	require.Equal(t, []string{"steps", "gamma", "share", "any", "on", "back"}, names)
	require.Equal(t, []string{"1 to 1000", "a finite number of at least 0", "more than 0 and at most 1",
		"a finite number",
		"true or false", "adjoint, pinv or reference"}, wants)
	require.Equal(t, 30, f[0].Default)
	require.Equal(t, "1/pixel", f[1].Unit)
	require.True(t, f[1].Scales)
	require.Equal(t, reflect.Float64, f[1].Kind)
	require.Equal(t, false, f[4].Default)
	var o options
	param.SetDefaults(&o)
	require.Equal(t, options{common: common{30}, Gamma: 0.1, Share: 1, Back: "adjoint"}, o)
	require.NoError(t, param.Check(o))
	require.Equal(t, param.Values{"steps": 30, "gamma": 0.1, "share": 1.0, "any": 0.0, "on": false,
		"back": "adjoint"}, param.ValuesOf(o))
}

// TestRanges: what is out of range is refused in the same words, wherever it comes from.
func TestRanges(t *testing.T) {
	for _, c := range []struct {
		name string
		v    any
		want string // of the error, "" for none
	}{
		{"steps", 1, ""}, {"steps", 1000.0, ""}, {"steps", "12", ""}, {"steps", uint8(3), ""},
		{"steps", 0, "steps 0, want 1 to 1000"}, {"steps", 2.5, "steps 2.5, want 1 to 1000"}, {"steps", "many",
			`steps "many", want 1 to 1000`},
		{"gamma", 0, ""}, {"gamma", 1e38, ""}, {"gamma", "1e-3", ""},
		{"gamma", -1, "gamma -1, want a finite number of at least 0"}, {"gamma", math.NaN(), "gamma NaN, want"},
		{"gamma", math.Inf(1), "gamma +Inf, want"}, {"gamma", 1e39, "gamma 1e+39, want"}, {"gamma", true,
			"gamma true, want"}, {"gamma", nil, "gamma <nil>, want"},
		{"share", 1, ""}, {"share", 0, "share 0, want more than 0 and at most 1"}, {"share", 1.1, "share 1.1, want"},
		{"any", -1e38, ""}, {"any", -1e39, "any -1e+39, want a finite number"},
		{"on", true, ""}, {"on", "false", ""}, {"on", 1, "on 1, want true or false"},
		{"back", "pinv", ""}, {"back", "front", `back "front", want adjoint, pinv or reference`}, {"back", 1,
			"back 1, want"},
		{"hidden", 1, `unknown parameter "hidden", want one of steps, gamma, share, any, on, back`},
	} {
		var o options
		param.SetDefaults(&o)
		err := param.Values{c.name: c.v}.Apply(&o)
		if c.want == "" {
			require.NoError(t, err, "%+v", c)
			require.NoError(t, param.Check(&o))
			continue
		}
		require.ErrorContains(t, err, c.want)
	}
	require.EqualError(t, param.Check(options{common: common{2000}}), "steps 2000, want 1 to 1000")
}

// TestJSON: parameters are the same after JSON, as a struct and as values.
func TestJSON(t *testing.T) {
	want := options{common: common{7}, Gamma: 0.1, Share: 1.0 / 3, Any: -1e-30, On: true, Back: "pinv"}
	text, err := json.Marshal(want)
	require.NoError(t, err)
	var got options
	require.NoError(t, json.Unmarshal(text, &got))
	require.Equal(t, want, got)
	var v param.Values
	require.NoError(t, json.Unmarshal(text, &v))
	got = options{}
	require.NoError(t, v.Apply(&got))
	require.Equal(t, want, got)
	require.Equal(t, param.Values{"steps": 7.0}, v.Only(common{}))
}

func TestBadTags(t *testing.T) {
	require.Panics(t, func() {
		param.Fields(struct {
			A int `json:"a" range:"1-3"`
		}{})
	})
	require.Panics(t, func() {
		param.Fields(struct {
			A int `json:"a" range:"1..3" default:"4"`
		}{})
	})
}

func ExampleValues_Apply() {
	var o options
	param.SetDefaults(&o)
	fmt.Println(param.Values{"steps": 100, "gamma": 0.5}.Apply(&o), o.Steps, o.Gamma, o.Back)
	fmt.Println(param.Values{"steps": 0}.Apply(&o))
	// Output:
	// <nil> 100 0.5 adjoint
	// steps 0, want 1 to 1000
}
