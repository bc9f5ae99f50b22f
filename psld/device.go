package psld

import (
	"psld/psld/operator"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/tensor"
)

// HostNote says in words that the steps of a restoration to h x w pixels by a method copy pictures between the model's
// device and the host, since the method fits them there (solver.StaysOnDevice), as DiffPIR does whose run it may begin
// from, or the damage's operator knows how to be computed on the host alone (operator.Factored). It is "" where that
// is not so, as always on the processor.
func HostNote(m prior.Prior, d Damage, method solver.Method, h, w int) string {
	if m == nil || tensor.OnHost(m.Device()) {
		return ""
	}
	if name := solver.SpecOf(method).Name; !solver.StaysOnDevice(name) {
		return "method " + name + " fits pictures to the measurement on the host: each step copies some there and back"
	}
	a, err := d.Operator(h, w)
	if err == nil && !operator.OnDevice(m.Device(), a) {
		return "the operator of task " + string(d.Task) + " is computed on the host: each step copies pictures there and " +
			"back"
	}
	if beginsFrom(method) {
		return "DiffPIR, which it begins from, fits pictures on the host: each step of that copies some there and back"
	}
	return ""
}
