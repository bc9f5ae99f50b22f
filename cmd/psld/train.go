package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"psld/psld/prior"
	"psld/psld/train"
	"psld/unet"
	"psld/vae"
)

func trainModel(fs *flag.FlagSet) func(context.Context, *console, []string) error {
	data := fs.String("data", "", "`folders` of training photos (.jpg, .png), a list with commas")
	val := fs.String("val", "", "`folders` of validation photos, at least 8 in all")
	out := fs.String("out", "", "`folder` for checkpoint, log, sample sheets and the model")
	size := fs.Int("size", 64, "`pixels` a side of the training crops")
	steps := fs.Int("steps", 5000, "`N` steps of the whole run")
	batch := fs.Int("batch", 16, "`N` pictures a step")
	lr := fs.Float64("lr", 0, "learning `rate` after the warm-up (default 0.002 for vae, 0.001 for unet)")
	warmup := fs.Int("warmup", 100, "`N` steps of warm-up")
	ema := fs.Float64("ema", 0.998, "`decay` of the weights' moving average, 0 to less than 1")
	seed := fs.Uint64("seed", 1, "`N` of all random numbers")
	logEvery := fs.Int("log-every", 20, "`N` steps between log lines")
	saveEvery := fs.Int("save-every", 500, "`N` steps between validations, sample sheets and checkpoints")
	resume := fs.Bool("resume", false, "go on from the checkpoint in --out")
	channels := fs.String("channels", "", "`list` of channels, one for each resolution (default 32,64 for vae, 64,64,128 for unet)")
	layers := fs.Int("layers", 1, "`N` residual blocks for each resolution")
	groups := fs.Int("groups", 8, "`N` groups of the norms")
	latent := fs.Int("latent", 4, "`N` latent channels (vae)")
	mid := fs.Bool("mid-attention", false, "self-attention in the middle (vae)")
	kl := fs.Float64("kl", 1e-4, "`weight` of the KL divergence (vae)")
	edge := fs.Float64("edge", 0.3, "`weight` of the edges' difference (vae)")
	vaeFile := fs.String("vae", "", "model.safetensors `file` of the trained autoencoder (unet)")
	blocks := fs.String("blocks", "", "`list` of DownBlock2D or CrossAttnDownBlock2D, one for each resolution (unet; default: attention at the last)")
	heads := fs.Int("heads", 4, "`N` attention heads (unet)")
	crossDim := fs.Int("cross-dim", 32, "`N` channels of the context (unet)")
	initial := fs.String("init", "", "model.safetensors `file` of the same network, whose weights are trained on (a warm restart)")
	dtype := fs.String("dtype", "f32", "`precision` of matrix products: f32 or bf16; weights are float32")
	low := fs.Float64("low", 0.75, "`share` of pictures with noise of a deviation below 2 (pixel)")
	threads := threadsFlag(fs)

	return func(ctx context.Context, c *console, args []string) error {
		if len(args) == 0 || args[0] != "vae" && args[0] != "unet" && args[0] != "pixel" {
			return fmt.Errorf("train what? psld train vae, psld train unet or psld train pixel (see psld help train)")
		}
		isVAE := args[0] == "vae"
		for _, f := range [][2]string{{"data", *data}, {"val", *val}, {"out", *out}} {
			if f[1] == "" {
				return fmt.Errorf("--%s is missing (see psld help train)", f[0])
			}
		}
		set := given(fs)
		for _, name := range []string{"latent", "mid-attention", "kl", "edge", "vae", "blocks", "heads", "cross-dim"} {
			forVAE := name == "latent" || name == "mid-attention" || name == "kl" || name == "edge"
			if set[name] && forVAE != isVAE {
				return fmt.Errorf("--%s has no meaning for train %s", name, args[0])
			}
		}
		for _, f := range []struct {
			name      string
			v, lo, hi int
		}{{"size", *size, 8, 4096}, {"steps", *steps, 1, 1 << 30}, {"batch", *batch, 1, 1 << 16}, {"warmup", *warmup, 0, 1 << 30}, {"log-every", *logEvery, 1, 1 << 30}, {"save-every", *saveEvery, 1, 1 << 30}} {
			if f.v < f.lo || f.v > f.hi {
				return fmt.Errorf("--%s %d, want %d to %d", f.name, f.v, f.lo, f.hi)
			}
		}
		if !set["lr"] {
			*lr = map[bool]float64{true: 2e-3, false: 1e-3}[isVAE]
		}
		if !(*lr > 0 && *lr <= 1) || !(*ema >= 0 && *ema < 1) || !(*kl >= 0 && *kl <= 1e6) || !(*edge >= 0 && *edge <= 1e6) {
			return fmt.Errorf("--lr %v --ema %v --kl %v --edge %v: want 0 < lr <= 1, 0 <= ema < 1, kl and edge 0 to 1e6", *lr, *ema, *kl, *edge)
		}
		if *channels == "" {
			*channels = map[string]string{"vae": "32,64", "unet": "64,64,128", "pixel": "64,64,128,128"}[args[0]]
		}
		var chs []int
		for _, s := range list(*channels) {
			n, err := strconv.Atoi(s)
			if err != nil {
				return fmt.Errorf("--channels %s: %q is no number", *channels, s)
			}
			chs = append(chs, n)
		}
		if err := threads(); err != nil {
			return err
		}
		device, err := prior.Device(*dtype)
		if err != nil {
			return err
		}
		o := train.Options{Data: list(*data), Val: list(*val), Init: *initial, Device: device, Out: *out, Size: *size, Steps: *steps, Batch: *batch, LR: *lr, Warmup: *warmup, EMA: *ema,
			Seed: *seed, LogEvery: *logEvery, SaveEvery: *saveEvery, Resume: *resume, Log: c.log}
		if args[0] == "pixel" {
			cfg := unet.GuidedConfig{ImageSize: *size, NumChannels: chs[0], NumResBlocks: *layers, ScaleShift: true, ResBlockUpDown: true, NormGroups: *groups}
			for _, ch := range chs {
				cfg.ChannelMult = append(cfg.ChannelMult, ch/chs[0])
			}
			if err := cfg.Validate(); err != nil {
				return err
			}
			c.say("pixel %v channels, %s", chs, machine())
			err = train.Pixel(ctx, train.PixelOptions{Options: o, Config: cfg, Low: *low})
		} else if isVAE {
			err = trainVAE(ctx, c, train.VAEOptions{Options: o, KL: *kl, Edge: *edge, Config: vae.Config{InChannels: 3, LatentChannels: *latent,
				BlockOutChannels: chs, LayersPerBlock: *layers, NormNumGroups: *groups, ScalingFactor: 1, MidAttention: *mid}})
		} else {
			cfg := unet.SD15() // for what has no flag
			cfg.BlockOutChannels, cfg.LayersPerBlock, cfg.NormNumGroups = chs, *layers, *groups
			cfg.Heads, cfg.CrossAttentionDim = unet.Heads{*heads}, *crossDim
			cfg.DownBlockTypes = list(*blocks)
			if *blocks == "" && len(chs) > 0 {
				for range len(chs) - 1 {
					cfg.DownBlockTypes = append(cfg.DownBlockTypes, unet.DownPlain)
				}
				cfg.DownBlockTypes = append(cfg.DownBlockTypes, unet.DownCross)
			}
			err = trainUNet(ctx, c, train.UNetOptions{Options: o, Config: cfg}, *vaeFile)
		}
		if errors.Is(err, context.Canceled) {
			c.say("the checkpoint is in %s: the same command with --resume goes on from it", *out)
		}
		return err
	}
}

