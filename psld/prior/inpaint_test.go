package prior

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/psld/picture"
	"psld/tensor"
	"psld/weights"
)

// inpaintingSD writes the tiny Stable Diffusion with a UNet of nine input channels, those beyond the fourth with
// weights times scale.
func inpaintingSD(t *testing.T, scale float32) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "inpainting")
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "testdata", "golden", "tiny-sd", "diffusers"))))
	config := filepath.Join(dir, "unet", "config.json")
	text, err := os.ReadFile(config)
	require.NoError(t, err)
	var c map[string]any
	require.NoError(t, json.Unmarshal(text, &c))
	c["in_channels"] = 9
	text, err = json.Marshal(c)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config, text, 0o600))
	path := filepath.Join(dir, "unet", "diffusion_pytorch_model.fp16.safetensors")
	f, err := weights.Open(path)
	require.NoError(t, err)
	var entries []weights.Entry
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		x, err := f.Float32(name)
		require.NoError(t, err)
		if name == "conv_in.weight" { // [32, 4, 3, 3]
			wide := make([]float32, 32*9*9)
			for o := range 32 {
				copy(wide[o*81:], x[o*36:(o+1)*36])
				for i := 36; i < 81; i++ {
					wide[o*81+i] = scale * float32(math.Sin(float64(o*81+i)))
				}
			}
			info.Shape, x = []int{32, 9, 3, 3}, wide
		}
		entries = append(entries, weights.Entry{Name: name, DType: weights.F32, Shape: info.Shape, Data: x})
	}
	require.NoError(t, f.Close())
	require.NoError(t, os.Remove(path))
	require.NoError(t, weights.Write(filepath.Join(filepath.Dir(path), "diffusion_pytorch_model.safetensors"), entries,
		nil))
	return dir
}

// known is a picture and a mask with a hole in its middle.
func known(w, h int) (x []float32, keep []bool) {
	x, keep = make([]float32, 3*w*h), make([]bool, w*h)
	for i := range x {
		x[i] = float32(math.Sin(float64(i) / 50))
	}
	for i := range keep {
		r, c := i/w, i%w
		keep[i] = r < h/4 || r >= h/2 || c < w/4 || c >= w/2
	}
	return x, keep
}

// TestInpaintingUNet: the UNet is given the latent, the mask of what is to be painted, and the latent of the picture
// with a grey hole, in this order.
func TestInpaintingUNet(t *testing.T) {
	plain := tinySD(t)
	m, err := Open(context.Background(), inpaintingSD(t, 0.3), Options{})
	require.NoError(t, err)
	require.True(t, m.Paints())
	require.False(t, plain.Paints())
	x, keep := known(64, 128)
	_, err = m.Show(x, keep, 128, 60)
	require.ErrorContains(t, err, "multiples of 64")
	shown, err := m.Show(x, keep, 128, 64)
	require.NoError(t, err)

	z := tensor.New(1, 16, 8, 4)
	for i := range z.Data {
		z.Data[i] = float32(math.Cos(float64(i)))
	}
	g := autograd.NoGrad(m.Device())
	defer g.Release()
	grey := tensor.New(1, 128, 64, 3)
	for i, k := range keep {
		if k {
			copy(grey.Data[3*i:3*i+3], x[3*i:])
		}
	}
	latent := m.VAE.EncodeScaled(g, g.Const(grey), nil).T.Data
	in := tensor.New(1, 16, 8, 9)
	for i := range 16 * 8 {
		copy(in.Data[9*i:], z.Data[4*i:4*i+4])
		if r, c := i/8, i%8; r >= 4 && r < 8 && c >= 2 && c < 4 {
			in.Data[9*i+4] = 1
		}
		copy(in.Data[9*i+5:], latent[4*i:4*i+4])
	}
	want := m.UNet.Forward(g, g.Const(in), []float32{500}, g.Const(m.Empty)).T.Data
	got := shown.Eps(g, g.Const(z), 500, m.Empty).T
	require.Equal(t, []int{1, 16, 8, 4}, got.Shape)
	require.InDeltaSlice(t, want, got.Data, 1e-6)
	require.NotEqual(t, got.Data, m.Eps(g, g.Const(z), 500, m.Empty).T.Data, "without a picture")

	// In windows each sees its own part.
	tall := *shown.(*LatentDiffusion)
	tall.Window = 64
	require.Equal(t, []int{1, 16, 8, 4}, tall.Eps(g, g.Const(z), 500, m.Empty).T.Shape)

	// Without weights for them the new channels do not matter.
	blind, err := Open(context.Background(), inpaintingSD(t, 0), Options{})
	require.NoError(t, err)
	shown, err = blind.Show(x, keep, 128, 64)
	require.NoError(t, err)
	require.InDeltaSlice(t, plain.Eps(g, g.Const(z), 500, m.Empty).T.Data,
		shown.Eps(g, g.Const(z), 500, m.Empty).T.Data, 2e-6)
}

