package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"psld/asm"
	"psld/internal/memstat"
	"psld/psld"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

var restoreVerb = verb{
	talks: true,
	name:  "restore", args: "--task T --in y.png --out x.png", short: "restore a damaged picture",
	lists: func() string {
		return taskList("Tasks:", func(t *task.Task) string { return t.Does })
	},
	notes: `Masks are given by --mask. A blur is given by --kernel, the picture of how it draws a bright point
(its point-spread function), by --kernel-std (Gaussian) or by --motion-length and --motion-angle (a
straight motion). Without, deblur-gaussian estimates the deviation from the picture, prints it, and
asks where it is unsure. --sigma 0.05 is on the scale [-1,1], --sigma 12/255 on that of bytes.
No noise is added to the picture. It keeps its size (times 4 for sr4) and, when
inpainting, its known pixels exactly. Ctrl-C writes the best picture so far and
the state of the run, prints the command that goes on from there, and exits with
code 130.
  psld restore --task denoise --in noisy.png --out clean.png
  psld restore --task inpaint --in photo.jpg --mask mask.png --out restored.png
  psld restore --task inpaint --in photo.jpg --mask-box 40,60,128,96 --out restored.png

Several pictures are restored one after the other, with one loading of the model, each to the bits it has alone:
  psld restore --task denoise --in scans --out restored
  psld restore --task inpaint --in 'scans/*.jpg' --mask masks --out 'restored/{name}-new.png' --skip-existing
--in names a folder, a pattern or several files; --mask and --kernel one file for all, or a folder whose files have
the inputs' names; {name} is an input's name without its extension. Names that would collide, masks that are missing
and folders that cannot be written are errors before the first picture. A picture that fails does not stop the
others: the summary names it, and the exit code is 1. After Ctrl-C the same command with --resume --skip-existing
goes on.

The PNG holds the settings (psld info shows them), without names of folders; --like takes them for another picture.

A run of more than five minutes also keeps its state on disk as it goes
(--save-every), in --out with .state behind (--save-state), until the picture is
written. Whatever ended the program, the same command with --resume goes on from
there and gives the same file as without a break. It is refused, with the reason, where
input, mask, kernel, model, options, --dtype or processor kernels are not the same; --threads,
--save-every, and what comes after the steps (--raw, --sigma, --paste) may differ
(but for methods that make use of the noise: --sigma), and so may --max-mem.
The first state is that after the first step; of a pixel method it takes 24 bytes a pixel.
The memory that is planned for is the least of --max-mem, GOMEMLIMIT (heap and weights
together) and three quarters of what is available.

`,
	setup: func(fs *flag.FlagSet) work { return addRestoreFlags(fs).run },
}

// restoreFlags are those of psld restore.
type restoreFlags struct {
	fs                           *flag.FlagSet
	ins                          listFlag // --in, as given
	task, in, out                *string  // in is one picture
	mask, kernel, sheet, curves  *string
	box                          *boxFlag // in place of mask
	invert, paste, guide, asJSON *bool
	skip                         *bool
	show                         showFlag
	methodName, maxMem, quality  *string
	preview                      *string
	maxTime                      *time.Duration
	sigma                        *float64
	model                        *modelFlags
	told                         func(map[string]bool, *task.Task, bool) (task.Values, error)
	methods                      *methodFlags
	prompts                      *promptFlags
	keep                         *keepFlags
	seed                         func() (uint64, error)
	threads                      func() error
}

