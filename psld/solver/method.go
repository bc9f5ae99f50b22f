package solver

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"psld/autograd"
	"psld/internal/nearest"
	"psld/psld/param"
	"psld/tensor"
)

// Method is a method with its parameters: a pointer to a struct whose tags tell their names, ranges and defaults
// (package param). Bind readies it for one run. It returns an error where the parameters do not go with the problem
// or the prior.
type Method interface {
	Bind(r *Run) (Stepper, error)
}

// Stepper is a method at work. Solve drives it: the stepper knows nothing of progress, of kept states, of cancelling.
//
// A step depends on its state, on its number and on [Run.Noise] alone, so that a run that goes on from a kept state,
// and the step that is done again in search of a number that is not finite, give the same bits.
type Stepper interface {
	// Len is the number of steps, at least 1.
	Len() int
	// Start puts the variables of the state before the first step into s.Vars.
	Start(s *State) error
	// Step does step s.Step, counted from 0. It puts new tensors into s.Vars and does not write to the old ones. An
	// error that wraps ctx's counts as a stop before the step.
	Step(ctx context.Context, s *State) (Report, error)
	// Picture is what the run gives if it ends at s, of shape A.In(), about [-1,1]; s.Step is s.Steps after the last
	// step.
	Picture(s *State) ([]float32, error)
}

// Report is what a method tells of a step.
type Report struct {
	Measurement float64 // |A x - y|
	Loss        float64
	Terms       []Term // further numbers, in the order in which they are shown
	At          string // where in the method the step is, such as "t=501", for messages
	Done        bool   // the method has converged: this step is the last one
	// Share is the part of the whole work that is done with this step, 0 for as much as of the steps.
	Share float64
	// AtMost tells that the method may converge before its last step.
	AtMost bool
	// Inner holds values on the way that are not part of the state, where Options.Inner asks for them; read only.
	Inner map[string][]float32
}

// HasLoss tells whether the step has told numbers of its own: one that only copies what is known has none.
func (r Report) HasLoss() bool { return r.Loss != 0 || r.Measurement != 0 }

// Term is a number with its name.
type Term struct {
	Name  string
	Value float64
}

// Term is the value of the named term, 0 where there is none.
func (r Report) Term(name string) float64 {
	for _, t := range r.Terms {
		if t.Name == name {
			return t.Value
		}
	}
	return 0
}

// Spec is what is known of a method before it runs.
type Spec struct {
	Name    string        // as the user writes it
	Doc     string        // one line
	Step    string        // what a step costs, in passes and products
	Needs   Needs         // what it cannot do without
	Samples bool          // it draws from (nearly) the posterior, by the seed; else it gives one estimate
	New     func() Method // a new one; its parameters may be zero
}

// Needs tells what a method cannot do without.
type Needs struct {
	Prior    bool // else it runs with none, and leaves one aside
	Gradient bool // it takes gradients through the prior's networks
	Pixel    bool // its prior must be one of pixels, without a codec
	SVD      bool // of the operator
	Mask     bool // the operator must be one
	Start    bool // it begins from a rough picture, whatever its parameters are
	Noise    bool // it makes use of the deviation of the measurement's noise
}

// PrefersPixels tells whether the method runs on a prior of pixels where there is a choice: where it must, and where
// it takes no gradient, as the codec of a latent one then only costs.
func (n Needs) PrefersPixels() bool { return n.Prior && (n.Pixel || !n.Gradient) }

// Words for what a step costs.
const (
	latentStep = "one pass through UNet, decoder and encoder, and back"
	guidedStep = "one pass through the UNet and back"
	proxStep   = "one pass through the UNet, one proximal step"
	hopStep    = "one pass through the UNet; where it fits decoder, one proximal step, encoder"
)

