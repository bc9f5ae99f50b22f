package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/rng"
	"psld/psld/schedule"
)

var generateVerb = verb{
	talks: true,
	name:  "generate", args: "--prompt TEXT --out x.png",
	short: "make pictures from noise or from a picture (text-to-image, image-to-image)",
	notes: `The start noise of a seed is the one that diffusers users know, and PNG files carry the settings
as AUTOMATIC1111 writes them. Without --model the embedded model makes flowers; it knows no prompts.
  psld generate --model sd15.safetensors --prompt "a photo of a red fox" --negative "blurry" --out fox.png
  psld generate --model inpainting.safetensors --prompt "a door" --init wall.png --mask hole.png --out door.png
  psld generate --model sd15.safetensors --prompt "an oil painting" --init photo.jpg --strength 0.6 --out painting.png
--like old.png repeats the settings of a PNG of this program or of AUTOMATIC1111's; flags win over them.
Ctrl-C writes the picture as far as it is and exits with code 130.

`,
	setup: func(fs *flag.FlagSet) work { return addGenerateFlags(fs).run },
}

// generateFlags are those of psld generate.
type generateFlags struct {
	fs                                       *flag.FlagSet
	out, initial, sampler, kind, preview     *string
	mask                                     *string
	invert                                   *bool
	strength, eta                            *float64
	width, height, steps, batch, every, tile *int
	noMetadata, asJSON                       *bool
	model                                    *modelFlags
	prompts                                  *promptFlags
	seed                                     func() (uint64, error)
	threads                                  func() error
}

func addGenerateFlags(fs *flag.FlagSet) *generateFlags {
	addLikeFlag(fs)
	return &generateFlags{
		fs: fs,
		out: fs.String("out", "generated.png",
			"`file` for the picture: .png or .jpg; of several, each has its seed in its name"),
		initial: fs.String("init", "", "`picture` to start from (image-to-image); of another shape than the result: its "+
			"middle"),
		mask: fs.String("mask", "", "`picture` of the size of --init, white or transparent = repaint; all else stays "+
			"(best with an inpainting model)"),
		invert: fs.Bool("invert-mask", false, "the mask's white and black change places"),
		strength: fs.Float64("strength", 0,
			"`share` of the steps that change the --init picture, up to 1 (default 0.8; 1 for an inpainting model with "+
				"--mask)"),
		width: fs.Int("width", 0,
			"`pixels`, a multiple of 64 for Stable Diffusion (default: as in training, or of --init)"),
		height:  fs.Int("height", 0, "`pixels`, like --width"),
		steps:   fs.Int("steps", 25, "`N` steps, 1 to 1000"),
		sampler: fs.String("sampler", "dpm++2m", "`S`: "+strings.Join(schedule.Samplers(), ", ")),
		eta:     fs.Float64("eta", 0, "`share` of fresh noise in each step of sampler ddim, 0 to 1"),
		batch:   fs.Int("batch", 1, "`N` pictures, of seeds --seed, --seed + 1, ..."),
		kind: fs.String("rng", "torch",
			"`generator` of the noise: torch (as PyTorch on a CPU) or cuda (as on an NVIDIA GPU)"),
		preview: fs.String("preview", "", "`file` that shows the picture in the making: .png or .jpg (quick with --taesd)"),
		every:   fs.Int("preview-every", 5, "`N` steps between previews"),
		tile: fs.Int("vae-tile", 0, "`pixels`, a side of the tiles in which the autoencoder works, for less memory "+
			"(default: 512 above 512x512)"),
		noMetadata: fs.Bool("no-metadata", false, "do not write the settings into the PNG"),
		asJSON:     fs.Bool("json", false, "print progress and result as JSON lines"),
		model:      addModelFlags(fs), prompts: addPromptFlags(fs), seed: seedFlag(fs), threads: threadsFlag(fs),
	}
}

// generation is a run of psld generate.
type generation struct {
	*generateFlags
	c          *console
	first      uint64 // seed
	m          *prior.LatentDiffusion
	o          prior.Generation
	start      time.Time
	bar        *progress
	at         prior.GenerationProgress
	previewErr error
}

