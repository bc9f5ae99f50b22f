package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"path/filepath"
	"strings"
	"time"

	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/schedule"
)

func generate(fs *flag.FlagSet) func(context.Context, *console, []string) error {
	out := fs.String("out", "generated.png", "`file` for the picture: .png or .jpg; of several, each has its seed in its name")
	initial := fs.String("init", "", "`picture` to start from (image-to-image)")
	strength := fs.Float64("strength", 0, "`share` of the steps that change the --init picture, up to 1 (default 0.8)")
	width := fs.Int("width", 0, "`pixels`, a multiple of 64 for Stable Diffusion (default: as in training, or of --init)")
	height := fs.Int("height", 0, "`pixels`")
	steps := fs.Int("steps", 25, "`N` steps, 1 to 1000")
	sampler := fs.String("sampler", "dpm++2m", "`S`: "+strings.Join(schedule.Samplers(), ", "))
	eta := fs.Float64("eta", 0, "`share` of fresh noise in each step of sampler ddim, 0 to 1")
	batch := fs.Int("batch", 1, "`N` pictures, of seeds --seed, --seed + 1, ...")
	kind := fs.String("rng", "torch", "`generator` of the noise: torch (as PyTorch on a CPU) or cuda (as on an NVIDIA GPU)")
	preview := fs.String("preview", "", "`file` that shows the picture in the making: .png or .jpg")
	every := fs.Int("preview-every", 5, "`N` steps between previews")
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
		o := prior.Generation{Prompt: *prompts.prompt, Negative: *prompts.negative, Emphasis: *prompts.emphasis, Guidance: *prompts.guidance,
			Sampler: *sampler, Steps: *steps, Eta: *eta, Width: *width, Height: *height, Count: *batch, Seed: s, RNG: *kind, Strength: *strength}
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
		if err := checkOutput("--out", *out, pictureFiles, *initial); err != nil {
			return err
		}
		if *preview != "" {
			if err := checkOutput("--preview", *preview, pictureFiles, *initial, *out); err != nil {
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
		if err := prompts.check(c, m); err != nil {
			return err
		}
		o = m.Defaults(o)
		c.say("model     %s", describeModel(m))
		c.say("sampler   %s, %d steps, seed %d (%s), %dx%d pixels", o.Sampler, o.Steps, o.Seed, o.RNG, o.Width, o.Height)
		c.say("machine   %s", machine())

		start := time.Now()
		bar := newProgress(c.log, "step")
		var previewErr error
		o.Progress = func(p prior.GenerationProgress) {
			done, n := (p.Picture-1)*p.Steps+p.Step, p.Pictures*p.Steps
			if *asJSON {
				printJSON(c, map[string]any{"picture": p.Picture, "pictures": p.Pictures, "step": p.Step, "steps": p.Steps, "seconds_left": bar.left(done, n).Seconds()})
			} else {
				bar.step(done, n, fmt.Sprintf("picture %d of %d", p.Picture, p.Pictures))
			}
			if *preview != "" && (p.Step%*every == 0 || p.Step == p.Steps) {
				previewErr = errors.Join(previewErr, picture.Save(*preview, picture.FromImage(p.Preview())))
			}
		}
		images, err := m.Generate(ctx, o)
		bar.clear()
		if err != nil && !errors.Is(err, ctx.Err()) {
			return err
		}
		for i, img := range images {
			path := *out
			if o.Count > 1 {
				ext := filepath.Ext(path)
				path = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, ext), o.Seed+uint64(i), ext)
			}
			var texts []picture.Text
			if !*noMetadata {
				texts = []picture.Text{{Key: "parameters", Value: parametersText(m, o, i)}}
			}
			if err := picture.Save(path, picture.FromImage(img), texts...); err != nil {
				return err
			}
			if *asJSON {
				printJSON(c, map[string]any{"out": path, "seed": o.Seed + uint64(i), "seconds": time.Since(start).Seconds(), "stopped": err != nil})
				continue
			}
			fmt.Fprintf(c.out, "wrote %s (seed %d) in %s\n", path, o.Seed+uint64(i), round(time.Since(start)))
		}
		return errors.Join(err, previewErr)
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
func parametersText(m *prior.Latent, o prior.Generation, i int) string {
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
		fmt.Fprintf(&b, ", CFG scale: %g", o.Guidance)
	}
	fmt.Fprintf(&b, ", Seed: %d, Size: %dx%d, Model: %s", o.Seed+uint64(i), o.Width, o.Height, m.Name)
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
