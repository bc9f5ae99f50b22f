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
	v, err := untilStopped(t.Context(), func() (int, error) { return 3, broken }, nil)
	require.ErrorIs(t, err, broken)
	require.Equal(t, 3, v)
	for _, has := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		release, ended := make(chan struct{}), make(chan error)
		var begun atomic.Bool
		begun.Store(has)
		go func() {
			_, err := untilStopped(ctx, func() (int, error) {
				<-release
				return 3, broken
			}, &begun)
			ended <- err
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