func (f *generateFlags) run(ctx context.Context, c *console, _ []string) (err error) {
	c = c.to(*f.out)
	r := &generation{generateFlags: f, c: c}
	if r.first, err = f.seed(); err != nil {
		return err
	}
	if err := f.threads(); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	if err := r.checkFiles(); err != nil {
		return err
	}
	p := f.prompts
	r.o = prior.Generation{Prompt: *p.prompt, Negative: *p.negative, Emphasis: *p.emphasis, GuidanceScale: *p.guidance,
		Sampler: *f.sampler, Steps: *f.steps, Eta: *f.eta, Width: *f.width, Height: *f.height, Seed: r.first, RNG: *f.kind,
		Strength: *f.strength, Tile: *f.tile}
	if *f.initial != "" {
		if r.o.Init, err = loadImage(c, *f.initial); err != nil {
			return err
		}
	}
	if *f.mask != "" {
		b, note := r.o.Init.Bounds(), ""
		if r.o.Keep, note, err = picture.LoadMask(*f.mask, b.Dx(), b.Dy(), *f.invert); err != nil {
			return err
		}
		if note != "" {
			c.say("mask      %s", note)
		}
	}
	if r.m, err = f.model.open(ctx, r.c); err != nil {
		return err
	}
	if err := p.fit(c, r.m); err != nil {
		return err
	}
	r.o = r.m.Defaults(r.o)
	if err := r.m.CheckGeneration(r.o); err != nil {
		return err
	}
	if err := checkSpace("--out", *f.out, int64(*f.batch)*3*int64(r.o.Width)*int64(r.o.Height)); err != nil {
		return err
	}
	c.say("model     %s", prior.Describe(r.m))
	c.say("sampler   %s, %d steps, seed %d (%s), %dx%d pixels", r.o.Sampler, r.o.Steps, r.o.Seed, r.o.RNG,
		r.o.Width, r.o.Height)
	c.say("machine   %s", machine())
	r.start, r.bar = time.Now(), c.progress("step")
	for i := range *f.batch { // one by one: each is on disk as soon as it is made
		if err := r.picture(ctx, i); err != nil {
			return errors.Join(err, r.previewErr)
		}
	}
	return r.previewErr
}

// check looks at the flags that need no file.
func (r *generation) check() error {
	switch set := given(r.fs); {
	case *r.steps < 1 || *r.steps > 1000:
		return fmt.Errorf("--steps %d, want 1 to 1000", *r.steps)
	case *r.batch < 1 || *r.batch > 10000:
		return fmt.Errorf("--batch %d, want 1 to 10000", *r.batch)
	case *r.batch > 1 && isSpecial(*r.out):
		return fmt.Errorf("--batch %d: want a file name for --out, which takes one picture", *r.batch)
	case *r.every < 1:
		return fmt.Errorf("--preview-every %d, want at least 1", *r.every)
	case set["strength"] && !(*r.strength > 0 && *r.strength <= 1):
		return fmt.Errorf("--strength %v, want more than 0 and at most 1", *r.strength)
	case set["strength"] && *r.initial == "":
		return errors.New("--strength needs --init")
	case *r.mask != "" && *r.initial == "":
		return errors.New("--mask needs --init, the picture in which to paint")
	case *r.invert && *r.mask == "":
		return errors.New("--invert-mask needs --mask")
	case set["width"] && *r.width < 1 || set["height"] && *r.height < 1:
		return fmt.Errorf("--width %d, --height %d, want at least 1", *r.width, *r.height)
	}
	if _, err := schedule.NewSampler(*r.sampler, *r.steps, schedule.SamplerOptions{Eta: *r.eta}); err != nil {
		return err
	}
	if _, err := rng.New(*r.kind, r.first); err != nil {
		return fmt.Errorf("--rng: %w", err)
	}
	return r.prompts.check()
}

// name is the file of picture i.
func (r *generation) name(i int) string {
	if *r.batch == 1 || isSpecial(*r.out) {
		return *r.out
	}
	ext := filepath.Ext(*r.out)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(*r.out, ext), r.first+uint64(i), ext)
}

// checkFiles looks at the outputs.
func (r *generation) checkFiles() error {
	for i := range *r.batch {
		if err := checkOutput("--out", r.name(i), pictureFiles, *r.initial, *r.mask); err != nil {
			return err
		}
		if filepath.Clean(*r.preview) == filepath.Clean(r.name(i)) {
			return fmt.Errorf("--preview and --out are the same file %s", *r.preview)
		}
	}
	if *r.preview == "" {
		return nil
	}
	return checkOutput("--preview", *r.preview, pictureFiles, *r.initial, *r.mask)
}

