package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"psld/internal/nearest"
	"psld/psld/prior"
	"psld/psld/train"
	"psld/unet"
	"psld/vae"
)

var trainVerb = verb{
	talks: true,
	name:  "train", args: "vae|unet|pixel --data DIR --val DIR --out DIR", short: "train a model", maxArgs: 1,
	notes: `First the autoencoder, then the UNet on its latents:
  psld train vae --data DIR --val DIR --out runs/vae
  psld train unet --data DIR --val DIR --out runs/unet --vae runs/vae/model.safetensors
  psld restore --model runs/unet ...
Or a pixel prior, which needs no autoencoder:
  psld train pixel --data DIR --val DIR --out runs/pixel --dtype bf16
  psld restore --model runs/pixel/model.safetensors ...
Ctrl-C saves a checkpoint; the same command with --resume goes on from it. It is refused where data, seed, steps or
another option of the training are not the same, and where the checkpoint's bytes have changed.

`,
	setup: func(fs *flag.FlagSet) work { return addTrainFlags(fs).run },
}

// trainFlags are those of psld train.
type trainFlags struct {
	fs                                       *flag.FlagSet
	data, val, out, initial, dtype, channels *string
	device, cache                            *string
	steps, batch, micro, cycle, warmup, size *int
	logEvery, saveEvery, layers, groups      *int
	lr, ema                                  *float64
	seed                                     *uint64
	resume, overwrite                        *bool
	latent, patch                            *int // vae
	mid, noMid                               *bool
	kl, edge                                 *float64
	vae, blocks                              *string // unet
	heads, crossDim                          *int
	low                                      *float64 // unet, pixel
	threads                                  func() error
}

// ofNetwork tells which networks a flag is for; the others are for all.
var ofNetwork = map[string]string{"latent": "vae", "patch": "vae", "no-mid-attention": "unet",
	"mid-attention": "vae", "kl": "vae", "edge": "vae",
	"vae": "unet", "blocks": "unet", "heads": "unet",
	"cross-dim": "unet", "low": "unet pixel"}

func addTrainFlags(fs *flag.FlagSet) *trainFlags {
	return &trainFlags{
		fs:   fs,
		data: fs.String("data", "", "`folders` of training photos (.jpg, .png, .webp), a list with commas"),
		val:  fs.String("val", "", "`folders` of validation photos, at least 8 in all"),
		cache: fs.String("cache", "", "`file` that keeps the training photos decoded (.safetensors), for a quick start and "+
			"little memory from the second time on"),
		out:       fs.String("out", "", "`folder` for checkpoint, log, sample sheets and the model"),
		size:      fs.Int("size", 64, "`pixels` a side of the training crops"),
		steps:     fs.Int("steps", 5000, "`N` steps of the whole run"),
		batch:     fs.Int("batch", 16, "`N` pictures a step"),
		micro:     fs.Int("micro", 1, "`N` parts in which they go through the network, for less memory"),
		lr:        fs.Float64("lr", 0, "learning `rate` after the warm-up (default 0.002 for vae, 0.001 for the others)"),
		warmup:    fs.Int("warmup", 100, "`N` steps of warm-up"),
		cycle:     fs.Int("cycle", 0, "`N` steps after which the rate rises again; 0 is never"),
		ema:       fs.Float64("ema", 0.998, "`decay` of the weights' moving average, 0 to less than 1"),
		seed:      fs.Uint64("seed", 1, "`N` of all random numbers"),
		logEvery:  fs.Int("log-every", 20, "`N` steps between log lines"),
		saveEvery: fs.Int("save-every", 500, "`N` steps between validations, sample sheets and checkpoints"),
		resume:    fs.Bool("resume", false, "go on from the checkpoint in --out"),
		overwrite: fs.Bool("overwrite", false, "begin anew where --out holds a run already"),
		initial: fs.String("init", "", "model.safetensors `file` of the same network, whose weights are trained on (a "+
			"warm restart)"),
		dtype:  fs.String("dtype", "f32", "`precision` of matrix products: f32 or bf16; weights are float32"),
		device: deviceFlag(fs),
		channels: fs.String("channels", "", "`list` of channels, one for each resolution "+
			"(default 32,64 for vae, 64,64,128 for unet, 64,64,128,128 for pixel)"),
		layers: fs.Int("layers", 1, "`N` residual blocks for each resolution"),
		groups: fs.Int("groups", 8, "`N` groups of the norms; vae: 0 leaves them out"),
		latent: fs.Int("latent", 4, "`N` latent channels (vae)"),
		patch: fs.Int("patch", 1, "`pixels` a side of the squares that are folded into channels first; above 1 the "+
			"training starts from their principal components, and wants one resolution and --groups 0 (vae)"),
		noMid: fs.Bool("no-mid-attention", false, "no attention in the middle: with plain blocks the network then sees any "+
			"size as it sees that of its training (unet)"),
		mid:  fs.Bool("mid-attention", false, "self-attention in the middle (vae)"),
		kl:   fs.Float64("kl", 1e-4, "`weight` of the KL divergence (vae)"),
		edge: fs.Float64("edge", 0.3, "`weight` of the edges' difference (vae)"),
		vae:  fs.String("vae", "", "model.safetensors `file` of the trained autoencoder (unet)"),
		blocks: fs.String("blocks", "", "`list` of DownBlock2D or CrossAttnDownBlock2D, one for each resolution "+
			"(unet; default: attention at the last)"),
		heads:    fs.Int("heads", 4, "`N` attention heads (unet)"),
		crossDim: fs.Int("cross-dim", 32, "`N` channels of the context (unet)"),
		low:      fs.Float64("low", 0.75, "`share` of pictures with noise of a deviation below 2 (unet, pixel)"),
		threads:  threadsFlag(fs),
	}
}

