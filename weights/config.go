package weights

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Configs in diffusers form, derived from the shapes of a single file. Field
// names are those of the diffusers config.json.

// ldmHeadWidth is num_head_channels in all UNet configs of the latent-diffusion
// repository.
const ldmHeadWidth = 32

type unetConfig struct {
	ClassName         string   `json:"_class_name"`
	AttentionHeadDim  int      `json:"attention_head_dim"` // the NUMBER of heads in SD 1.x, their width in an LDM
	BlockOutChannels  []int    `json:"block_out_channels"`
	CrossAttentionDim int      `json:"cross_attention_dim,omitempty"`
	DownBlockTypes    []string `json:"down_block_types"`
	UpBlockTypes      []string `json:"up_block_types"`
	InChannels        int      `json:"in_channels"`
	OutChannels       int      `json:"out_channels"`
	LayersPerBlock    int      `json:"layers_per_block"`
	NormEps           float64  `json:"norm_eps"`
	NormNumGroups     int      `json:"norm_num_groups"`
}

type vaeConfig struct {
	ClassName        string   `json:"_class_name"`
	BlockOutChannels []int    `json:"block_out_channels"`
	DownBlockTypes   []string `json:"down_block_types"`
	UpBlockTypes     []string `json:"up_block_types"`
	InChannels       int      `json:"in_channels"`
	OutChannels      int      `json:"out_channels"`
	LatentChannels   int      `json:"latent_channels"`
	LayersPerBlock   int      `json:"layers_per_block"`
	NormNumGroups    int      `json:"norm_num_groups"`
	ScalingFactor    float64  `json:"scaling_factor"`
	MidAttention     *bool    `json:"mid_block_add_attention,omitempty"` // written where it is false
	CodebookSize     int      `json:"num_vq_embeddings,omitempty"`
	CodebookWidth    int      `json:"vq_embed_dim,omitempty"`
}

type textConfig struct {
	HiddenAct        string  `json:"hidden_act"`
	HiddenSize       int     `json:"hidden_size"`
	IntermediateSize int     `json:"intermediate_size"`
	LayerNormEps     float64 `json:"layer_norm_eps"`
	MaxPosition      int     `json:"max_position_embeddings"`
	Heads            int     `json:"num_attention_heads"`
	Layers           int     `json:"num_hidden_layers"`
	VocabSize        int     `json:"vocab_size"`
}

// shapes reads sizes off a set and keeps the first tensor that it missed.
type shapes struct {
	set *Set
	err error
}

// dim is dimension i of the named tensor.
func (s *shapes) dim(name string, i int) int {
	info, ok := s.set.Info(name)
	if s.err == nil && !ok {
		s.err = fmt.Errorf("%s: no tensor %q, from which the size of the network is read", s.set.name, name)
	}
	if s.err == nil && len(info.Shape) <= i {
		s.err = fmt.Errorf("%s: tensor %q of shape %v has no dimension %d", s.set.name, name, info.Shape, i)
	}
	if s.err != nil {
		return 0
	}
	return info.Shape[i]
}

// count is how many of the names with 0, 1, 2.. filled into format exist.
func (s *shapes) count(format string) int { return count(s.set.Has, format) }

// deriveConfigs fills in the configs of the parts of a model that came without.
func (m *Model) deriveConfigs(opts Options) (err error) {
	if m.UNetConfig, err = deriveUNet(m.UNet, opts); err != nil {
		return err
	}
	scale := 0.18215
	if m.isLDM() {
		scale = 1
	}
	if m.VAEConfig == nil { // else that of another file
		if m.VAEConfig, err = deriveVAE(m.VAE, scale); err != nil {
			return err
		}
	}
	if m.TextEncoder != nil {
		m.TextConfig, err = deriveText(m.TextEncoder, opts)
	}
	return err
}

