package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"

	"psld/asm"
	"psld/internal/memstat"
	"psld/psld/prior"
	"psld/tensor/cpu"
	"psld/weights"
)

// modelFlags say which model is used, and how.
type modelFlags struct {
	path, dtype, variant, vae, vocab, taesd *string
	device                                  *string
	windows                                 *bool
	lora                                    *loraFlag
}

func addModelFlags(fs *flag.FlagSet) *modelFlags {
	return &modelFlags{
		path: fs.String("model", "", "`model`: folder (diffusers, psld train), file (.safetensors, .ckpt), or the id "+
			"of one in the Hugging Face cache (default: the embedded one)"),
		device: deviceFlag(fs),
		dtype: fs.String("dtype", "f32", "`precision` of matrix products: f32, bf16 (less memory; faster where the "+
			"processor multiplies bfloat16), bf16fast (bf16 with two to three times the error, for processors that "+
			"multiply bfloat16 without AMX; not timed yet), f32x3 (f32 of three bfloat16 products where the processor "+
			"has AMX, f32 elsewhere), or int8 (weights in 8 bits: least memory)"),
		variant: fs.String("variant", "", "`variant` of the files of a diffusers folder: fp16, bf16 or non_ema (default: "+
			"what is there)"),
		vae: fs.String("vae", "", "`file` or folder of another autoencoder"),
		vocab: fs.String("vocab", "", "`path` of the vocabulary: a tokenizer folder or bpe_simple_vocab_16e6.txt.gz "+
			"(default: the model's own)"),
		lora: addLoRAFlag(fs),
		windows: fs.Bool("windows", false, "see pictures of more than 512 pixels in overlapping windows also where one "+
			"piece would do: much less memory, other pixels (latent models)"),
		taesd: fs.String("taesd", "", "`file` or folder of a tiny autoencoder (TAESD) for previews and --guide-vae"),
	}
}

func (f *modelFlags) options() prior.Options {
	return prior.Options{Weights: weights.Options{Variant: *f.variant, LoRA: f.lora.list}, Precision: *f.dtype,
		VAE: *f.vae, Device: *f.device, Vocabulary: *f.vocab, TAESD: *f.taesd, Windows: *f.windows}
}

// check reports flags that are wrong for any model.
func (f *modelFlags) check() error {
	if err := checkVariant(*f.variant); err != nil {
		return err
	}
	if _, err := openDevice(*f.device, *f.dtype); err != nil {
		return err
	}
	files := [][2]string{{"vae", *f.vae}, {"vocab", *f.vocab}, {"taesd", *f.taesd}}
	for _, l := range f.lora.list {
		files = append(files, [2]string{"lora", l.Path})
	}
	for _, p := range files {
		if p[1] == "" {
			continue
		}
		if _, err := os.Stat(p[1]); err != nil {
			return fmt.Errorf("--%s: %w", p[0], err)
		}
	}
	return nil
}

func checkVariant(name string) error {
	switch name {
	case "", "fp16", "bf16", "non_ema":
		return nil
	}
	return fmt.Errorf("--variant %q, want fp16, bf16 or non_ema", name)
}

// open loads a latent model, and says what of its files was not understood.
func (f *modelFlags) open(ctx context.Context, c *console) (*prior.LatentDiffusion, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if prior.IsPixel(*f.path) {
		return nil, fmt.Errorf("--model %s is a model of pixels, want a latent one: psld restore, eval and tune take either",
			*f.path)
	}
	m, err := prior.Open(ctx, *f.path, f.options())
	if err != nil {
		return nil, fmt.Errorf("--model: %w", err)
	}
	c.tell(m)
	return m, nil
}

// openAny loads the model of any kind; of the embedded ones pixel tells which.
func (f *modelFlags) openAny(ctx context.Context, c *console, pixel bool) (prior.Prior, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	m, err := prior.OpenAny(ctx, *f.path, f.options(), pixel)
	if err != nil {
		return nil, fmt.Errorf("--model: %w", err)
	}
	if latent, ok := m.(*prior.LatentDiffusion); ok {
		c.tell(latent)
	}
	return m, nil
}

// tell says of a model what of its files was not understood, and what was merged into it.
func (c *console) tell(m *prior.LatentDiffusion) {
	c.warn(m.Warnings)
	for _, l := range m.Merged {
		c.say("lora      %s", l)
	}
}

// promptFlags are those of a model that knows prompts.
type promptFlags struct {
	fs               *flag.FlagSet
	prompt, negative *string
	guidance         *float64
	emphasis         *bool
}

func addPromptFlags(fs *flag.FlagSet) *promptFlags {
	return &promptFlags{
		fs:       fs,
		prompt:   fs.String("prompt", "", "`text` that describes the picture"),
		negative: fs.String("negative", "", "`text` that the picture should not be like"),
		guidance: fs.Float64("cfg", 0, "`scale` of classifier-free guidance; 1 is none, and half the work (default 7.5 "+
			"with a prompt)"),
		emphasis: fs.Bool("emphasis", false, "read (word), (word:1.2) and [word] as weights, and take prompts of any "+
			"length"),
	}
}

// check reports flags that are wrong for any model.
func (f *promptFlags) check() error {
	if g := *f.guidance; given(f.fs)["cfg"] && !(g > 0 && g <= 1000) {
		return fmt.Errorf("--cfg %v, want more than 0 and at most 1000; 1 is no guidance", g)
	}
	return nil
}

// fit warns of what m cuts off the prompts, and reports those that it cannot take.
func (f *promptFlags) fit(c *console, p prior.Prior) error {
	m, ok := p.(*prior.LatentDiffusion)
	if !ok {
		if *f.prompt != "" || *f.negative != "" {
			return errors.New("--prompt, --negative: this model knows no prompts")
		}
		return nil
	}
	_, warnings, err := m.Prompts(*f.prompt, *f.negative, *f.emphasis)
	c.warn(warnings)
	switch {
	case err != nil && m.Text != nil && m.Tokenizer == nil:
		return fmt.Errorf("--prompt, --negative: %w with --vocab", err)
	case err != nil:
		return fmt.Errorf("--prompt, --negative: %w", err)
	}
	return nil
}

func machine() string {
	return fmt.Sprintf("kernels %s, %d threads", asm.Active(), cpu.Threads())
}

// threadsFlag defines --threads; the returned function checks and applies it.
func threadsFlag(fs *flag.FlagSet) func() error {
	n := fs.Int("threads", 0, "`N` threads to use (default: all processors, or as many as a container's quota is worth)")
	return func() error {
		if *n < 0 || *n > 1024 {
			return fmt.Errorf("--threads %d, want 1 to 1024, or 0 for all processors", *n)
		}
		if *n == 0 {
			*n = memstat.Processors()
		}
		cpu.SetThreads(*n)
		return nil
	}
}

// seedFlag defines --seed; the returned function gives its value, drawn at random for -1.
func seedFlag(fs *flag.FlagSet) func() (uint64, error) {
	n := fs.Int64("seed", 42, "`N` of all random numbers; -1 draws one")
	return func() (uint64, error) {
		switch {
		case *n == -1:
			return uint64(rand.Uint32()), nil
		case *n < 0:
			return 0, fmt.Errorf("--seed %d, want a number of at least 0, or -1 for a random one", *n)
		}
		return uint64(*n), nil
	}
}
