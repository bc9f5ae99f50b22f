package server

import (
	"fmt"
	"image"
	"net/http"
	"os"
	"slices"
	"strings"

	"psld/psld"
	"psld/psld/client"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/solver"
	"psld/psld/task"
)

// refusal is a request that is answered by an error's status and text.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func bad(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

const maxSamples = 8

// checkOptions looks at what needs no picture, and returns the options with their defaults.
func (s *Server) checkOptions(o client.JobOptions) (client.JobOptions, error) {
	t, err := task.Find(o.Task)
	if err != nil {
		return o, bad("%s", err)
	}
	if o.Model == "" {
		o.Model = s.o.Models[0].Name
	}
	if o.Quality == "" {
		o.Quality = psld.QualityGood
	}
	if o.Method == "" {
		o.Method = psld.Auto
	}
	if o.Samples == 0 {
		o.Samples = 1
	}
	switch err := psld.CheckQuality(o.Quality); {
	case s.models[o.Model] == nil:
		return o, bad("unknown model %q", o.Model)
	case err != nil:
		return o, bad("%s", err)
	case o.Samples < 1 || o.Samples > maxSamples:
		return o, bad("samples %d, want 1 to %d", o.Samples, maxSamples)
	case o.Sigma != nil && !(*o.Sigma >= 0 && *o.Sigma <= 2):
		return o, bad("sigma %v, want 0 to 2", *o.Sigma)
	case len(o.Prompt) > 2000:
		return o, bad("the prompt has %d bytes, want at most 2000", len(o.Prompt))
	case o.Try && t.Draw == nil:
		return o, bad("task %s has no damage of its own to try", t.Name)
	case o.Try && o.InvertMask:
		return o, bad("invert_mask has no meaning beside try")
	case o.Seed > 1<<53:
		return o, bad("seed %d, want at most 2^53", o.Seed)
	case (o.InvertMask || o.Paste != nil) && t.Needs != task.Mask:
		return o, bad("invert_mask and paste have no meaning for task %s", t.Name)
	}
	if err := checkBox(t, o); err != nil {
		return o, err
	}
	if o.Method != psld.Auto {
		spec, err := solver.Lookup(o.Method)
		if err != nil {
			return o, bad("%s", err)
		}
		if err := o.Params.Apply(spec.Default()); err != nil {
			return o, bad("params: %s", err)
		}
	} else if len(o.Params) > 0 {
		return o, bad("params need a method beside them, other than auto")
	}
	_, err = blurOf(t, o)
	return o, err
}

// checkBox looks at the rectangle in place of a mask. Whether it lies in the picture is seen later.
func checkBox(t *task.Task, o client.JobOptions) error {
	const most = 1 << 20 // a side, so that sums stay small
	b := o.MaskBox
	switch {
	case b == nil:
	case t.Needs != task.Mask:
		return bad("mask_box has no meaning for task %s", t.Name)
	case o.Try || o.InvertMask:
		return bad("mask_box has no meaning beside try and invert_mask")
	case len(b) != 4 || slices.Min(b) < 0 || slices.Max(b) > most || b[2] == 0 || b[3] == 0:
		return bad("mask_box %v, want x, y, width and height in pixels, such as [40, 60, 128, 96]", b)
	}
	return nil
}

// blurOf are the parameters of a blur that the options tell; none for none.
func blurOf(t *task.Task, o client.JobOptions) (task.Values, error) {
	told := task.Values{}
	for _, p := range []struct {
		name  string
		value float64
	}{{"kernel-std", o.KernelStd}, {"motion-length", o.MotionLength}, {"motion-angle", o.MotionAngle}} {
		if p.value == 0 {
			continue
		}
		known := false
		for _, q := range t.Parameters {
			known = known || q.Name == p.name
		}
		if !known || t.Needs != task.Kernel {
			return nil, bad("%s has no meaning for task %s", p.name, t.Name)
		}
		told[p.name] = p.value
	}
	if err := t.Check(told); err != nil {
		return nil, bad("%s", err)
	}
	return told, nil
}

// problem is what a job's files say.
type problem struct {
	task   *task.Task
	y      *picture.Picture
	damage psld.Damage
	made   bool // y was made here, of a whole picture
	h, w   int  // of the result
	sigma  *float64
	notes  []string
}