func addRestoreFlags(fs *flag.FlagSet) *restoreFlags {
	f := &restoreFlags{
		fs:   fs,
		task: fs.String("task", "", "`T`: "+taskNames(task.All(), ", ", " or ")),
		in:   new(string),
		out: fs.String("out", "", "`file` for the restored picture: .png or .jpg; for several a folder, or a pattern such "+
			"as out/{name}-restored.png"),
		mask: fs.String("mask", "", "`picture` of the same size, white or transparent = repaint (inpainting); or a folder "+
			"of those, with the names of the inputs"),
		invert: fs.Bool("invert-mask", false, "the mask's white and black change places"),
		kernel: fs.String("kernel", "", "point-spread function, a grey `PNG` (deblurring), or a folder of those"),
		skip:   fs.Bool("skip-existing", false, "of several pictures, leave out those whose restored ones are there"),
		told:   addParameterFlags(fs, func(t *task.Task) bool { return t.Needs == task.Kernel }, false),
		methodName: fs.String("method", psld.Auto, "`M`: auto (what restores the task best; psld with Stable Diffusion), "+
			strings.Join(solver.Names(), ", ")),
		quality: fs.String("quality", "", "`Q`: preview, good or best: the number of steps; with auto for sr4 the "+
			"method, for best PSLD, and with Stable Diffusion, DPM or for best PSLD (default: good; "+
			"with Stable Diffusion PSLD with more steps than best has)"),
		preview: fs.String("preview", "", "`file` that shows the picture in the making, after the first step and then "+
			"every minute: .png or .jpg"),
		model:  addModelFlags(fs),
		paste:  fs.Bool("paste", true, "keep the known pixels exactly (inpainting)"),
		sheet:  fs.String("sheet", "", "also write a `PNG` with the pictures before and after, side by side"),
		curves: fs.String("curves", "", "also write a `PNG` with the curves of loss and residual over the steps"),
		asJSON: fs.Bool("json", false, "print progress and result as JSON lines"),
		sigma: addDeviationFlag(fs, 0, "`deviation` of the picture's noise on [-1,1] (default: estimated from the "+
			"picture)"),
		maxTime: fs.Duration("max-time", 0, "`time` that the run may take by its prediction, such as 10m; a longer one is "+
			"refused before the first step, without a model by the first steps; one that may converge early, as of "+
			"method tv, when the time is over (default: no limit)"),
		maxMem: fs.String("max-mem", "", "`size` of memory that the program may take, such as 8GiB: as many activations "+
			"are "+
			"kept as fit, the others are computed twice (default: GOMEMLIMIT, at most three quarters of what is available)"),
		guide:   fs.Bool("guide-vae", false, "decode and encode by --taesd in the steps: less work, rougher guidance"),
		methods: addMethodFlags(fs), prompts: addPromptFlags(fs), keep: addKeepFlags(fs), seed: seedFlag(fs),
		threads: threadsFlag(fs),
	}
	addLikeFlag(fs)
	f.box = addBoxFlag(fs)
	fs.Var(&f.show, "show", "show the picture in the terminal as it is made; --show=`KIND` for kitty, iterm2, sixel or "+
		"blocks in place of what the terminal seems to be")
	fs.Var(&f.ins, "in", "the damaged `picture`: PNG, JPEG, WebP, TIFF, BMP or GIF; or a folder, a quoted pattern such "+
		"as 'scans/*.jpg', or several with commas between; may be repeated")
	return f
}

// restoration is a run of psld restore.
type restoration struct {
	*restoreFlags
	c         *console
	o         psld.Options
	t         *task.Task
	y         *picture.Picture
	blur      task.Values // in place of a kernel file; none for none
	d         psld.Damage
	words     string // of the damage
	noise     string // where its deviation is from
	noiseNote string // what is to be said of an estimate
	why       string // the method, where the damage decided
	h, w      int    // of the result
	total     int    // steps
	before    int    // of them, done before a resume
	m         prior.Prior
	spec      solver.Spec // of the method
	method    solver.Method
	predicted time.Duration           // 0 for unknown
	limiter   *time.Timer             // refuses where the first steps are too long
	refuse    context.CancelCauseFunc // ends the run with an error
	start     time.Time
	bar       *progress
	waiting   *time.Timer // for the first step
	screen    *screen     // nil for none
	looked    time.Time   // when the preview was written
	losses    []float64   // of the steps, where --curves wants them, and the residuals
	residuals []float64
	kept      bool // there is a state of the run on disk
	many      bool // it is one of several

	models  map[bool]prior.Prior // those that are open, by whether pixels are preferred; nil where it is the only run
	noModel bool                 // it cannot be opened
}

