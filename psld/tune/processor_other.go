//go:build !(linux || darwin || freebsd)

package tune

import "time"

// processorTime is 0: unknown.
func processorTime() time.Duration { return 0 }
