package vae_test

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/vae"
)

// tiny is a VAE of two levels.
func tiny() vae.Config {
	return vae.Config{InChannels: 3, LatentChannels: 2, BlockOutChannels: []int{4, 8}, LayersPerBlock: 1,
		NormNumGroups: 4, ScalingFactor: 0.5, MidAttention: true}
}

func TestParseConfig(t *testing.T) {
	cfg, err := vae.ParseConfig(
		[]byte(`{"block_out_channels": [32, 64], "norm_num_groups": 16, "mid_block_add_attention": false}`))
	require.NoError(t, err)
	require.Equal(t, []int{32, 64}, cfg.BlockOutChannels)
	require.Equal(t, float32(0.18215), cfg.ScalingFactor)
	require.False(t, cfg.MidAttention)
	require.Equal(t, 2, cfg.Factor())

	cfg, err = vae.ParseConfig([]byte(`{}`))
	require.NoError(t, err)
	require.Equal(t, vae.SD15(), cfg)

	for json, want := range map[string]string{
		`{"_class_name": "AutoencoderDC"}`:         "_class_name",
		`{"act_fn": "relu"}`:                       "act_fn",
		`{"shift_factor": 0.1}`:                    "shift_factor",
		`{"use_quant_conv": false}`:                "use_quant_conv",
		`{"out_channels": 4}`:                      "out_channels",
		`{"down_block_types": ["X","X","X","X"]}`:  "down_block_types",
		`{"up_block_types": ["UpDecoderBlock2D"]}`: "up_block_types has 1 entries",
		`{"block_out_channels": []}`:               "block_out_channels",
		`{"block_out_channels": [32, 48, -1, 4]}`:  "48",
		`{"block_out_channels": [1000000000]}`:     "1000000000",
		`{"norm_num_groups": -1}`:                  "norm_num_groups",
		`{"layers_per_block": -3}`:                 "layers_per_block",
		`{"scaling_factor": 0}`:                    "scaling_factor",
		`{"latent_channels": 4.5}`:                 "config",
	} {
		_, err := vae.ParseConfig([]byte(json))
		require.ErrorContains(t, err, want, json)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"_class_name": "VQModel", "vq_embed_dim": 3}`))
	f.Add([]byte(`{"block_out_channels": [32, 64], "norm_num_groups": 16, "scaling_factor": 1e-3}`))
	f.Add([]byte(`{"down_block_types": ["DownEncoderBlock2D"], "out_channels": null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if cfg, err := vae.ParseConfig(data); err == nil {
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
	golden.JSON(t, filepath.Join(golden.Kind(t, "keys"), "diffusers_vae.json"), &rows)
	want := map[string][]int{}
	for _, r := range rows {
		var shape []int
		for _, d := range r[1].([]any) {
			shape = append(shape, int(d.(float64)))
		}
		want[r[0].(string)] = shape
	}
	m := vae.New(vae.SD15())
	require.Equal(t, want, m.Params.Shapes())
	require.Equal(t, 83_653_863, m.Params.Count())

	// The cost at 512x512 pixels, from an independent count.
	require.InEpsilon(t, 558e9, float64(m.EncodeMACs(512, 512)), 0.02)
	require.InEpsilon(t, 1257e9, float64(m.DecodeMACs(64, 64)), 0.02)
}

// TestSample checks the reparametrised draw and its gradient against closed
// forms, the clamp of the log variance included.
func TestSample(t *testing.T) {
	m := vae.New(tiny())
	//             mean      logvar
	moments := []float32{1, -2, 0.5, 40, 3, 4, -1, -50}
	eps := []float32{0.5, -1, 2, 3}
	g := autograd.NewGraph(cpu.F32)
	defer g.Release()
	in := g.Input(tensor.From(moments, 1, 1, 2, 4))
	z := m.Sample(g, in, tensor.From(eps, 1, 1, 2, 2))
	g.Backward(z, nil)
	for p := range 2 {
		for c := range 2 {
			mean, lv, e := float64(moments[4*p+c]), float64(moments[4*p+2+c]), float64(eps[2*p+c])
			std := math.Exp(min(max(lv, -30), 20) / 2)
			require.InEpsilon(t, mean+std*e, float64(z.T.Data[2*p+c]), 1e-5)
			require.Equal(t, float32(1), in.Grad().Data[4*p+c])
			want := std * e / 2
			if lv < -30 || lv > 20 {
				want = 0
			}
			require.InDelta(t, want, float64(in.Grad().Data[4*p+2+c]), 1e-5)
		}
	}
	require.Equal(t, []float32{1, -2, 3, 4}, m.Sample(g, in, nil).T.Data)
}

// TestScaled checks where the scaling factor goes.
func TestScaled(t *testing.T) {
	m := vae.New(tiny())
	m.Params.Init(3)
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	x := tensor.New(1, 6, 4, 3)
	for i := range x.Data {
		x.Data[i] = float32(i%7)/3 - 1
	}
	z := m.Mean(g, m.Encode(g, g.Const(x)))
	scaled := m.EncodeScaled(g, g.Const(x), nil)
	require.Equal(t, []int{1, 3, 2, 2}, z.T.Shape)
	for i, v := range z.T.Data {
		require.InDelta(t, 0.5*v, scaled.T.Data[i], 1e-6)
	}
	require.Equal(t, m.Decode(g, z).T.Data, m.DecodeScaled(g, scaled).T.Data)
	require.PanicsWithValue(t, "vae: picture [1 5 4 3] is no multiple of 2 pixels",
		func() { m.Encode(g, g.Const(tensor.New(1, 5, 4, 3))) })
}

func Example() {
	cfg := vae.SD15()
	cfg.BlockOutChannels = []int{32, 32, 32, 32} // a small one
	m := vae.New(cfg)
	m.Params.Init(1) // or m.Params.Load(weights)
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	z := m.EncodeScaled(g, g.Const(tensor.New(1, 32, 24, 3)), nil)
	x := m.DecodeScaled(g, z)
	fmt.Println(z.T.Shape, x.T.Shape)
	// Output: [1 4 3 4] [1 32 24 3]
}
