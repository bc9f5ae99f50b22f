package solver

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"psld/autograd"
	"psld/psld/prior"
	"psld/tensor"
)

// finder finds the first operation of a step whose result is not finite.
type finder struct {
	dev         tensor.Device
	names       map[*autograd.Value]string // of the parameters
	layer, back string                     // the last one with parameters, forward and backward
	found       string
}

func (r *Run) newFinder() *finder {
	f := &finder{dev: r.Device(), names: map[*autograd.Value]string{}, layer: "the start"}
	if r.Prior == nil {
		return f
	}
	networks := r.Prior.Networks()
	if c, light, _ := prior.LightCodecOf(r.Prior); c != nil {
		networks = append(networks, light)
	}
	for _, n := range networks {
		for _, q := range n.Params.All() {
			f.names[q.Value] = n.Name + "." + q.Name
		}
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
		f.found = what + " in the loss; smaller weights may help"
	case !op.Gradient && op.Params != nil:
		f.found = fmt.Sprintf("%s after %s", what, f.layer)
	case !op.Gradient:
		f.found = fmt.Sprintf("%s in %s after %s", what, op.Name, f.layer)
	case op.Params != nil:
		f.found = fmt.Sprintf("%s in the gradient of %s", what, f.back)
	default:
		from := or(f.back, "the loss")
		f.found = fmt.Sprintf("%s in the gradient of %s, on the way back from %s", what, op.Name, from)
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

// finite tells whether all of t is. The sum says so without a copy of a device's memory; only where it is not finite
// itself is it looked at which number is not.
func (r *Run) finite(t *tensor.Tensor) bool {
	dev := r.Device()
	if sum := dev.Sum(t); !math.IsNaN(sum) && !math.IsInf(sum, 0) {
		return true
	}
	return notFinite(dev.Host(t)) == ""
}

// errNotFinite is the error of a step whose state is not finite.
var errNotFinite = errors.New("the state is not finite")

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
