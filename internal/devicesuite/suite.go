// Package devicesuite is what every backend runs from its own test: the operations of the table with their gradients
// (package devicetest), recorded networks, steps of restorations against the processor, the bits of two runs with one
// seed, what is left when a device has no memory, and training. A backend's test is
//
//	func TestSuite(t *testing.T) { devicesuite.Run(t, dev, devicesuite.Options{}) }
//
// in package NAME_test, since the models, which the suite restores with, import the list of all devices. What the
// device does not implement yet is skipped with a message.
package devicesuite

import (
	"testing"

	"psld/tensor"
	"psld/tensor/devicetest"
)

// Options say what a device may differ by.
type Options struct {
	// Products is the relative error that the factors of products have, such as 3e-2 on a device that rounds them to
	// bfloat16; 0 stands for float32.
	Products float64
}

// limit is what a result may differ by: exact for float32, else some errors of a product.
func (o Options) limit(exact float64) float64 { return max(exact, 5*o.Products) }

// Run runs the suite on a device.
func Run(t *testing.T, dev tensor.Device, o Options) {
	t.Run("operations", func(t *testing.T) { devicetest.RunRounded(t, dev, o.Products) })
	Programs(t, dev, o)
}

// Programs is Run without the operations one by one.
func Programs(t *testing.T, dev tensor.Device, o Options) {
	t.Run("networks", func(t *testing.T) { networks(t, dev, o) })
	t.Run("steps", func(t *testing.T) { steps(t, dev, o) })
	t.Run("no memory", func(t *testing.T) { noMemory(t, dev) })
	t.Run("training", func(t *testing.T) { training(t, dev, o) })
}
