package unet

import (
	"encoding/json"
	"fmt"

	"psld/nn"
)

// The kinds of resolution levels, as diffusers names them.
const (
	DownPlain = "DownBlock2D"
	DownCross = "CrossAttnDownBlock2D"
	UpPlain   = "UpBlock2D"
	UpCross   = "CrossAttnUpBlock2D"
)

// Config describes a UNet by the fields of a diffusers unet/config.json.
type Config struct {
	InChannels        int      `json:"in_channels"`
	OutChannels       int      `json:"out_channels"`
	BlockOutChannels  []int    `json:"block_out_channels"` // one entry per resolution, finest first
	DownBlockTypes    []string `json:"down_block_types"`
	UpBlockTypes      []string `json:"up_block_types"`
	LayersPerBlock    int      `json:"layers_per_block"`   // ResBlocks on the way down; one more on the way up
	Heads             Heads    `json:"attention_head_dim"` // the NUMBER of heads, whatever the field's name says
	CrossAttentionDim int      `json:"cross_attention_dim"`
	NormNumGroups     int      `json:"norm_num_groups"`
	NormEps           float32  `json:"norm_eps"`
	FlipSinToCos      bool     `json:"flip_sin_to_cos"` // time sinusoids are [cos, sin]
	FreqShift         float32  `json:"freq_shift"`
}

// Heads is the number of attention heads per resolution; a single entry stands
// for all.
type Heads []int

// UnmarshalJSON accepts a number or a list.
func (h *Heads) UnmarshalJSON(data []byte) error {
	var one int
	if json.Unmarshal(data, &one) == nil {
		*h = Heads{one}
		return nil
	}
	return json.Unmarshal(data, (*[]int)(h))
}

func (h Heads) at(level int) int {
	if len(h) == 1 {
		return h[0]
	}
	return h[level]
}

// SD15 returns the configuration of Stable Diffusion 1.x.
func SD15() Config {
	return Config{
		InChannels: 4, OutChannels: 4, BlockOutChannels: []int{320, 640, 1280, 1280},
		DownBlockTypes: []string{DownCross, DownCross, DownCross, DownPlain},
		UpBlockTypes:   []string{UpPlain, UpCross, UpCross, UpCross},
		LayersPerBlock: 2, Heads: Heads{8}, CrossAttentionDim: 768,
		NormNumGroups: 32, NormEps: 1e-5, FlipSinToCos: true,
	}
}

// ParseConfig reads a diffusers unet/config.json. Absent fields take the values
// of SD15; a feature that this package lacks is an error.
func ParseConfig(data []byte) (Config, error) {
	c := struct {
		Config
		NumHeads *Heads `json:"num_attention_heads"` // the later name of the field
	}{Config: SD15()}
	if err := nn.ParseConfig(data, &c, map[string][]string{
		"_class_name":                  {`"UNet2DConditionModel"`},
		"act_fn":                       {`"silu"`},
		"addition_embed_type":          {"null"}, // Stable Diffusion XL
		"center_input_sample":          {"false"},
		"class_embed_type":             {"null"},
		"downsample_padding":           {"1"},
		"dual_cross_attention":         {"false"},
		"mid_block_type":               {`"UNetMidBlock2DCrossAttn"`},
		"only_cross_attention":         {"false", "null"},
		"resnet_time_scale_shift":      {`"default"`},
		"transformer_layers_per_block": {"1", "null"},
		"use_linear_projection":        {"false"}, // Stable Diffusion 2
	}); err != nil {
		return Config{}, fmt.Errorf("unet: %w", err)
	}
	if c.NumHeads != nil {
		c.Heads = *c.NumHeads
	}
	return c.Config, c.Config.Validate()
}

// Validate returns an error that names the first field out of range. The
// limits are far above any known model. Whoever loads a file should hold its
// tensors against the sizes before New takes memory for them.
func (c Config) Validate() error {
	const maxLevels, maxLayers, maxChannels = 8, 16, 1 << 14
	levels := len(c.BlockOutChannels)
	for _, f := range []struct {
		field     string
		v, lo, hi int
	}{
		{"in_channels", c.InChannels, 1, 64},
		{"out_channels", c.OutChannels, 1, 64},
		{"layers_per_block", c.LayersPerBlock, 1, maxLayers},
		{"cross_attention_dim", c.CrossAttentionDim, 1, maxChannels},
		{"norm_num_groups", c.NormNumGroups, 1, maxChannels},
		{"number of block_out_channels", levels, 1, maxLevels},
		{"number of down_block_types", len(c.DownBlockTypes), levels, levels},
		{"number of up_block_types", len(c.UpBlockTypes), levels, levels},
	} {
		if f.v < f.lo || f.v > f.hi {
			return fmt.Errorf("unet config: %s is %d, want %d to %d", f.field, f.v, f.lo, f.hi)
		}
	}
	if len(c.Heads) != 1 && len(c.Heads) != levels {
		return fmt.Errorf("unet config: attention_head_dim has %d entries, want 1 or %d", len(c.Heads), levels)
	}
	for i, ch := range c.BlockOutChannels {
		heads := c.Heads.at(i)
		switch {
		case ch < 1 || ch > maxChannels:
			return fmt.Errorf("unet config: block_out_channels entry %d, want 1 to %d", ch, maxChannels)
		case ch%c.NormNumGroups != 0:
			return fmt.Errorf("unet config: block_out_channels entry %d is no multiple of norm_num_groups %d", ch, c.NormNumGroups)
		case heads < 1 || ch%heads != 0:
			return fmt.Errorf("unet config: attention_head_dim gives %d heads for %d channels, want a divisor", heads, ch)
		}
		if k := c.DownBlockTypes[i]; k != DownPlain && k != DownCross {
			return fmt.Errorf("unet config: down_block_types has %q, want %s or %s", k, DownPlain, DownCross)
		}
		if k := c.UpBlockTypes[i]; k != UpPlain && k != UpCross {
			return fmt.Errorf("unet config: up_block_types has %q, want %s or %s", k, UpPlain, UpCross)
		}
	}
	if c.BlockOutChannels[0]%2 != 0 {
		return fmt.Errorf("unet config: block_out_channels[0] is %d, want an even number", c.BlockOutChannels[0])
	}
	if !(c.NormEps > 0 && c.NormEps < 1) {
		return fmt.Errorf("unet config: norm_eps is %v, want a small positive number", c.NormEps)
	}
	if !(c.FreqShift >= 0 && c.FreqShift < float32(c.BlockOutChannels[0]/2)) {
		return fmt.Errorf("unet config: freq_shift is %v, want 0 to less than %d", c.FreqShift, c.BlockOutChannels[0]/2)
	}
	return nil
}

// Factor is the number that a latent's height and width must be multiples of:
// 2^(levels-1), 8 in Stable Diffusion.
func (c Config) Factor() int { return 1 << (len(c.BlockOutChannels) - 1) }
