package unet_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/unet"
	"psld/weights"
)

// Limits of the reference's README: forward, gradients.
const (
	forwardLimit = 2e-5
	gradLimit    = 3e-5
)

// genCase is the case.json of a model, in the terms of the CompVis code.
type genCase struct {
	UNet struct {
		InChannels           int   `json:"in_channels"`
		OutChannels          int   `json:"out_channels"`
		ModelChannels        int   `json:"model_channels"`
		AttentionResolutions []int `json:"attention_resolutions"`
		NumResBlocks         int   `json:"num_res_blocks"`
		ChannelMult          []int `json:"channel_mult"`
		NumHeads             int   `json:"num_heads"`
		ContextDim           int   `json:"context_dim"`
	} `json:"unet_compvis_params"`
	VAE struct {
		InChannels   int   `json:"in_channels"`
		ZChannels    int   `json:"z_channels"`
		Ch           int   `json:"ch"`
		ChMult       []int `json:"ch_mult"`
		NumResBlocks int   `json:"num_res_blocks"`
	} `json:"vae_ddconfig"`
	ScaleFactor float32  `json:"scale_factor"`
	Timesteps   []int    `json:"timesteps"`
	Latents     [][2]int `json:"latents"`
}

// config translates the case's parameters, and gives the numbering of blocks.
func (c genCase) config() (unet.Config, weights.Layout) {
	u := c.UNet
	cfg := unet.SD15()
	cfg.InChannels, cfg.OutChannels, cfg.LayersPerBlock = u.InChannels, u.OutChannels, u.NumResBlocks
	cfg.Heads, cfg.CrossAttentionDim = unet.Heads{u.NumHeads}, u.ContextDim
	cfg.BlockOutChannels, cfg.DownBlockTypes, cfg.UpBlockTypes = nil, nil, nil
	l := weights.Layout{UNetLayers: u.NumResBlocks, VAELevels: len(c.VAE.ChMult), VAELayers: c.VAE.NumResBlocks}
	for i, mult := range u.ChannelMult {
		down, up := unet.DownPlain, unet.UpPlain
		attention := slices.Contains(u.AttentionResolutions, 1<<i)
		if attention {
			down, up = unet.DownCross, unet.UpCross
		}
		cfg.BlockOutChannels = append(cfg.BlockOutChannels, mult*u.ModelChannels)
		cfg.DownBlockTypes = append(cfg.DownBlockTypes, down)
		cfg.UpBlockTypes = append([]string{up}, cfg.UpBlockTypes...)
		l.UNetAttention = append(l.UNetAttention, attention)
	}
	return cfg, l
}

// nhwc reads a tensor, maps channels last.
func nhwc(t *testing.T, f *weights.File, name string) *tensor.Tensor {
	data, s := golden.F32(t, f, name)
	if len(s) == 4 {
		return tensor.FromNCHW(data, s[0], s[1], s[2], s[3])
	}
	return tensor.From(data, s...)
}

// item is the i-th item of a batch, as a batch of one.
func item(x *tensor.Tensor, i int) *tensor.Tensor {
	n := x.Len() / x.Dim(0)
	return tensor.From(x.Data[i*n:(i+1)*n], append([]int{1}, x.Shape[1:]...)...)
}

// openTiny loads the UNet of a stored case from one of its files.
func openTiny(t *testing.T, dir string, c genCase, layout, variant string) *unet.Model {
	path := filepath.Join(dir, layout)
	file := filepath.Join(path, "unet", "diffusion_pytorch_model"+variant+".safetensors")
	if layout == "compvis" {
		path = filepath.Join(path, "model.safetensors")
		file = path
	}
	if _, err := os.Stat(file); err != nil {
		t.Skipf("%s is not in this set", file)
	}
	model, err := weights.OpenModel(path, weights.Options{
		Variant: strings.TrimPrefix(variant, "."), Heads: c.UNet.NumHeads, TextHeads: 1})
	require.NoError(t, err)
	defer model.Close()
	cfg, err := unet.ParseConfig(model.UNetConfig)
	require.NoError(t, err)
	want, _ := c.config()
	require.Equal(t, want, cfg)
	m := unet.New(cfg)
	require.NoError(t, weights.Check(model.UNet, m.Params.Shapes()))
	require.NoError(t, m.Params.Load(model.UNet))
	return m
}

func TestGoldenTiny(t *testing.T) {
	for _, dir := range golden.Folders(t, "tiny-sd") {
		for _, file := range [][2]string{{"diffusers", ""}, {"diffusers", ".fp16"}, {"diffusers", ".bf16"}, {"compvis",
			""}} {
			t.Run(filepath.Base(dir)+"/"+file[0]+file[1], func(t *testing.T) {
				var c genCase
				golden.JSON(t, filepath.Join(dir, "case.json"), &c)
				m := openTiny(t, dir, c, file[0], file[1])
				f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
				z, ctx := nhwc(t, f, "in.z"), nhwc(t, f, "out.clip.last_hidden_state")
				contexts := map[string]*tensor.Tensor{
					"prompt": item(ctx, 0), "empty": item(ctx, 1), "zeroctx": tensor.New(1, ctx.Dim(1), ctx.Dim(2)),
				}
				predict := func(z *tensor.Tensor, context *tensor.Tensor, times ...float32) []float32 {
					g := autograd.NoGrad(cpu.F32)
					defer g.Release()
					return m.Forward(g, g.Const(z), times, g.Const(context)).T.NCHW()
				}
				if file[1] == ".bf16" { // its weights are rounded
					name := fmt.Sprintf("out.unet.bf16weights.eps.t%d.prompt", c.Timesteps[1])
					want, _ := golden.F32(t, f, name)
					golden.Check(t, name, predict(item(z, 0), contexts["prompt"], float32(c.Timesteps[1])), want, forwardLimit)
					return
				}
				for _, step := range c.Timesteps {
					for kind, context := range contexts {
						name := fmt.Sprintf("out.unet.eps.t%d.%s", step, kind)
						if f.Has(name) {
							want, _ := golden.F32(t, f, name)
							golden.Check(t, name, predict(item(z, 0), context, float32(step)), want, forwardLimit)
						}
					}
				}
				want, _ := golden.F32(t, f, "out.unet.eps.batch2")
				golden.Check(t, "batch2", predict(z, ctx, float32(c.Timesteps[1]), float32(c.Timesteps[2])), want, forwardLimit)

				// One context for a batch is the same as a copy of it per item.
				got := predict(z, contexts["prompt"], float32(c.Timesteps[1]), 1)
				golden.Check(t, "shared context", got[:len(got)/2], want[:len(want)/2], forwardLimit)
			})
		}
	}
}