// deriveUNet reads the config of a UNet. Numbers of heads leave no trace in the
// shapes: they come from the options.
func deriveUNet(set *Set, opts Options) (json.RawMessage, error) {
	s := shapes{set: set}
	c := unetConfig{
		ClassName:        "UNet2DConditionModel",
		AttentionHeadDim: opts.Heads,
		InChannels:       s.dim("conv_in.weight", 1),
		OutChannels:      s.dim("conv_out.weight", 0),
		LayersPerBlock:   s.count("down_blocks.0.resnets.%d.conv1.weight"),
		NormEps:          1e-5,
		NormNumGroups:    32,
	}
	if c.AttentionHeadDim == 0 {
		c.AttentionHeadDim = 8
	}
	ldm := set.Has("mid_block.attentions.0.to_q.weight")
	prefix, attention := "CrossAttn", "down_blocks.%d.attentions.0.transformer_blocks.0.attn2.to_k.weight"
	if ldm {
		c.ClassName = "UNet2DModel"
		c.AttentionHeadDim = opts.HeadWidth
		if c.AttentionHeadDim == 0 {
			c.AttentionHeadDim = ldmHeadWidth
		}
		prefix, attention = "Attn", "down_blocks.%d.attentions.0.to_k.weight"
	}
	for i := range s.count("down_blocks.%d.resnets.0.conv1.weight") {
		c.BlockOutChannels = append(c.BlockOutChannels, s.dim(fmt.Sprintf("down_blocks.%d.resnets.0.conv1.weight", i), 0))
		down, up := "DownBlock2D", "UpBlock2D"
		if kv := fmt.Sprintf(attention, i); set.Has(kv) {
			if !ldm {
				c.CrossAttentionDim = s.dim(kv, 1)
			}
			down, up = prefix+down, prefix+up
		}
		c.DownBlockTypes = append(c.DownBlockTypes, down)
		c.UpBlockTypes = append([]string{up}, c.UpBlockTypes...)
	}
	if s.err != nil {
		return nil, s.err
	}
	return json.MarshalIndent(c, "", "  ")
}

// deriveVAE reads the config of an AutoencoderKL, or a VQModel where there is a
// codebook.
func deriveVAE(set *Set, scale float64) (json.RawMessage, error) {
	const codebook = "quantize.embedding.weight"
	s := shapes{set: set}
	c := vaeConfig{
		ClassName:      "AutoencoderKL",
		InChannels:     s.dim("encoder.conv_in.weight", 1),
		OutChannels:    s.dim("decoder.conv_out.weight", 0),
		LatentChannels: s.dim("post_quant_conv.weight", 0),
		LayersPerBlock: s.count("encoder.down_blocks.0.resnets.%d.conv1.weight"),
		NormNumGroups:  32,
		ScalingFactor:  scale,
	}
	if set.Has(codebook) {
		c.ClassName = "VQModel"
		c.CodebookSize, c.CodebookWidth = s.dim(codebook, 0), s.dim(codebook, 1)
	}
	if !set.Has("encoder.mid_block.attentions.0.to_q.weight") {
		c.MidAttention = new(bool)
	}
	for i := range s.count("encoder.down_blocks.%d.resnets.0.conv1.weight") {
		c.BlockOutChannels = append(c.BlockOutChannels,
			s.dim(fmt.Sprintf("encoder.down_blocks.%d.resnets.0.conv1.weight", i), 0))
	}
	c.DownBlockTypes = slices.Repeat([]string{"DownEncoderBlock2D"}, len(c.BlockOutChannels))
	c.UpBlockTypes = slices.Repeat([]string{"UpDecoderBlock2D"}, len(c.BlockOutChannels))
	if s.err != nil {
		return nil, s.err
	}
	return json.MarshalIndent(c, "", "  ")
}

// deriveText reads the config of a CLIP text encoder.
func deriveText(set *Set, opts Options) (json.RawMessage, error) {
	s := shapes{set: set}
	c := textConfig{
		HiddenAct:        "quick_gelu",
		HiddenSize:       s.dim("text_model.embeddings.token_embedding.weight", 1),
		IntermediateSize: s.dim("text_model.encoder.layers.0.mlp.fc1.weight", 0),
		LayerNormEps:     1e-5,
		MaxPosition:      s.dim("text_model.embeddings.position_embedding.weight", 0),
		Heads:            opts.TextHeads,
		Layers:           s.count("text_model.encoder.layers.%d.mlp.fc1.weight"),
		VocabSize:        s.dim("text_model.embeddings.token_embedding.weight", 0),
	}
	if c.Heads == 0 {
		c.Heads = max(c.HiddenSize/64, 1)
	}
	if s.err != nil {
		return nil, s.err
	}
	return json.MarshalIndent(c, "", "  ")
}