func (f *restoreFlags) run(ctx context.Context, c *console, _ []string) error {
	c = c.to(*f.out)
	inputs, several, err := f.inputs()
	if err != nil {
		return err
	}
	if several {
		return f.batch(ctx, c, inputs)
	}
	if len(inputs) == 1 {
		*f.in = inputs[0].path
		for _, own := range []struct {
			flag string
			path *string
		}{{"--mask", f.mask}, {"--kernel", f.kernel}} {
			found, err := companions(own.flag, *own.path, inputs)
			if err != nil {
				return err
			}
			*own.path = found[0]
		}
	}
	r := &restoration{restoreFlags: f, c: c}
	for _, step := range []func(context.Context) error{r.check, r.checkFiles, r.restore} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// restore does the work, the flags of which are checked.
func (r *restoration) restore(ctx context.Context) error {
	for _, step := range []func(context.Context) error{r.load, r.choose, r.openModel, r.open, r.announce} {
		if _, err := untilStopped(ctx, func() (any, error) { return nil, step(ctx) }, nil); err != nil {
			return r.nothing(ctx, err)
		}
	}
	r.start, r.bar, r.kept = time.Now(), r.c.progress("step"), r.o.Keep.Resume
	r.screen = r.c.screen(r.show.kind)
	r.waiting = time.AfterFunc(8*time.Second, func() { r.c.say("the first step is under way") })
	defer r.waiting.Stop()
	limited, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	r.refuse = refuse
	if *r.maxTime > 0 && r.predicted == 0 { // a first step may be longer than that
		r.limiter = time.AfterFunc(*r.maxTime, func() { refuse(r.tooLong("more than that")) })
		defer r.limiter.Stop()
	}
	res, err := r.solve(ctx, limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return context.Cause(limited)
	}
	if err != nil && (res == nil || res.Steps == 0 || !errors.Is(err, ctx.Err())) {
		return r.nothing(ctx, err)
	}
	if err != nil && r.many && r.o.Keep.File == "" {
		return err // else --skip-existing would take what is unfinished for done
	}
	r.bar.clear()
	if r.screen != nil {
		if r.bar.bar && res.Steps+res.Begun == r.total && r.screen.rows > 0 {
			r.screen.rows++ // the bar ended its line
		}
		_ = r.screen.show(res.Picture)
	}
	if e := errors.Join(r.save(res), r.drawCurves()); e != nil {
		return errors.Join(e, err)
	}
	r.report(res, err)
	return err
}

// solve is psld.Solve within limited. Where ctx ends before the first step is done there is nothing to write, and
// nothing to wait for.
func (r *restoration) solve(ctx, limited context.Context) (*psld.Result, error) {
	var begun atomic.Bool
	o := r.o
	o.Progress = func(p solver.Progress) {
		begun.Store(true)
		r.step(p)
	}
	return untilStopped(ctx, func() (*psld.Result, error) {
		return psld.Solve(limited, r.m, psld.Problem{Damage: r.d, Measurement: r.y}, o)
	}, &begun)
}

// nothing is the error of a run that has no picture to write: where Ctrl-C ended it, it says so.
func (r *restoration) nothing(ctx context.Context, err error) error {
	if r.o.Keep.Resume && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return fmt.Errorf("stopped before a further step: no picture was written, and the state is as it was: %w", ctx.Err())
	}
	return nothing(ctx, err, "picture and no state")
}

// check looks at the flags that need no file.
func (r *restoration) check(context.Context) (err error) {
	if r.t, err = required(*r.task, *r.in, *r.out); err != nil {
		return err
	}
	if err := r.model.check(); err != nil {
		return err
	}
	if *r.methodName != psld.Auto {
		if err := r.fit(*r.methodName); err != nil {
			return err
		}
	}
	if err := psld.CheckQuality(*r.quality); err != nil {
		return fmt.Errorf("--%w", err)
	}
	r.o.PasteKnown, r.o.Quality = r.paste, *r.quality
	set := given(r.fs)
	if set["sigma"] {
		r.o.Sigma = r.sigma
	}
	if r.o.MaxMemory, err = parseSize(*r.maxMem); err != nil {
		return fmt.Errorf("--max-mem: %w", err)
	}
	if r.o.Seed, err = r.seed(); err != nil {
		return err
	}
	if err := onlyFor(set, r.t, r.t.Needs == task.Mask, "mask", "mask-box", "invert-mask", "paste"); err != nil {
		return err
	}
	if err := onlyFor(set, r.t, r.t.Needs == task.Kernel, "kernel"); err != nil {
		return err
	}
	if r.blur, err = r.told(set, r.t, *r.kernel == ""); err != nil {
		return err
	}
	if err := r.prompts.check(); err != nil {
		return err
	}
	switch {
	case *r.guide && *r.model.taesd == "":
		return errors.New("--guide-vae needs --taesd")
	case *r.mask != "" && !r.box.Empty():
		return errors.New("--mask-box has no meaning beside --mask")
	case *r.invert && *r.mask == "":
		return errors.New("--invert-mask needs --mask")
	}
	return r.threads()
}

