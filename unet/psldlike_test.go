package unet_test

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/unet"
	"psld/vae"
	"psld/weights"
)

// TestGoldenThroughAll compares a gradient that flows through encoder, decoder
// and UNet, as PSLD's does: of ||avgpool4(x-img)|| + 0.1 ||E(x)-z0|| with
// x = D(z0), with respect to the noisy latent z.
func TestGoldenThroughAll(t *testing.T) {
	for _, dir := range generated(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var c genCase
			golden.JSON(t, filepath.Join(dir, "case.json"), &c)
			f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
			cfg, layout := c.config()
			u := unet.New(cfg)
			require.NoError(t, u.Params.Load(golden.Gen(weights.UNetPart, layout)))
			vcfg := vae.SD15()
			vcfg.InChannels, vcfg.LatentChannels, vcfg.LayersPerBlock = c.VAE.InChannels, c.VAE.ZChannels, c.VAE.NumResBlocks
			vcfg.ScalingFactor, vcfg.BlockOutChannels = c.ScaleFactor, nil
			for _, mult := range c.VAE.ChMult {
				vcfg.BlockOutChannels = append(vcfg.BlockOutChannels, mult*c.VAE.Ch)
			}
			v := vae.New(vcfg)
			require.NoError(t, v.Params.Load(golden.Gen(weights.VAEPart, layout)))

			size := fmt.Sprintf("%dx%d", c.Latents[0][0], c.Latents[0][1])
			step := c.Timesteps[0]
			a := schedule.AlphasCumprod()[step]
			img := nhwc(t, f, "in.img."+size)
			for _, checkpoint := range []bool{false, true} {
				g := autograd.NewGraph()
				g.Checkpoint = checkpoint
				z := g.Input(nhwc(t, f, "in.z."+size))
				eps := u.Forward(g, z, []float32{float32(step)}, g.Const(nhwc(t, f, "out.clip.last_hidden_state")))
				z0 := g.Scale(g.Sub(z, g.Scale(eps, float32(math.Sqrt(float64(1-a))))), float32(1/math.Sqrt(float64(a))))
				x := v.DecodeScaled(g, z0)
				me := g.Norm2(avgPool4(g, g.Sub(x, g.Const(img))))
				ie := g.Norm2(g.Sub(v.EncodeScaled(g, x, nil), z0))
				scalars, _ := golden.F32(t, f, "out.psldlike.scalars")
				golden.Check(t, "scalars", []float32{me.T.Data[0], ie.T.Data[0]}, scalars, forwardLimit)
				g.Backward(g.Add(me, g.Scale(ie, 0.1)), nil)
				golden.Check(t, "grad", z.Grad().Data, nhwc(t, f, "out.psldlike.grad").Data, gradLimit)
				g.Release()
			}
		})
	}
}

// avgPool4 is the mean over 4x4 pixels of [1, H, W, C], with its adjoint.
func avgPool4(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	h, w, c := x.T.Dim(1)/4, x.T.Dim(2)/4, x.T.Dim(3)
	each := func(visit func(small, large int)) {
		for i := range tensor.Len(x.T.Shape) {
			ch, px, py := i%c, i/c%(4*w), i/c/(4*w)
			visit((py/4*w+px/4)*c+ch, i)
		}
	}
	return g.Map(x, []int{1, h, w, c},
		func(dst, src []float32) {
			clear(dst)
			each(func(s, l int) { dst[s] += src[l] / 16 })
		},
		func(dst, src []float32) { each(func(s, l int) { dst[l] = src[s] / 16 }) })
}
