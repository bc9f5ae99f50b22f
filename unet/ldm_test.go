package unet_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/unet"
)

// ruled gives each parameter the values that testdata/ldm.py gave it.
type ruled struct{}

func (ruled) Read(name string, shape []int, dst []float32) error {
	copy(dst, golden.Generate(name, shape))
	return nil
}

// fill is the map [n, h, w, c] of the generated stream, which is in the order [n, c, h, w].
func fill(key string, n, h, w, c int) *tensor.Tensor {
	data := make([]float32, n*h*w*c)
	for i, u := range golden.Uniform(key, len(data)) {
		data[i] = float32(u)
	}
	return tensor.FromNCHW(data, n, c, h, w)
}

// smallLDM is the JSON configuration of testdata/ldm.py.
const smallLDM = `{"_class_name": "UNet2DModel", "in_channels": 3, "out_channels": 3,
	"block_out_channels": [32, 64, 96], "norm_num_groups": 16, "attention_head_dim": 8,
	"down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
	"up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"], "layers_per_block": 2}`

// TestUnconditionalAgainstDiffusers compares outputs and gradients with
// UNet2DModel, whose attention testdata/ldm.py holds against the LDM repository's.
func TestUnconditionalAgainstDiffusers(t *testing.T) {
	cfg, err := unet.ParseConfig([]byte(smallLDM))
	require.NoError(t, err)
	require.Equal(t, unet.Heads{4, 8, 12}, cfg.Heads)
	m := unet.New(cfg)
	require.NoError(t, m.Params.Load(ruled{}))
	f := golden.Load(t, "testdata/ldm.safetensors")
	for _, c := range []struct {
		name    string
		n, h, w int
		times   []float32
	}{{"square", 2, 16, 16, []float32{1, 501}}, {"wide", 1, 8, 12, []float32{981}}} {
		for _, checkpoint := range []bool{false, true} {
			g := autograd.NewGraph(cpu.F32)
			g.Checkpoint = checkpoint
			z := g.Input(fill("in.z."+c.name, c.n, c.h, c.w, 3))
			eps := m.Forward(g, z, c.times, nil)
			golden.Check(t, "eps."+c.name, eps.T.Data, nhwc(t, f, "eps."+c.name).Data, forwardLimit)
			g.Backward(eps, fill("in.cot."+c.name, c.n, c.h, c.w, 3))
			golden.Check(t, "vjp."+c.name, z.Grad().Data, nhwc(t, f, "vjp."+c.name).Data, gradLimit)
			g.Release()
		}
	}
}

// TestUnconditionalIgnoresContext: callers that always have a context may pass it.
func TestUnconditionalIgnoresContext(t *testing.T) {
	cfg := small()
	cfg.DownBlockTypes, cfg.UpBlockTypes = []string{unet.DownPlain, unet.DownSelf}, []string{unet.UpSelf, unet.UpPlain}
	cfg.CrossAttentionDim = 0
	m := unet.New(cfg)
	m.Params.Init(3)
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	z := g.Const(fill("z", 1, 4, 4, 4))
	want := m.Forward(g, z, []float32{7}, nil)
	require.Equal(t, want.T.Data, m.Forward(g, z, []float32{7}, g.Const(fill("context", 1, 1, 3, 6))).T.Data)

	// Written and read back it is the same network.
	text, err := json.Marshal(cfg)
	require.NoError(t, err)
	again, err := unet.ParseConfig(text)
	require.NoError(t, err)
	require.Equal(t, cfg, again)
}

// TestFullSizeLDM compares the parameters of ffhq-ldm-vq-4 with the names and
// shapes of diffusers' model.
func TestFullSizeLDM(t *testing.T) {
	m := unet.New(unet.LDMVQ4())
	require.Equal(t, keys(t, "testdata/ldm_keys.json"), m.Params.Shapes())
	require.Equal(t, 274_056_163, m.Params.Count())
	require.EqualValues(t, 101_200_031_744, m.MACs(64, 64, 0), "torch's flop counter")

	cfg, err := unet.ParseConfig([]byte(`{"_class_name": "UNet2DModel", "attention_head_dim": 32,
		"mid_block_type": "UNetMidBlock2D"}`))
	require.NoError(t, err)
	require.Equal(t, unet.LDMVQ4(), cfg)
}

// keys reads a list of rows [name, shape, ...].
func keys(t *testing.T, path string) map[string][]int {
	var rows [][]json.RawMessage
	golden.JSON(t, path, &rows)
	want := map[string][]int{}
	for _, r := range rows {
		var name string
		var shape []int
		require.NoError(t, json.Unmarshal(r[0], &name))
		require.NoError(t, json.Unmarshal(r[1], &shape))
		want[name] = shape
	}
	return want
}

func TestParseUnconditional(t *testing.T) {
	cfg, err := unet.ParseConfig([]byte(`{"_class_name": "UNet2DModel"}`))
	require.NoError(t, err)
	require.Equal(t, unet.Heads{28, 56, 84, 112}, cfg.Heads, "diffusers' default of 8 channels a head")
	cfg, err = unet.ParseConfig([]byte(`{"_class_name": "UNet2DModel", "attention_head_dim": null}`))
	require.NoError(t, err)
	require.Equal(t, unet.Heads{1, 1, 1, 1}, cfg.Heads)

	for fields, want := range map[string]string{
		`"attention_head_dim": 33`:                           "attention_head_dim is 33",
		`"attention_head_dim": -1`:                           "attention_head_dim is -1",
		`"attention_head_dim": [8, 8]`:                       "attention_head_dim has 2 entries",
		`"cross_attention_dim": 768`:                         "cross_attention_dim",
		`"downsample_padding": 0`:                            "downsample_padding",
		`"add_attention": false`:                             "add_attention",
		`"resnet_time_scale_shift": "scale_shift"`:           "resnet_time_scale_shift",
		`"time_embedding_type": "fourier"`:                   "time_embedding_type",
		`"num_class_embeds": 1000`:                           "num_class_embeds",
		`"mid_block_type": "UNetMidBlock2DCrossAttn"`:        "mid_block_type",
		`"block_out_channels": [224, 448]`:                   "down_block_types is 4",
		`"down_block_types": ["DownBlock2D", "A", "A", "A"]`: `down_block_types has "A"`,
		`"up_block_types": ["CrossAttnUpBlock2D", ` +
			`"UpBlock2D", "UpBlock2D", "Up"]`: `up_block_types has "CrossAttnUpBlock2D"`,
		`"block_out_channels": []`: "block_out_channels is 0",
		`"norm_num_groups": 0`:     "norm_num_groups",
		`"attention_head_dim": 1, "block_out_channels": [224, 448, 1000000000, -5]`: "1000000000",
	} {
		_, err := unet.ParseConfig([]byte(`{"_class_name": "UNet2DModel", ` + fields + `}`))
		require.ErrorContains(t, err, want, fields)
	}
}
