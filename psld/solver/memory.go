package solver

import (
	"fmt"

	"psld/autograd"
	"psld/internal/memstat"
	"psld/psld/prior"
)

// memory decides what the steps keep for the gradient.
type memory struct {
	plan  *autograd.Plan // nil: everything
	limit int64          // of the process, in bytes; 0: unknown
	asked bool           // the user named the limit
}

// start is called before the first step on pictures of h x w pixels.
func (m *memory) start(model *prior.Latent, h, w int, limit int64) {
	large := h*w > prior.WholePixels || model.StableDiffusion && h*w >= prior.WholePixels/4
	if limit == 0 && !large {
		return
	}
	m.plan = new(autograd.Plan)
	m.limit, m.asked = limit, limit > 0
	if limit == 0 {
		_, available := memstat.System()
		if now, _ := memstat.Process(); available > 0 {
			m.limit = now + available/4*3
		}
	}
}

// choose is called after the first step, which kept as little as possible.
func (m *memory) choose() error {
	if m.plan == nil {
		return nil
	}
	_, peak := memstat.Process()
	if m.asked && peak > m.limit {
		return fmt.Errorf("a step takes %.1f GiB at the least, the limit is %.1f GiB: bf16 products, a smaller picture or a higher limit would do",
			float64(peak)/(1<<30), float64(m.limit)/(1<<30))
	}
	spare := m.limit - peak
	if peak == 0 || m.limit == 0 { // unknown
		spare = 0
	}
	// The pool's sizes are up to a quarter larger than what is asked for, and memory of one size does not serve another.
	m.plan.Choose(spare / 2)
	return nil
}
