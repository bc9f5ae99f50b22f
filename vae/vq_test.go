package vae_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/vae"
)

// smallVQ is the JSON configuration of testdata/vq.py.
const smallVQ = `{"_class_name": "VQModel", "block_out_channels": [16, 24, 32], "norm_num_groups": 8,
	"num_vq_embeddings": 64, "vq_embed_dim": 3, "latent_channels": 3, "layers_per_block": 2,
	"norm_type": "group", "lookup_from_codebook": false}`

// TestVQAgainstDiffusers compares outputs and gradients with VQModel. The
// gradient of decode passes straight through the rounding to codes.
func TestVQAgainstDiffusers(t *testing.T) {
	cfg, err := vae.ParseConfig([]byte(smallVQ))
	require.NoError(t, err)
	require.Equal(t, float32(1), cfg.ScalingFactor)
	m := vae.New(cfg)
	require.NoError(t, m.Params.Load(ruled{}))
	f := golden.Load(t, "testdata/vq.safetensors")
	for _, checkpoint := range []bool{false, true} {
		g := autograd.NewGraph(cpu.F32)
		g.Checkpoint = checkpoint
		x, z := g.Input(rule("in.x", 1, 2, 16, 24, 3)), g.Input(rule("in.z", 1, 2, 4, 6, 3))
		check := func(name string, got *tensor.Tensor, limit float64) {
			want := nhwc(t, f, name)
			require.Equal(t, want.Shape, got.Shape, name)
			golden.Check(t, name, got.Data, want.Data, limit)
		}
		require.Equal(t, nhwc(t, f, "quantized").Data, m.Quantize(g, z).T.Data)
		picture := m.DecodeScaled(g, z)
		check("picture", picture.T, forwardLimit)
		g.Backward(picture, rule("in.cot.picture", 1, 2, 16, 24, 3))
		check("picture.vjp", z.Grad(), gradLimit)

		// Noise or none, the latent is the same.
		latents := m.EncodeScaled(g, x, rule("eps", 1, 2, 4, 6, 3))
		check("latents", latents.T, forwardLimit)
		check("latents", m.Mean(g, m.Encode(g, x)).T, forwardLimit)
		check("latents", m.Sample(g, m.Encode(g, x), nil).T, forwardLimit)
		g.Backward(latents, rule("in.cot.latents", 1, 2, 4, 6, 3))
		check("latents.vjp", x.Grad(), gradLimit)
		g.Release()
	}
}

// TestQuantize: ties go to the first row, values that are no numbers stay
// visible, and the gradient is the cotangent.
func TestQuantize(t *testing.T) {
	cfg := tiny()
	cfg.NumEmbeddings = 4
	m := vae.New(cfg)
	m.Params.Init(1)
	for _, p := range m.Params.All() {
		if p.Name == "quantize.embedding.weight" {
			require.Equal(t, []int{4, 2}, p.Value.T.Shape)
			copy(p.Value.T.Data, []float32{2, 0, -1, 0, 1, 0, 1, 0})
			p.Value.Changed()
		}
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	g := autograd.NewGraph(cpu.F32)
	defer g.Release()
	z := g.Input(tensor.From([]float32{0, 5, 1.5, 0, 1.2, 0.3, nan, 0, 0, inf, -7, 3}, 1, 2, 3, 2))
	q := m.Quantize(g, z)
	want := []float32{-1, 0, 2, 0, 1, 0, nan, nan, nan, nan, -1, 0}
	require.InDeltaSlice(t, want, q.T.Data, 0)
	cot := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	g.Backward(q, tensor.From(cot, 1, 2, 3, 2))
	require.Equal(t, cot, z.Grad().Data)

	require.PanicsWithValue(t, "vae: LogVar of a model with a codebook", func() { m.LogVar(g, z) })
	require.PanicsWithValue(t, "vae: Quantize of a model without a codebook", func() { vae.New(tiny()).Quantize(g, z) })

	// Written and read back it is the same model.
	text, err := json.Marshal(cfg)
	require.NoError(t, err)
	again, err := vae.ParseConfig(text)
	require.NoError(t, err)
	require.Equal(t, cfg, again)
}

// TestFullSizeVQ compares the parameters of vq-f4 with the names and shapes of
// diffusers' model.
func TestFullSizeVQ(t *testing.T) {
	var rows [][2]json.RawMessage
	golden.JSON(t, "testdata/vq_keys.json", &rows)
	want := map[string][]int{}
	for _, r := range rows {
		var name string
		var shape []int
		require.NoError(t, json.Unmarshal(r[0], &name))
		require.NoError(t, json.Unmarshal(r[1], &shape))
		want[name] = shape
	}
	m := vae.New(vae.VQF4())
	require.Equal(t, want, m.Params.Shapes())
	require.Equal(t, 55_322_782, m.Params.Count())
	require.Equal(t, 4, m.Factor())
	require.EqualValues(t, 172_618_715_136, m.EncodeMACs(256, 256), "torch's flop counter")
	require.EqualValues(t, 335_290_601_472+64*64*8192*3, m.DecodeMACs(64, 64), "the same, and the search for codes")

	cfg, err := vae.ParseConfig([]byte(`{"_class_name": "VQModel"}`))
	require.NoError(t, err)
	require.Equal(t, vae.VQF4(), cfg)
}

func TestParseVQConfig(t *testing.T) {
	for text, want := range map[string]string{
		`{"_class_name": "VQModel", "vq_embed_dim": 4}`:                             "vq_embed_dim is 4",
		`{"_class_name": "VQModel", "num_vq_embeddings": 0}`:                        "num_vq_embeddings is 0",
		`{"_class_name": "VQModel", "num_vq_embeddings": -8}`:                       "num_vq_embeddings is -8",
		`{"_class_name": "VQModel", "num_vq_embeddings": 2000000000}`:               "num_vq_embeddings is 2000000000",
		`{"_class_name": "AutoencoderKL", "num_vq_embeddings": 8}`:                  "num_vq_embeddings is 8",
		`{"_class_name": "VQModel", "norm_type": "spatial"}`:                        "norm_type",
		`{"_class_name": "VQModel", "down_block_types": ["A", "DownBlock2D", "A"]}`: `down_block_types has "A"`,
	} {
		_, err := vae.ParseConfig([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
}
