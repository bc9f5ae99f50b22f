package weights

import (
	"encoding/json"
	"fmt"
)

// Configs in diffusers form, derived from the shapes of a single file. Field
// names are those of the diffusers config.json.

type unetConfig struct {
	ClassName         string   `json:"_class_name"`
	AttentionHeadDim  int      `json:"attention_head_dim"` // the NUMBER of heads in SD 1.x
	BlockOutChannels  []int    `json:"block_out_channels"`
	CrossAttentionDim int      `json:"cross_attention_dim"`
	DownBlockTypes    []string `json:"down_block_types"`
	UpBlockTypes      []string `json:"up_block_types"`
	InChannels        int      `json:"in_channels"`
	OutChannels       int      `json:"out_channels"`
	LayersPerBlock    int      `json:"layers_per_block"`
	NormEps           float64  `json:"norm_eps"`
	NormNumGroups     int      `json:"norm_num_groups"`
}

type vaeConfig struct {
	ClassName        string  `json:"_class_name"`
	BlockOutChannels []int   `json:"block_out_channels"`
	InChannels       int     `json:"in_channels"`
	OutChannels      int     `json:"out_channels"`
	LatentChannels   int     `json:"latent_channels"`
	LayersPerBlock   int     `json:"layers_per_block"`
	NormNumGroups    int     `json:"norm_num_groups"`
	ScalingFactor    float64 `json:"scaling_factor"`
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
func (s *shapes) count(format string) int {
	for i := 0; ; i++ {
		if _, ok := s.set.tensors[fmt.Sprintf(format, i)]; !ok {
			return i
		}
	}
}

// deriveConfigs fills in the three configs of a model that came without.
// Numbers of heads leave no trace in the shapes; 0 asks for the default: 8 in
// the UNet, and 64 channels a head in the text encoder, as in SD 1.x.
func (m *Model) deriveConfigs(heads, textHeads int) error {
	u := shapes{set: m.UNet}
	if heads == 0 {
		heads = 8
	}
	uc := unetConfig{
		ClassName:        "UNet2DConditionModel",
		AttentionHeadDim: heads,
		InChannels:       u.dim("conv_in.weight", 1),
		OutChannels:      u.dim("conv_out.weight", 0),
		LayersPerBlock:   u.count("down_blocks.0.resnets.%d.conv1.weight"),
		NormEps:          1e-5,
		NormNumGroups:    32,
	}
	for i := range u.count("down_blocks.%d.resnets.0.conv1.weight") {
		uc.BlockOutChannels = append(uc.BlockOutChannels, u.dim(fmt.Sprintf("down_blocks.%d.resnets.0.conv1.weight", i), 0))
		kv := fmt.Sprintf("down_blocks.%d.attentions.0.transformer_blocks.0.attn2.to_k.weight", i)
		down, up := "DownBlock2D", "UpBlock2D"
		if _, ok := m.UNet.tensors[kv]; ok {
			uc.CrossAttentionDim = u.dim(kv, 1)
			down, up = "CrossAttn"+down, "CrossAttn"+up
		}
		uc.DownBlockTypes = append(uc.DownBlockTypes, down)
		uc.UpBlockTypes = append([]string{up}, uc.UpBlockTypes...)
	}

	v := shapes{set: m.VAE}
	vc := vaeConfig{
		ClassName:      "AutoencoderKL",
		InChannels:     v.dim("encoder.conv_in.weight", 1),
		OutChannels:    v.dim("decoder.conv_out.weight", 0),
		LatentChannels: v.dim("post_quant_conv.weight", 0),
		LayersPerBlock: v.count("encoder.down_blocks.0.resnets.%d.conv1.weight"),
		NormNumGroups:  32,
		ScalingFactor:  0.18215,
	}
	for i := range v.count("encoder.down_blocks.%d.resnets.0.conv1.weight") {
		vc.BlockOutChannels = append(vc.BlockOutChannels, v.dim(fmt.Sprintf("encoder.down_blocks.%d.resnets.0.conv1.weight", i), 0))
	}

	t := shapes{set: m.TextEncoder}
	tc := textConfig{
		HiddenAct:        "quick_gelu",
		HiddenSize:       t.dim("text_model.embeddings.token_embedding.weight", 1),
		IntermediateSize: t.dim("text_model.encoder.layers.0.mlp.fc1.weight", 0),
		LayerNormEps:     1e-5,
		MaxPosition:      t.dim("text_model.embeddings.position_embedding.weight", 0),
		Heads:            textHeads,
		Layers:           t.count("text_model.encoder.layers.%d.mlp.fc1.weight"),
		VocabSize:        t.dim("text_model.embeddings.token_embedding.weight", 0),
	}
	if textHeads == 0 {
		tc.Heads = max(tc.HiddenSize/64, 1)
	}
	for _, s := range []shapes{u, v, t} {
		if s.err != nil {
			return s.err
		}
	}
	for _, c := range []struct {
		into *json.RawMessage
		from any
	}{{&m.UNetConfig, uc}, {&m.VAEConfig, vc}, {&m.TextConfig, tc}} {
		b, err := json.MarshalIndent(c.from, "", "  ")
		if err != nil {
			return err
		}
		*c.into = b
	}
	return nil
}
