package golden

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/weights"
)

// tested are the kinds that a test of this repository walks.
var tested = []string{"ops", "tiny-sd", "gen-tiny-1244", "gen-full-sd15", "psld", "tokenizer", "keys"}

func TestGoldenKinds(t *testing.T) {
	dir := Dir(t)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		kind := KindOf(filepath.Join(dir, e.Name()))
		if kind == "" {
			t.Errorf("%s: a case folder of no known kind", filepath.Join(dir, e.Name()))
		} else if !slices.Contains(tested, kind) {
			t.Logf("%s: cases of kind %s have no test yet", e.Name(), kind)
		}
	}
}

// Folders of other names are known by what lies in them.
func TestKindOfContent(t *testing.T) {
	for _, kind := range Kinds {
		for _, folder := range Folders(t, kind) {
			// A link of another name stands for a renamed copy.
			link := filepath.Join(t.TempDir(), "some-other-name")
			abs, err := filepath.Abs(folder)
			require.NoError(t, err)
			if err := os.Symlink(abs, link); err != nil {
				t.Skip(err)
			}
			require.Equal(t, kind, KindOf(link), folder)
		}
	}
	require.Empty(t, KindOf(t.TempDir()))
}

func TestGenerateFirstWeights(t *testing.T) {
	folders := append(Folders(t, "gen-tiny-1244"), Folders(t, "gen-full-sd15")...)
	if len(folders) == 0 {
		t.Skip("no generated cases")
	}
	for _, folder := range folders {
		var c struct {
			FirstWeights map[string][]float64 `json:"first_weights"`
			UNet         struct {
				In int `json:"in_channels"`
				Ch int `json:"model_channels"`
			} `json:"unet_compvis_params"`
			VAE struct {
				Ch   int   `json:"ch"`
				Mult []int `json:"ch_mult"`
			} `json:"vae_ddconfig"`
		}
		JSON(t, filepath.Join(folder, "case.json"), &c)
		require.NotEmpty(t, c.FirstWeights, folder)
		vaeTop := c.VAE.Ch * c.VAE.Mult[len(c.VAE.Mult)-1]
		shapes := map[string][]int{
			"model.diffusion_model.input_blocks.0.0.weight":    {c.UNet.Ch, c.UNet.In, 3, 3},
			"first_stage_model.decoder.mid.attn_1.q.weight":    {vaeTop, vaeTop, 1, 1},
			"model.diffusion_model.out.0.weight":               {c.UNet.Ch},
			"cond_stage_model.transformer.text_model.any.bias": {4},
		}
		for name, want := range c.FirstWeights {
			shape, ok := shapes[name]
			if !ok {
				shape = []int{len(want)} // norms and biases
			}
			got := Generate(name, shape)
			for i, w := range want {
				require.Equal(t, w, float64(got[i]), "%s %s [%d]", folder, name, i)
			}
		}
	}
	// The same through a diffusers name, as networks ask for it.
	got, err := Gen(weights.VAEPart, weights.SD15).Tensor("decoder.mid_block.attentions.0.to_q.weight", []int{8, 8})
	require.NoError(t, err)
	require.Equal(t, Generate("first_stage_model.decoder.mid.attn_1.q.weight", []int{8, 8, 1, 1}), got)
	_, err = Gen(weights.UNetPart, weights.SD15).Tensor("no.such.module.weight", []int{1})
	require.ErrorContains(t, err, "no.such.module.weight")
}

func TestCompare(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	ones := func(n int) []float32 { return slices.Repeat([]float32{1}, n) }
	spike := ones(10000)
	spike[77] = 1.005 // rel_l2 5e-5, but one element is wrong
	for _, c := range []struct {
		name      string
		got, want []float32
		fails     bool
	}{
		{"equal", []float32{1, -2}, []float32{1, -2}, false},
		{"empty", nil, nil, false},
		{"close", []float32{1.00001}, []float32{1}, false},
		{"far", []float32{1.001}, []float32{1}, true},
		{"length", ones(2), ones(3), true},
		{"nan in got", []float32{nan}, []float32{1}, true},
		{"nan in want", []float32{1}, []float32{nan}, true},
		{"inf in both", []float32{inf}, []float32{inf}, true},
		{"zero want", []float32{1e-6}, []float32{0}, false},
		{"zero want, far", []float32{1e-3}, []float32{0}, true},
		{"one wrong element", spike, ones(10000), true},
	} {
		err := compare(c.got, c.want, 1e-4)
		require.Equal(t, c.fails, err != nil, "%s: %v", c.name, err)
	}
	require.Equal(t, 0.2, RelL2([]float32{4, 4}, []float32{3, 4}))
	require.Equal(t, 2.0, RelL2([]float32{0, 2}, []float32{0, 0}))
	require.True(t, math.IsNaN(RelL2([]float32{nan}, []float32{1})))
}
