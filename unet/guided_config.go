package unet

import (
	"encoding/json"
	"fmt"
	"strings"
)

// GuidedConfig describes a pixel UNet by the arguments of the guided-diffusion code (Dhariwal and Nichol 2021), whose
// checkpoints carry no configuration of their own.
type GuidedConfig struct {
	ImageSize int `json:"image_size"` // pixels a side that it was trained on
	// model channels, those of the finest resolution at ChannelMult 1
	NumChannels          int   `json:"num_channels"`
	NumResBlocks         int   `json:"num_res_blocks"`        // for each resolution; one more on the way up
	ChannelMult          []int `json:"channel_mult"`          // one entry per resolution, finest first
	AttentionResolutions []int `json:"attention_resolutions"` // in pixels a side of a picture of ImageSize
	// NumHeads of the attention, unless NumHeadChannels gives the width of a head. 0 and 0: no attention, not even in
	// the middle, which every network of the original code has: then the network sees any size as it sees ImageSize.
	NumHeads        int  `json:"num_heads"`
	NumHeadChannels int  `json:"num_head_channels"`
	LearnSigma      bool `json:"learn_sigma"`          // three more output channels, for the variance
	ScaleShift      bool `json:"use_scale_shift_norm"` // the time scales and shifts norms, in place of being added
	ResBlockUpDown  bool `json:"resblock_updown"`      // residual blocks change the size, in place of convolutions
	NewOrder        bool `json:"use_new_attention_order"`
	NormGroups      int  `json:"norm_num_groups"` // 32 in the original code
}

// FFHQ is the configuration of ffhq_10m.pt, the prior of DPS for faces of 256 pixels: 94 million parameters.
func FFHQ() GuidedConfig {
	return GuidedConfig{ImageSize: 256, NumChannels: 128, NumResBlocks: 1, ChannelMult: []int{1, 1, 2, 2, 4, 4},
		AttentionResolutions: []int{16}, NumHeads: 4, NumHeadChannels: 64, LearnSigma: true, ScaleShift: true,
		ResBlockUpDown: true, NormGroups: 32}
}

// ImageNet256 is the configuration of 256x256_diffusion_uncond.pt, the prior of DPS for any picture of 256 pixels: 553
// million parameters.
func ImageNet256() GuidedConfig {
	return GuidedConfig{ImageSize: 256, NumChannels: 256, NumResBlocks: 2, ChannelMult: []int{1, 1, 2, 2, 4, 4},
		AttentionResolutions: []int{32, 16, 8}, NumHeads: 4, NumHeadChannels: 64, LearnSigma: true, ScaleShift: true,
		ResBlockUpDown: true, NormGroups: 32}
}

// ParseGuidedConfig reads a configuration as JSON; an unknown field is an error.
func ParseGuidedConfig(data []byte) (GuidedConfig, error) {
	c := GuidedConfig{NormGroups: 32}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return GuidedConfig{}, fmt.Errorf("guided UNet's configuration: %w", err)
	}
	return c, c.Validate()
}

// Validate returns an error that names the first field out of range.
func (c GuidedConfig) Validate() error {
	const maxChannels = 1 << 13
	type field struct {
		name      string
		v, lo, hi int
	}
	list := []field{{"image_size", c.ImageSize, 1, 1 << 14}, {"num_channels", c.NumChannels, 2, maxChannels},
		{"num_res_blocks", c.NumResBlocks, 1, 16}, {"number of channel_mult", len(c.ChannelMult), 1, 8},
		{"num_heads", c.NumHeads, 0, 1 << 10}, {"num_head_channels", c.NumHeadChannels, -1, maxChannels},
		{"norm_num_groups", c.NormGroups, 1, maxChannels}}
	for _, m := range c.ChannelMult {
		list = append(list, field{"a channel_mult entry", m, 1, 64})
	}
	for _, f := range list {
		if f.v < f.lo || f.v > f.hi {
			return fmt.Errorf("guided UNet's configuration: %s is %d, want %d to %d", f.name, f.v, f.lo, f.hi)
		}
	}
	for _, m := range c.ChannelMult {
		ch := m * c.NumChannels
		if ch%c.NormGroups != 0 {
			return fmt.Errorf("guided UNet's configuration: %d channels are no multiple of norm_num_groups %d", ch,
				c.NormGroups)
		}
		if h := c.heads(ch); h > 0 && ch%h != 0 {
			return fmt.Errorf("guided UNet's configuration: %d channels are no multiple of %d heads", ch, h)
		}
	}
	if c.NumChannels%2 != 0 {
		return fmt.Errorf("guided UNet's configuration: num_channels is %d, want an even number", c.NumChannels)
	}
	for _, r := range c.AttentionResolutions {
		if r < 1 || c.ImageSize%r != 0 || c.heads(c.NumChannels) == 0 {
			return fmt.Errorf("guided UNet's configuration: attention_resolutions has %d, want divisors of image_size %d, "+
				"and heads",
				r, c.ImageSize)
		}
	}
	return nil
}

// heads is the number of heads of attention over ch channels, 0 for none.
func (c GuidedConfig) heads(ch int) int {
	if c.NumHeadChannels > 0 {
		return max(1, ch/c.NumHeadChannels)
	}
	return c.NumHeads
}

// attends tells whether there is attention where sides are 1/ds of the picture's.
func (c GuidedConfig) attends(ds int) bool {
	for _, r := range c.AttentionResolutions {
		if c.ImageSize/r == ds {
			return true
		}
	}
	return false
}

// Factor is the number that a picture's sides must be multiples of: 2^(resolutions-1).
func (c GuidedConfig) Factor() int { return 1 << (len(c.ChannelMult) - 1) }