func trainVAE(ctx context.Context, c *console, o train.VAEOptions) error {
	if err := o.Config.Validate(); err != nil {
		return err
	}
	if f := o.Config.Factor(); o.Size%f != 0 {
		return fmt.Errorf("--size %d is no multiple of %d, the autoencoder's factor", o.Size, f)
	}
	c.say("vae %v channels, %s", o.Config.BlockOutChannels, machine())
	if err := train.VAE(ctx, o); err != nil {
		return err
	}
	fmt.Fprintln(c.out, "wrote", filepath.Join(o.Out, "model.safetensors"))
	return nil
}

func trainUNet(ctx context.Context, c *console, o train.UNetOptions, vaeFile string) error {
	if vaeFile == "" {
		return errors.New("--vae is missing: the model.safetensors that psld train vae wrote")
	}
	file, err := os.ReadFile(vaeFile)
	if err != nil {
		return fmt.Errorf("--vae: %w", err)
	}
	if o.VAE, err = prior.LoadVAE(file); err != nil {
		return fmt.Errorf("--vae %s: %w", vaeFile, err)
	}
	o.Config.InChannels, o.Config.OutChannels = o.VAE.LatentChannels, o.VAE.LatentChannels
	o.Config.UpBlockTypes = nil
	for _, k := range o.Config.DownBlockTypes {
		up := unet.UpPlain
		if k == unet.DownCross {
			up = unet.UpCross
		}
		o.Config.UpBlockTypes = append([]string{up}, o.Config.UpBlockTypes...)
	}
	if err := o.Config.Validate(); err != nil {
		return err
	}
	if f := o.VAE.Factor() * o.Config.Factor(); o.Size%f != 0 {
		return fmt.Errorf("--size %d is no multiple of %d, the factor of autoencoder and UNet", o.Size, f)
	}
	c.say("unet %v channels, %s", o.Config.BlockOutChannels, machine())
	trained := train.UNet(ctx, o)
	if trained != nil && !errors.Is(trained, context.Canceled) {
		return trained
	}
	// A folder that --model takes.
	unetFile, err := os.ReadFile(filepath.Join(o.Out, "model.safetensors"))
	if err != nil {
		return errors.Join(err, trained)
	}
	for name, data := range map[string][]byte{"vae.safetensors": file, "unet.safetensors": unetFile} {
		if err := writeFile(filepath.Join(o.Out, name), data); err != nil {
			return errors.Join(err, trained)
		}
	}
	fmt.Fprintf(c.out, "wrote vae.safetensors and unet.safetensors to %s: use it with --model %s\n", o.Out, o.Out)
	return trained
}
