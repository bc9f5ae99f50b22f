package operator

import "psld/autograd"

// Measured is an operator whose measurement has holes; see KnownOf.
type Measured interface {
	Linear
	// Known tells, row by row of Out(), which pixels of the measurement hold something; nil means all. The caller must
	// not write to it.
	Known() []bool
}

// KnownOf tells, row by row of a.Out(), which pixels of a measurement hold something; the others are zero whatever the
// picture is. nil means that all do. The caller must not write to it.
func KnownOf(a Linear) []bool {
	if m, ok := a.(Measured); ok {
		return m.Known()
	}
	return nil
}

// MeasuredOf is the number of values that a measurement really holds: all of a.Out() but those in its holes.
func MeasuredOf(a Linear) int {
	known := KnownOf(a)
	if known == nil {
		return a.Out().Len()
	}
	n := 0
	for _, k := range known {
		if k {
			n += a.Out().C
		}
	}
	return n
}

// Lowered is an operator that can be computed by the operations of a device; see Lower.
type Lowered interface {
	Linear
	// Lower returns A x in the graph for x [1, H, W, C] of shape In(): [1, H, W, C] of shape Out(). The graph's
	// gradient to x must be A'.
	Lower(g *autograd.Graph, x *autograd.Value) *autograd.Value
}

// Lower puts A into a graph: A x for x [1, H, W, C] of shape a.In(), with the gradient A'. An operator that is not
// Lowered is computed on the host by Apply and Adjoint, x and the result being copied from and to the device.
func Lower(g *autograd.Graph, x *autograd.Value, a Linear) *autograd.Value {
	if l, ok := a.(Lowered); ok {
		return l.Lower(g, x)
	}
	out := a.Out()
	return g.Map(x, []int{1, out.H, out.W, out.C}, a.Apply, a.Adjoint)
}
