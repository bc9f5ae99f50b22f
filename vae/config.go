package vae

import (
	"encoding/json"
	"fmt"

	"psld/internal/config"
)

// Config describes an autoencoder by the fields of a diffusers vae/config.json.
type Config struct {
	InChannels       int   `json:"in_channels"`        // picture channels, 3
	LatentChannels   int   `json:"latent_channels"`    // 4 in Stable Diffusion
	BlockOutChannels []int `json:"block_out_channels"` // one entry per resolution, finest first
	LayersPerBlock   int   `json:"layers_per_block"`   // ResBlocks per encoder resolution; the decoder has one more
	// NormNumGroups 0 leaves all norms out, which diffusers does not know: a pixel then depends on its neighbourhood
	// alone, whatever the size of the picture.
	NormNumGroups int     `json:"norm_num_groups"`
	ScalingFactor float32 `json:"scaling_factor"`          // latents are stored times this
	MidAttention  bool    `json:"mid_block_add_attention"` // self-attention in the middle block
	// PatchSize p > 1 folds each square of p x p pixels into channels, before all else and after it (as in diffusers'
	// AutoencoderKLWan): all layers then work at a p-th of the picture's sides. 0 stands for 1.
	PatchSize int `json:"patch_size,omitempty"`
	// NumEmbeddings is the number of rows of the codebook, each as wide as a
	// latent pixel (diffusers' VQModel); 0 for a VAE (AutoencoderKL).
	NumEmbeddings int `json:"num_vq_embeddings,omitempty"`
}

// SD15 returns the configuration of Stable Diffusion 1.x.
func SD15() Config {
	return Config{
		InChannels: 3, LatentChannels: 4, BlockOutChannels: []int{128, 256, 512, 512},
		LayersPerBlock: 2, NormNumGroups: 32, ScalingFactor: 0.18215, MidAttention: true,
	}
}

// VQF4 returns the configuration of the first stage of the LDM repository's
// VQ-f4 models (ffhq-ldm-vq-4 and its like): 55 million parameters, latents of
// 3 channels and a quarter of the picture's sides, not scaled, 8192 codes.
func VQF4() Config {
	return Config{
		InChannels: 3, LatentChannels: 3, BlockOutChannels: []int{128, 256, 512},
		LayersPerBlock: 2, NormNumGroups: 32, ScalingFactor: 1, MidAttention: true, NumEmbeddings: 8192,
	}
}

// file is what is read of a config.json.
type file struct {
	Config
	OutChannels *int     `json:"out_channels"`
	Down        []string `json:"down_block_types"`
	Up          []string `json:"up_block_types"`
	Width       *int     `json:"vq_embed_dim"`
}

// keys are all other keys of an AutoencoderKL and of a VQModel.
var keys = config.Keys{
	"_class_name":          {`"AutoencoderKL"`, `"VQModel"`},
	"act_fn":               {`"silu"`, `"swish"`},
	"force_upcast":         nil, // the network computes in float32, or in the device's precision
	"latents_mean":         {"null"},
	"latents_std":          {"null"},
	"lookup_from_codebook": {"false"},
	"norm_type":            {`"group"`},
	"sample_size":          nil, // the network takes any
	"shift_factor":         {"0", "null"},
	"use_quant_conv":       {"true"},
	"use_post_quant_conv":  {"true"},
}

// UnknownKeys lists the keys of a diffusers vae/config.json that this package does not know, in alphabetical order.
func UnknownKeys(data []byte) []string { return config.Unknown(data, file{}, keys) }