func (f *trainFlags) run(ctx context.Context, c *console, args []string) error {
	if len(args) == 0 || args[0] != "vae" && args[0] != "unet" && args[0] != "pixel" {
		return fmt.Errorf("train what? psld train vae, psld train unet or psld train pixel%s (see psld help train)",
			nearest.Hint(strings.Join(args, " "), []string{"vae", "unet", "pixel"}))
	}
	if err := f.check(args[0]); err != nil {
		return err
	}
	chs, err := counts("--channels", *f.channels, 0)
	if err != nil {
		return err
	}
	if chs[0] == 0 {
		return fmt.Errorf("--channels %q: want at least one number", *f.channels)
	}
	o, err := f.options(c)
	if err != nil {
		return err
	}
	if err := f.threads(); err != nil {
		return err
	}
	var begun atomic.Bool
	o.Begin = func() {
		begun.Store(true)
		c.say("%s %v channels, %s", args[0], chs, machine())
	}
	_, err = untilStopped(ctx, func() (any, error) { return nil, f.train(ctx, c, args[0], o, chs) }, &begun)
	err = inFlags(err)
	if !errors.Is(err, context.Canceled) {
		return err
	}
	if !exists(filepath.Join(*f.out, "checkpoint.safetensors")) {
		return nothing(ctx, err, "checkpoint")
	}
	c.say("the checkpoint is in %s: the same command with --resume goes on from it", *f.out)
	return err
}

// train trains a network.
func (f *trainFlags) train(ctx context.Context, c *console, network string, o train.Options, chs []int) error {
	switch network {
	case "pixel":
		return f.pixel(ctx, c, o, chs)
	case "vae":
		return trainVAE(ctx, c, train.VAEOptions{Options: o, KL: *f.kl, Edge: *f.edge, Config: vae.Config{InChannels: 3,
			LatentChannels: *f.latent, BlockOutChannels: chs, LayersPerBlock: *f.layers, NormNumGroups: *f.groups,
			ScalingFactor: 1, MidAttention: *f.mid, PatchSize: *f.patch}})
	default:
		return trainUNet(ctx, c, train.UNetOptions{Options: o, Low: *f.low, Config: f.unet(chs)}, *f.vae)
	}
}

