package psld

import "fmt"

// A restoration is far from its measurement where it differs by farFrom times the noise, or by that many times
// leastFar where there is less noise: coarse decoders, and operators that are nearly right, leave that much.
const (
	farFrom  = 4
	leastFar = 0.04 // on [-1,1], 5 of 255
)

// Doubt is a line for whoever asked for the restoration where it does not fit the measurement, though a method has
// done all its steps: "" where it does. It may have diverged, stopped halfway, or been told another damage than there
// is.
func (r *Result) Doubt() string {
	if r.RMS <= farFrom*max(r.Noise, leastFar) {
		return ""
	}
	times := ""
	if r.Noise >= leastFar {
		times = fmt.Sprintf(", %.2g times the noise", r.RMS/r.Noise)
	}
	return fmt.Sprintf("the restoration is far from the measurement (%.2g RMS on [-1,1]%s): it may be wrong; more "+
		"steps, the method's usual parameters or another method may help, or the damage is another one", r.RMS, times)
}
