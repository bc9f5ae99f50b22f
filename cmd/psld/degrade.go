package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"

	"psld/psld"
	"psld/psld/operator"
	"psld/psld/picture"
)

func degrade(fs *flag.FlagSet) func(context.Context, *console, []string) error {
	task := fs.String("task", "", "`T`: inpaint, inpaint-random, inpaint-box, sr4, deblur-gaussian, deblur-motion or denoise")
	in := fs.String("in", "", "the `picture` to damage: PNG, JPEG or WebP")
	out := fs.String("out", "", "`file` for the measurement: .png or .jpg")
	mask := fs.String("mask", "", "`picture` of the same size, white or transparent = missing (inpainting; needed for inpaint)")
	maskOut := fs.String("mask-out", "", "`PNG` for the mask, white = missing")
	kernel := fs.String("kernel", "", "blur kernel, a grey `PNG` (deblurring)")
	kernelOut := fs.String("kernel-out", "", "`PNG` for the kernel")
	sigma := fs.Float64("sigma", psld.DefaultSigma, "standard `deviation` of the noise on [-1,1]")
	missing := fs.Float64("missing", 0.7, "`share` of missing pixels (inpaint-random)")
	box := fs.Float64("box", 0.5, "`sides` of the box over those of the picture (inpaint-box)")
	std := fs.Float64("kernel-std", 3, "standard `deviation` of the kernel in pixels (deblur-gaussian)")
	seed := seedFlag(fs)

	return func(_ context.Context, c *console, _ []string) error {
		t, err := required(*task, *in, *out)
		if err != nil {
			return err
		}
		set := given(fs)
		for _, f := range []struct {
			use   bool
			names []string
		}{
			{t.Inpainting(), []string{"mask", "mask-out"}},
			{deblurring(t), []string{"kernel", "kernel-out"}},
			{t == psld.InpaintRandom && *mask == "", []string{"missing"}},
			{t == psld.InpaintBox && *mask == "", []string{"box"}},
			{t == psld.DeblurGaussian && *kernel == "", []string{"kernel-std"}},
		} {
			if err := onlyFor(set, t, f.use, f.names...); err != nil {
				return err
			}
		}
		if !(*sigma >= 0 && *sigma <= 100) {
			return fmt.Errorf("--sigma %v, want 0 to 100", *sigma)
		}
		s, err := seed()
		if err != nil {
			return err
		}
		outs := map[string]bool{}
		for _, f := range []struct {
			flag, path string
			exts       []string
		}{{"--out", *out, pictureFiles}, {"--mask-out", *maskOut, pictureFiles[:1]}, {"--kernel-out", *kernelOut, pictureFiles[:1]}} {
			if f.path == "" {
				continue
			}
			if err := checkOutput(f.flag, f.path, f.exts, *in, *mask, *kernel); err != nil {
				return err
			}
			if outs[filepath.Clean(f.path)] {
				return fmt.Errorf("%s %s: another output has the same name", f.flag, f.path)
			}
			outs[filepath.Clean(f.path)] = true
		}
		x, err := picture.Load(*in)
		if err != nil {
			return err
		}
		x.Alpha = nil
		d, err := testDamage(t, x, *mask, *kernel, *missing, *box, *std, s)
		if err != nil {
			return err
		}
		y, err := psld.Measure(x, d, *sigma, s)
		if err != nil {
			return err
		}
		if min(y.W, y.H) < picture.MinSide {
			return fmt.Errorf("%s: the measurement would have %dx%d pixels, want at least %d a side", *in, y.W, y.H, picture.MinSide)
		}
		if err := picture.Save(*out, y); err != nil {
			return err
		}
		what := ""
		if d.Keep != nil {
			n := 0
			m := picture.New(x.W, x.H)
			m.Grey = true
			for i, k := range d.Keep {
				if !k {
					n++
					m.Pix[3*i], m.Pix[3*i+1], m.Pix[3*i+2] = 1, 1, 1
				}
			}
			what = fmt.Sprintf(", %d of %d pixels missing", n, len(d.Keep))
			if *maskOut != "" {
				if err := picture.Save(*maskOut, m); err != nil {
					return err
				}
			}
		}
		if *kernelOut != "" {
			if err := operator.SaveKernel(*kernelOut, d.Kernel); err != nil {
				return err
			}
		}
		fmt.Fprintf(c.out, "wrote %s: %dx%d%s, noise of deviation %g on [-1,1] (%g on [0,1]), seed %d\n", *out, y.W, y.H, what, *sigma, *sigma/2, s)
		for _, f := range []string{*maskOut, *kernelOut} {
			if f != "" {
				fmt.Fprintln(c.out, "wrote", f)
			}
		}
		if !strings.EqualFold(filepath.Ext(*out), ".png") {
			c.say("note: JPEG changes the measurement a little; use .png for tests")
		}
		return nil
	}
}

// testDamage is psld.NewDamage with the sizes that the flags give.
func testDamage(t psld.Task, x *picture.Picture, mask, kernel string, missing, box, std float64, seed uint64) (psld.Damage, error) {
	d := psld.Damage{Task: t}
	var err error
	switch {
	case mask != "":
		d.Keep, err = picture.LoadMask(mask, x.W, x.H, false)
	case kernel != "":
		d.Kernel, err = operator.LoadKernel(kernel)
	case t == psld.Inpaint:
		err = errors.New("task inpaint needs --mask")
	case t == psld.InpaintRandom:
		d.Keep, err = operator.RandomMask(x.H, x.W, missing, seed)
	case t == psld.InpaintBox:
		d.Keep, err = operator.BoxMask(x.H, x.W, box, true, seed)
	case t == psld.DeblurGaussian:
		if !(std > 0 && std <= 100) {
			return d, fmt.Errorf("--kernel-std %v, want more than 0 and at most 100", std)
		}
		d.Kernel, err = operator.Gaussian(max(61, 2*int(4*std+0.5)+1), std)
	default:
		return psld.NewDamage(t, x.H, x.W, seed)
	}
	return d, err
}
