package vae_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/vae"
)

// ruled gives each parameter the values that testdata/taesd.py gave it.
type ruled struct{}

func (ruled) Read(name string, shape []int, dst []float32) error {
	copy(dst, golden.Generate(name, shape))
	return nil
}

// rule is the picture [n,h,w,c] of the generated stream, stored [n,c,h,w], times scale.
func rule(name string, scale float64, n, h, w, c int) *tensor.Tensor {
	data := make([]float32, n*h*w*c)
	for i, u := range golden.Uniform(name, len(data)) {
		data[i] = float32(scale * u)
	}
	return tensor.FromNCHW(data, n, c, h, w)
}

// smallTAESD is the configuration of testdata/taesd.py.
func smallTAESD() vae.TAESDConfig {
	return vae.TAESDConfig{InChannels: 3, LatentChannels: 4, Channels: 8, EncoderBlocks: []int{1, 2, 1, 3},
		DecoderBlocks: []int{2, 1, 3, 1}}
}

// TestTAESDAgainstDiffusers compares outputs and gradients with AutoencoderTiny.
func TestTAESDAgainstDiffusers(t *testing.T) {
	m := vae.NewTAESD(smallTAESD())
	require.NoError(t, m.Params.Load(ruled{}))
	f := golden.Load(t, "testdata/taesd.safetensors")
	for _, checkpoint := range []bool{false, true} {
		g := autograd.NewGraph(cpu.F32)
		g.Checkpoint = checkpoint
		x, z := g.Input(rule("taesd.x", 1, 2, 24, 32, 3)), g.Input(rule("taesd.z", 4, 2, 3, 4, 4))
		latents := m.Encode(g, x)
		golden.Check(t, "latents", latents.T.Data, nhwc(t, f, "latents").Data, forwardLimit)
		g.Backward(latents, rule("taesd.latents.cot", 1, 2, 3, 4, 4))
		picture := m.Decode(g, z)
		golden.Check(t, "picture", picture.T.Data, nhwc(t, f, "picture").Data, forwardLimit)
		g.Backward(picture, rule("taesd.picture.cot", 1, 2, 24, 32, 3))
		golden.Check(t, "encode", x.Grad().Data, nhwc(t, f, "latents.vjp").Data, gradLimit)
		golden.Check(t, "decode", z.Grad().Data, nhwc(t, f, "picture.vjp").Data, gradLimit)
		g.Release()
	}
}

// TestTAESDGradient holds the gradient against central differences.
func TestTAESDGradient(t *testing.T) {
	m := vae.NewTAESD(smallTAESD())
	m.Params.Init(5)
	for name, c := range map[string]struct {
		run     func(*autograd.Graph, *autograd.Value) *autograd.Value
		in, cot *tensor.Tensor
	}{
		"encode": {m.Encode, rule("x", 1, 1, 16, 24, 3), rule("c", 1, 1, 2, 3, 4)},
		"decode": {m.Decode, rule("z", 3, 1, 2, 3, 4), rule("c", 1, 1, 16, 24, 3)},
	} {
		direction := rule("d", 1, c.in.Dim(0), c.in.Dim(1), c.in.Dim(2), c.in.Dim(3))
		at := func(s float32) (sum float64) {
			g := autograd.NoGrad(cpu.F32)
			defer g.Release()
			x := c.in.Clone()
			for i, d := range direction.Data {
				x.Data[i] += s * d
			}
			for i, v := range c.run(g, g.Const(x)).T.Data {
				sum += float64(v) * float64(c.cot.Data[i])
			}
			return sum
		}
		g := autograd.NewGraph(cpu.F32)
		x := g.Input(c.in)
		g.Backward(c.run(g, x), c.cot)
		var got, size float64
		for i, d := range direction.Data {
			got += float64(x.Grad().Data[i]) * float64(d)
			size += math.Pow(float64(x.Grad().Data[i]), 2)
		}
		const h = 4e-3
		require.InDelta(t, (at(h)-at(-h))/(2*h), got, 1e-2*math.Sqrt(size), name)
		g.Release()
	}
}

// TestTAESDFullSize compares names, shapes and cost of the published configuration with diffusers' and
// with an independent count.
func TestTAESDFullSize(t *testing.T) {
	b, err := os.ReadFile("testdata/taesd_keys.json")
	require.NoError(t, err)
	var want struct {
		Count  int
		Shapes map[string][]int
	}
	require.NoError(t, json.Unmarshal(b, &want))
	m := vae.NewTAESD(vae.PublishedTAESD())
	require.Equal(t, want.Shapes, m.Params.Shapes())
	require.Equal(t, want.Count, m.Params.Count())
	require.Equal(t, 8, m.Factor())

	require.InEpsilon(t, 71e9, float64(m.DecodeMACs(64, 64)), 0.02)
	require.InEpsilon(t, 61e9, float64(m.EncodeMACs(512, 512)), 0.02)
	full := vae.New(vae.SD15())
	require.Greater(t, full.DecodeMACs(64, 64), 17*m.DecodeMACs(64, 64))
	require.Greater(t, full.EncodeMACs(512, 512), 9*m.EncodeMACs(512, 512))
}

func TestTAESDDecoderAlone(t *testing.T) {
	cfg := smallTAESD()
	cfg.EncoderBlocks = nil
	m := vae.NewTAESD(cfg)
	m.Params.Init(1)
	require.False(t, m.HasEncoder())
	require.Zero(t, m.EncodeMACs(64, 64))
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	require.Equal(t, []int{1, 16, 8, 3}, m.Decode(g, g.Const(tensor.New(1, 2, 1, 4))).T.Shape)
	require.Panics(t, func() { m.Encode(g, g.Const(tensor.New(1, 8, 8, 3))) })
}

func TestTAESDConfigErrors(t *testing.T) {
	for want, edit := range map[string]func(*vae.TAESDConfig){
		"Channels is 0":        func(c *vae.TAESDConfig) { c.Channels = 0 },
		"LatentChannels is -4": func(c *vae.TAESDConfig) { c.LatentChannels = -4 },
		"3 resolutions":        func(c *vae.TAESDConfig) { c.EncoderBlocks = []int{1, 1, 1} },
		"DecoderBlocks is 0":   func(c *vae.TAESDConfig) { c.DecoderBlocks = nil },
		"is -1":                func(c *vae.TAESDConfig) { c.DecoderBlocks = []int{1, 1, -1, 1} },
	} {
		cfg := vae.PublishedTAESD()
		edit(&cfg)
		require.ErrorContains(t, cfg.Validate(), want)
	}
}

func ExampleTAESD() {
	m := vae.NewTAESD(vae.TAESDConfig{InChannels: 3, LatentChannels: 4, Channels: 8, EncoderBlocks: []int{1, 1, 1, 1},
		DecoderBlocks: []int{1, 1, 1, 1}})
	m.Params.Init(1) // or m.Params.Load(weights)
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	z := m.Encode(g, g.Const(tensor.New(1, 32, 24, 3)))
	fmt.Println(z.T.Shape, m.Decode(g, z).T.Shape)
	// Output: [1 4 3 4] [1 32 24 3]
}
