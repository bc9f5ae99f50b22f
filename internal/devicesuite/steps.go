package devicesuite

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"psld/internal/golden"
	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/unet"
)

const side = 32 // pixels of the pictures that are restored

// latent is a model of Stable Diffusion's architecture with random weights, on dev.
func latent(dev tensor.Device) prior.Prior {
	m := prior.RandomTiny(3).On(dev)
	m.UNet.Params.Freeze(dev)
	m.VAE.Params.Freeze(dev)
	return m
}

// pixels is a prior of pictures with random weights, on dev.
func pixels(dev tensor.Device) prior.Prior {
	m := &prior.Pixel{Name: "random", Noise: prior.PixelSchedule(), TrainSize: 16, UNet: unet.NewGuided(unet.GuidedConfig{
		ImageSize: 16, NumChannels: 8, NumResBlocks: 1, ChannelMult: []int{1, 2}, LearnSigma: true, ScaleShift: true,
		NormGroups: 4})}
	m.UNet.Params.Init(4)
	m.UNet.Params.Freeze(dev)
	return m.On(dev)
}

// problem is a measurement of noise by a.
func problem(a operator.Linear, err error) solver.Problem {
	if err != nil {
		panic(err) // of sizes that fit
	}
	r := rand.New(rand.NewPCG(1, 2))
	y := make([]float32, a.Out().Len())
	for i := range y {
		y[i] = float32(0.3 * r.NormFloat64())
	}
	return solver.Problem{A: a, Y: y, Sigma: 0.1}
}

// problems are one of each kind of operator.
func problems() map[string]solver.Problem {
	keep, err := operator.RandomMask(side, side, 0.5, 1)
	if err != nil {
		panic(err)
	}
	gauss, err1 := operator.Gaussian(9, 1.2)
	motion, err2 := operator.MotionKernel(9, 0.5, 1)
	if err := errors.Join(err1, err2); err != nil {
		panic(err)
	}
	mask, err := operator.NewMask(side, side, 3, keep)
	return map[string]solver.Problem{
		"mask":          problem(mask, err),
		"gaussian blur": problem(operator.NewBlur(side, side, 3, gauss)),
		"motion blur":   problem(operator.NewBlur(side, side, 3, motion)),
		"circular blur": problem(operator.NewCircularBlur(side, side, 3, motion, 2)),
		"sr, odd size":  problem(operator.NewSR(side-3, side-5, 3, 4)),
		"grey":          problem(operator.NewGrey(side, side, operator.Luma)),
	}
}

// method is a method with its defaults but for the number of steps and fresh noise in each.
func method(t *testing.T, name string, steps int) solver.Method {
	spec, err := solver.Lookup(name)
	fatal(t, err)
	m := spec.Default()
	fatal(t, param.Values{"steps": steps, "eta": 0.5, "sample_encoder": true}.Only(m).Apply(m))
	return m
}

// steps restores by each kind of operator and method, and compares the state that the prior expects in the end, z0,
// with the processor's. A second run has the same bits, and inside of a step single numbers alone are copied to the
// host, but for a method whose fits are made there.
func steps(t *testing.T, dev tensor.Device, o Options) {
	const count = 5
	hidden := !tensor.OnHost(dev)
	for name, p := range problems() {
		for _, c := range []struct {
			name  string
			prior func(tensor.Device) prior.Prior
			of    string // the one problem that it has, "" for all
		}{{"psld", latent, ""}, {"gmldps", latent, "gaussian blur"}, {"dps", pixels, "gaussian blur"},
			{"psld-patchmatch", latent, "mask"}, {"lanpaint", latent, "mask"}} {
			if c.of != "" && c.of != name {
				continue
			}
			copies := !solver.StaysOnDevice(c.name)
			t.Run(c.name+", "+name, func(t *testing.T) {
				solve := func(dev tensor.Device) []float32 {
					w := watch(dev)
					r, err := solver.Solve(t.Context(), c.prior(w), p, method(t, c.name, count),
						solver.Options{Seed: 7, Progress: func(s solver.Progress) {
							if n := w.copied(); n > 1 && !copies && hidden && dev != cpu.F32 {
								t.Errorf("step %d copies %d numbers to the host", s.Step, n)
							}
						}})
					fatal(t, err)
					if n := w.live(); n > 0 {
						t.Errorf("%d tensors are left", n)
					}
					return r.State.Vars["z0"].Data
				}
				got := solve(dev)
				golden.Check(t, "z0", got, solve(cpu.F32), o.limit(1e-4))
				if !slices.Equal(got, solve(dev)) {
					t.Error("the same seed, other bits")
				}
			})
		}
	}
}

// noMemory lets steps find no memory at several places: the run ends in an error, nothing is left, and the state on
// disk is that of the step before, from which a run goes on to the bits of one that nothing stopped.
func noMemory(t *testing.T, dev tensor.Device) {
	p := problems()["gaussian blur"]
	w := watch(dev)
	m := latent(w)
	o := solver.Options{Seed: 7}
	whole, err := solver.Solve(t.Context(), m, p, method(t, "psld", 4), o)
	fatal(t, err)
	for _, at := range []int{1, 40, 400} {
		o.Keep = solver.Keep{File: filepath.Join(t.TempDir(), "state"), Steps: 1}
		o.Progress = func(s solver.Progress) {
			if s.Step == 2 {
				w.failAt(at)
			}
		}
		_, err := solver.Solve(t.Context(), m, p, method(t, "psld", 4), o)
		var none *tensor.OutOfMemory
		if !errors.As(err, &none) {
			t.Fatalf("Get %d of step 3 fails, and the error is %v", at, err)
		}
		if n := w.live(); n > 0 {
			t.Errorf("Get %d of step 3 fails, and %d tensors are left", at, n)
		}
		w.failAt(0)
		o.Progress, o.Keep.Resume = nil, true
		again, err := solver.Solve(t.Context(), m, p, method(t, "psld", 4), o)
		fatal(t, err)
		if !slices.Equal(whole.X, again.X) {
			t.Error("other bits after the run went on")
		}
	}
}
