package psld

import (
	"psld/psld/operator"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/tensor"
)

// HostNote says in words that the steps of a restoration to h x w pixels by a method copy pictures between the model's
// device and the host, since the method fits them there (solver.StaysOnDevice) or the damage's operator knows how to
// be computed on the host alone (operator.Factored). It is "" where that is not so, as always on the processor.
func HostNote(m prior.Prior, d Damage, method string, h, w int) string {
	if m == nil || tensor.OnHost(m.Device()) {
		return ""
	}
	if !solver.StaysOnDevice(method) {
		return "method " + method + " fits pictures to the measurement on the host: each step copies some there and back"
	}
	a, err := d.Operator(h, w)
	if err != nil || operator.OnDevice(m.Device(), a) {
		return ""
	}
	return "the operator of task " + string(d.Task) + " is computed on the host: each step copies pictures there and back"
}
