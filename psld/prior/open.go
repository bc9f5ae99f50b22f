package prior

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"psld/clip"
	"psld/nn"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/tensor/devices"
	"psld/unet"
	"psld/vae"
	"psld/weights"
)

// Options says how Open loads a model. The zero value is right for Stable Diffusion 1.5
// in float32.
type Options struct {
	// Weights says what the model's files leave open.
	Weights weights.Options
	// Precision of the matrix products: "f32" or "" for float32, "bf16" for bfloat16
	// factors and float32 sums ([cpu.BF16]), "bf16fast" for bf16 with less exact convolutions
	// ([cpu.BF16Fast]), "f32x3" for three bfloat16 products where that is quicker
	// ([cpu.F32X3]), "int8" for weights held in 8 bits ([cpu.Int8]). Weights take 4, 2, 2, 4 or 1 bytes each.
	Precision string
	// Device is where the model computes: "cpu" or "", or one of those that the program was built with, such as
	// "vulkan" or "vulkan:1" ([devices.Open]).
	Device string
	// Vocabulary of the text encoder: a diffusers tokenizer folder, or OpenAI's
	// bpe_simple_vocab_16e6.txt.gz. "" takes the model's own; the empty prompt needs none.
	Vocabulary string
	// VAE is a file or folder whose autoencoder takes the place of the model's.
	VAE string
	// TAESD is a file or folder of a TAESD autoencoder, for previews ([LatentDiffusion.Preview]) and
	// as a quick stand-in in the steps of a solver. "" for none.
	TAESD string
	// Windows has latent models see pictures which are larger than their window in windows and tiles, whatever their
	// size ([InWindows]).
	Windows bool
}

// Device is the processor's device of a precision: one of [devices.All] by its name, "" for the first.
func Device(precision string) (tensor.Device, error) { return devices.Open("", precision) }

// Open loads a latent diffusion model with its weights. path is one of:
//
//   - "": the embedded model;
//   - a folder that `psld train` filled: vae.safetensors and unet.safetensors;
//   - a diffusers folder (model_index.json, unet/, vae/, text_encoder/);
//   - a single CompVis / A1111 file, .safetensors or PyTorch's .ckpt;
//   - the .ckpt of an unconditional model of the latent-diffusion repository;
//   - the id of a model in the Hugging Face cache, such as "runwayml/stable-diffusion-v1-5"
//     (see [weights.FindModel]; nothing is downloaded).
//
// Missing, unexpected, mis-shaped and non-finite tensors of all parts are reported at once, each with
// its name. The files are closed when Open returns: the model lives in memory, each weight once, in
// the layout of the kernels.
func Open(ctx context.Context, path string, o Options) (*LatentDiffusion, error) {
	if ctx == nil {
		return nil, errors.New("ctx is nil, want a context such as context.Background()")
	}
	m, err := open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	if o.TAESD != "" {
		tiny, err := LoadTAESD(o.TAESD, m.Device())
		if err != nil {
			return nil, err
		}
		if tiny.LatentChannels != m.VAE.LatentChannels || tiny.Factor() != m.VAE.Factor() {
			return nil, fmt.Errorf("%s: the tiny autoencoder has latents of %d channels at 1/%d, the model %d at 1/%d",
				o.TAESD, tiny.LatentChannels, tiny.Factor(), m.VAE.LatentChannels, m.VAE.Factor())
		}
		m.TAESD = tiny
	}
	if o.Windows {
		m = InWindows(m).(*LatentDiffusion)
	}
	return m, nil
}

