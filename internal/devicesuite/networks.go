package devicesuite

import (
	"fmt"
	"path/filepath"
	"testing"

	"psld/autograd"
	"psld/internal/golden"
	"psld/tensor"
	"psld/unet"
	"psld/vae"
	"psld/weights"
)

// recorded are the sizes and times of a recorded model.
type recorded struct{ Timesteps []int }

// networks computes the recorded UNet and autoencoder with frozen weights, forward and backward.
func networks(t *testing.T, dev tensor.Device, o Options) {
	for _, dir := range golden.Folders(t, "tiny-sd") {
		model := golden.Model(t, dir)
		var c recorded
		golden.JSON(t, filepath.Join(dir, "case.json"), &c)
		f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
		check := func(name string, got *tensor.Tensor, limit float64) {
			want := read(t, f, name)
			golden.Check(t, name, dev.Host(got), want.Data, o.limit(limit))
		}
		t.Run("unet", func(t *testing.T) {
			cfg, err := unet.ParseConfig(model.UNetConfig)
			fatal(t, err)
			m := unet.New(cfg)
			fatal(t, m.Params.LoadFrozen(model.UNet, dev))
			g := autograd.NewGraph(dev)
			defer g.Release()
			context := g.Input(first(read(t, f, "out.clip.last_hidden_state")))
			for i, step := range c.Timesteps {
				z := g.Input(first(read(t, f, "in.z")))
				eps := m.Forward(g, z, []float32{float32(step)}, context)
				check(fmt.Sprintf("out.unet.eps.t%d.prompt", step), eps.T, 2e-5)
				if i == 2 {
					g.Backward(eps, read(t, f, "in.unet_cot"))
					check("out.unet.vjp.z", z.Grad(), 3e-5)
					check("out.unet.vjp.context", context.Grad(), 3e-5)
					break
				}
			}
		})
		t.Run("vae", func(t *testing.T) {
			cfg, err := vae.ParseConfig(model.VAEConfig)
			fatal(t, err)
			m := vae.New(cfg)
			fatal(t, m.Params.LoadFrozen(model.VAE, dev))
			for _, checkpoint := range []bool{false, true} {
				g := autograd.NewGraph(dev)
				defer g.Release()
				g.Checkpoint = checkpoint
				z, x := g.Input(first(read(t, f, "in.z"))), g.Input(read(t, f, "in.img"))
				decoded := m.DecodeScaled(g, z)
				check("out.vae.decode", decoded.T, 2e-5)
				g.Backward(decoded, read(t, f, "in.vae_dec_cot"))
				check("out.vae.decode.vjp", z.Grad(), 3e-5)
				moments := m.Encode(g, x)
				check("out.vae.moments", moments.T, 2e-5)
				g.Backward(moments, read(t, f, "in.vae_enc_cot"))
				check("out.vae.encode.vjp", x.Grad(), 3e-5)
			}
		})
	}
}

// read is a recorded tensor, maps channels last.
func read(t *testing.T, f *weights.File, name string) *tensor.Tensor {
	data, s := golden.F32(t, f, name)
	if len(s) == 4 {
		return tensor.FromNCHW(data, s[0], s[1], s[2], s[3])
	}
	return tensor.From(data, s...)
}

// first is the first item of a batch, as a batch of one.
func first(x *tensor.Tensor) *tensor.Tensor {
	return tensor.From(x.Data[:x.Len()/x.Dim(0)], append([]int{1}, x.Shape[1:]...)...)
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
