package prior

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"psld/autograd"
	"psld/clip"
	"psld/unet"
	"psld/vae"
	"psld/weights"
)

// Open loads a latent diffusion model with its weights:
//
//   - a folder that `psld train` filled: vae.safetensors and unet.safetensors;
//   - a diffusers folder (model_index.json, unet/, vae/, text_encoder/);
//   - a single CompVis / A1111 safetensors file.
//
// The context of the empty prompt is computed once here and the text encoder let
// go. Missing, mis-shaped and non-finite tensors are reported with their names.
func Open(ctx context.Context, path string) (*Latent, error) {
	if exists(filepath.Join(path, "unet.safetensors")) && exists(filepath.Join(path, "vae.safetensors")) {
		return openTrained(path)
	}
	w, err := weights.OpenModel(path)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	ucfg, err := unet.ParseConfig(w.UNetConfig)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	vcfg, err := vae.ParseConfig(w.VAEConfig)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	tcfg, err := clip.ParseConfig(w.TextConfig)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m := &Latent{Name: filepath.Base(path), UNet: unet.New(ucfg), VAE: vae.New(vcfg), TrainSize: 512}
	text := clip.New(tcfg)
	for _, load := range []func() error{
		func() error { return m.UNet.Params.Load(w.UNet) },
		func() error { return m.VAE.Params.Load(w.VAE) },
		func() error { return text.Params.Load(w.TextEncoder) },
	} {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := load(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	// The empty prompt is the start token, then end tokens: no vocabulary is needed.
	ids := make([]int, tcfg.MaxPositions)
	for i := range ids {
		ids[i] = tcfg.VocabSize - 1
	}
	ids[0] = tcfg.VocabSize - 2
	g := autograd.NoGrad()
	defer g.Release()
	empty, err := text.Forward(g, [][]int{ids})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m.Empty = empty.T.Clone()
	return m, nil
}

func openTrained(path string) (*Latent, error) {
	var files [2][]byte
	for i, name := range []string{"vae.safetensors", "unet.safetensors"} {
		b, err := os.ReadFile(filepath.Join(path, name))
		if err != nil {
			return nil, err
		}
		files[i] = b
	}
	m, err := FromTrained(files[0], files[1])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m.Name = filepath.Base(path)
	return m, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
