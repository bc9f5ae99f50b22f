package prior

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"psld/autograd"
	"psld/clip"
	"psld/nn"
	"psld/psld/schedule"
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
	if err := checkScheduler(w.Scheduler); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
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
	hidden := []int{tcfg.VocabSize, tcfg.HiddenSize}
	err = errors.Join(
		fits(w.UNet, "down_blocks.%d.resnets.0.conv2.weight", ucfg.BlockOutChannels),
		fits(w.VAE, "encoder.down_blocks.%d.resnets.0.conv2.weight", vcfg.BlockOutChannels),
		holds(w.TextEncoder, "text_model.embeddings.token_embedding.weight", hidden))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m := &Latent{Name: filepath.Base(path), UNet: unet.New(ucfg), VAE: vae.New(vcfg), TrainSize: 512, Window: DefaultWindow, StableDiffusion: true}
	text := clip.New(tcfg)
	for _, part := range []struct {
		params *nn.Params
		set    *weights.Set
	}{{m.UNet.Params, w.UNet}, {m.VAE.Params, w.VAE}, {text.Params, w.TextEncoder}} {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := weights.Check(part.set, part.params.Shapes()); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if err := part.params.Load(part.set); err != nil {
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
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// fits checks the channels that a configuration claims against one tensor of each level, before
// memory is taken for the network: a damaged file must not ask for more than it holds.
func fits(set *weights.Set, format string, channels []int) error {
	var errs []error
	for i, c := range channels {
		errs = append(errs, holds(set, fmt.Sprintf(format, i), []int{c, c, 3, 3}))
	}
	return errors.Join(errs...)
}

func holds(set *weights.Set, name string, shape []int) error {
	info, ok := set.Info(name)
	if !ok {
		return fmt.Errorf("tensor %s is missing", name)
	}
	if !slices.Equal(info.Shape, shape) {
		return fmt.Errorf("tensor %s has shape %v, the configuration says %v", name, info.Shape, shape)
	}
	return nil
}

// checkScheduler refuses models that were trained for another noise schedule or target.
func checkScheduler(config []byte) error {
	if config == nil {
		return nil
	}
	c := struct {
		Prediction string  `json:"prediction_type"`
		Schedule   string  `json:"beta_schedule"`
		Start      float64 `json:"beta_start"`
		End        float64 `json:"beta_end"`
		Steps      int     `json:"num_train_timesteps"`
	}{"epsilon", "scaled_linear", 0.00085, 0.012, schedule.TrainSteps}
	if err := json.Unmarshal(config, &c); err != nil {
		return fmt.Errorf("scheduler config: %w", err)
	}
	if c.Prediction != "epsilon" || c.Schedule != "scaled_linear" || c.Start != 0.00085 || c.End != 0.012 || c.Steps != schedule.TrainSteps {
		return fmt.Errorf("scheduler config: prediction %s, %s betas %g to %g over %d steps; want epsilon, scaled_linear 0.00085 to 0.012 over %d",
			c.Prediction, c.Schedule, c.Start, c.End, c.Steps, schedule.TrainSteps)
	}
	return nil
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
