package psld

import (
	"psld/psld/operator"
	"psld/psld/prior"
	"psld/tensor"
)

// HostNote says in words that the steps of a restoration to h x w pixels copy pictures between the model's device and
// the host, as the damage's operator knows how to be computed on the host alone (see operator.Factored). It is ""
// where that is not so, as always on the processor.
func HostNote(m prior.Prior, d Damage, h, w int) string {
	if m == nil || tensor.OnHost(m.Device()) {
		return ""
	}
	a, err := d.Operator(h, w)
	if err != nil || operator.OnDevice(m.Device(), a) {
		return ""
	}
	return "the operator of task " + string(d.Task) + " is computed on the host: each step copies pictures there and back"
}