// readProblem reads a job's files; path gives that of a name. What is wrong with them is a refusal.
func (s *Server) readProblem(o client.JobOptions, path func(name string) string) (*problem, error) {
	s.decode <- struct{}{} // pictures take a hundred times the memory of their files
	defer func() { <-s.decode }()
	t := task.Must(task.Name(o.Task))
	p := &problem{task: t, sigma: o.Sigma}
	y, err := picture.Load(path("picture"))
	if err != nil {
		return nil, bad("%s", unnamed(err, path("picture")))
	}
	if y.Note != "" {
		p.notes = append(p.notes, y.Note)
	}
	p.y = y
	if o.Try {
		err = p.damageFirst(o, path)
	} else {
		err = p.findDamage(o, path)
	}
	if err != nil {
		return nil, err
	}
	p.h, p.w = t.Scale*p.y.H, t.Scale*p.y.W
	if p.h*p.w > s.o.MaxPixels {
		return nil, &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf(
			"the result would have %dx%d pixels, this server takes at most %.1f megapixels", p.w, p.h,
			float64(s.o.MaxPixels)/1e6)}
	}
	if _, err := p.damage.Operator(p.h, p.w); err != nil {
		return nil, bad("%s", err)
	}
	switch {
	case p.sigma != nil:
	case p.made:
		sigma := psld.DefaultSigma
		p.sigma = &sigma
	default:
		if sigma, why, ok := psld.NoiseOf(t, p.y, p.damage.Keep); ok {
			p.sigma = &sigma
			note := fmt.Sprintf("noise estimated: deviation %.1f of 255", sigma*127.5)
			if why != "" {
				note += ", " + why
			}
			p.notes = append(p.notes, note)
		}
	}
	if told := o.KernelStd > 0 || o.MotionLength > 0 || has(path("kernel")); told && !o.Try && p.sigma != nil {
		if doubt := psld.KernelDoubt(p.y, p.damage, *p.sigma); doubt != "" {
			p.notes = append(p.notes, doubt)
		}
	}
	return p, nil
}

// findDamage makes out the damage of the picture as it is.
func (p *problem) findDamage(o client.JobOptions, path func(string) string) (err error) {
	told := psld.Told{InvertMask: o.InvertMask}
	if b := o.MaskBox; b != nil {
		told.Box = image.Rect(b[0], b[1], b[0]+b[2], b[1]+b[3])
	}
	for name, file := range map[string]*string{"mask": &told.Mask, "kernel": &told.Kernel} {
		if has(path(name)) {
			*file = path(name)
		}
	}
	if told.Blur, err = blurOf(p.task, o); err != nil {
		return err
	}
	var words []string
	if p.damage, words, err = psld.FindDamage(p.task, p.y, told); err != nil {
		return bad("%s", unnamed(err, path("mask"), path("kernel")))
	}
	p.notes = append(p.notes, words...)
	return nil
}

// damageFirst damages the picture, whose sides are cut to multiples of the task's scale.
func (p *problem) damageFirst(o client.JobOptions, path func(string) string) error {
	for _, name := range []string{"mask", "kernel"} {
		if has(path(name)) {
			return bad("a %s has no meaning beside try, which damages the picture by one of its own", name)
		}
	}
	n := p.task.Scale
	x, err := picture.CropCentre(p.y, p.y.W/n*n, p.y.H/n*n)
	if err != nil {
		return bad("the picture: %s", err)
	}
	told, err := blurOf(p.task, o)
	if err != nil {
		return err
	}
	var d psld.Damage
	if len(told) > 0 {
		d, err = p.task.DrawDamage(x.H, x.W, told, o.Seed)
	} else {
		d, err = p.task.FitDamage(x.H, x.W, o.Seed)
	}
	if err != nil {
		return bad("%s", err)
	}
	sigma := psld.DefaultSigma
	if o.Sigma != nil {
		sigma = *o.Sigma
	}
	if p.y, err = psld.Measure(x, d, sigma, o.Seed); err != nil {
		return bad("%s", err)
	}
	p.damage, p.made = d, true
	return nil
}

// options are those of the run of a sample.
func (p *problem) options(o client.JobOptions, sample int) psld.Options {
	return psld.Options{Method: o.Method, Quality: o.Quality, Params: param.Values(o.Params),
		Seed: o.Seed + uint64(sample), Sigma: p.sigma, PasteKnown: o.Paste, Prompt: o.Prompt}
}

// mostKept is how many bytes of pictures stay in memory between hand-in and run.
const mostKept = 128 << 20

// keep has a job's picture wait in memory for its run, if there is room: what is not kept is decoded once more.
func (s *Server) keep(j *job, p *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := p.bytes(); s.kept+n <= mostKept {
		s.kept += n
		j.problem = p
	}
}

// release gives the kept picture out, nil for none.
func (s *Server) release(j *job) *problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := j.problem
	if j.problem = nil; p != nil {
		s.kept -= p.bytes()
	}
	return p
}

// bytes is about the memory of the picture and its damage.
func (p *problem) bytes() int64 { return int64(4*(len(p.y.Pix)+len(p.y.Alpha)) + len(p.damage.Keep)) }

func has(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// unnamed is an error's text without the names of files, which are of no interest to who sent them.
func unnamed(err error, paths ...string) string {
	text := err.Error()
	for _, path := range paths {
		text = strings.ReplaceAll(strings.ReplaceAll(text, path+": ", ""), " "+path, "")
	}
	return text
}
