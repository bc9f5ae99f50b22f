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
	"time"

	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/rng"
	"psld/psld/schedule"
)

func generate(fs *flag.FlagSet) func(context.Context, *console, []string) error {
	out := fs.String("out", "generated.png", "`file` for the picture: .png or .jpg; of several, each has its seed in its name")
	initial := fs.String("init", "", "`picture` to start from (image-to-image)")
	strength := fs.Float64("strength", 0, "`share` of the steps that change the --init picture, up to 1 (default 0.8)")
	width := fs.Int("width", 0, "`pixels`, a multiple of 64 for Stable Diffusion (default: as in training, or of --init)")
	height := fs.Int("height", 0, "`pixels`, like --width")
	steps := fs.Int("steps", 25, "`N` steps, 1 to 1000")
	sampler := fs.String("sampler", "dpm++2m", "`S`: "+strings.Join(schedule.Samplers(), ", "))
	eta := fs.Float64("eta", 0, "`share` of fresh noise in each step of sampler ddim, 0 to 1")
	batch := fs.Int("batch", 1, "`N` pictures, of seeds --seed, --seed + 1, ...")
	kind := fs.String("rng", "torch", "`generator` of the noise: torch (as PyTorch on a CPU) or cuda (as on an NVIDIA GPU)")
	preview := fs.String("preview", "", "`file` that shows the picture in the making: .png or .jpg (quick with --taesd)")
	every := fs.Int("preview-every", 5, "`N` steps between previews")
	tile := fs.Int("vae-tile", 0, "`pixels`, a side of the tiles in which the autoencoder works, for less memory (default: 512 above 512x512)")
	noMetadata := fs.Bool("no-metadata", false, "do not write the settings into the PNG")
	asJSON := fs.Bool("json", false, "print progress and result as JSON lines")
	model, prompts, seed, threads := addModelFlags(fs), addPromptFlags(fs), seedFlag(fs), threadsFlag(fs)

	return func(ctx context.Context, c *console, _ []string) error {
		s, err := seed()
		if err != nil {
			return err
		}
		if err := threads(); err != nil {
			return err
		}
		o := prior.Generation{Prompt: *prompts.prompt, Negative: *prompts.negative, Emphasis: *prompts.emphasis, GuidanceScale: *prompts.guidance,
			Sampler: *sampler, Steps: *steps, Eta: *eta, Width: *width, Height: *height, Seed: s, RNG: *kind, Strength: *strength, Tile: *tile}
		switch set := given(fs); {
		case *steps < 1 || *steps > 1000:
			return fmt.Errorf("--steps %d, want 1 to 1000", *steps)
		case *batch < 1 || *batch > 10000:
			return fmt.Errorf("--batch %d, want 1 to 10000", *batch)
		case *every < 1:
			return fmt.Errorf("--preview-every %d, want at least 1", *every)
		case set["strength"] && !(*strength > 0 && *strength <= 1):
			return fmt.Errorf("--strength %v, want more than 0 and at most 1", *strength)
		case set["strength"] && *initial == "":
			return errors.New("--strength needs --init")
		case set["width"] && *width < 1 || set["height"] && *height < 1:
			return fmt.Errorf("--width %d, --height %d, want at least 1", *width, *height)
		}
		if _, err := schedule.NewSampler(*sampler, *steps, schedule.SamplerOptions{Eta: *eta}); err != nil {
			return err
		}
		if _, err := rng.New(*kind, s); err != nil {
			return fmt.Errorf("--rng: %w", err)
		}
		if err := prompts.check(); err != nil {
			return err
		}
		name := func(i int) string { // of picture i
			if *batch == 1 {
				return *out
			}
			ext := filepath.Ext(*out)
			return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(*out, ext), s+uint64(i), ext)
		}
		for i := range *batch {
			if err := checkOutput("--out", name(i), pictureFiles, *initial); err != nil {
				return err
			}
			if filepath.Clean(*preview) == filepath.Clean(name(i)) {
				return fmt.Errorf("--preview and --out are the same file %s", *preview)
			}
		}
		if *preview != "" {
			if err := checkOutput("--preview", *preview, pictureFiles, *initial); err != nil {
				return err
			}
		}
		if *initial != "" {
			if o.Init, err = loadImage(*initial); err != nil {
				return err
			}
		}
		m, err := model.open(ctx)
		if err != nil {
			return err
		}
		if err := prompts.fit(c, m); err != nil {
			return err
		}
		o = m.Defaults(o)
		c.say("model     %s", describeModel(m))
		c.say("sampler   %s, %d steps, seed %d (%s), %dx%d pixels", o.Sampler, o.Steps, o.Seed, o.RNG, o.Width, o.Height)
		c.say("machine   %s", machine())

		start := time.Now()
		bar := newProgress(c.log, "step")
		var previewErr error
		for i := range *batch { // one by one: each is on disk as soon as it is made
			var at prior.GenerationProgress
			o.Seed = s + uint64(i)
			o.Progress = func(p prior.GenerationProgress) {
				at = p
				done, n := i*p.Steps+p.Step, *batch*p.Steps
				if *asJSON {
					_, left := bar.pace(done, n)
					printJSON(c, map[string]any{"picture": i + 1, "pictures": *batch, "step": p.Step, "steps": p.Steps, "seconds_left": left.Seconds()})
				} else {
					bar.step(done, n, fmt.Sprintf("picture %d of %d", i+1, *batch))
				}
				if *preview != "" && previewErr == nil && (p.Step%*every == 0 || p.Step == p.Steps) {
					var img image.Image
					if img, previewErr = p.Preview(); previewErr == nil {
						previewErr = picture.Save(*preview, picture.FromImage(img))
					}
				}
			}
			images, err := m.Generate(ctx, o)
			bar.clear()
			settings, wrote := parametersText(m, o), "wrote"
			if err != nil && errors.Is(err, ctx.Err()) {
				err = fmt.Errorf("stopped after step %d of picture %d of %d: %w", at.Step, i+1, *batch, ctx.Err())
				settings += fmt.Sprintf(", Done: %d of %d", at.Step, at.Steps)
				wrote = "stopped: the picture so far is in"
			}
			if len(images) == 0 {
				return errors.Join(err, previewErr)
			}
			var texts []picture.Text
			if !*noMetadata {
				texts = []picture.Text{{Key: "parameters", Value: settings}}
			}
			if err := picture.Save(name(i), picture.FromImage(images[0]), texts...); err != nil {
				return err
			}
			if *asJSON {
				printJSON(c, map[string]any{"out": name(i), "seed": o.Seed, "seconds": time.Since(start).Seconds(), "stopped": err != nil})
			} else {
				fmt.Fprintf(c.out, "%s %s (seed %d) in %s\n", wrote, name(i), o.Seed, round(time.Since(start)))
			}
			if err != nil {
				return errors.Join(err, previewErr)
			}
		}
		return previewErr
	}
}

func loadImage(path string) (image.Image, error) {
	p, err := picture.Load(path)
	if err != nil { // no typed nil
		return nil, err
	}
	return p, nil
}

// samplerNames are AUTOMATIC1111's names.
var samplerNames = map[string]string{"ddim": "DDIM", "ddpm": "DDPM", "euler": "Euler", "euler_a": "Euler a", "dpm++2m": "DPM++ 2M", "lcm": "LCM"}

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
