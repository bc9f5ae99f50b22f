package main

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strings"

	"psld/psld"
	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/task"
)

func degrade(fs *flag.FlagSet) func(context.Context, *console, []string) error {
	name := fs.String("task", "", "`T`: "+taskNames(task.All(), ", ", " or "))
	in := fs.String("in", "", "the `picture` to damage: PNG, JPEG or WebP")
	out := fs.String("out", "", "`file` for the measurement: .png or .jpg")
	mask := fs.String("mask", "", "`picture` of the same size, white or transparent = missing (inpainting; needed for inpaint)")
	maskOut := fs.String("mask-out", "", "`PNG` for the mask, white = missing")
	kernel := fs.String("kernel", "", "blur kernel, a grey `PNG` (deblurring)")
	kernelOut := fs.String("kernel-out", "", "`PNG` for the kernel")
	sigma := fs.Float64("sigma", psld.DefaultSigma, "standard `deviation` of the noise on [-1,1]")
	values := addParameterFlags(fs)
	seed := seedFlag(fs)

	return func(_ context.Context, c *console, _ []string) error {
		t, err := required(*name, *in, *out)
		if err != nil {
			return err
		}
		set := given(fs)
		for _, f := range []struct {
			use   bool
			names []string
		}{
			{t.Needs == task.Mask, []string{"mask", "mask-out"}},
			{t.Needs == task.Kernel, []string{"kernel", "kernel-out"}},
		} {
			if err := onlyFor(set, t, f.use, f.names...); err != nil {
				return err
			}
		}
		v, err := values(set, t, *mask == "" && *kernel == "")
		if err != nil {
			return err
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
		d, err := testDamage(t, x, *mask, *kernel, v, s)
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

// addParameterFlags adds a flag for each parameter of a task's test damage. values checks those that are given and
// returns them; none has a meaning where the damage is not drawn.
func addParameterFlags(fs *flag.FlagSet) (values func(set map[string]bool, t *task.Task, drawn bool) (task.Values, error)) {
	flags := map[string]*float64{}
	var order []string
	for _, t := range task.All() {
		for _, p := range t.Parameters {
			if flags[p.Name] == nil {
				order = append(order, p.Name)
				flags[p.Name] = fs.Float64(p.Name, p.Default, fmt.Sprintf("%s (%s)", p.Usage, t.Name))
			}
		}
	}
	return func(set map[string]bool, t *task.Task, drawn bool) (task.Values, error) {
		own, v := map[string]bool{}, task.Values{}
		for _, p := range t.Parameters {
			own[p.Name] = drawn
			if set[p.Name] {
				v[p.Name] = *flags[p.Name]
			}
		}
		for _, name := range order {
			if err := onlyFor(set, t, own[name], name); err != nil {
				return nil, err
			}
		}
		if err := t.Check(v); err != nil {
			return nil, fmt.Errorf("--%w", err)
		}
		return v, nil
	}
}

// testDamage is that of the files, else one that the task draws.
func testDamage(t *task.Task, x *picture.Picture, mask, kernel string, v task.Values, seed uint64) (psld.Damage, error) {
	d := psld.Damage{Task: t.Name}
	var err error
	switch {
	case mask != "":
		d.Keep, err = picture.LoadMask(mask, x.W, x.H, false)
	case kernel != "":
		d.Kernel, err = operator.LoadKernel(kernel)
	case t.Draw == nil:
		err = fmt.Errorf("task %s needs --mask", t.Name)
	default:
		return t.DrawDamage(x.H, x.W, v, seed)
	}
	return d, err
}
