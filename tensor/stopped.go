package tensor

// Stopped is what a computation panics with that was asked to end in the middle: see autograd.Graph.Stop. [Catch]
// makes Err of it.
type Stopped struct{ Err error }

// Error implements error.
func (s *Stopped) Error() string { return s.Err.Error() }