// ParseConfig reads a diffusers vae/config.json, of an AutoencoderKL or, where
// _class_name says so, of a VQModel. Absent fields take the values of SD15 or
// VQF4; a kind of block that this package lacks is an error.
//
// The published VQModel files have no scaling_factor and were trained with 1,
// though diffusers then takes 0.18215 (its issue 6725).
func ParseConfig(data []byte) (Config, error) {
	var kind struct {
		Class string `json:"_class_name"`
	}
	c := file{Config: SD15()}
	if json.Unmarshal(config.Plain(data), &kind) == nil && kind.Class == "VQModel" {
		c.Config = VQF4()
	}
	if err := config.Parse(data, &c, keys); err != nil {
		return Config{}, fmt.Errorf("vae: %w", err)
	}
	if c.OutChannels != nil && *c.OutChannels != c.InChannels {
		return Config{}, fmt.Errorf("vae config: out_channels is %d, want %d as in_channels", *c.OutChannels, c.InChannels)
	}
	switch {
	case kind.Class == "VQModel" && c.NumEmbeddings == 0, kind.Class == "AutoencoderKL" && c.NumEmbeddings != 0:
		return Config{}, fmt.Errorf("vae config: num_vq_embeddings is %d in a %s", c.NumEmbeddings, kind.Class)
	case c.NumEmbeddings > 0 && c.Width != nil && *c.Width != c.LatentChannels:
		return Config{}, fmt.Errorf("vae config: vq_embed_dim is %d, want %d as latent_channels", *c.Width, c.LatentChannels)
	}
	for _, kinds := range []struct {
		field, want string
		got         []string
	}{{"down_block_types", "DownEncoderBlock2D", c.Down}, {"up_block_types", "UpDecoderBlock2D", c.Up}} {
		if kinds.got != nil && len(kinds.got) != len(c.BlockOutChannels) {
			return Config{}, fmt.Errorf("vae config: %s has %d entries, want %d as block_out_channels",
				kinds.field, len(kinds.got), len(c.BlockOutChannels))
		}
		for _, k := range kinds.got {
			if k != kinds.want {
				return Config{}, fmt.Errorf("vae config: %s has %q, want %s only", kinds.field, k, kinds.want)
			}
		}
	}
	return c.Config, c.Config.Validate()
}

// Validate returns an error that names the first field out of range. The
// limits are far above any known model. Whoever loads a file should hold its
// tensors against the sizes before New takes memory for them.
func (c Config) Validate() error {
	const maxLevels, maxLayers, maxChannels = 8, 16, 1 << 14
	inRange := func(field string, v, lo, hi int) error {
		if v < lo || v > hi {
			return fmt.Errorf("vae config: %s is %d, want %d to %d", field, v, lo, hi)
		}
		return nil
	}
	for _, err := range []error{
		inRange("in_channels", c.InChannels, 1, 64),
		inRange("latent_channels", c.LatentChannels, 1, 64),
		inRange("layers_per_block", c.LayersPerBlock, 1, maxLayers),
		inRange("number of block_out_channels", len(c.BlockOutChannels), 1, maxLevels),
		inRange("norm_num_groups", c.NormNumGroups, 0, maxChannels),
		inRange("patch_size", c.PatchSize, 0, 8),
		inRange("num_vq_embeddings", c.NumEmbeddings, 0, 1<<20),
	} {
		if err != nil {
			return err
		}
	}
	for _, ch := range c.BlockOutChannels {
		if err := inRange("a block_out_channels entry", ch, 1, maxChannels); err != nil {
			return err
		}
		if c.NormNumGroups > 0 && ch%c.NormNumGroups != 0 {
			return fmt.Errorf("vae config: block_out_channels entry %d is no multiple of norm_num_groups %d", ch,
				c.NormNumGroups)
		}
	}
	if !(c.ScalingFactor > 0 && c.ScalingFactor < 1e6) {
		return fmt.Errorf("vae config: scaling_factor is %v, want a positive number", c.ScalingFactor)
	}
	return nil
}

// Factor returns how many picture pixels a latent pixel spans in each
// direction: patch size times 2^(levels-1), 8 in Stable Diffusion.
func (c Config) Factor() int { return c.patch() << (len(c.BlockOutChannels) - 1) }

func (c Config) patch() int { return max(1, c.PatchSize) }
