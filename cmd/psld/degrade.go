package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"psld/psld"
	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/task"
)

var degradeVerb = verb{
	talks: true,
	name:  "degrade", args: "--task T --in x.png --out y.png", short: "damage a picture, to make a test measurement",
	lists: func() string {
		return taskList("What is lost:", func(t *task.Task) string { return t.Lost }) + "\n"
	},
	notes: `Missing pixels are black. Masks are written white where pixels are missing. The noise is
Gaussian unless --noise names another; --sigma is on the scale [-1,1] of the models, or as in 12/255.
Kernels are read and written as point-spread functions, pictures of how the blur draws a bright point.
Where holes and random kernels lie is up to --seed; the rectangle of inpaint-box, as large as --box says, lies where
--mask-box puts it in its place.
Where --in is a folder, all pictures in it and in its subfolders are damaged, each with a seed of its own from
--seed upwards, and --out, --mask-out and --kernel-out are folders for PNGs of the same names.

`,
	setup: func(fs *flag.FlagSet) work { return addDegradeFlags(fs).run },
}

// degradeFlags are those of psld degrade.
type degradeFlags struct {
	fs                *flag.FlagSet
	task, in, out     *string
	mask, maskOut     *string
	box               *boxFlag // in place of mask
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
		in:   fs.String("in", "", "the `picture` to damage: PNG, JPEG, WebP, TIFF, BMP or GIF; or a folder of them"),
		out:  fs.String("out", "", "`file` for the measurement: .png or .jpg; a folder where --in is one"),
		mask: fs.String("mask", "",
			"`picture` of the same size, white or transparent = missing (inpainting; inpaint needs it or --mask-box)"),
		box:       addBoxFlag(fs),
		maskOut:   fs.String("mask-out", "", "`PNG` for the mask, white = missing"),
		kernel:    fs.String("kernel", "", "point-spread function, a grey `PNG` (deblurring)"),
		kernelOut: fs.String("kernel-out", "", "`PNG` for the kernel"),
		sigma:     addDeviationFlag(fs, psld.DefaultSigma, "standard `deviation` of Gaussian noise on [-1,1]"),
		noise:     fs.String("noise", string(operator.GaussianNoise), "`kind`: gaussian, poisson or salt-and-pepper"),
		level: fs.Float64("noise-level", 0, "`photons` of a white value (poisson), or share of pixels (salt-and-pepper), 0 "+
			"to 1"),
		values: addParameterFlags(fs, func(*task.Task) bool { return true }, true),
		seed:   seedFlag(fs),
	}
}

// degradation is how one picture is damaged: where it is, and where the results go.
type degradation struct {
	task                                      *task.Task
	v                                         task.Values
	noise                                     operator.Noise
	seed                                      uint64
	in, mask, kernel, out, maskOut, kernelOut string
	box                                       image.Rectangle // in place of mask
}

func (f *degradeFlags) run(ctx context.Context, c *console, _ []string) (err error) {
	c = c.to(*f.out)
	d := degradation{in: *f.in, mask: *f.mask, box: f.box.Rectangle, kernel: *f.kernel, out: *f.out, maskOut: *f.maskOut,
		kernelOut: *f.kernelOut}
	if d.task, d.v, err = f.check(); err != nil {
		return err
	}
	if d.noise, err = f.noiseOf(); err != nil {
		return err
	}
	if d.seed, err = f.seed(); err != nil {
		return err
	}
	if info, err := os.Stat(d.in); err == nil && info.IsDir() {
		return d.folder(ctx, c)
	}
	if err := d.checkFiles(); err != nil {
		return err
	}
	m, err := d.measure(ctx, c)
	if err != nil {
		return err
	}
	what, err := d.save(c, m)
	if err != nil {
		return err
	}
	c.wrote("wrote %s: %dx%d%s, %v, seed %d", d.out, m.y.W, m.y.H, what, d.noise, d.seed)
	for _, path := range []string{d.maskOut, d.kernelOut} {
		if path != "" {
			c.wrote("wrote %s", path)
		}
	}
	if ext := strings.ToLower(filepath.Ext(d.out)); ext == ".jpg" || ext == ".jpeg" {
		c.say("note: JPEG changes the measurement a little; use .png for tests")
	}
	return nil
}

