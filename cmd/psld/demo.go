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
	"strings"
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
	talks: true,
	name:  "demo", short: "damage and restore a photo that comes with the program (the same as no arguments)",
	setup: func(fs *flag.FlagSet) work { return addDemoFlags(fs).run },
}

// demoFlags are those of psld demo.
type demoFlags struct {
	fs          *flag.FlagSet
	out         *string
	model       *modelFlags
	side, steps *int
	seed        func() (uint64, error)
	threads     func() error
}

func addDemoFlags(fs *flag.FlagSet) *demoFlags {
	return &demoFlags{
		fs:    fs,
		out:   fs.String("out", "psld-out", "`folder` for the pictures"),
		model: addModelFlags(fs),
		side:  fs.Int("size", 256, "`pixels` a side, 256 to 427"),
		steps: fs.Int("steps", 0, "`N` DDIM steps, 1 to 1000 (default: the task's preset)"),
		seed:  seedFlag(fs), threads: threadsFlag(fs),
	}
}

// showing is a run of the demo.
type showing struct {
	*demoFlags
	c    *console
	x, y *picture.Picture
	d    psld.Damage
	o    psld.Options
}

func (f *demoFlags) run(ctx context.Context, c *console, _ []string) (err error) {
	r := &showing{demoFlags: f, c: c}
	if err := r.prepare(); err != nil {
		return err
	}
	m, err := f.model.open(ctx, c)
	if err != nil {
		return err
	}
	c.say("task      restore a photo of %dx%d pixels: 70 %% of them missing, noise of deviation %g on [-1,1]",
		*f.side, *f.side, psld.DefaultSigma)
	c.say("machine   %s", machine())
	panels, names := []picture.Panel{
		{Title: "Input", Sub: "a photo that the model\nhas never seen", Pic: r.x},
		{Title: "Measurement", Sub: "70 % missing, noise 0.05", Pic: r.y},
	}, []string{"input", "measurement"}
	restored, stopped := r.restore(ctx, m, "psld")
	if restored == nil {
		return nothing(ctx, stopped, "picture")
	}
	panels, names = append(panels, *restored), append(names, "restoration")
	if best, _ := psld.Best(r.d, r.x.H, r.x.W, nil, ""); stopped == nil && *f.model.path == "" && best != "psld" {
		pixel, err := f.model.openAny(ctx, c, true)
		if err != nil {
			return err
		}
		delete(r.o.Params, "steps")
		if restored, stopped = r.restore(ctx, pixel, best); restored != nil {
			panels, names = append(panels, *restored), append(names, "restoration-"+best)
		}
	}
	return errors.Join(r.save(panels, names), stopped)
}

// prepare checks the flags and makes the measurement.
func (r *showing) prepare() error {
	s, err := r.seed()
	switch {
	case err != nil:
		return err
	case given(r.fs)["steps"] && (*r.steps < 1 || *r.steps > 1000):
		return fmt.Errorf("--steps %d, want 1 to 1000", *r.steps)
	case *r.side < 256 || *r.side > 427:
		return fmt.Errorf("--size %d, want 256 to 427", *r.side)
	}
	if err := r.threads(); err != nil {
		return err
	}
	if err := os.MkdirAll(*r.out, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if err := checkOutput("--out", filepath.Join(*r.out, "sheet.png"), pictureFiles); err != nil {
		return err
	}
	if r.x, err = demoPhoto(*r.side); err != nil {
		return err
	}
	if r.d, err = psld.NewDamage(psld.InpaintRandom, *r.side, *r.side, s); err != nil {
		return err
	}
	sigma := psld.DefaultSigma
	r.o = psld.Options{Seed: s, Sigma: &sigma, Params: param.Values{}, PasteKnown: new(bool)} // its pixels are noisy
	if *r.steps > 0 {
		r.o.Params["steps"] = *r.steps
	}
	r.y, err = psld.Measure(r.x, r.d, sigma, s)
	return err
}

// restore runs a method; on a stop it gives the best picture so far and the error.
func (r *showing) restore(ctx context.Context, m prior.Prior, method string) (*picture.Panel, error) {
	o := r.o
	o.Method = method
	u, err := psld.Preset(m, r.d, *r.side, *r.side, o)
	if err != nil {
		return nil, err
	}
	r.c.say("method    %s, seed %d", psld.DescribeMethod(u), o.Seed)
	r.c.say("model     %s", prior.Describe(m))
	start := time.Now()
	bar := r.c.progress("step")
	o.Progress = func(p solver.Progress) { bar.step(p.Step, p.Steps, fmt.Sprintf("loss %.4g", p.Loss)) }
	res, err := psld.Solve(ctx, m, psld.Problem{Damage: r.d, Measurement: r.y}, o)
	if err != nil && (res == nil || res.Steps == 0 || !errors.Is(err, ctx.Err())) {
		return nil, err
	}
	bar.clear()
	r.c.say("took      %s", round(time.Since(start)))
	return &picture.Panel{Title: "Restored by " + psld.MethodTitle(method), Sub: steps(res.Steps),
		Pic: res.Picture}, err
}

// save writes the pictures and prints their scores; the first panel is the truth.
func (r *showing) save(panels []picture.Panel, names []string) error {
	var lines []string
	width := 0
	for _, name := range names[1:] {
		width = max(width, len(name))
	}
	for i := range panels[1:] {
		p := &panels[1+i]
		var score [2]float64
		for k, m := range metric.Default() {
			var err error
			if score[k], err = metric.Score(m, p.Pic, r.x); err != nil {
				return err
			}
		}
		p.Sub += fmt.Sprintf("\nPSNR %.2f dB, SSIM %.3f", score[0], score[1])
		lines = append(lines, fmt.Sprintf("%-*s  PSNR %5.2f dB  SSIM %.3f", width, names[1+i], score[0], score[1]))
	}
	lines[0] += "  (with its missing pixels black)"
	sheet, err := picture.Sheet(panels, 0)
	if err != nil {
		return err
	}
	for i, p := range append(panels, picture.Panel{Pic: sheet}) {
		path := filepath.Join(*r.out, append(names, "sheet")[i]+".png")
		if err := picture.Save(path, p.Pic); err != nil {
			return err
		}
		r.c.wrote("wrote %s", path)
	}
	fmt.Fprintln(r.c.out, strings.Join(lines, "\n"))
	return nil
}
