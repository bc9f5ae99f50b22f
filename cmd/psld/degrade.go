package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"psld/psld"
	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/task"
)

var degradeVerb = verb{
	name: "degrade", args: "--task T --in x.png --out y.png", short: "damage a picture, to make a test measurement",
	lists: func() string {
		return taskList("What is lost:", func(t *task.Task) string { return t.Lost }) + "\n"
	},
	notes: `Missing pixels are black. Masks are written white where pixels are missing. The noise is
Gaussian unless --noise names another; --sigma is on the scale [-1,1] of the models, or as in 12/255.
Kernels are read and written as point-spread functions, pictures of how the blur draws a bright point.

`,
	setup: func(fs *flag.FlagSet) work { return addDegradeFlags(fs).run },
}

// degradeFlags are those of psld degrade.
type degradeFlags struct {
	fs                *flag.FlagSet
	task, in, out     *string
	mask, maskOut     *string
	kernel, kernelOut *string
	sigma             *float64
	noise             *string
	level             *float64
	values            func(set map[string]bool, t *task.Task, drawn bool) (task.Values, error)
	seed              func() (uint64, error)
}

func addDegradeFlags(fs *flag.FlagSet) *degradeFlags {
	return &degradeFlags{
		fs:   fs,
		task: fs.String("task", "", "`T`: "+taskNames(task.All(), ", ", " or ")),
		in:   fs.String("in", "", "the `picture` to damage: PNG, JPEG, WebP, TIFF, BMP or GIF"),
		out:  fs.String("out", "", "`file` for the measurement: .png or .jpg"),
		mask: fs.String("mask", "",
			"`picture` of the same size, white or transparent = missing (inpainting; needed for inpaint)"),
		maskOut:   fs.String("mask-out", "", "`PNG` for the mask, white = missing"),
		kernel:    fs.String("kernel", "", "point-spread function, a grey `PNG` (deblurring)"),
		kernelOut: fs.String("kernel-out", "", "`PNG` for the kernel"),
		sigma:     addDeviationFlag(fs, psld.DefaultSigma, "standard `deviation` of Gaussian noise on [-1,1]"),
		noise:     fs.String("noise", string(operator.GaussianNoise), "`kind`: gaussian, poisson or salt-and-pepper"),
		level: fs.Float64("noise-level", 0, "`photons` of a white value (poisson), or share of pixels (salt-and-pepper), 0 "+
			"to 1"),
		values: addParameterFlags(fs, func(*task.Task) bool { return true }),
		seed:   seedFlag(fs),
	}
}

func (f *degradeFlags) run(_ context.Context, c *console, _ []string) error {
	c = c.to(*f.out)
	t, v, err := f.check()
	if err != nil {
		return err
	}
	noise, err := f.noiseOf()
	if err != nil {
		return err
	}
	s, err := f.seed()
	if err != nil {
		return err
	}
	if err := f.checkFiles(); err != nil {
		return err
	}
	x, err := c.loadPicture(*f.in)
	if err != nil {
		return err
	}
	x.Alpha = nil
	d, err := testDamage(t, x, *f.mask, *f.kernel, v, s)
	if err != nil {
		return err
	}
	y, err := task.MeasureWith(x, d, noise, s)
	if err != nil {
		return err
	}
	if min(y.W, y.H) < picture.MinSide {
		return fmt.Errorf("%s: the measurement would have %dx%d pixels, want at least %d a side",
			*f.in, y.W, y.H, picture.MinSide)
	}
	what, err := f.save(c, x, y, d)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "wrote %s: %dx%d%s, %v, seed %d\n", *f.out, y.W, y.H, what, noise, s)
	for _, path := range []string{*f.maskOut, *f.kernelOut} {
		if path != "" {
			fmt.Fprintln(c.out, "wrote", path)
		}
	}
	if ext := strings.ToLower(filepath.Ext(*f.out)); ext == ".jpg" || ext == ".jpeg" {
		c.say("note: JPEG changes the measurement a little; use .png for tests")
	}
	return nil
}