// latentFlags ask for something that only latent models have.
var latentFlags = []string{"taesd", "guide-vae", "vae", "vocab", "variant", "lora", "prompt", "negative", "cfg",
	"emphasis", "reference", "windows"}

// candidates are the names of methods to take, in their order: auto stands for the best one of the models that there
// are, and for the task's own where the flags are none of that. why says what in the damage decided for the first.
func (r *restoration) candidates() (names []string, why string) {
	latent := *r.model.path != "" && !prior.IsPixel(*r.model.path)
	set := given(r.fs)
	for _, name := range latentFlags {
		latent = latent || set[name]
	}
	quality := *r.quality
	if *r.model.path != "" {
		quality = ""
	}
	best, why := psld.Choose(*r.methodName, r.d, r.h, r.w, latent, quality)
	if why == "" {
		return []string{best}, ""
	}
	usual, _ := psld.Choose(*r.methodName, psld.Damage{Task: r.t.Name}, r.h, r.w, latent, "")
	return []string{best, usual}, why
}

// choose finds the method, now that the damage is known, and looks at the flags that have to do with it.
func (r *restoration) choose(context.Context) error {
	names, why := r.candidates()
	var first error
	for _, name := range names {
		err := r.fit(name)
		if err == nil {
			r.why = why
			return nil
		}
		if first == nil {
			first = err
		}
		why = ""
	}
	if *r.methodName == psld.Auto {
		return fmt.Errorf("%w (%s is the best method here; --method names another)", first, names[0])
	}
	return first
}

// fit takes a method that the flags are for.
func (r *restoration) fit(name string) (err error) {
	own, err := r.methods.options(name)
	if err != nil {
		return err
	}
	if r.spec, err = solver.Lookup(name); err != nil {
		return err
	}
	set := given(r.fs)
	if !r.spec.Needs.Prior {
		for _, flag := range []string{"model", "device", "dtype", "variant", "vae", "vocab", "taesd", "windows",
			"lora", "cfg", "prompt", "negative", "emphasis"} {
			if set[flag] {
				return fmt.Errorf("--%s has no meaning for method %s, which needs no model", flag, name)
			}
		}
	}
	switch {
	case r.spec.Needs.Mask && r.t.Needs != task.Mask:
		return fmt.Errorf("method %s fills holes, and task %s has none: take method diffpir or psld", name, r.t.Name)
	case *r.methods.reference && !psld.HasReference(r.spec):
		return fmt.Errorf("--reference has no meaning for method %s", name)
	case set["quality"] && !psld.HasQuality(r.spec):
		return fmt.Errorf("--quality has no meaning for method %s, whose number of steps is not to choose", name)
	case set["cfg"] && r.spec.Needs.PrefersPixels() && *r.model.path == "":
		return fmt.Errorf("--cfg has no meaning for method %s here: it takes no prompt", name)
	}
	r.o.Method, r.o.Params, r.o.Presets, r.o.Reference, r.o.Raw = name, own.Params, own.Presets, own.Reference, own.Raw
	return nil
}

// checkFiles looks at the outputs.
func (r *restoration) checkFiles(context.Context) (err error) {
	if err := checkOutput("--out", *r.out, pictureFiles, *r.in, *r.mask, *r.kernel); err != nil {
		return err
	}
	if err := r.checkExtras(); err != nil {
		return err
	}
	r.o.Keep, err = r.keep.options(*r.out, *r.in, *r.mask, *r.kernel, *r.sheet, *r.curves)
	return err
}

