package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"psld/asm"
	"psld/psld"
	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

func restore(fs *flag.FlagSet) func(context.Context, *console, []string) error {
	taskName := fs.String("task", "", "`T`: "+taskNames(task.All(), ", ", " or "))
	in := fs.String("in", "", "the damaged `picture`: PNG, JPEG or WebP")
	out := fs.String("out", "", "`file` for the restored picture: .png or .jpg")
	mask := fs.String("mask", "", "`picture` of the same size, white or transparent = repaint (inpainting)")
	invert := fs.Bool("invert-mask", false, "the mask's white and black change places")
	kernel := fs.String("kernel", "", "blur kernel, a grey `PNG` (deblurring)")
	method := fs.String("method", "psld", "`M`: "+strings.Join(solver.Names(), ", "))
	model := addModelFlags(fs)
	paste := fs.Bool("paste", true, "keep the known pixels exactly (inpainting)")
	sheet := fs.String("sheet", "", "also write a `PNG` with both pictures side by side")
	asJSON := fs.Bool("json", false, "print progress and result as JSON lines")
	sigma := fs.Float64("sigma", 0, "`deviation` of the picture's noise on [-1,1] (default: estimated from the picture)")
	maxMem := fs.String("max-mem", "", "`size` of memory that the program may take, such as 8GiB: as many activations are kept as fit, the others are computed twice (default: GOMEMLIMIT, at most three quarters of what is available)")
	guide := fs.Bool("guide-vae", false, "decode and encode by --taesd in the steps: less work, rougher guidance")
	flags, prompts, keep, seed, threads := addMethodFlags(fs), addPromptFlags(fs), addKeepFlags(fs), seedFlag(fs), threadsFlag(fs)

	return func(ctx context.Context, c *console, _ []string) error {
		t, err := required(*taskName, *in, *out)
		if err != nil {
			return err
		}
		o, err := flags.options(*method)
		if err != nil {
			return err
		}
		spec, err := solver.Lookup(*method)
		if err != nil {
			return err
		}
		if given(fs)["sigma"] {
			if !(*sigma >= 0 && *sigma <= 100) {
				return fmt.Errorf("--sigma %v, want 0 to 100", *sigma)
			}
			o.Sigma = sigma
		}
		if o.MaxMemory, err = parseSize(*maxMem); err != nil {
			return fmt.Errorf("--max-mem: %w", err)
		}
		o.Method, o.PasteKnown = *method, *paste
		if o.Seed, err = seed(); err != nil {
			return err
		}
		if err := threads(); err != nil {
			return err
		}
		set := given(fs)
		if err := onlyFor(set, t, t.Needs == task.Mask, "mask", "invert-mask", "paste"); err != nil {
			return err
		}
		if err := onlyFor(set, t, t.Needs == task.Kernel, "kernel"); err != nil {
			return err
		}
		if err := prompts.check(); err != nil {
			return err
		}
		if err := model.check(); err != nil {
			return err
		}
		if *guide && *model.taesd == "" {
			return errors.New("--guide-vae needs --taesd")
		}
		if *invert && *mask == "" {
			return errors.New("--invert-mask needs --mask")
		}
		if err := checkOutput("--out", *out, pictureFiles, *in, *mask, *kernel); err != nil {
			return err
		}
		if *sheet != "" {
			if err := checkOutput("--sheet", *sheet, pictureFiles, *in, *mask, *kernel); err != nil {
				return err
			}
			if filepath.Clean(*sheet) == filepath.Clean(*out) {
				return fmt.Errorf("--sheet and --out are the same file %s", *out)
			}
		}
		if o.Keep, err = keep.options(*out, *in, *mask, *kernel, *sheet); err != nil {
			return err
		}
		y, err := picture.Load(*in)
		if err != nil {
			return err
		}
		d, note, err := knownDamage(t, y, *mask, *invert, *kernel)
		if err != nil {
			return err
		}
		h, w := t.Scale*y.H, t.Scale*y.W
		if err := psld.CheckSize(h, w); err != nil {
			return fmt.Errorf("%s: %w", *in, err)
		}
		if _, err := d.Operator(h, w); err != nil {
			return err
		}
		total, err := keep.look(c, o.Keep) // may be a little more than asked for: the schedule divides 1000
		if err != nil {
			return err
		}
		var m *prior.LatentDiffusion
		var p prior.Prior // nil where the method needs none
		name := "none"
		if spec.Needs.Prior {
			if m, err = model.open(ctx); err != nil {
				return err
			}
			if err := prompts.fit(c, m); err != nil {
				return err
			}
			p, name = m, m.Name
		}
		o.Prompt, o.Negative, o.GuidanceScale, o.Emphasis, o.LightCodec = *prompts.prompt, *prompts.negative, *prompts.guidance, *prompts.emphasis, *guide
		u, err := psld.Preset(p, t.Name, h, w, o)
		if err != nil {
			return err
		}
		c.say("picture   %s, %dx%d; result %dx%d", *in, y.W, y.H, w, h)
		c.say("task      %s", strings.Join(append([]string{string(t.Name)}, note...), "; "))
		c.say("method    %s, seed %d", describeMethod(u), o.Seed)
		if m != nil {
			c.say("model     %s", describeModel(m))
			c.say("layout    solved %s", layout(m, w, h))
		}
		c.say("machine   %s", machine())

		start := time.Now()
		bar := newProgress(c.log, "step")
		kept := o.Keep.Resume
		o.Progress = func(p solver.Progress) {
			total, kept = p.Steps, kept || p.Kept
			per, left := bar.pace(p.Step, p.Steps)
			if p.KeepErr != nil {
				bar.clear()
				c.say("warning   %v; the run goes on without it", p.KeepErr)
			}
			if *asJSON {
				printJSON(c, map[string]any{"step": p.Step, "steps": p.Steps, "loss": p.Loss, "measurement": p.Measurement, "gluing": p.Term("gluing"), "rms": p.RMS,
					"memory_bytes": p.Memory, "seconds_per_step": per.Seconds(), "seconds_left": left.Seconds(), "kept": p.Kept})
				return
			}
			var note []string
			if p.Memory > 0 {
				note = append(note, gib(float64(p.Memory)))
			}
			note = append(note, fmt.Sprintf("loss %.4g", p.Loss), fmt.Sprintf("measurement %.4g", p.Measurement))
			for _, t := range p.Terms {
				note = append(note, fmt.Sprintf("%s %.4g", t.Name, t.Value))
			}
			bar.show(p.Step, p.Steps, strings.Join(note, "  "))
		}
		res, err := psld.Solve(ctx, p, psld.Problem{Damage: d, Measurement: y}, o)
		stopped := err
		if err != nil && (res == nil || res.Steps == 0 || !errors.Is(err, ctx.Err())) {
			return err
		}
		bar.clear()
		settings := fmt.Sprintf("Task: %s, %s, Seed: %d, Paste: %v, Model: %s, Kernels: %s, Size: %dx%d, Version: psld %s",
			t.Name, methodSettings(u, res.Steps, total), o.Seed, *paste && t.Needs == task.Mask, name, asm.Active(), w, h, version())
		if err := picture.Save(*out, res.Picture, picture.Text{Key: "parameters", Value: settings}); err != nil {
			return errors.Join(err, stopped)
		}
		if *sheet != "" {
			s, err := picture.Sheet([]picture.Panel{
				{Title: "Measurement", Sub: string(t.Name), Pic: y},
				{Title: "Restoration", Sub: fmt.Sprintf("%s, %d steps, seed %d", spec.Name, res.Steps, o.Seed), Pic: res.Picture}}, 0)
			if err == nil {
				err = picture.Save(*sheet, s)
			}
			if err != nil {
				return errors.Join(err, stopped)
			}
		}
		goOn := "" // the command
		switch st, err := solver.ReadState(o.Keep.File); {
		case stopped == nil && kept: // it has served
			if err := os.Remove(o.Keep.File); err != nil && !errors.Is(err, os.ErrNotExist) {
				c.say("warning   %v", err)
			}
		case stopped != nil && err == nil && st.Step == res.Steps:
			goOn = keep.command(o.Seed)
		}
		if *asJSON {
			printJSON(c, map[string]any{"out": *out, "steps_done": res.Steps, "rms": res.RMS, "seed": o.Seed, "seconds": time.Since(start).Seconds(), "stopped": stopped != nil, "resume": goOn})
			return stopped
		}
		if stopped != nil {
			fmt.Fprintf(c.out, "stopped: the best picture so far is in %s\n", *out)
			if goOn != "" {
				fmt.Fprintf(c.out, "its state is in %s; to go on:\n  %s\n", o.Keep.File, goOn)
			}
			return stopped
		}
		fmt.Fprintf(c.out, "wrote %s in %s; the restoration differs from the measurement by %.3f RMS on [-1,1]%s\n", *out, round(time.Since(start)), res.RMS, pasted(*out, *paste && t.Needs == task.Mask))
		return nil
	}
}

