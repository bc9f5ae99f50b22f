package clip_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/clip"
	"psld/internal/golden"
	"psld/tensor/cpu"
)

func small() clip.Config {
	return clip.Config{VocabSize: 10, MaxPositions: 8, HiddenSize: 12, IntermediateSize: 24, Layers: 2, Heads: 3,
		HiddenAct: "quick_gelu", LayerNormEps: 1e-5}
}

func TestParseConfig(t *testing.T) {
	cfg, err := clip.ParseConfig([]byte(`{"model_type": "clip_text_model"}`))
	require.NoError(t, err)
	require.Equal(t, clip.SD15(), cfg)
	for json, want := range map[string]string{
		`{"model_type": "bert"}`:        "model_type",
		`{"hidden_act": "relu"}`:        "hidden_act",
		`{"hidden_size": 770}`:          "hidden_size 770",
		`{"num_attention_heads": 0}`:    "num_attention_heads",
		`{"vocab_size": 100000000000}`:  "vocab_size",
		`{"layer_norm_eps": -1}`:        "layer_norm_eps",
		`{"num_hidden_layers": "many"}`: "config.json",
	} {
		_, err := clip.ParseConfig([]byte(json))
		require.ErrorContains(t, err, want, json)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"hidden_size": 32, "num_attention_heads": 4, "hidden_act": "gelu"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if cfg, err := clip.ParseConfig(data); err == nil {
			require.NoError(t, cfg.Validate())
		}
	})
}

// TestNames compares the parameters of the full-size model with the names and
// shapes of the published file.
func TestNames(t *testing.T) {
	var rows [][3]any
	golden.JSON(t, filepath.Join(golden.Kind(t, "keys"), "diffusers_text_encoder.json"), &rows)
	want := map[string][]int{}
	for _, r := range rows {
		var shape []int
		for _, d := range r[1].([]any) {
			shape = append(shape, int(d.(float64)))
		}
		if name := r[0].(string); !strings.HasSuffix(name, "position_ids") { // a buffer
			want[name] = shape
		}
	}
	m := clip.New(clip.SD15())
	require.Equal(t, want, m.Params.Shapes())
	require.Equal(t, 123_060_480, m.Params.Count())
}

// TestCausal changes the last token: earlier rows must not move.
func TestCausal(t *testing.T) {
	m := clip.New(small())
	m.Params.Init(2)
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	out, err := m.Forward(g, [][]int{{1, 2, 3, 4}, {1, 2, 3, 9}})
	require.NoError(t, err)
	require.Equal(t, []int{2, 4, 12}, out.T.Shape)
	a, b := out.T.Data[:48], out.T.Data[48:]
	require.Equal(t, a[:36], b[:36])
	require.NotEqual(t, a[36:], b[36:])
}

func TestForwardErrors(t *testing.T) {
	m := clip.New(small())
	for want, ids := range map[string][][]int{
		"no token ids":                    {},
		"token id 10, want 0 to 9":        {{0, 10}},
		"token id -1":                     {{-1}},
		"9 tokens, want at most 8":        {make([]int, 9)},
		"row 1 has 1 tokens, row 0 has 2": {{1, 2}, {1}},
	} {
		_, err := m.Forward(autograd.NoGrad(cpu.F32), ids)
		require.ErrorContains(t, err, want)
	}
}

func Example() {
	cfg := clip.SD15()
	cfg.HiddenSize, cfg.Heads, cfg.Layers, cfg.VocabSize = 24, 2, 1, 100 // a small one
	m := clip.New(cfg)
	m.Params.Init(1) // or m.Params.Load(weights)
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	context, err := m.Forward(g, [][]int{make([]int, 77)})
	fmt.Println(context.T.Shape, err)
	// Output: [1 77 24] <nil>
}
