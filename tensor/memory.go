package tensor

import "fmt"

// OutOfMemory is what a device panics with when it has no memory for a tensor, in Get, Place, Pack or where an
// operation needs some for its own use. It is a panic so that networks need not look at an error after each
// operation; whoever begins a computation defers [Catch].
type OutOfMemory struct {
	Device string // its name
	Bytes  int64  // that were asked for
	InUse  int64  // bytes that the device had handed out
}

// Error implements error.
func (e *OutOfMemory) Error() string {
	return fmt.Sprintf("%s has no memory for %.1f MiB more, %.1f MiB are in use",
		e.Device, float64(e.Bytes)/(1<<20), float64(e.InUse)/(1<<20))
}

// Catch, deferred, makes the error of the function that defers it out of a panic with [OutOfMemory] or [Stopped].
// Other panics go on. What was deferred after it, such as the Release of a graph, has run by then.
func Catch(err *error) {
	switch r := recover().(type) {
	case nil:
	case *OutOfMemory:
		*err = r
	case *Stopped:
		*err = r.Err
	default:
		panic(r)
	}
}

// OnHost tells whether the memory of d is the host's, so that copies to and from it cost little and Data is there.
func OnHost(d Device) bool {
	t := d.Get(1)
	defer d.Put(t)
	return t.Data != nil
}

// Meter is a device that knows how much memory it has and takes.
type Meter interface {
	Device
	// Peak is the most memory that was in use at the same time since the last call, in bytes, weights included.
	Peak() int64
	// Limit is the number of bytes that it may take.
	Limit() int64
}

// Settler is a device that finds it useful to know which tensors of Get outlive the step that made them: it may move
// one to other memory, with its elements.
type Settler interface{ Settle(t *Tensor) }

// NotImplemented is what a device panics with in an operation that it does not have (yet).
type NotImplemented struct{ Device, Operation string }

// Error implements error.
func (e NotImplemented) Error() string { return e.Device + " does not implement " + e.Operation }