// check looks at the flags, and gives the task with the parameters of its damage.
func (f *degradeFlags) check() (*task.Task, task.Values, error) {
	t, err := required(*f.task, *f.in, *f.out)
	if err != nil {
		return nil, nil, err
	}
	set := given(f.fs)
	if err := onlyFor(set, t, t.Needs == task.Mask, "mask", "mask-out"); err != nil {
		return nil, nil, err
	}
	if err := onlyFor(set, t, t.Needs == task.Kernel, "kernel", "kernel-out"); err != nil {
		return nil, nil, err
	}
	v, err := f.values(set, t, *f.mask == "" && *f.kernel == "")
	return t, v, err
}

// noiseOf is the noise that the flags name.
func (f *degradeFlags) noiseOf() (operator.Noise, error) {
	set := given(f.fs)
	n := operator.Noise{Kind: operator.NoiseKind(*f.noise), Level: *f.level}
	switch {
	case n.Kind == operator.GaussianNoise && set["noise-level"]:
		return n, errors.New("--noise-level has no meaning for gaussian noise: --sigma is its deviation")
	case n.Kind == operator.GaussianNoise:
		n.Level = *f.sigma
	case set["sigma"]:
		return n, fmt.Errorf("--sigma has no meaning for %s noise: give --noise-level", n.Kind)
	}
	if err := n.Check(); err != nil {
		return n, fmt.Errorf("--noise: %w", err)
	}
	return n, nil
}

// checkFiles looks at the outputs.
func (f *degradeFlags) checkFiles() error {
	outs := map[string]bool{}
	for _, o := range []struct {
		flag, path string
		exts       []string
	}{{"--out", *f.out, pictureFiles}, {"--mask-out", *f.maskOut, pictureFiles[:1]},
		{"--kernel-out", *f.kernelOut, pictureFiles[:1]}} {
		if o.path == "" {
			continue
		}
		if err := checkOutput(o.flag, o.path, o.exts, *f.in, *f.mask, *f.kernel); err != nil {
			return err
		}
		if outs[filepath.Clean(o.path)] {
			return fmt.Errorf("%s %s: another output has the same name", o.flag, o.path)
		}
		outs[filepath.Clean(o.path)] = true
	}
	return nil
}

// save writes the measurement y of x, mask and kernel; what says what is missing.
func (f *degradeFlags) save(c *console, x, y *picture.Picture, d psld.Damage) (what string, err error) {
	if err := c.savePicture(*f.out, y); err != nil {
		return "", err
	}
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
		if *f.maskOut != "" {
			if err := c.savePicture(*f.maskOut, m); err != nil {
				return "", err
			}
		}
	}
	if *f.kernelOut != "" {
		err = operator.SaveKernel(*f.kernelOut, d.Kernel)
	}
	return what, err
}

// addParameterFlags adds a flag for each parameter of the test damage of those tasks. values checks those given and
// returns them; none has a meaning where the damage is not drawn.
func addParameterFlags(fs *flag.FlagSet, of func(*task.Task) bool) (values func(set map[string]bool, t *task.Task,
	drawn bool) (task.Values, error)) {
	flags := map[string]*float64{}
	var order []string
	for _, t := range slices.DeleteFunc(task.All(), func(t *task.Task) bool { return !of(t) }) {
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
			if own[p.Name] = drawn; set[p.Name] && !drawn {
				return nil, fmt.Errorf("--%s has no meaning beside a mask or kernel from a file", p.Name)
			}
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
func testDamage(t *task.Task, x *picture.Picture, mask, kernel string, v task.Values,
	seed uint64) (psld.Damage, error) {
	d := psld.Damage{Task: t.Name}
	var err error
	switch {
	case mask != "":
		d.Keep, _, err = picture.LoadMask(mask, x.W, x.H, false)
	case kernel != "":
		d.Kernel, err = operator.LoadKernel(kernel)
	case t.Draw == nil:
		err = fmt.Errorf("task %s needs --mask", t.Name)
	default:
		return t.DrawDamage(x.H, x.W, v, seed)
	}
	return d, err
}
