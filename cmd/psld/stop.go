package main

import (
	"context"
	"sync/atomic"
)

// untilStopped does work that leaves nothing behind where it is given up, such as reading a picture, or that has
// left nothing until it sets begun, nil for never. Where ctx ends before that it returns ctx's error at once, and
// leaves the work to end with the process.
func untilStopped[T any](ctx context.Context, work func() (T, error), begun *atomic.Bool) (T, error) {
	type outcome struct {
		v   T
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := work()
		done <- outcome{v, err}
	}()
	select {
	case o := <-done:
		return o.v, o.err
	case <-ctx.Done():
	}
	if begun != nil && begun.Load() {
		o := <-done
		return o.v, o.err
	}
	var none T
	return none, ctx.Err()
}
