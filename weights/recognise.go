package weights

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
)

// A family is files that people have: a tensor that such a file has (its name begins so, or ends so where the mark
// begins with "*"), and what it is and what to do with it.
type family struct {
	marks []string
	what  string
}

// foreign have tensors that no Stable Diffusion 1.x checkpoint has. The first that fits counts.
var foreign = []family{
	{[]string{"emb_params", "string_to_param", "clip_g", "clip_l", "<"}, textualInversion},
	{[]string{"control_model.", "controlnet_cond_embedding.", "controlnet_down_blocks.", "input_hint_block.",
		"controlnet_mid_block."}, "a ControlNet, which psld does not read: want a Stable Diffusion 1.x model"},
	{[]string{"ip_adapter.", "image_proj."},
		"an IP-Adapter, which psld does not read: want a Stable Diffusion 1.x model"},
	{[]string{"model.diffusion_model.joint_blocks.", "joint_blocks.", "text_encoders.t5xxl.", "*.attn.add_k_proj.weight"},
		"a model of Stable Diffusion 3 or its like; want Stable Diffusion 1.x"},
	{[]string{"model.diffusion_model.double_blocks.", "double_blocks.", "single_transformer_blocks."},
		"a model of Flux; want Stable Diffusion 1.x"},
	{[]string{"scaled_fp8", "*.scale_weight", "*.weight_scale", "*.scale_input"},
		"a model in scaled float8; want one in float16, or in float8 without scales"},
	{[]string{"conditioner.embedders.", "add_embedding.linear_1.", "model.diffusion_model.label_emb."},
		"a model of SDXL (Stable Diffusion XL); want Stable Diffusion 1.x"},
	{[]string{"cond_stage_model.model."}, "a model of Stable Diffusion 2.x; want 1.x"},
}

// partial have tensors that a whole model has, too.
var partial = []family{
	{[]string{"decoder.layers.0.", "encoder.layers.0.conv", "1.weight"},
		"a tiny autoencoder (TAESD): --taesd gives it to a model, which --model names"},
	{[]string{"encoder.conv_in.", "decoder.conv_in.", "encoder.down_blocks.", "encoder.down.0."}, vaeAlone},
	{[]string{"text_model.", "embeddings.token_embedding.", "cond_stage_model.transformer."},
		"a text encoder alone: want the folder that holds unet/, vae/ and text_encoder/, or a whole single file"},
	{[]string{"down_blocks.", "input_blocks."},
		"a UNet alone: want the folder that holds unet/, vae/ and text_encoder/, or a whole single file"},
	{[]string{vaePrefix}, vaeAlone},
}

const (
	textualInversion = "a textual inversion (an embedding), which psld does not read: describe it in the prompt"
	vaeAlone         = "an autoencoder (VAE) alone: --vae gives it to a model, which --model names"
	lora             = "a LoRA, changes of a model: --lora gives it to a model, which --model names (an LCM-LoRA with " +
		"--sampler lcm --steps 4 --cfg 1)"
)

// of finds the family of a file, "" for none.
func of(families []family, names []string) string {
	for _, family := range families {
		for _, mark := range family.marks {
			end, atEnd := strings.CutPrefix(mark, "*")
			if slices.ContainsFunc(names, func(name string) bool {
				return atEnd && strings.HasSuffix(name, end) || !atEnd && strings.HasPrefix(name, mark)
			}) {
				return "it is " + family.what
			}
		}
	}
	return ""
}

// recogniseForeign says what a file is that has what no Stable Diffusion 1.x checkpoint has, "" for all others.
func recogniseForeign(f *File) string {
	if isLoRA(f) {
		return "it is " + lora
	}
	return of(foreign, f.Names())
}

// recognise says what a file is that is no Stable Diffusion 1.x checkpoint, and what to do with it.
func recognise(f *File) string {
	if what := recogniseForeign(f); what != "" {
		return what
	}
	names := f.Names()
	if what := of(partial, names); what != "" {
		return what
	}
	if len(names) == 1 { // the dictionary in a textual inversion, by a name of its own
		if info, _ := f.Info(names[0]); len(info.Shape) <= 2 && slices.Contains([]int{768, 1024}, last(info.Shape)) {
			return "it is " + textualInversion
		}
	}
	return "it is no Stable Diffusion 1.x checkpoint"
}

func last(shape []int) int {
	if len(shape) == 0 {
		return 0
	}
	return shape[len(shape)-1]
}

// recogniseFolder is recognise for a folder without the parts of a model, "" for an unknown one.
func recogniseFolder(dir string) string {
	for _, name := range []string{"pytorch_lora_weights.safetensors", "adapter_config.json",
		"adapter_model.safetensors"} {
		if exists(filepath.Join(dir, name)) {
			return "it is " + lora
		}
	}
	if exists(filepath.Join(dir, "learned_embeds.safetensors")) || exists(filepath.Join(dir, "learned_embeds.bin")) {
		return "it is " + textualInversion
	}
	text, err := readJSON(filepath.Join(dir, "config.json"))
	if err != nil {
		return ""
	}
	var config struct {
		Class string   `json:"_class_name"`
		Arch  []string `json:"architectures"`
	}
	if json.Unmarshal(text, &config) != nil {
		return ""
	}
	class := config.Class
	if class == "" && len(config.Arch) > 0 {
		class = config.Arch[0]
	}
	for begin, mark := range map[string]string{"ControlNet": "control_model.", "AutoencoderTiny": "decoder.layers.0.",
		"AutoencoderKL": vaePrefix, "VQModel": vaePrefix, "CLIPText": "text_model.", "UNet2D": "down_blocks.",
		"SD3Transformer": "joint_blocks.", "FluxTransformer": "double_blocks."} {
		if strings.HasPrefix(class, begin) {
			return of(slices.Concat(foreign, partial), []string{mark})
		}
	}
	return ""
}

// recogniseUNet says of a UNet's config in which later version of Stable Diffusion it belongs, "" for none.
func recogniseUNet(config json.RawMessage) string {
	var c struct {
		Width    any    `json:"cross_attention_dim"`
		Addition string `json:"addition_embed_type"`
	}
	switch {
	case json.Unmarshal(config, &c) != nil:
	case c.Addition == "text_time" || c.Width == 2048.0:
		return of(foreign, []string{"conditioner.embedders."})
	case c.Width == 1024.0:
		return of(foreign, []string{"cond_stage_model.model."})
	}
	return ""
}
