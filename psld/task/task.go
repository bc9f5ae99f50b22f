// Package task holds the kinds of damage that pictures are restored from. Each is a file: a name, words for people,
// what must be known of the damage, the operator, how a test measurement is made, and a rough restoration to start
// from. Programs read the list (All, Find) and never switch over names.
package task

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"psld/internal/nearest"
	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/solver"
)

// Name names a kind of damage, such as "sr4".
type Name string

// Need is what must be known of a damage beside its name.
type Need int

// What tasks need. Those that need a mask have the other pixels of the picture as they were.
const (
	Nothing Need = iota
	Mask         // which pixels are known
	Kernel       // the blur kernel
)

// Task is a kind of damage.
type Task struct {
	Name  Name
	Lost  string // what is lost, in a few words
	Looks string // how such a picture looks, one sentence
	Does  string // what restoring does with a picture, in a few words
	Needs Need
	File  string // what the file of the need is, for tasks that cannot do without, in words
	Scale int    // sides of the picture over those of its measurement
	// Direct says that the measurement is the picture itself under noise, which may have been cut off at black and white.
	Direct bool

	// Operator is the linear map A for a picture of h x w pixels with 3 channels. A damage without what the task needs
	// is an error.
	Operator func(h, w int, d Damage) (operator.Linear, error)

	// Draw makes up a damage for tests: mask or kernel come from seed, v has all parameters. nil: the task has none of
	// its own.
	Draw func(h, w int, v Values, seed uint64) (Damage, error)
	// Parameters are the numbers that Draw reads, and Fit, where it is set, those that suit pictures of h x w pixels
	// better than their defaults.
	Parameters []Parameter
	Fit        func(h, w int) Values

	// Guess is the damage that a measurement itself shows where the user tells nothing more, and what it is, in words.
	// Where it is unsure that is an error. nil: the user must tell.
	Guess func(y *picture.Picture) (d Damage, words string, err error)
	// Black tells, of a picture without mask and transparency, whether its exactly black pixels look like this damage;
	// nil: black is no sign of it. keep are the pixels that are not black, w is the picture's width.
	Black func(keep []bool, w int) bool

	// Aside says that the task is left out where none is named: in eval and tune.
	Aside bool

	// TV is the weight of total variation that suits the task: best of a grid on 16 other validation photographs at
	// 64x64 pixels and noise 0.05.
	TV float64
	// Best is the method that restored the task best on validation pictures, with the embedded models; "" is psld.
	Best string
	// Thin is the method that is better than Best where all holes are thin; "" for none.
	Thin string
	// Sharper is the method that takes Best's place where the best quality is asked for: its LPIPS is a fifth better at
	// the least, at more error, which keeps it out of there; "" for none.
	Sharper string
	// ByDamage are parameters of methods that depend on the noise or on the kernel, by the methods' names. They win over
	// the file of presets that comes with the program, which has all others (psld/presets.yaml).
	ByDamage map[string]Preset
	// Rough is a quick restoration of y for solvers to start from, of shape a.In(). nil: by total variation.
	Rough func(ctx context.Context, a operator.Linear, y []float32, d Damage) ([]float32, error)
}

// Preset gives the parameters of a method that suit a measurement with noise of deviation sigma, on [-1,1], and a blur
// of deviation width, in pixels: of the kernel, the mean of both axes; 0 without one.
type Preset func(sigma, width float64) param.Values

// Parameter is a number of a task's test damage.
type Parameter struct {
	Name    string // "missing"; the same name in several tasks means the same thing
	Usage   string // in words, with the kind of its value in backquotes
	Default float64
	Above   float64 // the value must be more than Above and at most Most, where Most is not 0
	Most    float64
	Test    bool // it draws a test damage at random: the restoration of a measured picture has no use for it
}

// Values are parameters by name. What is not in it has its default.
type Values map[string]float64

// list has all tasks, in the order of help texts and tables: a new one is a file and a line here.
var list = []*Task{&inpaint, &inpaintRandom, &inpaintBox, &destripe, &sr2, &sr4, &sr4Mean, &sr8, &deblurGaussian,
	&deblurCircular, &deblurMotion, &colourise, &denoise}

// All lists the tasks.
func All() []*Task { return slices.Clone(list) }

