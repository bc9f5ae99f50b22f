package solver

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"psld/autograd"
	"psld/nn"
	"psld/tensor"
)

// finder finds the first operation of a step whose result is not finite.
type finder struct {
	dev         tensor.Device
	names       map[*autograd.Value]string // of the parameters
	layer, back string                     // the last one with parameters, forward and backward
	found       string
}

func (s *latentRun) newFinder() *finder {
	f := &finder{dev: s.m.Device(), names: map[*autograd.Value]string{}, layer: "the start"}
	add := func(part string, p *nn.Params) {
		for _, q := range p.All() {
			f.names[q.Value] = part + "." + q.Name
		}
	}
	add("unet", s.m.UNet.Params)
	add("vae", s.m.VAE.Params)
	if s.m.TAESD != nil {
		add("taesd", s.m.TAESD.Params)
	}
	return f
}

// see is autograd.Graph.OnOp.
func (f *finder) see(op autograd.Op) {
	if f.found != "" {
		return
	}
	last := &f.layer
	if op.Gradient {
		last = &f.back
	}
	bad := "" // weight
	for _, p := range op.Params {
		name := f.names[p]
		*last = name[:max(0, strings.LastIndexByte(name, '.'))]
		if notFinite(f.dev.Host(p.T)) != "" {
			bad = name
		}
	}
	what := notFinite(f.dev.Host(op.Out))
	switch {
	case what == "":
	case bad != "":
		f.found = fmt.Sprintf("%s after %s: its %s holds such a value", what, *last, bad[len(*last)+1:])
	case !op.Gradient && op.Out.Len() == 1: // only losses are single numbers
		f.found = what + " in the loss; smaller gamma and omega may help"
	case !op.Gradient && op.Params != nil:
		f.found = fmt.Sprintf("%s after %s", what, f.layer)
	case !op.Gradient:
		f.found = fmt.Sprintf("%s in %s after %s", what, op.Name, f.layer)
	case op.Params != nil:
		f.found = fmt.Sprintf("%s in the gradient of %s", what, f.back)
	default:
		f.found = fmt.Sprintf("%s in the gradient of %s, on the way back from %s", what, op.Name, or(f.back, "the loss"))
	}
}

// notFinite names the first value that is not finite, "" for none.
func notFinite(x []float32) string {
	for _, v := range x {
		switch {
		case v != v:
			return "not a number"
		case math.IsInf(float64(v), 0):
			return "infinity"
		}
	}
	return ""
}

// errNotFinite is the error of a step whose latent is not finite.
var errNotFinite = errors.New("the latent is not finite")

// broken makes the error of step i from the state now, which is kept: what is not finite, and which layer made it.
func (s *latentRun) broken(now *State, i int, k *keeper) error {
	s.find = s.newFinder()
	defer func() { s.find = nil }()
	_, _ = s.step(now.Latent, i) // the same numbers again
	what := s.find.found
	if what == "" {
		what = "the latent's update is not finite; smaller gamma and omega may help"
	}
	at := fmt.Sprintf("step %d of %d (t=%d): %s", now.Step+1, now.Steps, s.d.Timesteps[i], what)
	switch err := k.keep(*now); {
	case err != nil:
		return fmt.Errorf("%s; %w", at, err)
	case k.File != "" && now.Step > 0:
		return fmt.Errorf("%s; last good state: %s", at, k.File)
	}
	return errors.New(at)
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
