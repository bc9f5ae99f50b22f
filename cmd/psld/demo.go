package main

import (
	"bytes"
	"context"
	_ "embed" // the demo's photo
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"psld/psld"
	"psld/psld/metric"
	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
)

// The photo was in no training or validation folder; see credit.
//
//go:embed flower.jpg
var flowerJPEG []byte

// demoPhoto is the largest square round the blossom, scaled to side x side pixels.
func demoPhoto(side int) (*picture.Picture, error) {
	const centre = 305 // column of the blossom's middle in the 640x427 photo
	p, err := picture.Decode(bytes.NewReader(flowerJPEG))
	if err != nil {
		return nil, err
	}
	sq := picture.New(p.H, p.H)
	x0 := centre - p.H/2
	for y := range p.H {
		copy(sq.Pix[3*y*sq.W:3*(y+1)*sq.W], p.Pix[3*(y*p.W+x0):])
	}
	return picture.Resize(sq, side, side, operator.CubicSmall)
}

var demoVerb = verb{
	name: "demo", short: "damage and restore a photo that comes with the program (the same as no arguments)",
	setup: demo,
}

func demo(fs *flag.FlagSet) work {
	out := fs.String("out", "psld-out", "`folder` for the pictures")
	model := addModelFlags(fs)
	side := fs.Int("size", 256, "`pixels` a side, 256 to 427")
	steps := fs.Int("steps", 0, "`N` DDIM steps, 1 to 1000 (default: the task's preset)")
	seed, threads := seedFlag(fs), threadsFlag(fs)
	return func(ctx context.Context, c *console, _ []string) error {
		s, err := seed()
		switch {
		case err != nil:
			return err
		case given(fs)["steps"] && (*steps < 1 || *steps > 1000):
			return fmt.Errorf("--steps %d, want 1 to 1000", *steps)
		case *side < 256 || *side > 427:
			return fmt.Errorf("--size %d, want 256 to 427", *side)
		}
		if err := threads(); err != nil {
			return err
		}
		m, err := model.open(ctx)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(*out, 0o755); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		if err := checkOutput("--out", filepath.Join(*out, "sheet.png"), pictureFiles); err != nil {
			return err
		}
		x, err := demoPhoto(*side)
		if err != nil {
			return err
		}
		d, err := psld.NewDamage(psld.InpaintRandom, *side, *side, s)
		if err != nil {
			return err
		}
		y, err := psld.Measure(x, d, psld.DefaultSigma, s)
		if err != nil {
			return err
		}
		sigma := psld.DefaultSigma
		o := psld.Options{Method: "psld", Seed: s, Sigma: &sigma}
		if *steps > 0 {
			o.Params = param.Values{"steps": *steps}
		}
		u, err := psld.Preset(m, d.Task, *side, *side, o)
		if err != nil {
			return err
		}
		c.say("task      restore a photo of %dx%d pixels: 70 %% of them missing, noise of deviation %g on [-1,1]", *side,
			*side, psld.DefaultSigma)
		c.say("method    %s, seed %d", psld.DescribeMethod(u), s)
		c.say("model     %s", prior.Describe(m))
		c.say("machine   %s", machine())
		start := time.Now()
		bar := newProgress(c.log, "step")
		o.Progress = func(p solver.Progress) { bar.step(p.Step, p.Steps, fmt.Sprintf("loss %.4g", p.Loss)) }
		res, err := psld.Solve(ctx, m, psld.Problem{Damage: d, Measurement: y}, o)
		if err != nil && (res == nil || res.Steps == 0 || !errors.Is(err, ctx.Err())) {
			return err
		}
		bar.clear()
		return errors.Join(saveDemo(c, *out, x, y, res, time.Since(start)), err)
	}
}

// saveDemo writes the pictures and prints their scores.
func saveDemo(c *console, dir string, x, y *picture.Picture, res *psld.Result, took time.Duration) error {
	panels := []picture.Panel{
		{Title: "Input", Sub: "a photo that the model\nhas never seen", Pic: x},
		{Title: "Measurement", Sub: "70 % missing, noise 0.05", Pic: y},
		{Title: "Restoration", Sub: fmt.Sprintf("PSLD, %d steps", res.Steps), Pic: res.Picture},
	}
	var lines []string
	for i := range panels[1:] {
		p := &panels[1+i]
		var score [2]float64
		for k, m := range metric.Default() {
			var err error
			if score[k], err = metric.Score(m, p.Pic, x); err != nil {
				return err
			}
		}
		psnr, ssim := score[0], score[1]
		p.Sub += fmt.Sprintf("\nPSNR %.2f dB, SSIM %.3f", psnr, ssim)
		lines = append(lines, fmt.Sprintf("%-11s  PSNR %5.2f dB  SSIM %.3f", []string{"measurement", "restoration"}[i], psnr,
			ssim))
	}
	sheet, err := picture.Sheet(panels, 0)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		pic  *picture.Picture
	}{{"input.png", x}, {"measurement.png", y}, {"restoration.png", res.Picture}, {"sheet.png", sheet}} {
		if err := picture.Save(filepath.Join(dir, f.name), f.pic); err != nil {
			return err
		}
		fmt.Fprintln(c.out, "wrote", filepath.Join(dir, f.name))
	}
	fmt.Fprintf(c.out, "%s  (with its missing pixels black)\n%s  (%s, %s)\n", lines[0], lines[1], round(took), machine())
	return nil
}