// Register adds a task of another package. It is for start-up and
// tests: not safe beside other calls. A name that is taken or empty, and a task without an operator, are errors.
func Register(t *Task) (remove func(), err error) {
	if t == nil {
		return nil, errors.New("t is nil, want a task")
	}
	if _, err := Find(string(t.Name)); err == nil || t.Name == "" {
		return nil, fmt.Errorf("task %q: the name is empty or taken", t.Name)
	}
	if t.Operator == nil || t.Scale < 1 {
		return nil, fmt.Errorf("task %s: want an operator and a scale of at least 1", t.Name)
	}
	list = append(list, t)
	return func() { list = slices.DeleteFunc(list, func(o *Task) bool { return o == t }) }, nil
}

// Find returns the task of that name; an unknown one is an error that lists them.
func Find(name string) (*Task, error) {
	for _, t := range list {
		if string(t.Name) == name {
			return t, nil
		}
	}
	var all []string
	for _, t := range list {
		all = append(all, string(t.Name))
	}
	return nil, fmt.Errorf("unknown task %q, want one of %s%s", name, strings.Join(all, ", "), nearest.Hint(name, all))
}

// Must is Find for a name that is in the list: another one is a programmer's mistake and panics.
func Must(name Name) *Task {
	t, err := Find(string(name))
	if err != nil {
		panic(err)
	}
	return t
}

// Drawn lists the tasks that make up test damages.
func Drawn() []*Task {
	return slices.DeleteFunc(All(), func(t *Task) bool { return t.Draw == nil })
}

// Usual lists the tasks of Drawn that are taken where none is named.
func Usual() []*Task {
	return slices.DeleteFunc(Drawn(), func(t *Task) bool { return t.Aside })
}

// FindDrawn is Find among those of Drawn; for another one the error tells which to take in its place.
func FindDrawn(name string) (*Task, error) {
	t, err := Find(name)
	if err != nil || t.Draw != nil {
		return t, err
	}
	same := slices.DeleteFunc(Drawn(), func(o *Task) bool { return o.Needs != t.Needs })
	what := map[Need]string{Nothing: "test damage", Mask: "masks", Kernel: "kernels"}[t.Needs]
	return nil, fmt.Errorf("task %s has no %s of its own: use %s", name, what, names(same, " or "))
}

func names(tasks []*Task, between string) string {
	var s []string
	for _, t := range tasks {
		s = append(s, string(t.Name))
	}
	return strings.Join(s, between)
}

// complete fills in the defaults.
func (t *Task) complete(v Values) Values {
	all := Values{}
	for _, p := range t.Parameters {
		all[p.Name] = p.Default
	}
	maps.Copy(all, v)
	return all
}

// Check reports parameters out of their range.
func (t *Task) Check(v Values) error {
	for _, p := range t.Parameters {
		if x, ok := v[p.Name]; ok && p.Most != 0 && !(x > p.Above && x <= p.Most) {
			return fmt.Errorf("%s %v, want more than %v and at most %v", p.Name, x, p.Above, p.Most)
		}
	}
	return nil
}

// DrawDamage makes up a damage for a test on h x w pictures, with mask or kernel from seed.
func (t *Task) DrawDamage(h, w int, v Values, seed uint64) (Damage, error) {
	if t.Draw == nil {
		return Damage{Task: t.Name}, errNeeds(t)
	}
	if h < 1 || w < 1 {
		return Damage{Task: t.Name}, fmt.Errorf("a damage for pictures of %dx%d pixels, want at least 1 a side", w, h)
	}
	if err := t.Check(v); err != nil {
		return Damage{Task: t.Name}, err
	}
	d, err := t.Draw(h, w, t.complete(v), seed)
	d.Task = t.Name
	return d, err
}

// FitDamage is DrawDamage with parameters that suit pictures of h x w pixels.
func (t *Task) FitDamage(h, w int, seed uint64) (Damage, error) {
	if t.Fit == nil {
		return t.DrawDamage(h, w, nil, seed)
	}
	return t.DrawDamage(h, w, t.Fit(h, w), seed)
}

// Start is a rough restoration of the measurement y, of shape a.In().
func (t *Task) Start(ctx context.Context, a operator.Linear, y []float32, d Damage) ([]float32, error) {
	if t.Rough != nil {
		return t.Rough(ctx, a, y, d)
	}
	return solver.RestoreTV(ctx, a, y, t.TV, 0)
}

func errNeeds(t *Task) error {
	return fmt.Errorf("task %s needs a %s",
		t.Name, map[Need]string{Nothing: "damage", Mask: "mask", Kernel: "kernel"}[t.Needs])
}

// Damage says how a picture was, or is to be, damaged.
type Damage struct {
	Task   Name
	Keep   []bool           // where the task needs a mask: which pixels are known, row by row
	Kernel *operator.Kernel // where it needs a kernel
	Grey   bool             // the measurement has no colours, nor has its noise
}