// flagWords are the flags that stand for the fields of configurations in errors.
var flagWords = strings.NewReplacer("vae config: ", "", "unet config: ", "", "guided UNet's configuration: ", "",
	"number of block_out_channels", "the number of --channels", "a block_out_channels entry", "an entry of --channels",
	"block_out_channels entry", "--channels", "block_out_channels[0]", "the first of --channels",
	"num_channels", "the first of --channels", "channel_mult", "--channels", "num_res_blocks", "--layers",
	"layers_per_block", "--layers", "norm_num_groups", "--groups", "latent_channels", "--latent", "patch_size", "--patch",
	"attention_head_dim", "--heads", "cross_attention_dim", "--cross-dim", "down_block_types", "--blocks",
	"image_size", "--size", "resume goes on", "--resume goes on", "overwrite begins", "--overwrite begins")

// inFlags is an error of a training in the words of the flags.
func inFlags(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.New(flagWords.Replace(err.Error()))
}

// inRange is an error for a number that is not in lo to hi, or is lo where that is not allowed.
func inRange(name string, v, lo, hi float64, withLo bool) error {
	if v > lo && v <= hi || withLo && v == lo {
		return nil
	}
	from := "more than "
	if withLo {
		from = ""
	}
	return fmt.Errorf("--%s %v, want %s%v to %v", name, v, from, lo, hi)
}

// check looks at the flags for a network, and sets the defaults that depend on it.
func (f *trainFlags) check(network string) error {
	for _, g := range [][2]string{{"data", *f.data}, {"val", *f.val}, {"out", *f.out}} {
		if g[1] == "" {
			return fmt.Errorf("--%s is missing (see psld help train)", g[0])
		}
	}
	for _, g := range [][2]string{{"data", *f.data}, {"val", *f.val}} {
		for _, dir := range list(g[1]) {
			if info, err := os.Stat(dir); err != nil {
				return fmt.Errorf("--%s: %w", g[0], err)
			} else if !info.IsDir() {
				return fmt.Errorf("--%s: %s is no folder", g[0], dir)
			}
		}
	}
	set := given(f.fs)
	for _, name := range slices.Sorted(maps.Keys(ofNetwork)) {
		if set[name] && !strings.Contains(ofNetwork[name], network) {
			return fmt.Errorf("--%s has no meaning for train %s", name, network)
		}
	}
	for _, g := range []struct {
		name      string
		v, lo, hi int
	}{{"size", *f.size, 8, 4096}, {"steps", *f.steps, 1, 1 << 30}, {"batch", *f.batch, 1, 1 << 16},
		{"micro", *f.micro, 1, *f.batch},
		{"cycle", *f.cycle, 0, 1 << 30}, {"warmup", *f.warmup, 0, 1 << 30}, {"log-every", *f.logEvery, 1, 1 << 30},
		{"save-every", *f.saveEvery, 1, 1 << 30}} {
		if g.v < g.lo || g.v > g.hi {
			return fmt.Errorf("--%s %d, want %d to %d", g.name, g.v, g.lo, g.hi)
		}
	}
	if !set["lr"] {
		*f.lr = 1e-3
		if network == "vae" {
			*f.lr = 2e-3
		}
	}
	for _, err := range []error{inRange("lr", *f.lr, 0, 1, false), inRange("ema", *f.ema, 0, 0.999999, true),
		inRange("kl", *f.kl, 0, 1e6, true), inRange("edge", *f.edge, 0, 1e6, true)} {
		if err != nil {
			return err
		}
	}
	if *f.resume && *f.overwrite {
		return errors.New("--resume goes on with a run, --overwrite begins anew: want one of them")
	}
	if *f.batch%*f.micro != 0 {
		return fmt.Errorf("--micro %d does not divide --batch %d", *f.micro, *f.batch)
	}
	if *f.dtype != "f32" && *f.dtype != "bf16" {
		return fmt.Errorf("--dtype %q, want f32 or bf16", *f.dtype)
	}
	if !(*f.low > 0 && *f.low < 1) {
		return fmt.Errorf("--low %v, want more than 0 and less than 1", *f.low)
	}
	if *f.channels == "" {
		*f.channels = map[string]string{"vae": "32,64", "unet": "64,64,128", "pixel": "64,64,128,128"}[network]
	}
	return nil
}

