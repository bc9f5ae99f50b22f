package solver

import (
	"fmt"
	"math"
	"runtime/debug"

	"psld/autograd"
	"psld/internal/memstat"
	"psld/psld/prior"
	"psld/tensor"
)

// memory decides what the steps keep for the gradient.
type memory struct {
	plan  *autograd.Plan // nil: everything
	limit int64          // of the process, heap and packed weights together, in bytes; 0: unknown
	named int64          // the lowest limit that somebody named, which it is an error to exceed; 0: none
	name  string         // of that limit

	budget  *Runtime
	granted int64        // bytes of the budget
	device  tensor.Meter // whose memory it is; nil: the host's
}

// start is called before the first step.
func (m *memory) start(r *Run, asked int64) {
	m.budget = r.budget()
	if r.Prior == nil {
		if r.A.In().Len() > 1<<24 {
			debug.FreeOSMemory() // what reading left
		}
		return
	}
	if most := m.budget.MaxMemory; most > 0 && (asked == 0 || most < asked) {
		asked = most
		defer func() {
			if m.name == maxMem {
				m.name = budgetMem
			}
		}()
	}
	if d, ok := r.Device().(tensor.Meter); ok {
		m.device = d
		d.Peak() // from here on
		m.limits(asked, math.MaxInt64, 0, 0)
		if m.limit == 0 || d.Limit() < m.limit {
			m.limit = d.Limit()
		}
	} else {
		_, available := memstat.System()
		now, _ := memstat.Process()
		m.limits(asked, debug.SetMemoryLimit(-1), now, available)
	}
	parameters := 0
	for _, n := range r.Prior.Networks() {
		parameters += n.Params.Count()
	}
	large := r.H*r.W > prior.TilePixels || parameters > fullSize && r.H*r.W >= prior.TilePixels/4
	if m.named > 0 || large {
		debug.FreeOSMemory() // what loading left
		m.plan = new(autograd.Plan)
	}
}

// Names of limits of memory in errors: of the command's flag, which is [Options].MaxMemory, and of the runs' budget.
const (
	maxMem    = "--max-mem"
	budgetMem = "Runtime.MaxMemory"
)

// CheckOnePiece refuses a run whose model sees a picture of h x w pixels in one piece, though it might in windows
// ([prior.InWindows]), where that takes more memory than there is: the lowest of maxMemory, the runtime's limit,
// GOMEMLIMIT, and what the process has and the machine has available. Nothing takes windows by itself: the same seed
// would give other bits on another machine. A device with memory of its own is taken to have enough.
func CheckOnePiece(m prior.Prior, h, w int, maxMemory int64, b *Runtime) error {
	if m == nil {
		return nil
	}
	if _, own := m.Device().(tensor.Meter); own {
		return nil
	}
	k := m.Multiple()
	need := prior.OnePiece(m, (h+k-1)/k*k, (w+k-1)/k*k)
	if need == 0 {
		return nil
	}
	if b == nil {
		b = &process
	}
	type limit struct {
		bytes int64
		of    string
	}
	limits := []limit{{maxMemory, maxMem}, {b.MaxMemory, budgetMem},
		{debug.SetMemoryLimit(-1), "GOMEMLIMIT"}}
	if _, available := memstat.System(); available > 0 {
		now, _ := memstat.Process()
		limits = append(limits, limit{now + available, "what the machine has"})
	}
	for _, l := range limits {
		if share := l.bytes / int64(max(1, b.Runs)); share > 0 && need > share {
			return fmt.Errorf("a step on %dx%d pixels in one piece takes about %s, weights included, the limit is %s (%s): "+
				"--windows takes less, and gives other pixels; else want %s there at the least, bf16 products or a smaller "+
				"picture", w, h, memstat.Words(need), memstat.Words(share), l.of, memstat.Setting(need*int64(max(1, b.Runs))))
		}
	}
	return nil
}

// fullSize is the number of parameters from which on a model plans pictures of 256x256. Stable Diffusion has 9e8.
const fullSize = 1e8

// step is called before each step.
func (m *memory) step() {
	if m.plan != nil {
		m.plan.Start()
	}
}

// limits takes the lowest of the limits: asked for (0: none), GOMEMLIMIT (math.MaxInt64: none), and three quarters of
// what is available (0: unknown) on top of what the process has now. GOMEMLIMIT is taken for the whole process,
// though the runtime counts its heap only, without packed weights, which lie outside: who sets it means the program.
func (m *memory) limits(asked, runtime, now, available int64) {
	if asked > 0 {
		m.named, m.name = asked, maxMem
	}
	if runtime < math.MaxInt64 && (m.named == 0 || runtime < m.named) {
		m.named, m.name = runtime, "GOMEMLIMIT"
	}
	m.limit = m.named
	if free := now + available/4*3; available > 0 && (m.limit == 0 || free < m.limit) {
		m.limit = free
	}
}

// choose is called after the first step, which kept as little as possible.
func (m *memory) choose() error {
	if m.plan == nil {
		return nil
	}
	_, peak := memstat.Process()
	if m.device != nil {
		peak = m.device.Peak()
	}
	if m.named > 0 && peak > m.named {
		return fmt.Errorf("a step takes %s at the least, weights included, the limit is %s (%s): "+
			"want %s there at the least, bf16 products or a smaller picture",
			memstat.Words(peak), memstat.Words(m.named), m.name, memstat.Setting(peak+peak/16))
	}
	switch {
	case m.device != nil: // what others take is in the peak
		m.granted = max(0, m.limit-peak) / int64(max(1, m.budget.Runs))
	case peak > 0 && m.limit > 0: // else unknown: nothing is spare
		m.granted = m.budget.grant(m.limit, peak)
	}
	// A part of it is for holes between the pool's tensors, and for the collector.
	m.plan.Choose(m.granted - m.granted/8 - 64<<20)
	return nil
}

// end gives back what the run was granted.
func (m *memory) end() {
	if m.device == nil {
		m.budget.giveBack(m.granted)
	}
}