func TestGoldenTinyGradients(t *testing.T) {
	for _, dir := range golden.Folders(t, "tiny-sd") {
		var c genCase
		golden.JSON(t, filepath.Join(dir, "case.json"), &c)
		m := openTiny(t, dir, c, "diffusers", "")
		f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
		for _, checkpoint := range []bool{false, true} {
			g := autograd.NewGraph(cpu.F32)
			g.Checkpoint = checkpoint
			z := g.Input(item(nhwc(t, f, "in.z"), 0))
			context := g.Input(item(nhwc(t, f, "out.clip.last_hidden_state"), 0))
			eps := m.Forward(g, z, []float32{float32(c.Timesteps[2])}, context)
			g.Backward(eps, nhwc(t, f, "in.unet_cot"))
			golden.Check(t, "vjp.z", z.Grad().Data, nhwc(t, f, "out.unet.vjp.z").Data, gradLimit)
			golden.Check(t, "vjp.context", context.Grad().Data, nhwc(t, f, "out.unet.vjp.context").Data, gradLimit)
			g.Release()
		}
	}
}

// TestGoldenTinyActivations compares every inner activation that the reference
// recorded.
func TestGoldenTinyActivations(t *testing.T) {
	const prefix = "out.unet.act."
	for _, dir := range golden.Folders(t, "tiny-sd") {
		var c genCase
		golden.JSON(t, filepath.Join(dir, "case.json"), &c)
		m := openTiny(t, dir, c, "diffusers", "")
		f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
		seen := map[string]bool{}
		g := autograd.NoGrad(cpu.F32)
		g.OnTrace = func(name string, v *autograd.Value) {
			if !f.Has(prefix + name) {
				return
			}
			seen[prefix+name] = true
			want := nhwc(t, f, prefix+name)
			require.Equal(t, want.Shape, v.T.Shape, name)
			golden.Check(t, name, v.T.Data, want.Data, forwardLimit)
		}
		z, context := nhwc(t, f, "in.z_act"), item(nhwc(t, f, "out.clip.last_hidden_state"), 0)
		m.Forward(g, g.Const(z), []float32{float32(c.Timesteps[2])}, g.Const(context))
		g.Release()
		for _, name := range f.Names() {
			if strings.HasPrefix(name, prefix) {
				require.True(t, seen[name], "%s was not traced", name)
			}
		}
	}
}

// TestGoldenGenerated runs models whose weights a rule makes: the strong test
// of the time path.
func TestGoldenGenerated(t *testing.T) {
	for _, dir := range generated(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var c genCase
			golden.JSON(t, filepath.Join(dir, "case.json"), &c)
			f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
			cfg, layout := c.config()
			m := unet.New(cfg)
			t.Cleanup(debug.FreeOSMemory) // the full-size one must not lie beside the next
			require.NoError(t, m.Params.LoadFrozen(golden.Gen(weights.UNetPart, layout), cpu.F32))
			for _, hw := range c.Latents {
				for _, step := range c.Timesteps {
					size := fmt.Sprintf("%dx%d", hw[0], hw[1])
					g := autograd.NewGraph(cpu.F32)
					z := g.Input(nhwc(t, f, "in.z."+size))
					context := g.Const(nhwc(t, f, "out.clip.last_hidden_state"))
					eps := m.Forward(g, z, []float32{float32(step)}, context)
					name := fmt.Sprintf("eps.%s.t%d", size, step)
					golden.Check(t, name, eps.T.Data, nhwc(t, f, "out.unet."+name).Data, forwardLimit)
					g.Backward(eps, nhwc(t, f, "in.cot."+size))
					name = fmt.Sprintf("vjp.z.%s.t%d", size, step)
					golden.Check(t, name, z.Grad().Data, nhwc(t, f, "out.unet."+name).Data, gradLimit)
					g.Release()
				}
			}
		})
	}
}

// generated lists the cases with generated weights; those of full size (4 GB)
// when PSLD_FULL=1 asks for them.
func generated(t *testing.T) []string {
	dirs := golden.Folders(t, "gen-tiny-1244")
	full := golden.Folders(t, "gen-full-sd15")
	if os.Getenv("PSLD_FULL") == "1" {
		return append(dirs, full...)
	}
	for _, dir := range full {
		t.Logf("%s left out: set PSLD_FULL=1 to run it", dir)
	}
	if len(dirs) == 0 {
		t.Skip("no generated case of small size in this set")
	}
	return dirs
}