// specs are the methods of this package.
var specs = []Spec{
	{"psld", "PSLD (Rout et al. 2023): guided latent diffusion whose pictures are glued to the measurement",
		latentStep, Needs{Prior: true, Gradient: true}, true, func() Method { return new(PSLD) }},
	{"gmldps", "GML-DPS (Rout et al. 2023): guided latent diffusion towards fixed points of the autoencoder",
		latentStep, Needs{Prior: true, Gradient: true}, true, func() Method { return new(GMLDPS) }},
	{"ldps", "DPS (Chung et al. 2023) on latents: guided by the measurement alone",
		"one pass through UNet and decoder, and back", Needs{Prior: true, Gradient: true}, true,
		func() Method { return new(LDPS) }},
	{"dps", "DPS (Chung et al. 2023): guided diffusion of pixels",
		guidedStep, Needs{Prior: true, Gradient: true, Pixel: true}, true, func() Method { return new(DPS) }},
	{"mcg", "MCG (Chung et al. 2022): DPS, and in each step a projection onto the measurement",
		guidedStep + ", one proximal step", Needs{Prior: true, Gradient: true, Pixel: true}, true,
		func() Method { return new(MCG) }},
	{"score-sde", "Score-SDE (Song et al. 2021): diffusion of pixels, in each step a projection onto the measurement",
		proxStep, Needs{Prior: true, Pixel: true}, true, func() Method { return new(ScoreSDE) }},
	{"ddrm", "DDRM (Kawar et al. 2022): diffusion in the singular vectors of the damage",
		"one pass through the UNet, three products with singular vectors",
		Needs{Prior: true, Pixel: true, SVD: true, Noise: true}, true, func() Method { return new(DDRM) }},
	{"diffpir", "DiffPIR (Zhu et al. 2023): plug and play, the prior denoises between exact fits; needs no gradient",
		proxStep + "; a latent model: decoder and encoder too", Needs{Prior: true, Start: true, Noise: true}, true,
		func() Method { return new(DiffPIR) }},
	{"pnp-admm", "PnP-ADMM (Venkatakrishnan et al. 2013): ADMM whose proximal step of the prior is a denoiser",
		proxStep, Needs{Prior: true, Pixel: true, Start: true, Noise: true}, false,
		func() Method { return new(PnPADMM) }},
	{"latino", "LATINO (Spagnoletti et al. 2025): exact fits between the few steps of a consistency model",
		hopStep, Needs{Prior: true, Start: true, Noise: true}, true, func() Method { return new(LATINO) }},
	{"treg", "TReg (Kim et al. 2025): DDIM steps, of which some blend in an exact fit",
		hopStep, Needs{Prior: true, Start: true, Noise: true}, true, func() Method { return new(TReg) }},
	{"dcdp", "DCDP (Li et al. 2024): rounds of an exact fit, noise, and DDIM steps that take it out",
		hopStep, Needs{Prior: true, Start: true, Noise: true}, true, func() Method { return new(DCDP) }},
	{"guess", "Guess & Guide (2026): exact fits at one noise level, then some on the way down",
		hopStep, Needs{Prior: true, Start: true, Noise: true}, true, func() Method { return new(Guess) }},
	{"dpm", "DPM-Solver++(2M) (Lu et al. 2022) with exact fits in its first steps: very few, of second order",
		hopStep, Needs{Prior: true, Start: true, Noise: true}, true, func() Method { return new(DPM) }},
	{"ding", "DING (Janati et al. 2026): fills holes in latents; decoder and encoder at the ends alone",
		"two passes through the UNet", Needs{Prior: true, Start: true, Mask: true}, true,
		func() Method { return new(DING) }},
	{"lanpaint", "LanPaint (Zheng et al. 2025): fills holes in latents by Langevin steps at each level of noise",
		"one pass through the UNet", Needs{Prior: true, Start: true, Mask: true}, true,
		func() Method { return new(LanPaint) }},
	{"latentdaps", "LatentDAPS (Zhang et al. 2025): Langevin steps through the decoder around what the prior expects",
		"some passes through the UNet, and as many through the decoder and back as there are Langevin steps",
		Needs{Prior: true, Gradient: true, Noise: true}, true, func() Method { return new(LatentDAPS) }},
	{"stsl", "STSL (Rout et al. 2024): guided latent diffusion with a second-order term, few steps",
		"as often as there are gradient steps, two passes through the UNet and one through the decoder, and back",
		Needs{Prior: true, Gradient: true}, true, func() Method { return new(STSL) }},
	{"patchmatch", "PatchMatch (Barnes et al. 2009): fills holes with patches of the same picture: needs no model",
		"a search of patches on one scale, coarse to fine; the last one hides seams", Needs{Mask: true}, false,
		func() Method { return new(PatchMatch) }},
	{"psld-patchmatch", "PSLD in a smaller picture, and from there PatchMatch (Yang et al. 2017): for deep holes",
		latentStep + "; then as patchmatch", Needs{Prior: true, Gradient: true, Mask: true, Start: true}, true,
		func() Method { return new(PSLDPatchMatch) }},
	{"tv", "ADMM-TV, isotropic total variation (Rudin, Osher, Fatemi 1992) by ADMM: needs no model",
		"up to cg_steps products with A and its transpose", Needs{}, false, func() Method { return new(TV) }},
}

