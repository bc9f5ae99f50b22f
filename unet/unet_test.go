package unet_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/unet"
)

func TestParseConfig(t *testing.T) {
	cfg, err := unet.ParseConfig([]byte(`{}`))
	require.NoError(t, err)
	require.Equal(t, unet.SD15(), cfg)

	cfg, err = unet.ParseConfig(
		[]byte(`{"block_out_channels": [32, 64], "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
		"up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "attention_head_dim": [2, 4]}`))
	require.NoError(t, err)
	require.Equal(t, unet.Heads{2, 4}, cfg.Heads)
	require.Equal(t, 2, cfg.Factor())

	for json, want := range map[string]string{
		`{"_class_name": "UNet3DConditionModel"}`:       "_class_name",
		`{"mid_block_type": null}`:                      "mid_block_type",
		`{"use_linear_projection": true}`:               "use_linear_projection",
		`{"transformer_layers_per_block": [1, 2, 10]}`:  "transformer_layers_per_block",
		`{"addition_embed_type": "text_time"}`:          "addition_embed_type",
		`{"down_block_types": ["DownBlock2D"]}`:         "down_block_types is 1",
		`{"up_block_types": ["A", "B", "C", "D"]}`:      `up_block_types has "A"`,
		`{"block_out_channels": [320, 640, 1280, 99]}`:  "entry 99",
		`{"block_out_channels": [1000000000, 2, 3, 4]}`: "1000000000",
		`{"attention_head_dim": 7}`:                     "7 heads for 320 channels",
		`{"attention_head_dim": [8, 8]}`:                "attention_head_dim has 2 entries",
		`{"attention_head_dim": null}`:                  "attention_head_dim",
		`{"num_attention_heads": "many"}`:               "config",
		`{"norm_eps": 0}`:                               "norm_eps",
		`{"freq_shift": 160}`:                           "freq_shift",
		`{"cross_attention_dim": 0}`:                    "cross_attention_dim",
	} {
		_, err := unet.ParseConfig([]byte(json))
		require.ErrorContains(t, err, want, json)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"_class_name": "UNet2DModel", "attention_head_dim": 32}`))
	f.Add([]byte(`{"attention_head_dim": [5, 10, 20, 20], "norm_eps": 1e-6, "freq_shift": 1}`))
	f.Add([]byte(`{"block_out_channels": [32], "down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if cfg, err := unet.ParseConfig(data); err == nil {
			require.NoError(t, cfg.Validate())
			require.Positive(t, cfg.Factor())
		}
	})
}

// TestFullSize compares the parameters of the full-size model with the names and
// shapes of the published file, and its cost. The weights stay untouched zero
// pages, which take no memory.
func TestFullSize(t *testing.T) {
	var rows [][3]any
	golden.JSON(t, filepath.Join(golden.Kind(t, "keys"), "diffusers_unet.json"), &rows)
	want := map[string][]int{}
	for _, r := range rows {
		var shape []int
		for _, d := range r[1].([]any) {
			shape = append(shape, int(d.(float64)))
		}
		want[r[0].(string)] = shape
	}
	m := unet.New(unet.SD15())
	require.Equal(t, want, m.Params.Shapes())
	require.Equal(t, 859_520_964, m.Params.Count())

	// The cost at 512x512 and 256x256 pixels, from an independent count.
	require.InEpsilon(t, 402e9, float64(m.MACs(64, 64, 77)), 0.02)
	require.InEpsilon(t, 90e9, float64(m.MACs(32, 32, 77)), 0.02)
}

// small is a UNet of two levels with heads of its own for each.
func small() unet.Config {
	cfg := unet.SD15()
	cfg.BlockOutChannels, cfg.Heads = []int{8, 16}, unet.Heads{1, 4}
	cfg.DownBlockTypes = []string{unet.DownPlain, unet.DownCross}
	cfg.UpBlockTypes = []string{unet.UpCross, unet.UpPlain}
	cfg.CrossAttentionDim, cfg.NormNumGroups, cfg.LayersPerBlock = 6, 4, 1
	return cfg
}

// TestWeightGradients compares the gradient of every parameter, along a random
// direction, with a central difference, checkpointing included.
func TestWeightGradients(t *testing.T) {
	m := unet.New(small())
	m.Params.Init(5)
	fill := func(key string, shape ...int) *tensor.Tensor {
		x := tensor.New(shape...)
		for i, u := range golden.Uniform(key, x.Len()) {
			x.Data[i] = float32(u)
		}
		return x
	}
	z, ctx, cot := fill("z", 2, 4, 6, 4), fill("context", 2, 3, 6), fill("cot", 2, 4, 6, 4)
	times := []float32{10, 700.5}
	loss := func() float64 {
		g := autograd.NoGrad(cpu.F32)
		defer g.Release()
		sum := 0.0
		for i, v := range m.Forward(g, g.Const(z), times, g.Const(ctx)).T.Data {
			sum += float64(v) * float64(cot.Data[i])
		}
		return sum
	}
	m.Params.RequireGrad(true)
	for _, checkpoint := range []bool{false, true} {
		for _, p := range m.Params.All() {
			p.Value.ZeroGrad()
		}
		g := autograd.NewGraph(cpu.F32)
		g.Checkpoint = checkpoint
		g.Backward(m.Forward(g, g.Const(z), times, g.Const(ctx)), cot)
		g.Release()

		var want float64
		dirs := map[string][]float64{}
		for _, p := range m.Params.All() {
			require.NotNil(t, p.Value.Grad(), p.Name)
			dirs[p.Name] = golden.Uniform("dir."+p.Name, p.Value.T.Len())
			for i, u := range dirs[p.Name] {
				want += u * float64(p.Value.Grad().Data[i])
			}
		}
		const h = 2.5e-4
		move := func(step float64) {
			for _, p := range m.Params.All() {
				for i, u := range dirs[p.Name] {
					p.Value.T.Data[i] += float32(step * u)
				}
				p.Value.Changed()
			}
		}
		move(h)
		up := loss()
		move(-2 * h)
		down := loss()
		move(h)
		require.InEpsilon(t, want, (up-down)/(2*h), 2e-3)
	}
}

func TestForwardPanics(t *testing.T) {
	m := unet.New(small())
	g := autograd.NoGrad(cpu.F32)
	ctx := g.Const(tensor.New(1, 3, 6))
	require.PanicsWithValue(t, "unet: latent [1 5 4 4] is no multiple of 2",
		func() { m.Forward(g, g.Const(tensor.New(1, 5, 4, 4)), []float32{1}, ctx) })
	require.PanicsWithValue(t, "unet: 1 times for 2 latents",
		func() { m.Forward(g, g.Const(tensor.New(2, 4, 4, 4)), []float32{1}, ctx) })
	require.PanicsWithValue(t, "unet: no context for a network that wants one",
		func() { m.Forward(g, g.Const(tensor.New(1, 4, 4, 4)), []float32{1}, nil) })
}

func Example() {
	cfg := unet.SD15()
	cfg.BlockOutChannels, cfg.CrossAttentionDim = []int{32, 32, 32, 32}, 16 // a small one
	m := unet.New(cfg)
	m.Params.Init(1) // or m.Params.Load(weights)
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	z, context := g.Const(tensor.New(2, 8, 16, 4)), g.Const(tensor.New(1, 77, 16))
	eps := m.Forward(g, z, []float32{981, 961}, context)
	fmt.Println(eps.T.Shape)
	// Output: [2 8 16 4]
}
