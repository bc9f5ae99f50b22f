package unet

import (
	"encoding/json"
	"fmt"

	"psld/internal/config"
)

// The kinds of resolution levels, as diffusers names them: without attention,
// with attention to a context, and, in a network without context, with
// attention of the pixels to each other.
const (
	DownPlain = "DownBlock2D"
	DownCross = "CrossAttnDownBlock2D"
	DownSelf  = "AttnDownBlock2D"
	UpPlain   = "UpBlock2D"
	UpCross   = "CrossAttnUpBlock2D"
	UpSelf    = "AttnUpBlock2D"
)

// Config describes a UNet by the fields of a diffusers unet/config.json.
//
// Where CrossAttentionDim is 0 the network is unconditional (diffusers'
// UNet2DModel): it takes no context, and its middle block and the levels of
// kind DownSelf and UpSelf have self-attention.
type Config struct {
	InChannels        int      `json:"in_channels"`
	OutChannels       int      `json:"out_channels"`
	BlockOutChannels  []int    `json:"block_out_channels"` // one entry per resolution, finest first
	DownBlockTypes    []string `json:"down_block_types"`
	UpBlockTypes      []string `json:"up_block_types"`
	LayersPerBlock    int      `json:"layers_per_block"`    // ResBlocks on the way down; one more on the way up
	Heads             Heads    `json:"attention_head_dim"`  // the NUMBER of heads, whatever the field's name says
	CrossAttentionDim int      `json:"cross_attention_dim"` // width of a context row, 0 for a network without context
	NormNumGroups     int      `json:"norm_num_groups"`
	NormEps           float32  `json:"norm_eps"`
	FlipSinToCos      bool     `json:"flip_sin_to_cos"` // time sinusoids are [cos, sin]
	FreqShift         float32  `json:"freq_shift"`
	// NoMidAttention leaves the attention of the middle block out: then, with plain levels, the network sees any size
	// as it sees that of its training.
	NoMidAttention bool `json:"no_mid_attention,omitempty"`
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

// LDMVQ4 returns the configuration of the unconditional latent diffusion models
// on VQ-f4 latents (ffhq-ldm-vq-4 and its like in the LDM repository): 274
// million parameters, heads 32 channels wide. Its betas run from 0.0015 to 0.0195.
func LDMVQ4() Config {
	return Config{
		InChannels: 3, OutChannels: 3, BlockOutChannels: []int{224, 448, 672, 896},
		DownBlockTypes: []string{DownPlain, DownSelf, DownSelf, DownSelf},
		UpBlockTypes:   []string{UpSelf, UpSelf, UpSelf, UpPlain},
		LayersPerBlock: 2, Heads: Heads{7, 14, 21, 28},
		NormNumGroups: 32, NormEps: 1e-5, FlipSinToCos: true,
	}
}

// conditional is what is read of the configuration of a UNet2DConditionModel.
type conditional struct {
	Config
	NumHeads *Heads `json:"num_attention_heads"` // the later name of the field
}

// conditionalKeys are all other keys of a UNet2DConditionModel.
var conditionalKeys = config.Keys{
	"_class_name":                           {`"UNet2DConditionModel"`},
	"act_fn":                                {`"silu"`, `"swish"`},
	"addition_embed_type":                   {"null"}, // Stable Diffusion XL
	"addition_embed_type_num_heads":         nil,      // of addition_embed_type
	"addition_time_embed_dim":               nil,      // of addition_embed_type
	"attention_type":                        {`"default"`},
	"center_input_sample":                   {"false"},
	"class_embed_type":                      {"null"},
	"class_embeddings_concat":               {"false"},
	"conv_in_kernel":                        {"3"},
	"conv_out_kernel":                       {"3"},
	"cross_attention_norm":                  {"null"},
	"downsample_padding":                    {"1"},
	"dropout":                               nil, // of training
	"dual_cross_attention":                  {"false"},
	"encoder_hid_dim":                       {"null"},
	"encoder_hid_dim_type":                  {"null"},
	"mid_block_only_cross_attention":        {"null", "false"},
	"mid_block_scale_factor":                {"1"},
	"mid_block_type":                        {`"UNetMidBlock2DCrossAttn"`},
	"num_class_embeds":                      {"null"},
	"only_cross_attention":                  {"false", "null", "[false, false, false, false]"},
	"projection_class_embeddings_input_dim": nil, // of class_embed_type and addition_embed_type
	"resnet_out_scale_factor":               {"1"},
	"resnet_skip_time_act":                  {"false"},
	"resnet_time_scale_shift":               {`"default"`},
	"reverse_transformer_layers_per_block":  {"null"},
	"sample_size":                           nil,      // the network takes any
	"time_cond_proj_dim":                    {"null"}, // a full latent consistency model
	"time_embedding_act_fn":                 {"null"},
	"time_embedding_dim":                    {"null"},
	"time_embedding_type":                   {`"positional"`},
	"timestep_post_act":                     {"null"},
	"transformer_layers_per_block":          {"1", "null", "[1, 1, 1, 1]"},
	"upcast_attention":                      nil,       // attention is in float32, or in the device's precision
	"use_linear_projection":                 {"false"}, // Stable Diffusion 2
}

// unconditionalKeys are the keys of a UNet2DModel that are not read.
var unconditionalKeys = config.Keys{
	"_class_name":             {`"UNet2DModel"`},
	"act_fn":                  {`"silu"`, `"swish"`},
	"add_attention":           {"true"},
	"attn_norm_num_groups":    {"null"},
	"center_input_sample":     {"false"},
	"class_embed_type":        {"null"},
	"cross_attention_dim":     {"0", "null"},
	"downsample_padding":      {"1"},
	"downsample_type":         {`"conv"`},
	"dropout":                 nil, // of training
	"mid_block_scale_factor":  {"1"},
	"mid_block_type":          {`"UNetMidBlock2D"`},
	"num_class_embeds":        {"null"},
	"num_train_timesteps":     nil, // of time_embedding_type "learned"
	"resnet_time_scale_shift": {`"default"`},
	"sample_size":             nil, // the network takes any
	"time_embedding_dim":      {"null"},
	"time_embedding_type":     {`"positional"`},
	"upsample_type":           {`"conv"`},
}

func isUnconditional(data []byte) bool {
	var kind struct {
		Class string `json:"_class_name"`
	}
	return json.Unmarshal(config.Plain(data), &kind) == nil && kind.Class == "UNet2DModel"
}

// UnknownKeys lists the keys of a diffusers unet/config.json that this package does not know, in alphabetical order.
func UnknownKeys(data []byte) []string {
	if isUnconditional(data) {
		return config.Unknown(data, Config{}, unconditionalKeys)
	}
	return config.Unknown(data, conditional{}, conditionalKeys)
}

// ParseConfig reads a diffusers unet/config.json, of a UNet2DConditionModel or,
// where _class_name says so, of an unconditional UNet2DModel. Absent fields take
// the values of SD15 or those of diffusers (LDMVQ4 with heads 8 wide); a feature
// that this package lacks is an error.
func ParseConfig(data []byte) (Config, error) {
	if isUnconditional(data) {
		return parseUnconditional(data)
	}
	c := conditional{Config: SD15()}
	if err := config.Parse(data, &c, conditionalKeys); err != nil {
		return Config{}, fmt.Errorf("unet: %w", err)
	}
	if c.NumHeads != nil {
		c.Heads = *c.NumHeads
	}
	return c.Config, c.Config.Validate()
}

// parseUnconditional reads the config.json of a UNet2DModel. There
// attention_head_dim is what its name says, the WIDTH of a head; null asks for
// one head.
func parseUnconditional(data []byte) (Config, error) {
	c := LDMVQ4()
	c.Heads = Heads{8}
	if err := config.Parse(data, &c, unconditionalKeys); err != nil {
		return Config{}, fmt.Errorf("unet: %w", err)
	}
	if len(c.Heads) != 1 {
		return Config{}, fmt.Errorf("unet config: attention_head_dim has %d entries, want a number", len(c.Heads))
	}
	width := c.Heads[0]
	c.Heads = make(Heads, len(c.BlockOutChannels))
	for i, ch := range c.BlockOutChannels {
		switch {
		case width == 0: // null
			c.Heads[i] = 1
		case width < 0 || ch%width != 0:
			return Config{}, fmt.Errorf("unet config: attention_head_dim is %d, want a divisor of block_out_channels entry %d",
				width, ch)
		default:
			c.Heads[i] = ch / width
		}
	}
	return c, c.Validate()
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
		{"cross_attention_dim", c.CrossAttentionDim, 0, maxChannels},
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
	down, up := DownCross, UpCross // the kinds that may have attention
	if c.CrossAttentionDim == 0 {
		down, up = DownSelf, UpSelf
	}
	for i, ch := range c.BlockOutChannels {
		heads := c.Heads.at(i)
		switch {
		case ch < 1 || ch > maxChannels:
			return fmt.Errorf("unet config: block_out_channels entry %d, want 1 to %d", ch, maxChannels)
		case ch%c.NormNumGroups != 0:
			return fmt.Errorf("unet config: block_out_channels entry %d is no multiple of norm_num_groups %d", ch,
				c.NormNumGroups)
		case heads < 1 || ch%heads != 0:
			return fmt.Errorf("unet config: attention_head_dim gives %d heads for %d channels, want a divisor", heads, ch)
		}
		const format = "unet config: %s has %q, want %s or %s where cross_attention_dim is %d"
		if k := c.DownBlockTypes[i]; k != DownPlain && k != down {
			return fmt.Errorf(format, "down_block_types", k, DownPlain, down, c.CrossAttentionDim)
		}
		if k := c.UpBlockTypes[i]; k != UpPlain && k != up {
			return fmt.Errorf(format, "up_block_types", k, UpPlain, up, c.CrossAttentionDim)
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