// New makes the damage of a test measurement for h x w pictures: the mask or the kernel is drawn from seed, with the
// parameters of the published experiments (see each task). A task without test damage is an error.
func New(name Name, h, w int, seed uint64) (Damage, error) {
	t, err := Find(string(name))
	if err != nil {
		return Damage{Task: name}, err
	}
	return t.DrawDamage(h, w, nil, seed)
}

// Operator is the linear map of the damage for a picture x of h x w pixels with 3 channels; see each task.
func (d Damage) Operator(h, w int) (operator.Linear, error) {
	t, err := Find(string(d.Task))
	if err != nil {
		return nil, err
	}
	if h < 1 || w < 1 {
		return nil, fmt.Errorf("a damage of pictures of %dx%d pixels, want at least 1 a side", w, h)
	}
	if t.Needs == Mask && d.Keep == nil || t.Needs == Kernel && d.Kernel == nil {
		return nil, errNeeds(t)
	}
	return t.Operator(h, w, d)
}

// Measure damages a picture: A x plus Gaussian noise of deviation sigma (on [-1,1]) on the values that are measured.
// It returns a picture of the measurement's size; missing pixels are black, grey pictures stay grey.
func Measure(x *picture.Picture, d Damage, sigma float64, seed uint64) (*picture.Picture, error) {
	return MeasureWith(x, d, operator.Noise{Kind: operator.GaussianNoise, Level: sigma}, seed)
}

// MeasureWith is Measure with noise of any kind.
func MeasureWith(x *picture.Picture, d Damage, noise operator.Noise, seed uint64) (*picture.Picture, error) {
	if err := noise.Check(); err != nil {
		return nil, err
	}
	if err := x.Validate(); err != nil {
		return nil, err
	}
	a, err := d.Operator(x.H, x.W)
	if err != nil {
		return nil, err
	}
	out := a.Out()
	values := make([]float32, out.Len())
	a.Apply(values, x.Pix)
	c := out.C
	if x.Grey && c == 3 { // one channel stands for all, its noise too
		c = 1
		for i := range len(values) / 3 {
			values[i] = values[3*i]
		}
		values = values[:len(values)/3]
	}
	noise.Add(values, c, seed)
	y := (&picture.Picture{W: out.W, H: out.H, Pix: values}).As(x)
	y.Grey = c == 1
	if c == 1 {
		y.Pix = make([]float32, 3*len(values))
		for i := range y.Pix {
			y.Pix[i] = values[i/3]
		}
	}
	for i, known := range operator.KnownOf(a) {
		if !known {
			y.Pix[3*i], y.Pix[3*i+1], y.Pix[3*i+2] = -1, -1, -1
		}
	}
	return y, nil
}

// Measured are the values of a measured picture, of shape a.Out(): a new slice. Of a picture that stands for one
// number a pixel they are the means of its channels.
func Measured(y *picture.Picture, a operator.Linear) []float32 {
	if a.Out().C != 1 {
		return slices.Clone(y.Pix)
	}
	values := make([]float32, len(y.Pix)/3)
	for i := range values {
		values[i] = (y.Pix[3*i] + y.Pix[3*i+1] + y.Pix[3*i+2]) / 3
	}
	return values
}

// FindKnown returns which pixels of a measurement without a mask are known, row by row, and says in words what it took
// for missing: transparent pixels (alpha under 128 of 255) where there are any, else exactly black ones, where they
// look like the task's damage. A picture with no such pixel is an error.
func (t *Task) FindKnown(y *picture.Picture) (keep []bool, missing string, err error) {
	if y.Alpha != nil {
		if keep = y.Mask(false); slices.Contains(keep, false) {
			return keep, "transparent", nil
		}
	}
	if t.Black == nil {
		return nil, "", errors.New("the picture has no transparent pixels: give a mask of what to repaint")
	}
	keep = make([]bool, y.W*y.H)
	for i := range keep {
		px := y.Pix[3*i : 3*i+3]
		keep[i] = px[0] > -1 || px[1] > -1 || px[2] > -1
	}
	if slices.Contains(keep, false) {
		if !t.Black(keep, y.W) {
			return nil, "", fmt.Errorf("the picture's exactly black pixels do not look like those of %s but like something "+
				"dark: give a mask of the missing ones", t.Name)
		}
		return keep, "exactly black", nil
	}
	return nil, "", errors.New("the picture has no transparent and no black pixels: give a mask of the missing ones")
}