// picture makes picture i.
func (r *generation) picture(ctx context.Context, i int) error {
	r.o.Seed = r.first + uint64(i)
	images, err := r.generate(ctx, i)
	r.bar.clear()
	if i == 0 && len(images) == 0 {
		return nothing(ctx, err, "picture")
	}
	settings, wrote := parametersText(r.m, r.o), "wrote"
	if err != nil && errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("stopped after step %d of picture %d of %d: %w", r.at.Step, i+1, *r.batch, ctx.Err())
		settings += fmt.Sprintf(", Done: %d of %d", r.at.Step, r.at.Steps)
		wrote = "stopped: the picture so far is in"
	}
	if len(images) == 0 {
		return err
	}
	var texts []picture.Text
	if !*r.noMetadata {
		repeat := record(r.fs, func(fs *flag.FlagSet) { addGenerateFlags(fs) }, r.o.Seed)
		texts = []picture.Text{{Key: "parameters", Value: settings}, repeat.Text()}
	}
	if err := r.c.savePicture(r.name(i), picture.FromImage(images[0]), texts...); err != nil {
		return err
	}
	if *r.asJSON {
		printJSON(r.c, map[string]any{"out": r.name(i), "seed": r.o.Seed, "seconds": time.Since(r.start).Seconds(),
			"stopped": err != nil})
	} else {
		r.c.wrote("%s %s (seed %d) in %s", wrote, r.name(i), r.o.Seed, round(time.Since(r.start)))
	}
	return err
}

// generate is Generate for picture i. Where ctx ends before its first step is done there is nothing to wait for.
func (r *generation) generate(ctx context.Context, i int) ([]image.Image, error) {
	var begun atomic.Bool
	o := r.o
	o.Progress = func(p prior.GenerationProgress) {
		begun.Store(true)
		r.show(i, p)
	}
	return untilStopped(ctx, func() ([]image.Image, error) { return r.m.Generate(ctx, o) }, &begun)
}

// show prints the progress of picture i, and its preview.
func (r *generation) show(i int, p prior.GenerationProgress) {
	r.at = p
	done, n := i*p.Steps+p.Step, *r.batch*p.Steps
	if *r.asJSON {
		_, left := r.bar.pace(done, n, 0)
		printJSON(r.c, map[string]any{"picture": i + 1, "pictures": *r.batch, "step": p.Step, "steps": p.Steps,
			"seconds_left": left.Seconds()})
	} else {
		r.bar.step(done, n, fmt.Sprintf("picture %d of %d", i+1, *r.batch))
	}
	if *r.preview == "" || r.previewErr != nil || p.Step%*r.every != 0 && p.Step != p.Steps {
		return
	}
	var img image.Image
	if img, r.previewErr = p.Preview(); r.previewErr == nil {
		r.previewErr = picture.Save(*r.preview, picture.FromImage(img))
	}
}

func loadImage(c *console, path string) (image.Image, error) {
	p, err := c.loadPicture(path)
	if err != nil { // no typed nil
		return nil, err
	}
	return p, nil
}

// samplerNames are AUTOMATIC1111's names.
var samplerNames = map[string]string{"ddim": "DDIM", "ddpm": "DDPM", "euler": "Euler", "euler_a": "Euler a",
	"dpm++2m": "DPM++ 2M", "lcm": "LCM"}

// parametersText is the text that AUTOMATIC1111's program writes into its pictures and reads from them.
func parametersText(m *prior.LatentDiffusion, o prior.Generation) string {
	var b strings.Builder
	if o.Prompt != "" {
		fmt.Fprintln(&b, o.Prompt)
	}
	if o.Negative != "" {
		fmt.Fprintf(&b, "Negative prompt: %s\n", o.Negative)
	}
	name, karras := strings.CutSuffix(o.Sampler, "_karras")
	fmt.Fprintf(&b, "Steps: %d, Sampler: %s", o.Steps, samplerNames[name])
	if karras {
		b.WriteString(", Schedule type: Karras")
	}
	if m.Text != nil {
		fmt.Fprintf(&b, ", CFG scale: %g", o.GuidanceScale)
	}
	model := m.Name
	if strings.ContainsAny(model, ",:\n") { // would end the entry
		model = strconv.Quote(model)
	}
	fmt.Fprintf(&b, ", Seed: %d, Size: %dx%d, Model: %s", o.Seed, o.Width, o.Height, model)
	if o.Init != nil {
		fmt.Fprintf(&b, ", Denoising strength: %g", o.Strength)
	}
	if o.Eta != 0 {
		fmt.Fprintf(&b, ", Eta: %g", o.Eta)
	}
	rng := "CPU"
	if o.RNG == "cuda" {
		rng = "GPU"
	}
	fmt.Fprintf(&b, ", RNG: %s, Version: psld %s", rng, version())
	return b.String()
}
