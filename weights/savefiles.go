package weights

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"psld/internal/config"
)

// folder is the name of a part's folder in the diffusers layout.
func (m *Model) folder(part string) string {
	if part == VAEPart && m.isLDM() {
		return vqFolder // whether it has a codebook or not
	}
	return part
}

// class is the class that a part's config names, else that of Stable Diffusion.
func (m *Model) class(part string) string {
	var config struct {
		Class string `json:"_class_name"`
	}
	if json.Unmarshal(m.config(part), &config) == nil && config.Class != "" {
		return config.Class
	}
	return map[string]string{UNetPart: "UNet2DConditionModel", VAEPart: "AutoencoderKL", TextPart: "CLIPTextModel"}[part]
}

// sideFiles are all files of a diffusers folder but the weights, by path.
func (m *Model) sideFiles() (map[string][]byte, error) {
	files := map[string][]byte{}
	put := func(name string, v any) error {
		b, err := json.MarshalIndent(v, "", "  ")
		files[name] = append(config.Python(b), '\n')
		return err
	}
	for _, part := range m.parts() {
		config, err := m.completeConfig(part)
		if err != nil {
			return nil, err
		}
		if err := put(m.folder(part)+"/config.json", config); err != nil {
			return nil, err
		}
	}
	scheduler := m.schedulerConfig()
	if err := put("scheduler/scheduler_config.json", scheduler); err != nil {
		return nil, err
	}
	schedulerClass, _ := scheduler["_class_name"].(string)

	index := map[string]any{"_class_name": "LDMPipeline", "scheduler": []any{"diffusers", schedulerClass}}
	for _, part := range m.parts() {
		library := "diffusers"
		if part == TextPart {
			library = "transformers"
		}
		index[m.folder(part)] = []any{library, m.class(part)}
	}
	if !m.isLDM() {
		none := []any{nil, nil}
		index["_class_name"] = "StableDiffusionPipeline"
		if in, _ := m.UNet.Info("conv_in.weight"); len(in.Shape) > 1 && in.Shape[1] == 9 {
			index["_class_name"] = "StableDiffusionInpaintPipeline"
		}
		index["feature_extractor"], index["safety_checker"] = none, none
		index["requires_safety_checker"] = false
		tokenizer, err := m.tokenizerFiles()
		if err != nil {
			return nil, err
		}
		maps.Copy(files, tokenizer)
		index["tokenizer"] = []any{"transformers", "CLIPTokenizer"}
		if len(tokenizer) == 0 {
			files["README.md"] = []byte(noTokenizer)
		}
	}
	return files, put("model_index.json", index)
}

const noTokenizer = `This model was converted from a file that holds no tokenizer. Programs that
read prompts take CLIP's: put the folder tokenizer/ of any Stable Diffusion 1.x
model here (vocab.json, merges.txt, tokenizer_config.json,
special_tokens_map.json).
`

// tokenizerFiles reads the files of the model's tokenizer, by path.
func (m *Model) tokenizerFiles() (map[string][]byte, error) {
	files := map[string][]byte{}
	if m.TokenizerDir == "" {
		return files, nil
	}
	for _, name := range []string{"vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
		"tokenizer.json", "added_tokens.json"} {
		b, err := os.ReadFile(filepath.Join(m.TokenizerDir, name))
		if os.IsNotExist(err) && name != "vocab.json" && name != "merges.txt" {
			continue
		}
		if err != nil {
			return nil, err
		}
		files["tokenizer/"+name] = b
	}
	return files, nil
}

// completeConfig is a part's config with what diffusers and transformers want
// beyond what shapes tell.
func (m *Model) completeConfig(part string) (map[string]any, error) {
	config := map[string]any{}
	if err := json.Unmarshal(m.config(part), &config); err != nil {
		return nil, fmt.Errorf("%s: config of %s: %w", m.Path, part, err)
	}
	if config == nil {
		return nil, fmt.Errorf("%s: config of %s is null", m.Path, part)
	}
	add := map[string]any{"_class_name": m.class(part), "act_fn": "silu"}
	switch m.class(part) {
	case "UNet2DConditionModel":
		maps.Copy(add, map[string]any{"sample_size": 64, "flip_sin_to_cos": true, "freq_shift": 0, "downsample_padding": 1})
	case "UNet2DModel":
		maps.Copy(add, map[string]any{"sample_size": 64, "flip_sin_to_cos": true, "freq_shift": 0, "downsample_padding": 1,
			"mid_block_scale_factor": 1, "time_embedding_type": "positional"})
	case "AutoencoderKL":
		add["sample_size"] = 512
	case "VQModel":
		add["sample_size"] = 256
	default: // a text encoder's config has no class name
		add = map[string]any{"architectures": []string{"CLIPTextModel"}, "model_type": "clip_text_model",
			"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "projection_dim": config["hidden_size"]}
	}
	for key, v := range add {
		if _, ok := config[key]; !ok {
			config[key] = v
		}
	}
	return config, nil
}

// schedulerConfig is the model's own, else one of its noise schedule, else that
// of Stable Diffusion 1.5.
func (m *Model) schedulerConfig() map[string]any {
	var own map[string]any
	if m.Scheduler != nil && json.Unmarshal(m.Scheduler, &own) == nil && own != nil {
		if class, _ := own["_class_name"].(string); class == "" {
			own["_class_name"] = "PNDMScheduler"
		}
		return own
	}
	config := map[string]any{
		"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
		"num_train_timesteps": trainSteps, "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1,
		"trained_betas": nil, "clip_sample": false, "prediction_type": "epsilon",
	}
	if m.isLDM() {
		config["_class_name"] = "DDIMScheduler"
		delete(config, "skip_prk_steps")
	}
	if m.AlphasCumprod != nil {
		b := betasOf(m.AlphasCumprod)
		config["beta_start"], config["beta_end"] = b.Start, b.End
		if b.Trained != nil {
			config["trained_betas"] = b.Trained
		}
		config["num_train_timesteps"] = b.Times
	}
	if m.Prediction != "" {
		config["prediction_type"] = m.Prediction
	}
	return config
}