// folder damages the pictures of a folder and of those inside it, and leaves out those that cannot be. Each has the
// next seed.
func (d degradation) folder(ctx context.Context, c *console) error {
	outs := []*string{&d.out, &d.maskOut, &d.kernelOut}
	for i, flag := range []string{"--out", "--mask-out", "--kernel-out"} {
		if err := checkOutputFolder(flag, *outs[i], d.in); err != nil {
			return err
		}
		for _, other := range outs[:i] {
			if *outs[i] != "" && filepath.Clean(*other) == filepath.Clean(*outs[i]) {
				return fmt.Errorf("%s %s: another output has the same name", flag, *outs[i])
			}
		}
	}
	paths, err := picture.Files(d.in)
	if err != nil {
		return fmt.Errorf("--in: %w", err)
	}
	taken, written := map[string]bool{}, 0
	for i, path := range paths {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		name, err := filepath.Rel(d.in, path)
		if err != nil {
			return err
		}
		stem := strings.TrimSuffix(name, filepath.Ext(name))
		if taken[stem] { // a.jpg beside a.png
			stem = name
		}
		taken[stem] = true
		one := d
		one.in, one.seed = path, d.seed+uint64(i)
		for k, out := range []*string{&one.out, &one.maskOut, &one.kernelOut} {
			if *out != "" {
				*out = filepath.Join(*outs[k], stem+".png")
			}
		}
		m, err := one.measure(ctx, c)
		if errors.Is(err, errDisk) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			c.leftOut([]error{err})
			continue
		}
		for _, out := range []string{one.out, one.maskOut, one.kernelOut} {
			if out == "" {
				continue
			}
			if err := os.MkdirAll(filepath.Dir(out), 0o777); err != nil {
				return err
			}
		}
		if _, err := one.save(c, m); err != nil {
			return err
		}
		written++
	}
	if written == 0 {
		return fmt.Errorf("none of the %d pictures of %s could be damaged", len(paths), d.in)
	}
	c.wrote("wrote %d of %d pictures to %s: %v, seeds %d to %d", written, len(paths), d.out, d.noise, d.seed,
		d.seed+uint64(len(paths)-1))
	return nil
}

// measured is a damaged picture.
type measured struct {
	x, y *picture.Picture
	d    psld.Damage
}

// measure reads the picture and damages it.
func (d degradation) measure(ctx context.Context, c *console) (measured, error) {
	return untilStopped(ctx, func() (measured, error) { return d.damaged(c) }, nil)
}

// damaged does it at any length.
func (d degradation) damaged(c *console) (m measured, err error) {
	if m.x, err = c.loadPicture(d.in); err != nil {
		return m, err
	}
	values := 3 * int64(m.x.W) * int64(m.x.H) / int64(d.task.Scale*d.task.Scale)
	if err := checkSpace("--out", d.out, values); err != nil {
		return m, err
	}
	m.x.Alpha = nil
	if m.d, err = d.damage(m.x); err != nil {
		return m, err
	}
	if m.d.Keep != nil && !slices.Contains(m.d.Keep, true) {
		return m, fmt.Errorf("%s: all of its %dx%d pixels would be missing, want some that are left", d.in, m.x.W, m.x.H)
	}
	if m.y, err = task.MeasureWith(m.x, m.d, d.noise, d.seed); err != nil {
		return m, err
	}
	if min(m.y.W, m.y.H) < picture.MinSide {
		return m, fmt.Errorf("%s: the measurement would have %dx%d pixels, want at least %d a side",
			d.in, m.y.W, m.y.H, picture.MinSide)
	}
	return m, nil
}

