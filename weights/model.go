package weights

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
)

// Model is the weights and configs of a Stable Diffusion 1.x model, or of an
// unconditional model of the latent-diffusion repository (LDM), in the names of
// the diffusers layout whatever layout it came in.
type Model struct {
	Path string // as given to OpenModel

	// TextEncoder is nil for an LDM; only VAE is set by [OpenVAE].
	UNet, VAE, TextEncoder *Set

	// The config.json of each part, in diffusers form; derived from the shapes
	// for a single file. Their "_class_name" tells the networks apart:
	// UNet2DConditionModel and AutoencoderKL in Stable Diffusion, UNet2DModel
	// and VQModel (or AutoencoderKL) in an LDM.
	UNetConfig, VAEConfig, TextConfig json.RawMessage
	// Scheduler is scheduler/scheduler_config.json, nil when there is none.
	Scheduler json.RawMessage
	// Diffusion is what the scheduler of a folder says, or a single file: its
	// buffer alphas_cumprod, markers, and the config beside it. An LDM always
	// has alphas.
	Diffusion
	// Warnings tell what was found and not understood, in a line each.
	Warnings []string
	// TokenizerDir is the folder with vocab.json and merges.txt, "" when there
	// is none (use SD 1.5's vocabulary).
	TokenizerDir string

	// Merged tells of each LoRA what it changes.
	Merged []string

	kind  string // the layout in words, for Summary
	files []*File
	loras []*File
}

// Options says what a model's files leave open. The zero value is right for
// SD 1.5.
type Options struct {
	// Variant picks among the files of a diffusers folder: "fp16", "bf16" or
	// "non_ema". "" takes the plain one, else fp16, else bf16. The VAE and the
	// text encoder may lack the variant, the UNet may not.
	Variant string
	// Heads is the number of attention heads of the UNet of a single file, 8
	// when 0; TextHeads that of its text encoder, hidden size / 64 when 0.
	Heads, TextHeads int
	// HeadWidth is the number of channels of an attention head in the UNet of
	// an LDM single file, 32 when 0 as in all configs of that repository.
	HeadWidth int
	// EMA picks the averaged copy of the UNet's weights that the single file of
	// a training run may hold beside the last ones: "yes" wants it, "no" does
	// not, "" does as the model's own programs do: an LDM's copy is taken where
	// it is complete, that of Stable Diffusion is not.
	EMA string
	// VAE is a file or folder whose autoencoder takes the place of the model's,
	// which then need not have one. See [OpenVAE].
	VAE string
	// LoRA are changes of the weights that are made when these are read.
	LoRA []LoRA
}

// OpenModel opens a model: a diffusers folder (unet/, vae/ or vqvae/ and
// text_encoder/, each with config.json and files .safetensors, else .bin,
// sharded or not) or a CompVis single file that [Open] reads.
//
// Names that no network wants (EMA copies, schedule buffers, position_ids) are
// left out; any other tensor of the parts stays, for [Model.Check] to report.
func OpenModel(path string, opts Options) (*Model, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	m := &Model{Path: path}
	if st.IsDir() {
		err = m.openFolder(opts)
	} else {
		err = m.openSingle(opts)
	}
	for _, l := range opts.LoRA {
		if err == nil {
			err = m.addLoRA(l)
		}
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Close closes the files of the model; its sets must not be used afterwards.
func (m *Model) Close() error {
	var errs []error
	for _, f := range slices.Concat(m.files, m.loras) {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Part is the set of a part by its name: [UNetPart], [VAEPart] or [TextPart].
// It is nil where the model has none.
func (m *Model) Part(name string) *Set {
	switch name {
	case UNetPart:
		return m.UNet
	case VAEPart:
		return m.VAE
	case TextPart:
		return m.TextEncoder
	}
	return nil
}

// parts are the names of the parts that the model has.
func (m *Model) parts() []string {
	var names []string
	for _, part := range []string{UNetPart, VAEPart, TextPart} {
		if m.Part(part) != nil {
			names = append(names, part)
		}
	}
	return names
}

// config is the config of a part.
func (m *Model) config(part string) json.RawMessage {
	switch part {
	case UNetPart:
		return m.UNetConfig
	case VAEPart:
		return m.VAEConfig
	}
	return m.TextConfig
}

// isLDM tells an unconditional LDM from Stable Diffusion.
func (m *Model) isLDM() bool { return m.UNet != nil && m.TextEncoder == nil }

func (m *Model) open(path string) (*File, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	m.files = append(m.files, f)
	return f, nil
}