// checkExtras looks at the files that are written beside --out.
func (r *restoration) checkExtras() error {
	others := [][2]string{{"--out", *r.out}}
	for _, e := range []struct {
		flag, path string
		kinds      []string
	}{{"--sheet", *r.sheet, pictureFiles}, {"--preview", *r.preview, pictureFiles},
		{"--curves", *r.curves, pictureFiles[:1]}} {
		if e.path == "" {
			continue
		}
		for _, other := range others {
			if filepath.Clean(e.path) == filepath.Clean(other[1]) {
				return fmt.Errorf("%s and %s are the same file %s", e.flag, other[0], e.path)
			}
		}
		if err := checkOutput(e.flag, e.path, e.kinds, *r.in, *r.mask, *r.kernel); err != nil {
			return err
		}
		others = append(others, [2]string{e.flag, e.path})
	}
	return nil
}

// load reads the picture and what is known of its damage.
func (r *restoration) load(context.Context) (err error) {
	if r.y, err = r.c.loadPicture(*r.in); err != nil {
		return err
	}
	if err := r.damage(); err != nil {
		return err
	}
	r.h, r.w = r.t.Scale*r.y.H, r.t.Scale*r.y.W
	if err := psld.CheckSize(r.h, r.w); err != nil {
		return fmt.Errorf("%s: %w", *r.in, err)
	}
	if _, err := r.d.Operator(r.h, r.w); err != nil {
		return err
	}
	if err := r.checkSpace(); err != nil {
		return err
	}
	r.noise = "as given"
	if r.o.Sigma == nil {
		r.noise = "unknown"
		if sigma, note, ok := psld.NoiseOf(r.t, r.y, r.d.Keep); ok {
			r.o.Sigma, r.noise, r.noiseNote = &sigma, "estimated", note
		}
	}
	// There may be a little more than asked for: the schedule divides 1000.
	r.before, r.total, err = r.keep.look(r.c, r.o.Keep)
	return err
}

// checkSpace looks for room for the picture, and for the state: four numbers a value at the most, of all methods.
func (r *restoration) checkSpace() error {
	values := 3 * int64(r.h) * int64(r.w)
	if err := checkSpace("--out", *r.out, values); err != nil {
		return err
	}
	if r.o.Keep.File == "" {
		return nil
	}
	return checkSpace("--save-state", r.o.Keep.File, 16*values)
}

// damage makes out the mask or kernel of the picture, and tells the flags by which the user may say what it cannot.
func (r *restoration) damage() (err error) {
	told := psld.Told{Mask: *r.mask, Box: r.box.Rectangle, InvertMask: *r.invert, Kernel: *r.kernel, Blur: r.blur}
	var words []string
	r.d, words, err = psld.FindDamage(r.t, r.y, told)
	r.words = strings.Join(words, "; ")
	switch {
	case err == nil:
		return nil
	case *r.kernel != "":
		return fmt.Errorf("--kernel: %w", err)
	case len(r.blur) > 0:
		return fmt.Errorf("--%w", err)
	case r.t.Guess != nil:
		return fmt.Errorf("%w: --kernel-std S tells it, in pixels, or --kernel names a file", err)
	case r.t.Needs == task.Kernel:
		return fmt.Errorf("task %s needs --kernel, %s, or --motion-length and --motion-angle", r.t.Name, r.t.File)
	case !r.box.Empty():
		return fmt.Errorf("--mask-box: %w", err)
	case *r.mask == "":
		return fmt.Errorf("no --mask, and %w (--mask names one)", err)
	case errors.Is(err, psld.ErrNotPart):
		return fmt.Errorf("%w (--invert-mask swaps)", err)
	}
	return err
}

// openModel loads the model, unless it is there or there is no need for one.
func (r *restoration) openModel(ctx context.Context) (err error) {
	if !r.spec.Needs.Prior {
		return nil
	}
	pixels := r.spec.Needs.PrefersPixels() && *r.model.path == ""
	if r.m = r.models[pixels]; r.m != nil {
		return nil
	}
	r.m, err = r.model.openAny(ctx, r.c, pixels)
	if err == nil {
		err = r.prompts.fit(r.c, r.m)
	}
	if r.noModel = err != nil; !r.noModel && r.models != nil {
		r.models[pixels] = r.m
	}
	return err
}