// TestGenerateInpainting: what the mask keeps stays, what it does not is painted, and so in all ways to do it.
func TestGenerateInpainting(t *testing.T) {
	m, err := Open(context.Background(), inpaintingSD(t, 0.3), Options{})
	require.NoError(t, err)
	x, keep := known(64, 64)
	start := &picture.Picture{W: 64, H: 64, Pix: x}
	for i := range start.Pix { // bytes
		start.Pix[i] = float32(math.Round(float64(start.Pix[i]+1)*127.5)/127.5 - 1)
	}
	for name, p := range map[string]*LatentDiffusion{"inpainting": m, "plain": tinySD(t)} {
		for _, strength := range []float64{0, 0.5} {
			o := Generation{Init: start, Keep: keep, Steps: 3, Strength: strength, Sampler: "euler"}
			images, err := p.Generate(context.Background(), o)
			require.NoError(t, err, name)
			got := picture.FromImage(images[0])
			differ := 0
			for i, k := range keep {
				for j := 3 * i; j < 3*i+3; j++ {
					if k {
						require.InDelta(t, start.Pix[j], got.Pix[j], 1e-6, name)
					} else if got.Pix[j] != start.Pix[j] {
						differ++
					}
				}
			}
			require.Greater(t, differ, 500, name)
			again, err := p.Generate(context.Background(), o)
			require.NoError(t, err)
			require.Equal(t, pixels(t, images[0]), pixels(t, again[0]))
		}
	}
	_, err = m.Generate(context.Background(), Generation{Steps: 2, Width: 64, Height: 64})
	require.NoError(t, err, "a picture without one to begin from")
	_, err = m.Generate(context.Background(), Generation{Keep: keep})
	require.ErrorContains(t, err, "without Init")
	_, err = m.Generate(context.Background(), Generation{Init: start, Keep: keep[1:]})
	require.ErrorContains(t, err, "Generation.Keep has 4095 pixels")
	require.Equal(t, 1.0, m.Defaults(Generation{Init: start, Keep: keep}).Strength)
	require.Equal(t, 0.8, m.Defaults(Generation{Init: start}).Strength)
}

// TestHold: after each step the known part of the latent has the noise of the next one, and none at the end.
func TestHold(t *testing.T) {
	p := tinySD(t)
	x, keep := known(64, 64)
	o := p.Defaults(Generation{Init: &picture.Picture{W: 64, H: 64, Pix: x}, Keep: keep, Steps: 4, Sampler: "ddim"})
	r, err := p.paintingOf(o)
	require.NoError(t, err)
	z, err := r.sample(context.Background(), o, 0, Conditions{Prompt: p.Empty, Negative: p.Empty, Scale: 1})
	require.NoError(t, err)
	n := 0
	for i, m := range r.mask.Data {
		if m == 0 {
			require.Equal(t, r.clean[4*i:4*i+4], z.Data[4*i:4*i+4])
			n++
		} else {
			require.NotEqual(t, r.clean[4*i:4*i+4], z.Data[4*i:4*i+4])
		}
	}
	require.Equal(t, 64-4, n)
}
