package solver

import (
	"time"

	"psld/autograd"
	"psld/tensor"
)

// Timing is where the seconds of a step went. What a checkpointed block computes again counts as backward.
type Timing struct{ UNet, Decoder, Encoder Passes }

// Passes are the seconds of one network, forward and backward.
type Passes struct{ Forward, Backward float64 }

// Total is both.
func (p Passes) Total() float64 { return p.Forward + p.Backward }

// stopwatch measures what lies between two calls, on a device whose work may be queued.
type stopwatch struct {
	dev  tensor.Device
	last time.Time
}

// lap adds the seconds since the last call to sum, which may be nil.
func (s *stopwatch) lap(sum *float64) {
	s.dev.Sync()
	now := time.Now()
	if sum != nil {
		*sum += now.Sub(s.last).Seconds()
	}
	s.last = now
}

// mark gives v; Backward calls lap(sum) on its way through.
func (s *stopwatch) mark(g *autograd.Graph, v *autograd.Value, sum *float64) *autograd.Value {
	return g.Watch(v, func() { s.lap(sum) })
}