// open completes the options.
func (r *restoration) open(context.Context) (err error) {
	p := r.prompts
	r.o.Prompt, r.o.Negative, r.o.GuidanceScale, r.o.Emphasis = *p.prompt, *p.negative, *p.guidance, *p.emphasis
	r.o.LightCodec = *r.guide
	if *r.quality != "" && *r.methodName == psld.Auto && len(r.o.Params) == 0 { // it depends on the model as well
		r.o.Method = psld.Auto
	}
	if r.method, err = psld.Preset(r.m, r.d, r.h, r.w, r.o); err != nil {
		return err
	}
	r.o.Method = solver.SpecOf(r.method).Name
	if err := solver.Check(r.m, r.method, r.deviation()); err != nil {
		return fmt.Errorf("method %s: %w", r.o.Method, err)
	}
	if err := psld.CheckMemory(r.m, r.method, r.d, r.h, r.w, r.o); err != nil {
		return err
	}
	r.predicted = r.predict()
	if *r.maxTime > 0 && r.predicted > *r.maxTime {
		return r.tooLong("about " + round(r.predicted).String())
	}
	return nil
}

// predict is about how long the steps to go take, 0 for unknown. States of a run in windows do not tell how far the
// whole is, only the window under way.
func (r *restoration) predict() time.Duration {
	t := psld.Predict(r.m, r.method, r.d, r.h, r.w, r.o)
	if r.before > 0 && psld.Windows(r.m, r.d, r.h, r.w, r.o) == 0 {
		t = time.Duration(float64(t) * float64(r.total-r.before) / float64(r.total))
	}
	return t
}

// tooLong is the error of a run that --max-time refuses.
func (r *restoration) tooLong(takes string) error {
	return fmt.Errorf("it would take %s, --max-time is %s: fewer steps, a smaller picture or another --method take less",
		takes, *r.maxTime)
}

// limit ends a run whose time was not predicted before, and by its first steps is above --max-time. The first one also
// sets up memory, so it counts as what it took; left is what those to go will take, by the second one as a rule. Of a
// run that may converge early that is no reason, but its time is.
func (r *restoration) limit(p solver.Progress, left time.Duration) {
	done := p.Step >= p.Steps
	if r.limiter != nil && (r.bar.sure && !p.AtMost || done) {
		r.limiter.Stop()
	}
	if *r.maxTime <= 0 || r.predicted > 0 || r.bar.sure && !r.bar.news || done {
		return
	}
	switch spent := time.Since(r.start); {
	case spent > *r.maxTime:
		r.refuse(r.tooLong("more than " + round(spent).String()))
	case r.bar.news && !p.AtMost && spent+left > *r.maxTime:
		r.refuse(r.tooLong(fmt.Sprintf("up to %s by its first steps", round(spent+left))))
	}
}

// deviation is that of the noise, 0 where it is unknown.
func (r *restoration) deviation() float64 {
	if r.o.Sigma == nil {
		return 0
	}
	return *r.o.Sigma
}

// blurTold tells whether the user says what blurred the picture.
func (r *restoration) blurTold() bool { return *r.kernel != "" || len(r.blur) > 0 }

