package tensor

import "sync"

// kept is what devices keep with a tensor or a sparse matrix, of which the host has the elements.
type kept struct {
	mu sync.Mutex
	by map[any]any // device: what it keeps
}

// Keep is for devices: fn sees and may change what one keeps with a weight or a matrix, layouts or copies made of its
// elements. device says whose it is, nil stands for nothing yet. Keep holds a lock meanwhile, which guards Data as
// well. What is kept lives as long as what it is kept with: a device frees memory of its own by a clean-up of that
// (runtime.AddCleanup) or a finalizer.
func (k *kept) Keep(device any, fn func(kept any) any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.by[device]
	now := fn(old)
	if now == nil && old == nil {
		return
	}
	if k.by == nil {
		k.by = map[any]any{}
	}
	k.by[device] = now
}

// Changed tells that Data was written by hand: what devices keep with it is made anew at the next use. Only weights
// have such things. A device whose things have a method Release is told, and need not wait for the collector.
func (k *kept) Changed() {
	k.mu.Lock()
	for _, thing := range k.by {
		if r, ok := thing.(interface{ Release() }); ok {
			r.Release()
		}
	}
	k.by = nil
	k.mu.Unlock()
}
