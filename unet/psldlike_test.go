package unet_test

import (
	"fmt"
	"math"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/asm"
	"psld/autograd"
	"psld/internal/golden"
	"psld/nn"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/unet"
	"psld/vae"
	"psld/weights"
)

// throughAll is a model of one precision, and how far its results may be from the reference's.
type throughAll struct {
	name            string
	dev             tensor.Device
	source          func(*golden.GenSource) nn.Source
	scalars, grad   float64 // limits of the relative L2 error
	checkpointedToo bool
}

// halfWeights are weights that were stored in float16.
type halfWeights struct{ *golden.GenSource }

func (h halfWeights) Read(name string, shape []int, dst []float32) error {
	err := h.GenSource.Read(name, shape, dst)
	half := make([]uint16, len(dst))
	asm.F32ToF16(half, dst)
	asm.F16ToF32(dst, half)
	return err
}

// TestGoldenThroughAll compares a gradient that flows through encoder, decoder
// and UNet, as PSLD's does: of ||avgpool4(x-img)|| + 0.1 ||E(x)-z0|| with
// x = D(z0), with respect to the noisy latent z. Weights stored in float16 and products
// of bfloat16 are held to what was measured, times about three: see README.md.
func TestGoldenThroughAll(t *testing.T) {
	plain := func(s *golden.GenSource) nn.Source { return s }
	half := func(s *golden.GenSource) nn.Source { return halfWeights{s} }
	for _, dir := range generated(t) {
		var exact map[string][]float32 // the components in f32, which comes first
		for _, p := range []throughAll{
			{"f32", cpu.F32, plain, forwardLimit, gradLimit, true},
			{"f16 weights", cpu.F32, half, 1e-3, 3e-3, false},
			{"bf16", cpu.BF16, plain, 1e-2, 5e-2, false},
			{"bf16fast", cpu.BF16Fast, plain, 2e-2, 5e-2, false},
			{"int8", cpu.Int8, plain, 3e-2, 1e-1, false},
		} {
			t.Run(filepath.Base(dir)+"/"+p.name, func(t *testing.T) { p.run(t, dir, &exact) })
		}
	}
}

func (p throughAll) run(t *testing.T, dir string, exact *map[string][]float32) {
	t.Cleanup(debug.FreeOSMemory)
	var c genCase
	golden.JSON(t, filepath.Join(dir, "case.json"), &c)
	f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
	cfg, layout := c.config()
	u := unet.New(cfg)
	require.NoError(t, u.Params.LoadFrozen(p.source(golden.Gen(weights.UNetPart, layout)), p.dev))
	vcfg := vae.SD15()
	vcfg.InChannels, vcfg.LatentChannels, vcfg.LayersPerBlock = c.VAE.InChannels, c.VAE.ZChannels, c.VAE.NumResBlocks
	vcfg.ScalingFactor, vcfg.BlockOutChannels = c.ScaleFactor, nil
	for _, mult := range c.VAE.ChMult {
		vcfg.BlockOutChannels = append(vcfg.BlockOutChannels, mult*c.VAE.Ch)
	}
	v := vae.New(vcfg)
	require.NoError(t, v.Params.LoadFrozen(p.source(golden.Gen(weights.VAEPart, layout)), p.dev))

	size := fmt.Sprintf("%dx%d", c.Latents[0][0], c.Latents[0][1])
	step := c.Timesteps[0]
	a := schedule.AlphasCumprod()[step]
	img := nhwc(t, f, "in.img."+size)
	for _, checkpoint := range []bool{false, true} {
		if checkpoint && !p.checkpointedToo {
			break
		}
		g := autograd.NewGraph(p.dev)
		g.Checkpoint = checkpoint
		z := g.Input(nhwc(t, f, "in.z."+size))
		eps := u.Forward(g, z, []float32{float32(step)}, g.Const(nhwc(t, f, "out.clip.last_hidden_state")))
		z0 := g.Scale(g.Sub(z, g.Scale(eps, float32(math.Sqrt(float64(1-a))))), float32(1/math.Sqrt(float64(a))))
		x := v.DecodeScaled(g, z0)
		me := g.Norm2(avgPool4(g, g.Sub(x, g.Const(img))))
		ie := g.Norm2(g.Sub(v.EncodeScaled(g, x, nil), z0))
		scalars, _ := golden.F32(t, f, "out.psldlike.scalars")
		got := []float32{me.T.Data[0], ie.T.Data[0]}
		golden.Check(t, "scalars", got, scalars, p.scalars)
		g.Backward(g.Add(me, g.Scale(ie, 0.1)), nil)
		grad := nhwc(t, f, "out.psldlike.grad").Data
		golden.Check(t, "grad", z.Grad().Data, grad, p.grad)
		t.Logf("relative L2 error: eps %.2g, scalars %.2g, gradient %.2g",
			golden.RelL2(eps.T.Data, nhwc(t, f, fmt.Sprintf("out.unet.eps.%s.t%d", size, step)).Data),
			golden.RelL2(got, scalars), golden.RelL2(z.Grad().Data, grad))
		g.Release()
	}

	context, z := nhwc(t, f, "out.clip.last_hidden_state"), nhwc(t, f, "in.z."+size)
	parts := map[string][]float32{}
	for name, part := range map[string]struct {
		x *tensor.Tensor
		f func(g *autograd.Graph, x *autograd.Value) *autograd.Value
	}{
		"UNet": {z, func(g *autograd.Graph, x *autograd.Value) *autograd.Value {
			return u.Forward(g, x, []float32{float32(step)}, g.Const(context))
		}},
		"decoder": {z, v.DecodeScaled},
		"encoder": {img, func(g *autograd.Graph, x *autograd.Value) *autograd.Value { return v.EncodeScaled(g, x, nil) }},
	} {
		g := autograd.NewGraph(p.dev)
		x := g.Input(part.x)
		y := part.f(g, x)
		parts[name+" forward"] = slices.Clone(y.T.Data)
		seed := tensor.New(y.T.Shape...)
		for i := range seed.Data {
			seed.Data[i] = float32(math.Sin(float64(i * i)))
		}
		g.Backward(y, seed)
		parts[name+" gradient"] = slices.Clone(x.Grad().Data)
		g.Release()
	}
	if *exact == nil {
		*exact = parts
		return
	}
	for name, got := range parts {
		want := (*exact)[name]
		t.Logf("%s: relative L2 error %.2g, cosine 1 - %.2g", name, golden.RelL2(got, want), 1-cosine(got, want))
		require.Less(t, golden.RelL2(got, want), p.grad, name)
	}
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i, v := range a {
		x, y := float64(v), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab / math.Sqrt(aa*bb)
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
