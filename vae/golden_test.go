package vae_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/vae"
	"psld/weights"
)

// Limits of the reference's README: forward, gradients.
const (
	forwardLimit = 2e-5
	gradLimit    = 3e-5
)

// genCase is the part of a case.json that describes the VAE.
type genCase struct {
	VAE struct {
		InChannels   int   `json:"in_channels"`
		ZChannels    int   `json:"z_channels"`
		Ch           int   `json:"ch"`
		ChMult       []int `json:"ch_mult"`
		NumResBlocks int   `json:"num_res_blocks"`
	} `json:"vae_ddconfig"`
	ScaleFactor float32  `json:"scale_factor"`
	Latents     [][2]int `json:"latents"`
}

func (c genCase) config() vae.Config {
	cfg := vae.SD15()
	cfg.InChannels, cfg.LatentChannels, cfg.LayersPerBlock = c.VAE.InChannels, c.VAE.ZChannels, c.VAE.NumResBlocks
	cfg.ScalingFactor, cfg.BlockOutChannels = c.ScaleFactor, nil
	for _, mult := range c.VAE.ChMult {
		cfg.BlockOutChannels = append(cfg.BlockOutChannels, mult*c.VAE.Ch)
	}
	return cfg
}

// nhwc reads a picture or latent into channels last.
func nhwc(t *testing.T, f *weights.File, name string) *tensor.Tensor {
	data, s := golden.F32(t, f, name)
	require.Len(t, s, 4, name)
	return tensor.FromNCHW(data, s[0], s[1], s[2], s[3])
}

// openTiny loads the VAE of a stored case in one of the two layouts.
func openTiny(t *testing.T, dir, layout string) *vae.Model {
	var c genCase
	golden.JSON(t, filepath.Join(dir, "case.json"), &c)
	path := filepath.Join(dir, layout)
	if layout == "compvis" {
		path = filepath.Join(path, "model.safetensors")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not in this set", path)
	}
	model, err := weights.OpenModel(path, weights.Options{TextHeads: 1})
	require.NoError(t, err)
	defer model.Close()
	cfg, err := vae.ParseConfig(model.VAEConfig)
	require.NoError(t, err)
	require.Equal(t, c.config(), cfg)
	m := vae.New(cfg)
	require.NoError(t, weights.Check(model.VAE, m.Params.Shapes()))
	require.NoError(t, m.Params.Load(model.VAE))
	return m
}

func TestGoldenTiny(t *testing.T) {
	for _, dir := range golden.Folders(t, "tiny-sd") {
		for _, layout := range []string{"diffusers", "compvis"} {
			t.Run(filepath.Base(dir)+"/"+layout, func(t *testing.T) {
				m := openTiny(t, dir, layout)
				f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
				check := func(name string, v *autograd.Value) {
					want := nhwc(t, f, name)
					require.Equal(t, want.Shape, v.T.Shape, name)
					golden.Check(t, name, v.T.Data, want.Data, forwardLimit)
				}
				g := autograd.NoGrad(cpu.F32)
				defer g.Release()
				img := g.Const(nhwc(t, f, "in.img"))
				moments := m.Encode(g, img)
				check("out.vae.moments", moments)
				check("out.vae.mean", m.Mean(g, moments))
				check("out.vae.logvar", m.LogVar(g, moments))
				check("out.vae.encode_mean_scaled", m.EncodeScaled(g, img, nil))
				check("out.vae.decode", m.DecodeScaled(g, g.Const(firstLatent(t, f))))
			})
		}
	}
}

// firstLatent is the first item of in.z.
func firstLatent(t *testing.T, f *weights.File) *tensor.Tensor {
	z := nhwc(t, f, "in.z")
	return tensor.From(z.Data[:z.Len()/z.Dim(0)], append([]int{1}, z.Shape[1:]...)...)
}

func TestGoldenTinyGradients(t *testing.T) {
	for _, dir := range golden.Folders(t, "tiny-sd") {
		m := openTiny(t, dir, "diffusers")
		f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
		for _, checkpoint := range []bool{false, true} {
			g := autograd.NewGraph(cpu.F32)
			g.Checkpoint = checkpoint
			z, img := g.Input(firstLatent(t, f)), g.Input(nhwc(t, f, "in.img"))
			g.Backward(m.DecodeScaled(g, z), nhwc(t, f, "in.vae_dec_cot"))
			golden.Check(t, "decode", z.Grad().Data, nhwc(t, f, "out.vae.decode.vjp").Data, gradLimit)
			g.Backward(m.Encode(g, img), nhwc(t, f, "in.vae_enc_cot"))
			golden.Check(t, "encode", img.Grad().Data, nhwc(t, f, "out.vae.encode.vjp").Data, gradLimit)
			g.Release()
		}
	}
}

// TestGoldenTinyActivations compares every inner activation that the reference
// recorded.
func TestGoldenTinyActivations(t *testing.T) {
	const prefix = "out.vae.small."
	for _, dir := range golden.Folders(t, "tiny-sd") {
		m := openTiny(t, dir, "diffusers")
		f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
		seen := map[string]bool{}
		check := func(name string, v *autograd.Value) {
			seen[name] = true
			want := nhwc(t, f, name)
			require.Equal(t, want.Shape, v.T.Shape, name)
			golden.Check(t, name, v.T.Data, want.Data, forwardLimit)
		}
		g := autograd.NoGrad(cpu.F32)
		g.OnTrace = func(name string, v *autograd.Value) {
			if name = prefix + "act." + name; f.Has(name) {
				check(name, v)
			}
		}
		check(prefix+"moments", m.Encode(g, g.Const(nhwc(t, f, "in.img_small"))))
		check(prefix+"decode", m.DecodeScaled(g, g.Const(nhwc(t, f, "in.z_small"))))
		g.Release()
		for _, name := range f.Names() {
			if strings.HasPrefix(name, prefix) {
				require.True(t, seen[name], "%s was not compared", name)
			}
		}
	}
}

func TestGoldenGenerated(t *testing.T) {
	dirs := golden.Folders(t, "gen-tiny-1244")
	if full := golden.Folders(t, "gen-full-sd15"); os.Getenv("PSLD_FULL") == "1" {
		dirs = append(dirs, full...)
	} else if len(full) > 0 {
		t.Logf("%v left out: set PSLD_FULL=1 to run it", full)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var c genCase
			golden.JSON(t, filepath.Join(dir, "case.json"), &c)
			f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
			m := vae.New(c.config())
			layout := weights.Layout{VAELevels: len(c.VAE.ChMult), VAELayers: c.VAE.NumResBlocks}
			require.NoError(t, m.Params.Load(golden.Gen(weights.VAEPart, layout)))
			for _, hw := range c.Latents {
				size := fmt.Sprintf("%dx%d", hw[0], hw[1])
				g := autograd.NoGrad(cpu.F32)
				moments := m.Encode(g, g.Const(nhwc(t, f, "in.img."+size)))
				golden.Check(t, "moments", moments.T.Data, nhwc(t, f, "out.vae.moments."+size).Data, forwardLimit)
				x := m.DecodeScaled(g, g.Const(nhwc(t, f, "in.z."+size)))
				golden.Check(t, "decode", x.T.Data, nhwc(t, f, "out.vae.decode."+size).Data, forwardLimit)
				g.Release()
			}
		})
	}
}
