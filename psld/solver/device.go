package solver

import "slices"

// onDevice are the methods whose steps leave pictures in the memory of the model's device, but for those that an
// operator takes to the host (operator.OnDevice). The others fit pictures to the measurement by transforms and
// decompositions, which the host computes: each step copies some there and back.
var onDevice = []string{"psld", "gmldps", "ldps", "dps"}

// StaysOnDevice tells whether the steps of the method of a name copy no more than single numbers from the model's
// device to the host.
func StaysOnDevice(name string) bool { return slices.Contains(onDevice, name) }