// pasted says what became of the known pixels.
func pasted(out string, paste bool) string {
	switch ext := strings.ToLower(filepath.Ext(out)); {
	case !paste:
		return ""
	case ext != ".png":
		return " before the known pixels were put back (JPEG keeps them nearly, PNG exactly)"
	}
	return " before the known pixels were put back"
}

func printJSON(c *console, v any) {
	b, err := json.Marshal(v)
	if err != nil { // a number that is not finite
		b = fmt.Appendf(nil, `{"error":%q}`, err)
	}
	fmt.Fprintf(c.out, "%s\n", b)
}

// required checks the flags that restore and degrade cannot do without.
func required(name, in, out string) (*task.Task, error) {
	for _, f := range [][2]string{{"task", name}, {"in", in}, {"out", out}} {
		if f[1] == "" {
			return nil, fmt.Errorf("--%s is missing (see psld help)", f[0])
		}
	}
	return task.Find(name)
}

// onlyFor is an error if one of the flags is given although the task has no use for it.
func onlyFor(set map[string]bool, t *task.Task, use bool, names ...string) error {
	for _, n := range names {
		if set[n] && !use {
			return fmt.Errorf("--%s has no meaning for task %s", n, t.Name)
		}
	}
	return nil
}

// knownDamage finds the mask or kernel of the user's picture y, and says where it comes from. Missing
// pixels become opaque in y, since they will be painted.
func knownDamage(t *task.Task, y *picture.Picture, mask string, invert bool, kernel string) (psld.Damage, []string, error) {
	d := psld.Damage{Task: t.Name}
	switch {
	case t.Needs == task.Mask:
		note, err := knownPixels(&d, t, y, mask, invert)
		return d, []string{note}, err
	case kernel != "":
		var err error
		if d.Kernel, err = operator.LoadKernel(kernel); err != nil {
			return d, nil, fmt.Errorf("--kernel: %w", err)
		}
		return d, []string{fmt.Sprintf("kernel %s, %dx%d", kernel, d.Kernel.Size, d.Kernel.Size)}, nil
	case t.Assume != nil:
		d, words, err := t.Assume()
		d.Task = t.Name
		return d, []string{"no --kernel, so " + words}, err
	case t.Needs == task.Kernel:
		return d, nil, fmt.Errorf("task %s needs --kernel, %s (psld degrade --kernel-out makes one)", t.Name, t.File)
	}
	return d, nil, nil
}

// knownPixels sets which pixels are known, and says how many are missing.
func knownPixels(d *psld.Damage, t *task.Task, y *picture.Picture, mask string, invert bool) (note string, err error) {
	from := "the mask"
	if mask != "" {
		d.Keep, err = picture.LoadMask(mask, y.W, y.H, invert)
	} else {
		d.Keep, from, err = t.FindKnown(y)
		from += " pixels"
		if err != nil {
			err = fmt.Errorf("no --mask, and %w with --mask", err)
		}
	}
	if err != nil {
		return "", err
	}
	missing, n := 0, len(d.Keep)
	for i, k := range d.Keep {
		if !k {
			missing++
			if y.Alpha != nil {
				y.Alpha[i] = 1
			}
		}
	}
	if missing == 0 || missing == n {
		return "", fmt.Errorf("%s marks %d of %d pixels as missing: nothing to do, or nothing to go by (--invert-mask swaps)",
			from, missing, n)
	}
	return fmt.Sprintf("%d of %d pixels missing (%.1f %%), from %s", missing, n, 100*float64(missing)/float64(n), from), nil
}
