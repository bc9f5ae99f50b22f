package psld

import (
	"math"
	"slices"
	"time"

	"psld/autograd"
	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
	"psld/tensor"
)

// Predict is about how long Solve will take with a method on a damaged picture whose result has h x w pixels: the
// multiply-adds of its steps at the speed of one noise estimate of a small picture, which is measured now and takes up
// to some seconds with a large model. 0 where nothing is known: for priors that do not know their work, and for
// methods without one. What else a step does (proximal steps, operators) is left out, and so is what must be computed
// twice for want of memory: it may be wrong by a factor of two.
func Predict(m prior.Prior, method solver.Method, d Damage, h, w int, o Options) time.Duration {
	work := Work(m, method, d, h, w, o)
	if work == 0 {
		return 0
	}
	return time.Duration(work / Speed(m) * float64(time.Second))
}

// PredictFrom is about how long all steps take by the first one, whose Progress it is: that of its networks. A method
// that goes through each of them once a step at the most may leave some out in other steps.
func PredictFrom(method solver.Method, p solver.Progress) time.Duration {
	calls, step := solver.CallsOf(method, p.Steps), p.Timing
	seconds := float64(p.Steps) * (step.UNet.Total() + step.Decoder.Total() + step.Encoder.Total())
	if calls.UNet.Forward <= float64(p.Steps) {
		seconds = calls.Cost(step)
	}
	return time.Duration(seconds * float64(time.Second))
}

// Work is the multiply-adds of the networks in all steps of a method, see Predict; 0 for unknown.
func Work(m prior.Prior, method solver.Method, d Damage, h, w int, o Options) (work float64) {
	c, ok := m.(prior.Costed)
	if !ok || isNil(method) || checkModel(m) != nil || CheckSize(h, w) != nil {
		return 0
	}
	run := func(d Damage, h, w int) float64 {
		own := runMACs(c, m, method, d.Keep, h, w)
		if begin, _ := o.beginning(m, method, d, h, w); begin != nil { // Solve says what is wrong
			own += begin.work
		}
		return own
	}
	if t, err := task.Find(string(d.Task)); err == nil {
		for _, v := range o.windows(t, m, d.Keep, h, w) {
			part := d
			part.Keep = maskPart(d.Keep, w, v.all)
			work += run(part, v.all.Dy(), v.all.Dx())
		}
	}
	if work == 0 {
		work = run(d, h, w)
	}
	return work
}

// runMACs are the multiply-adds of a run on h x w pixels, of which those of keep are known where it is of that size.
// The gradient to the input costs as much as the way forward.
func runMACs(c prior.Costed, m prior.Prior, method solver.Method, keep []bool, h, w int) float64 {
	beside := 0.0 // the networks
	if sh, sw := solver.Seen(method, m, keep, h, w); sh < h {
		beside = patchMACs(keep, h, w)
		h, w = sh, sw
	}
	k := m.Multiple()
	eps, encode, decode := c.MACs((h+k-1)/k*k, (w+k-1)/k*k)
	pass := func(n int64) solver.Passes { return solver.Passes{Forward: float64(n), Backward: float64(n)} }
	return beside + solver.CallsOf(method, stepsOf(method)).Cost(
		solver.Timing{UNet: pass(eps), Decoder: pass(decode), Encoder: pass(encode)})
}

// patchMACs are the multiply-adds of networks that take about as long as to fill holes with patches: they are looked
// for on all scales, and the seams hidden by sweeps whose number grows with the hole's depth. Measured with two
// threads of AVX-512; on a slower processor both are slower.
func patchMACs(keep []bool, h, w int) float64 {
	const search, sweeps = 2e6, 16e3
	missing := 0
	for _, k := range keep {
		if !k {
			missing++
		}
	}
	return float64(missing) * (search + sweeps*float64(slices.Max(operator.Depths(keep, h, w, 1, 1))))
}

// stepsOf is the number of steps that the method's parameters ask for.
func stepsOf(method solver.Method) int {
	_, n := param.ValuesOf(method).Steps()
	return max(1, n)
}

// Speed is the multiply-adds a second of a noise estimate of a small picture, which is made for that; 0 for a prior
// that does not know its work.
func Speed(m prior.Prior) float64 {
	c, ok := m.(prior.Costed)
	if !ok || checkModel(m) != nil {
		return 0
	}
	side, estimate := probe(m)
	eps, _, _ := c.MACs(side, side)
	best := math.Inf(1)
	for range 2 { // the first one also packs weights
		start := time.Now()
		estimate()
		best = min(best, time.Since(start).Seconds())
	}
	return float64(eps) / best
}

// probe is a noise estimate of a small picture, side pixels a side, to measure what m takes.
func probe(m prior.Prior) (side int, estimate func()) {
	k := m.Multiple()
	side = (128 + k - 1) / k * k
	z := tensor.New(m.Shape(side, side)...)
	return side, func() {
		g := autograd.NoGrad(m.Device())
		prior.EpsOf(g, m, g.Const(z), 500, prior.Conditions{Scale: 1}).Host()
		g.Release()
	}
}