// options are those of all networks.
func (f *trainFlags) options(c *console) (train.Options, error) {
	device, err := openDevice(*f.device, *f.dtype)
	if err != nil {
		return train.Options{}, err
	}
	return train.Options{Data: list(*f.data), Val: list(*f.val), Cache: *f.cache, Init: *f.initial, Device: device,
		Out: *f.out, Size: *f.size, Steps: *f.steps, Batch: *f.batch, Micro: *f.micro, Cycle: *f.cycle, LR: *f.lr,
		Warmup: *f.warmup, EMA: *f.ema,
		Seed: *f.seed, LogEvery: *f.logEvery, SaveEvery: *f.saveEvery, Resume: *f.resume,
		Overwrite: *f.overwrite, Log: c.log, LeftOut: c.leftOut}, nil
}

// pixel trains a pixel prior.
func (f *trainFlags) pixel(ctx context.Context, c *console, o train.Options, chs []int) error {
	cfg := unet.GuidedConfig{ImageSize: *f.size, NumChannels: chs[0], NumResBlocks: *f.layers, ScaleShift: true,
		ResBlockUpDown: true, NormGroups: *f.groups}
	for _, ch := range chs {
		if ch%chs[0] != 0 {
			return fmt.Errorf("--channels %s: want multiples of the first one", *f.channels)
		}
		cfg.ChannelMult = append(cfg.ChannelMult, ch/chs[0])
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	if k := cfg.Factor(); o.Size%k != 0 {
		return fmt.Errorf("--size %d is no multiple of %d, the factor of the network", o.Size, k)
	}
	if err := train.Pixel(ctx, train.PixelOptions{Options: o, Config: cfg, Low: *f.low}); err != nil {
		return err
	}
	c.wrote("wrote %s", filepath.Join(o.Out, "model.safetensors"))
	return nil
}

// unet is the configuration of a UNet in latents.
func (f *trainFlags) unet(chs []int) unet.Config {
	cfg := unet.SD15() // for what has no flag
	cfg.BlockOutChannels, cfg.LayersPerBlock, cfg.NormNumGroups = chs, *f.layers, *f.groups
	cfg.Heads, cfg.CrossAttentionDim = unet.Heads{*f.heads}, *f.crossDim
	cfg.NoMidAttention = *f.noMid
	cfg.DownBlockTypes = list(*f.blocks)
	if *f.blocks == "" {
		for range len(chs) - 1 {
			cfg.DownBlockTypes = append(cfg.DownBlockTypes, unet.DownPlain)
		}
		cfg.DownBlockTypes = append(cfg.DownBlockTypes, unet.DownCross)
	}
	return cfg
}

func trainVAE(ctx context.Context, c *console, o train.VAEOptions) error {
	if err := o.Config.Validate(); err != nil {
		return err
	}
	if f := o.Config.Factor(); o.Size%f != 0 {
		return fmt.Errorf("--size %d is no multiple of %d, the autoencoder's factor", o.Size, f)
	}
	if err := train.VAE(ctx, o); err != nil {
		return err
	}
	c.wrote("wrote %s", filepath.Join(o.Out, "model.safetensors"))
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
	if o.VAE, err = prior.LoadVAE(file, o.Exact()); err != nil {
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
	c.wrote("wrote vae.safetensors and unet.safetensors to %s: use it with --model %s", o.Out, o.Out)
	return trained
}
