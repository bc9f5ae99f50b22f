package operator

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
