package main

import (
	"context"
	"sync/atomic"
)

// untilStopped does work that leaves nothing behind where it is given up, such as reading a picture, or that has
// left nothing until it sets begun, nil for never. Where ctx ends before that it returns ctx's error at once, and
// leaves the work to end with the process.
func untilStopped(ctx context.Context, work func() error, begun *atomic.Bool) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	if begun != nil && begun.Load() {
		return <-done
	}
	return ctx.Err()
}