// Published is the name of the parameter that asks for the published code's behaviour, its mistakes included.
const Published = "published"

// Register adds a method of another package, before the first run. It panics where the name is taken or the spec is
// incomplete.
func Register(s Spec) {
	switch {
	case s.Name == "" || s.New == nil:
		panic("solver: a method needs a name and a New")
	case slices.ContainsFunc(specs, func(t Spec) bool { return t.Name == s.Name }):
		panic(fmt.Sprintf("solver: there are two methods %q", s.Name))
	}
	param.Fields(s.New()) // panics where the tags are wrong
	specs = append(specs, s)
}

// Specs lists the methods: those of this package, then the registered ones.
func Specs() []Spec { return slices.Clone(specs) }

// Names lists the methods by name.
func Names() []string {
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
	}
	return names
}

// Lookup finds a method. An unknown name is an error that lists the known ones.
func Lookup(name string) (Spec, error) {
	if name == "admm-tv" { // what the tables of the papers call it
		name = "tv"
	}
	for _, s := range specs {
		if s.Name == name {
			return s, nil
		}
	}
	return Spec{}, fmt.Errorf("unknown method %q, want one of %s%s", name, strings.Join(Names(), ", "),
		nearest.Hint(name, Names()))
}

// Default is a new method with the default of every parameter.
func (s Spec) Default() Method {
	m := s.New()
	param.SetDefaults(m)
	return m
}

// SpecOf is that of a method, with its type for a name where it is not registered: then it needs all there is.
func SpecOf(m Method) Spec {
	for _, s := range specs {
		if reflect.TypeOf(s.New()) == reflect.TypeOf(m) {
			return s
		}
	}
	return Spec{Name: fmt.Sprintf("%T", m), Needs: Needs{Prior: true, Gradient: true}}
}

// State is what a run needs to go on after one of its steps. Its random numbers add nothing to that: those of
// a step follow from the seed and the number of the step alone.
type State struct {
	Step, Steps int                       // steps done, of how many
	Vars        map[string]*tensor.Tensor // the method's variables, in host memory or in that of the prior's device
	RMS         float64                   // of the last step, see Progress
	Run         []Fact                    // which run it is of

	dev  tensor.Device   // that of the run, nil where no run goes on from here
	lent map[string]bool // variables whose memory the run gives back to the device
}

// Host is a copy of a variable in ordinary memory.
func (s *State) Host(name string) []float32 {
	t := s.Vars[name]
	if s.dev == nil {
		return slices.Clone(t.Data)
	}
	return slices.Clone(s.dev.Host(t))
}

// Set makes a variable of data, which it keeps.
func (s *State) Set(name string, data []float32, shape ...int) {
	s.put(name, tensor.From(data, shape...), false)
}

// Take makes a variable of a value of g that lies in the device's memory. It takes it out of the graph's care; the run
// gives it back when no state has it any more.
func (s *State) Take(name string, g *autograd.Graph, v *autograd.Value) {
	s.put(name, g.Detach(v), true)
}

func (s *State) put(name string, t *tensor.Tensor, lent bool) {
	s.Vars[name] = t
	s.lent = maps.Clone(s.lent)
	if s.lent == nil {
		s.lent = map[string]bool{}
	}
	s.lent[name] = lent
}

// release gives back the variables of s in the device's memory, but those that other, which may be nil, has too.
func (s *State) release(dev tensor.Device, other *State) {
	for name, lent := range s.lent {
		if lent && (other == nil || other.Vars[name] != s.Vars[name]) {
			dev.Put(s.Vars[name])
		}
	}
}

// onHost is s with its variables in ordinary memory: those that lie there already, of a large picture most of what the
// program takes, and copies of the others.
func (s *State) onHost(dev tensor.Device) *State {
	c := *s
	c.Vars, c.dev, c.lent = map[string]*tensor.Tensor{}, nil, nil
	for name, t := range s.Vars {
		if lent, known := s.lent[name]; known && !lent {
			c.Vars[name] = t
			continue
		}
		c.Vars[name] = tensor.From(slices.Clone(dev.Host(t)), t.Shape...)
	}
	return &c
}
