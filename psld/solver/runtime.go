package solver

import (
	"context"
	"sync"
)

// Runtime is the budget of a process, which all runs that are given it share; runs that name none share that of the
// process. It says how many runs compute at the same time, and how much memory they take together beyond what each one
// cannot do without. It changes no bit. Threads are those of package cpu, which runs share as well: cpu.SetThreads.
//
// A Runtime must not be copied, and its fields not be changed, after a run has begun with it.
type Runtime struct {
	// MaxMemory is the memory in bytes that the process may take, 0 for no limit but those of [Options].
	MaxMemory int64
	// Runs is how many runs compute at the same time; further ones wait until one ends. Each may take an equal part
	// of the memory that is spare. 0: any number, and the first run that asks may take it all.
	Runs int

	mu      sync.Mutex
	slots   chan struct{} // nil until the first run
	base    int64         // bytes that the process was seen to take without what was granted
	granted int64         // bytes that runs have now
	top     int64         // most bytes that runs had together: the process's peak may hold as many
}

// process is the budget of runs that name none.
var process Runtime

// enter waits for a slot until ctx ends; leave gives it back.
func (b *Runtime) enter(ctx context.Context) (leave func(), err error) {
	if b.Runs <= 0 {
		return func() {}, ctx.Err()
	}
	b.mu.Lock()
	if b.slots == nil {
		b.slots = make(chan struct{}, b.Runs)
	}
	b.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case b.slots <- struct{}{}:
		return func() { <-b.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// grant returns how many bytes a run may take in a process that may take limit and has taken peak at most.
func (b *Runtime) grant(limit, peak int64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.base = max(b.base, peak-b.top)
	spare := limit - b.base
	share := spare - b.granted
	if b.Runs > 1 {
		share = min(share, spare/int64(b.Runs))
	}
	share = max(0, share)
	b.granted += share
	b.top = max(b.top, b.granted)
	return share
}

func (b *Runtime) giveBack(bytes int64) {
	b.mu.Lock()
	b.granted -= bytes
	b.mu.Unlock()
}
