package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUntilStopped: work that has left nothing is not waited for, work that has is.
func TestUntilStopped(t *testing.T) {
	broken := errors.New("broken")
	require.ErrorIs(t, untilStopped(t.Context(), func() error { return broken }, nil), broken)
	for _, has := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		release, ended := make(chan struct{}), make(chan error)
		var begun atomic.Bool
		begun.Store(has)
		go func() {
			ended <- untilStopped(ctx, func() error {
				<-release
				return broken
			}, &begun)
		}()
		cancel()
		if has {
			close(release)
			require.ErrorIs(t, <-ended, broken)
			continue
		}
		require.ErrorIs(t, <-ended, context.Canceled) // though the work goes on
		close(release)
	}
}