// announce says what is about to be done.
func (r *restoration) announce(context.Context) error {
	r.c.say("picture   %s, %dx%d; result %dx%d", *r.in, r.y.W, r.y.H, r.w, r.h)
	words := string(r.t.Name)
	if r.words != "" {
		words += "; " + r.words
	}
	r.c.say("task      %s", words)
	if r.o.Sigma == nil {
		r.c.say("noise     cannot be told from the picture (--sigma tells it)")
	} else {
		r.c.say("noise     deviation %.3g on [-1,1] (%.3g of 255), %s", *r.o.Sigma, *r.o.Sigma*127.5, r.noise)
	}
	if r.noiseNote != "" {
		r.c.say("          %s (--sigma tells it)", r.noiseNote)
	}
	if r.blurTold() {
		if doubt := psld.KernelDoubt(r.y, r.d, r.deviation()); doubt != "" {
			r.c.warn([]string{doubt})
		}
	}
	r.c.say("method    %s, seed %d", psld.DescribeMethod(r.method), r.o.Seed)
	if r.why != "" {
		r.c.say("          taken because %s; --method names another", r.why)
	}
	if r.m != nil {
		r.c.say("model     %s", prior.Describe(r.m))
		if note := psld.HostNote(r.m, r.d, r.method, r.h, r.w); note != "" {
			r.c.say("          %s", note)
		}
		if n := psld.Windows(r.m, r.d, r.h, r.w, r.o); n > 0 {
			r.c.say("layout    solved in %d windows around the holes", n)
		} else {
			r.c.say("layout    solved %s", r.layout())
		}
	}
	r.c.say("machine   %s", machine())
	if r.c.verbose {
		r.c.say("settings  %s", r.record().Text().Value)
	}
	switch {
	case r.predicted > 0 && r.o.Keep.Resume:
		r.c.say("time      about %s from the resume on%s", round(r.predicted), r.lookHint())
	case r.predicted > 0:
		r.c.say("time      about %s%s", round(r.predicted), r.lookHint())
	case *r.maxTime > 0:
		r.c.say("time      of method %s is known by its first steps: --max-time refuses then, or ends it", r.o.Method)
	default:
		r.c.say("time      of method %s is known by its first steps", r.o.Method)
	}
	return nil
}

// layout says how the model sees the picture.
func (r *restoration) layout() string {
	h, w := solver.Seen(r.method, r.m, r.d.Keep, r.h, r.w)
	how := prior.Layout(r.m, w, h)
	if h < r.h {
		how = fmt.Sprintf("at %dx%d pixels first, %s; then with patches of the picture", w, h, how)
	}
	return how
}

// step prints the progress of a step.
func (r *restoration) step(p solver.Progress) {
	r.waiting.Stop()
	r.total, r.kept = p.Steps, r.kept || p.Kept
	r.look(p)
	if *r.curves != "" {
		loss, rms := p.Loss, p.RMS
		if !p.HasLoss() {
			loss, rms = math.NaN(), math.NaN() // left out
		}
		r.losses, r.residuals = append(r.losses, loss), append(r.residuals, rms)
	}
	if r.screen.due() && p.Step < p.Steps && r.bar.seen > 2 {
		if x, err := p.Picture(); err == nil { // else the run itself will tell
			r.bar.clear()
			_ = r.screen.show(&picture.Picture{W: r.w, H: r.h, Pix: x})
		}
	}
	r.bar.atMost = p.AtMost
	per, left := r.bar.pace(p.Step, p.Steps, p.Share)
	r.limit(p, left)
	if p.KeepErr != nil {
		r.bar.clear()
		r.c.say("warning   %v; the run goes on without it", p.KeepErr)
	}
	if *r.asJSON {
		printJSON(r.c, map[string]any{"step": p.Step, "steps": p.Steps, "loss": p.Loss, "measurement": p.Measurement,
			"gluing": p.Term("gluing"), "rms": p.RMS, "memory_bytes": p.Memory, "seconds_per_step": per.Seconds(),
			"seconds_left": left.Seconds(), "kept": p.Kept})
		return
	}
	var note []string
	if p.Memory > 0 {
		note = append(note, memstat.Words(p.Memory))
	}
	if p.HasLoss() {
		note = append(note, fmt.Sprintf("loss %.4g", p.Loss), fmt.Sprintf("measurement %.4g", p.Measurement))
	}
	for _, t := range p.Terms {
		note = append(note, fmt.Sprintf("%s %.4g", t.Name, t.Value))
	}
	r.bar.show(p.Step, p.Steps, strings.Join(note, "  "))
}

// pasted tells whether known pixels are put back.
func (r *restoration) pasted() bool { return *r.paste && r.t.Needs == task.Mask }

// record is what the result says of the flags.
func (r *restoration) record() psld.Record {
	return record(r.fs, func(fs *flag.FlagSet) { addRestoreFlags(fs) }, r.o.Seed)
}