// check looks at the flags, and gives the task with the parameters of its damage.
func (f *degradeFlags) check() (*task.Task, task.Values, error) {
	t, err := required(*f.task, *f.in, *f.out)
	if err != nil {
		return nil, nil, err
	}
	set := given(f.fs)
	if err := onlyFor(set, t, t.Needs == task.Mask, "mask", "mask-box", "mask-out"); err != nil {
		return nil, nil, err
	}
	if err := onlyFor(set, t, t.Needs == task.Kernel, "kernel", "kernel-out"); err != nil {
		return nil, nil, err
	}
	if *f.mask != "" && !f.box.Empty() {
		return nil, nil, errors.New("--mask-box has no meaning beside --mask")
	}
	v, err := f.values(set, t, *f.mask == "" && f.box.Empty() && *f.kernel == "")
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
func (d degradation) checkFiles() error {
	outs := map[string]bool{}
	for _, o := range []struct {
		flag, path string
		exts       []string
	}{{"--out", d.out, pictureFiles}, {"--mask-out", d.maskOut, pictureFiles[:1]},
		{"--kernel-out", d.kernelOut, pictureFiles[:1]}} {
		if o.path == "" {
			continue
		}
		if err := checkOutput(o.flag, o.path, o.exts, d.in, d.mask, d.kernel); err != nil {
			return err
		}
		if outs[filepath.Clean(o.path)] {
			return fmt.Errorf("%s %s: another output has the same name", o.flag, o.path)
		}
		outs[filepath.Clean(o.path)] = true
	}
	return nil
}

// save writes the measurement, mask and kernel; what says what is missing.
func (d degradation) save(c *console, m measured) (what string, err error) {
	if err := c.savePicture(d.out, m.y); err != nil {
		return "", err
	}
	if m.d.Keep != nil {
		n := 0
		mask := picture.New(m.x.W, m.x.H)
		mask.Grey = true
		for i, k := range m.d.Keep {
			if !k {
				n++
				mask.Pix[3*i], mask.Pix[3*i+1], mask.Pix[3*i+2] = 1, 1, 1
			}
		}
		what = fmt.Sprintf(", %d of %d pixels missing", n, len(m.d.Keep))
		if d.maskOut != "" {
			if err := c.savePicture(d.maskOut, mask); err != nil {
				return "", err
			}
		}
	}
	if d.kernelOut != "" {
		err = operator.SaveKernel(d.kernelOut, m.d.Kernel)
	}
	return what, err
}

// addParameterFlags adds a flag for each parameter of the test damage of those tasks. values checks those given and
// returns them; none has a meaning where the damage is not drawn. Without test those that draw at random are left out.
func addParameterFlags(fs *flag.FlagSet, of func(*task.Task) bool, test bool) (values func(set map[string]bool,
	t *task.Task, drawn bool) (task.Values, error)) {
	flags := map[string]*float64{}
	var order []string
	for _, t := range slices.DeleteFunc(task.All(), func(t *task.Task) bool { return !of(t) }) {
		for _, p := range t.Parameters {
			if flags[p.Name] == nil && (test || !p.Test) {
				order = append(order, p.Name)
				byDefault := p.Default
				if !test {
					byDefault = 0 // it is not drawn unless it is told
				}
				flags[p.Name] = fs.Float64(p.Name, byDefault, fmt.Sprintf("%s (%s)", p.Usage, t.Name))
			}
		}
	}
	return func(set map[string]bool, t *task.Task, drawn bool) (task.Values, error) {
		own, v := map[string]bool{}, task.Values{}
		for _, p := range t.Parameters {
			if own[p.Name] = drawn; set[p.Name] && !drawn {
				return nil, fmt.Errorf("--%s has no meaning beside a mask or kernel that is given", p.Name)
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

// damage is that of the flags, else one that the task draws.
func (d degradation) damage(x *picture.Picture) (made psld.Damage, err error) {
	made.Task = d.task.Name
	switch {
	case d.mask != "":
		made.Keep, _, err = picture.LoadMask(d.mask, x.W, x.H, false)
	case !d.box.Empty():
		if made.Keep, err = operator.RectangleMask(x.H, x.W, d.box); err != nil {
			err = fmt.Errorf("--mask-box: %w", err)
		}
	case d.kernel != "":
		made.Kernel, err = operator.LoadKernel(d.kernel)
	case d.task.Draw == nil:
		err = fmt.Errorf("task %s needs --mask or --mask-box", d.task.Name)
	default:
		return d.task.DrawDamage(x.H, x.W, d.v, d.seed)
	}
	return made, err
}