// OpenAny loads a prior of any kind: a pixel prior where the file at path is one (see [OpenPixel]), else a latent one
// (see [Open]). Of the embedded models, for path "", pixel tells which.
func OpenAny(ctx context.Context, path string, o Options, pixel bool) (Prior, error) {
	if path == "" && !pixel || path != "" && !IsPixel(path) {
		m, err := Open(ctx, path, o)
		if err != nil { // no nil pointer in a prior that is not nil
			return nil, err
		}
		return m, nil
	}
	if o.VAE != "" || o.Vocabulary != "" || o.TAESD != "" || len(o.Weights.LoRA) > 0 {
		return nil, errors.New("a pixel model has no autoencoder, knows no prompts and takes no LoRA")
	}
	if o.Windows {
		return nil, errors.New("a pixel model sees large pictures in windows in any case: --windows has no meaning for it")
	}
	dev, err := devices.Open(o.Device, o.Precision)
	if err != nil {
		return nil, err
	}
	m, err := OpenPixel(path, dev)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func open(ctx context.Context, path string, o Options) (*LatentDiffusion, error) {
	dev, err := devices.Open(o.Device, o.Precision)
	if err != nil {
		return nil, err
	}
	if path == "" || IsTrained(path) {
		if err := o.onlyWeights(path); err != nil {
			return nil, err
		}
		if path == "" && dev == cpu.F32 {
			m, err := Default()
			if err != nil {
				return nil, err
			}
			copied := *m // the caller may set fields
			return &copied, nil
		}
		if path == "" {
			return embedded(dev)
		}
		return openTrained(path, dev)
	}
	if found, err := weights.FindModel(path); err != nil {
		return nil, err
	} else if IsTrained(found) {
		if err := o.onlyWeights(path); err != nil {
			return nil, err
		}
		return openTrained(found, dev)
	}
	w, err := openFiles(path, o)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	m, parts, err := networks(w, dev)
	if err == nil {
		err = m.Noise.CheckSignal()
	}
	if err == nil {
		err = m.load(ctx, w, parts)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m.Merged = w.Merged
	m.Name = filepath.Base(path)
	if ext := filepath.Ext(path); weightFile[strings.ToLower(ext)] { // else a point in a folder's name
		m.Name = strings.TrimSuffix(m.Name, ext)
	}
	if vocabulary := o.Vocabulary; m.Text != nil {
		if vocabulary == "" {
			vocabulary = w.TokenizerDir
		}
		if vocabulary != "" {
			if m.Tokenizer, err = clip.LoadTokenizer(vocabulary); err != nil {
				return nil, err
			}
			if got, want := m.Tokenizer.VocabSize, m.Text.VocabSize; got != want {
				return nil, fmt.Errorf("%s: a vocabulary of %d tokens, the text encoder has %d", vocabulary, got, want)
			}
		}
	}
	return m, nil
}

// onlyWeights refuses what only models of Stable Diffusion take.
func (o *Options) onlyWeights(path string) error {
	what := path
	if path == "" {
		what = "the embedded model (no other was named)"
	}
	for _, f := range []struct {
		set  bool
		what string
	}{{o.VAE != "", "other autoencoder"}, {o.Vocabulary != "", "vocabulary"}, {len(o.Weights.LoRA) > 0, "LoRA"}} {
		if f.set {
			return fmt.Errorf("%s takes no %s: it has an autoencoder of its own and knows no prompts; want a model of Stable "+
				"Diffusion", what, f.what)
		}
	}
	return nil
}

var weightFile = map[string]bool{".safetensors": true, ".ckpt": true, ".pt": true, ".pth": true, ".bin": true}

// openFiles opens the files of a model that `psld train` did not make.
func openFiles(path string, o Options) (*weights.Model, error) {
	path, err := weights.FindModel(path)
	if err != nil {
		return nil, err
	}
	if o.VAE != "" {
		o.Weights.VAE = o.VAE
	}
	return weights.OpenModel(path, o.Weights)
}

// Inspect describes the files of a model, as [Open] would take them, without loading it. The error
// tells of tensors that are missing, mis-shaped or unexpected, and where values is set of those
// that are not finite.
func Inspect(ctx context.Context, path string, o Options, values bool) (weights.Summary, error) {
	w, err := openFiles(path, o)
	if err != nil {
		return weights.Summary{}, err
	}
	defer w.Close()
	m, _, err := networks(w, cpu.F32)
	if err != nil {
		return weights.Summary{}, fmt.Errorf("%s: %w", path, err)
	}
	if values {
		if err := w.CheckValues(ctx); err != nil {
			return weights.Summary{}, err
		}
	}
	s := w.Summary()
	s.Warnings = m.Warnings
	return s, nil
}

// networks makes the networks of a model's files, without elements, and checks that the files
// have every tensor in its shape, and no other.
func networks(w *weights.Model, dev tensor.Device) (*LatentDiffusion, map[string]*nn.Params, error) {
	ucfg, err := unet.ParseConfig(w.UNetConfig)
	if err != nil {
		return nil, nil, err
	}
	vcfg, err := vae.ParseConfig(w.VAEConfig)
	if err != nil {
		return nil, nil, err
	}
	m := &LatentDiffusion{UNet: unet.New(ucfg), VAE: vae.New(vcfg), Whole: WholePixels, Window: DefaultWindow,
		device: dev}
	m.Noise, m.Warnings = noiseOf(w.Diffusion), append(w.Warnings, unknownKeys("unet", unet.UnknownKeys(w.UNetConfig))...)
	m.Warnings = append(m.Warnings, unknownKeys("vae", vae.UnknownKeys(w.VAEConfig))...)
	parts := map[string]*nn.Params{weights.UNetPart: m.UNet.Params, weights.VAEPart: m.VAE.Params}
	m.TrainSize = 256 // of the latent-diffusion models
	if w.TextEncoder != nil {
		tcfg, err := clip.ParseConfig(w.TextConfig)
		if err != nil {
			return nil, nil, err
		}
		m.Text = clip.New(tcfg)
		m.Warnings = append(m.Warnings, unknownKeys("text encoder", clip.UnknownKeys(w.TextConfig))...)
		m.TrainSize, m.StableDiffusion = 512, true
		parts[weights.TextPart] = m.Text.Params
	}
	if err := m.check(); err != nil {
		return nil, nil, err
	}
	want := map[string]map[string][]int{}
	for part, p := range parts {
		want[part] = p.Shapes()
	}
	return m, parts, w.Check(want)
}

// load fills the networks.
func (p *LatentDiffusion) load(ctx context.Context, w *weights.Model, parts map[string]*nn.Params) error {
	var errs []error
	for _, part := range []string{weights.UNetPart, weights.VAEPart, weights.TextPart} {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if params := parts[part]; params != nil {
			errs = append(errs, params.LoadFrozen(w.Part(part), p.Device()))
		}
	}
	if err := errors.Join(errs...); err != nil || p.Text == nil {
		return err
	}
	var err error
	// needs no vocabulary
	p.Empty, err = p.Text.EncodePrompt(p.Device(), clip.EmptyPrompt(p.Text.VocabSize, p.Text.MaxPositions))
	return err
}

// noiseOf is the schedule that a model's files tell.
func noiseOf(d weights.Diffusion) schedule.Noise {
	kinds := map[string]schedule.Prediction{"v_prediction": schedule.V, "sample": schedule.Sample}
	n := schedule.Noise{AlphasCumprod: d.AlphasCumprod, Prediction: kinds[d.Prediction]}
	if d.Spacing != "" || d.Offset != nil || d.EndsAtOne {
		n.Spacing = &schedule.Spacing{Kind: d.Spacing, Offset: 1, EndsAtOne: d.EndsAtOne}
		if d.Offset != nil {
			n.Spacing.Offset = *d.Offset
		}
	}
	return n
}

// unknownKeys is a warning of what a part's config has that is not known, nil for nothing.
func unknownKeys(part string, keys []string) []string {
	if len(keys) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s config: unknown and not looked at: %s", part, strings.Join(keys, ", "))}
}

// IsTrained tells a folder that `psld train` filled.
func IsTrained(path string) bool {
	return exists(filepath.Join(path, "unet.safetensors")) && exists(filepath.Join(path, "vae.safetensors"))
}

func openTrained(path string, dev tensor.Device) (*LatentDiffusion, error) {
	var files [2][]byte
	for i, name := range []string{"vae.safetensors", "unet.safetensors"} {
		b, err := os.ReadFile(filepath.Join(path, name))
		if err != nil {
			return nil, err
		}
		files[i] = b
	}
	m, err := fromTrained(files[0], files[1], dev)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m.Name = filepath.Base(path)
	return m, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