// save writes the picture and the sheet.
func (r *restoration) save(res *psld.Result) error {
	model := "none"
	if r.m != nil {
		model = r.m.Info().Name
	}
	settings := fmt.Sprintf("Task: %s, %s, Seed: %d, Paste: %v, Model: %s, Kernels: %s, Size: %dx%d, Version: psld %s",
		r.t.Name, psld.MethodSettings(r.method, res.Steps+res.Begun, r.total), r.o.Seed, r.pasted(), model, asm.Active(),
		r.w, r.h, version())
	err := r.c.savePicture(*r.out, res.Picture, picture.Text{Key: "parameters", Value: settings}, r.record().Text())
	if err != nil || *r.sheet == "" {
		return err
	}
	y, hides := r.measurement()
	panels := []picture.Panel{{Title: "Measurement", Sub: string(r.t.Name), Pic: y},
		{Title: "Restoration", Sub: fmt.Sprintf("%s, %s, seed %d", psld.MethodTitle(r.o.Method), steps(res.Steps),
			r.o.Seed), Pic: res.Picture}}
	if hides {
		panels = append([]picture.Panel{{Title: "Picture", Pic: r.y}}, panels...)
	}
	s, err := picture.Sheet(panels, 0)
	if err != nil {
		return err
	}
	return r.c.savePicture(*r.sheet, s)
}

// measurement is what is known of the picture, with black holes, as degrade makes them. hides tells that there is
// something else in the picture there: a mask or a box lies over it.
func (r *restoration) measurement() (y *picture.Picture, hides bool) {
	if r.d.Keep == nil {
		return r.y, false
	}
	y = new(*r.y)
	y.Pix = slices.Clone(y.Pix)
	for i, known := range r.d.Keep {
		if px := y.Pix[3*i : 3*i+3]; !known {
			hides = hides || max(px[0], px[1], px[2]) > -1
			px[0], px[1], px[2] = -1, -1, -1
		}
	}
	return y, hides
}

// steps is a number of them, in words.
func steps(n int) string {
	if n == 1 {
		return "1 step"
	}
	return fmt.Sprintf("%d steps", n)
}

// report says what was done, and how to go on after a stop.
func (r *restoration) report(res *psld.Result, stopped error) {
	goOn := "" // the command
	switch st, err := solver.ReadState(r.o.Keep.File); {
	case stopped == nil && (r.kept || err == nil): // it has served, also where an earlier run had left it
		if err := os.Remove(r.o.Keep.File); err != nil && !errors.Is(err, os.ErrNotExist) {
			r.c.say("warning   %v", err)
		}
	case stopped != nil && err == nil && (st.Step == res.Steps || res.Windows > 0):
		goOn = r.keep.command(r.o.Seed)
	}
	doubt := ""
	if stopped == nil {
		doubt = res.Doubt()
	}
	switch {
	case *r.asJSON:
		printJSON(r.c, map[string]any{"out": *r.out, "steps_done": res.Steps + res.Begun, "rms": res.RMS, "warning": doubt,
			"seed":    r.o.Seed,
			"seconds": time.Since(r.start).Seconds(), "stopped": stopped != nil, "resume": goOn})
	case stopped != nil:
		haste := ""
		if res.Coarse > 0 {
			haste = fmt.Sprintf(", for haste of 1/%d of its resolution", 1<<res.Coarse)
		}
		r.c.wrote("stopped: the best picture so far is in %s%s", *r.out, haste)
		if goOn != "" {
			r.c.wrote("its state is in %s; to go on:\n  %s", r.o.Keep.File, goOn)
		}
	default:
		took := round(time.Since(r.start)).String()
		if r.o.Keep.Resume {
			took += " from the resume on"
		}
		r.c.wrote("wrote %s in %s; the restoration differs from the measurement by %.3f RMS on [-1,1]%s",
			*r.out, took, res.RMS, pastedWords(*r.out, r.pasted()))
	}
	if doubt != "" {
		r.c.warn([]string{doubt})
	}
}

// pastedWords says what became of the known pixels.
func pastedWords(out string, paste bool) string {
	switch ext := strings.ToLower(filepath.Ext(out)); {
	case !paste:
		return ""
	case ext == ".jpg" || ext == ".jpeg":
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
