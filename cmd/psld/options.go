package main

import (
	"flag"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"psld/psld"
	"psld/psld/solver"
)

// solverFlags are the flags that restore and eval share.
type solverFlags struct {
	fs                *flag.FlagSet
	steps             *int
	gamma, omega, eta *float64
	strength          *float64
	squared           *bool
	reference         *bool
	loopNoise         *float64
	back              *string
	raw               *bool
	gluingEvery       *int
	preset            *string
}

func addSolverFlags(fs *flag.FlagSet) *solverFlags {
	return &solverFlags{
		fs:          fs,
		steps:       fs.Int("steps", 0, "`N` DDIM steps, 1 to 1000; a short --strength has room for fewer (default: the task's preset)"),
		gamma:       fs.Float64("gamma", 0, "`weight` of the gluing (default: the task's preset)"),
		omega:       fs.Float64("omega", 0, "`weight` of the measurement (default: the task's preset)"),
		eta:         fs.Float64("eta", 0, "`share` of fresh noise in each step, 0 to 1 (default: the task's preset)"),
		strength:    fs.Float64("strength", 1, "`share` of the diffusion time to run, up to 1: below 1 the run starts from a rough restoration, 1 samples from noise (default: the task's preset)"),
		reference:   fs.Bool("reference", false, "follow the published code: its gluing, a sampled encoder, a start from noise"),
		loopNoise:   fs.Float64("loop-noise", 0, "`deviation` of the fresh noise that the published code adds to the predicted measurement in every step (there 0.05)"),
		squared:     fs.Bool("squared", false, "use squared norms, the paper's formula, in place of its code's norms; gamma and omega must then be much smaller"),
		raw:         fs.Bool("raw", false, "leave out the last step, which moves the result to the measurement in pixel space"),
		gluingEvery: fs.Int("gluing-every", 0, "glue in every `k`-th step only, k times as strong: the others need no encoder, a quarter of the work (default: the task's preset)"),
		preset:      fs.String("preset", "", "`file` of presets that psld tune wrote; other flags win over it"),
		back:        fs.String("back", "", "`how` PSLD glues: adjoint, pinv or reference (default: the task's preset)"),
	}
}

// options checks the flags and returns those that were given; the others keep their presets.
func (f *solverFlags) options() (o psld.Options, err error) {
	set := given(f.fs)
	number := func(name string, v *float64, hi float64) *float64 {
		if !set[name] {
			return nil
		}
		if !(*v >= 0 && *v <= hi) && err == nil {
			want := "a finite number of at least 0"
			if hi == 1 {
				want = "0 to 1"
			}
			err = fmt.Errorf("--%s %v, want %s", name, *v, want)
		}
		return v
	}
	o.Gamma, o.Omega, o.Eta = number("gamma", f.gamma, math.MaxFloat32), number("omega", f.omega, math.MaxFloat32), number("eta", f.eta, 1)
	if set["strength"] {
		if o.Strength = number("strength", f.strength, 1); *f.strength == 0 && err == nil {
			err = fmt.Errorf("--strength 0, want more than 0 and at most 1")
		}
	}
	o.Reference = *f.reference
	if v := number("loop-noise", f.loopNoise, 100); v != nil {
		o.LoopNoise = *v
	}
	o.Squared = *f.squared
	if set["steps"] && (*f.steps < 1 || *f.steps > 1000) && err == nil {
		err = fmt.Errorf("--steps %d, want 1 to 1000", *f.steps)
	}
	if set["gluing-every"] && (*f.gluingEvery < 1 || *f.gluingEvery > 1000) && err == nil {
		err = fmt.Errorf("--gluing-every %d, want 1 to 1000", *f.gluingEvery)
	}
	o.GluingEvery = *f.gluingEvery
	if *f.back != "" && !slices.Contains([]string{"adjoint", "pinv", "reference"}, *f.back) && err == nil {
		err = fmt.Errorf("unknown --back %q, want adjoint, pinv or reference", *f.back)
	}
	if *f.preset != "" && err == nil {
		if o.Presets, err = psld.LoadPresets(*f.preset); err != nil {
			err = fmt.Errorf("--preset: %w", err)
		}
	}
	o.Steps, o.Back, o.Raw = *f.steps, *f.back, *f.raw
	return o, err
}

func checkMethod(name string, also ...string) error {
	names := append(also, solver.Names()...)
	if !slices.Contains(names, name) {
		return fmt.Errorf("unknown method %q, want one of %s", name, strings.Join(names, ", "))
	}
	return nil
}

// parseSize reads a size of memory: a number with B, KiB, MiB, GiB or TiB, of which "iB" may be left out; "" is 0.
func parseSize(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number := strings.TrimRight(text, "BbiIkKmMgGtT ")
	unit := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(strings.TrimSpace(text[len(number):])), "b"), "i")
	shift, ok := map[string]uint{"": 0, "k": 10, "m": 20, "g": 30, "t": 40}[unit]
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok || !(v > 0) || v*float64(int64(1)<<shift) > 1<<60 {
		return 0, fmt.Errorf("%q, want a size such as 8GiB or 700MiB", text)
	}
	return int64(v * float64(int64(1)<<shift)), nil
}
