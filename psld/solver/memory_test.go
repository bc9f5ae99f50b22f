package solver

import (
	"context"
	"math"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"psld/internal/memstat"
	"psld/psld/operator"
	"psld/psld/prior"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/tensor/devicetest"
)

// TestMaxMemory: a limit changes no bit, and one that is too low is an error that says both numbers.
func TestMaxMemory(t *testing.T) {
	m := prior.RandomTiny(1)
	a, err := operator.NewSR(16, 24, 3, 4)
	require.NoError(t, err)
	p := Problem{A: a, Y: noise(1, a.Out().Len(), 0.5)}
	var o Options
	method := glued(4, 0.1, 1)
	want, err := Solve(context.Background(), m, p, method, o)
	require.NoError(t, err)
	_, peak := memstat.Process()
	for _, limit := range []int64{1 << 50, peak + 1<<28} {
		o.MaxMemory = limit
		got, err := Solve(context.Background(), m, p, method, o)
		require.NoError(t, err)
		require.Equal(t, want.X, got.X)
	}
	if peak == 0 {
		t.Skip("this system does not tell the memory of a process")
	}
	o.MaxMemory = 1 << 20
	_, err = Solve(context.Background(), m, p, method, o)
	require.ErrorContains(t, err, " at the least, weights included, the limit is 1.0 MiB (--max-mem): ")

	o.MaxMemory = 0
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 20))
	_, err = Solve(context.Background(), m, p, method, o)
	require.ErrorContains(t, err, "the limit is 1.0 MiB (GOMEMLIMIT): ")
}

// TestLayout: the limit of memory does not decide how a picture goes through a model, as that decides its bits: one
// that has no room in one piece is refused before the first step, with the way out. A state of the other layout is
// refused.
func TestLayout(t *testing.T) {
	p, method, o := blurProblem(t, 24, 20), glued(2, 0.1, 1), Options{}
	m := prior.RandomTiny(1)
	m.Window, m.Whole = 16, prior.WholePixels
	parts := prior.InWindows(m)
	solve := func(m prior.Prior, limit int64) []float32 {
		o.MaxMemory = limit
		res, err := Solve(t.Context(), m, p, method, o)
		require.NoError(t, err)
		return res.X
	}
	whole, windows := solve(m, 0), solve(parts, 0)
	require.NotEqual(t, whole, windows)
	_, peak := memstat.Process()
	for _, limit := range []int64{peak + 1<<28, 1 << 50} {
		require.Equal(t, whole, solve(m, limit))
		require.Equal(t, windows, solve(parts, limit))
	}
	o.MaxMemory = 1 << 10
	o.Progress = func(Progress) { t.Error("a step was done") }
	_, err := Solve(t.Context(), m, p, method, o)
	require.ErrorContains(t, err, "a step on 20x24 pixels in one piece takes about ")
	require.ErrorContains(t, err, ", weights included, the limit is 1.0 KiB (--max-mem): --windows takes less")
	require.Less(t, len(err.Error()), 300)
	require.NoError(t, CheckOnePiece(parts, 24, 20, 1<<10, nil))
	require.NoError(t, CheckOnePiece(m, 16, 16, 1<<10, nil), "one window")
	require.NoError(t, CheckOnePiece(nil, 24, 20, 1<<10, nil))
	require.Error(t, CheckOnePiece(m, 24, 20, 0, &Runtime{MaxMemory: 1 << 10}))
	require.Error(t, CheckOnePiece(m, 24, 20, 1<<30, &Runtime{Runs: 1 << 20}))
	large := *m
	large.Whole = 1 << 60
	require.ErrorContains(t, CheckOnePiece(&large, 1<<30, 1, 0, nil), "(what the machine has)")

	o = Options{Keep: Keep{File: filepath.Join(t.TempDir(), "state")}}
	stopAfter(t, parts, p, method, o, 1)
	o.Keep.Resume = true
	_, err = Solve(t.Context(), m, p, method, o)
	require.ErrorContains(t, err, "layout is in one piece (larger than")
	require.Equal(t, windows, solve(parts, 1<<50))
}

// metered is a device with memory of its own that knows what it has.
type metered struct {
	*devicetest.HiddenDevice
	limit, peak int64
}

func (d *metered) Peak() int64  { return d.peak }
func (d *metered) Limit() int64 { return d.limit }

// TestMemoryOfDevice: a plan is made for the memory of the device that computes.
func TestMemoryOfDevice(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct{ limit, peak, asked, want int64 }{
		{24 * gib, 4 * gib, 0, 20 * gib}, {24 * gib, 4 * gib, 6 * gib, 2 * gib}, {8 * gib, 4 * gib, 10 * gib, 4 * gib},
	} {
		dev := &metered{HiddenDevice: devicetest.Hidden(cpu.F32), limit: c.limit, peak: c.peak}
		run := &Run{Prior: prior.RandomTiny(1).On(dev), H: 4096, W: 4096}
		var m memory
		m.start(run, c.asked)
		require.NotNil(t, m.plan)
		require.NoError(t, m.choose())
		require.Equal(t, c.want, m.granted)
		m.end()
	}
	dev := &metered{HiddenDevice: devicetest.Hidden(cpu.F32), limit: 24 * gib, peak: 4 * gib}
	m := memory{}
	m.start(&Run{Prior: prior.RandomTiny(1).On(dev), H: 16, W: 16}, 3*gib)
	require.ErrorContains(t, m.choose(), "a step takes 4.0 GiB at the least, weights included, the limit is 3.0 GiB")
	m.end()
}

func TestMemoryLimits(t *testing.T) {
	const gib, none = 1 << 30, math.MaxInt64
	for _, c := range []struct {
		asked, runtime, now, available int64
		limit, named                   int64
		name                           string
	}{
		{0, none, 1 * gib, 0, 0, 0, ""}, // a system that does not tell
		{0, none, 1 * gib, 8 * gib, 7 * gib, 0, ""},
		{5 * gib, none, 1 * gib, 8 * gib, 5 * gib, 5 * gib, "--max-mem"},
		{5 * gib, none, 1 * gib, 0, 5 * gib, 5 * gib, "--max-mem"},
		{9 * gib, none, 1 * gib, 8 * gib, 7 * gib, 9 * gib, "--max-mem"}, // the machine has less
		{0, 3 * gib, 1 * gib, 8 * gib, 3 * gib, 3 * gib, "GOMEMLIMIT"},
		{5 * gib, 3 * gib, 1 * gib, 8 * gib, 3 * gib, 3 * gib, "GOMEMLIMIT"},
		{2 * gib, 3 * gib, 1 * gib, 8 * gib, 2 * gib, 2 * gib, "--max-mem"},
		{0, 20 * gib, 1 * gib, 8 * gib, 7 * gib, 20 * gib, "GOMEMLIMIT"},
	} {
		var m memory
		m.limits(c.asked, c.runtime, c.now, c.available)
		require.Equal(t, memory{limit: c.limit, named: c.named, name: c.name}, m, "%+v", c)
	}
}

// poisoned is a device whose memory turns into NaNs as soon as it is given back.
type poisoned struct{ tensor.Device }

func (d poisoned) Put(t *tensor.Tensor) {
	for i := range t.Data {
		t.Data[i] = float32(math.NaN())
	}
	d.Device.Put(t)
}

// TestNothingIsReadAfterItWasFreed: a step gives back memory as early as it can, whatever blocks keep.
func TestNothingIsReadAfterItWasFreed(t *testing.T) {
	p := blurProblem(t, 13, 18)
	o := Options{Seed: 3}
	want, err := Solve(t.Context(), prior.RandomTiny(3), p, glued(3, 0.5, 1), o)
	require.NoError(t, err)
	before := cpu.Memory().Live()
	for _, limit := range []int64{0, 1 << 40} { // the first step with a limit recomputes all, the others nothing
		o.MaxMemory = limit
		got, err := Solve(t.Context(), prior.RandomTiny(3).On(poisoned{cpu.F32}), p, glued(3, 0.5, 1), o)
		require.NoError(t, err)
		require.Equal(t, want.X, got.X)
	}
	require.Equal(t, before, cpu.Memory().Live())
}

// TestHiddenMemory: a run on a device whose memory is not the host's has the same bits. Where a step finds no memory,
// the run ends in an error, and the kept state is that of the step before.
func TestHiddenMemory(t *testing.T) {
	p := blurProblem(t, 13, 18)
	o := Options{Seed: 3}
	want, err := Solve(t.Context(), prior.RandomTiny(3), p, glued(3, 0.5, 1), o)
	require.NoError(t, err)
	dev := devicetest.Hidden(cpu.F32)
	o.Keep.File = filepath.Join(t.TempDir(), "state")
	o.Progress = func(p Progress) {
		if p.Step == 2 {
			dev.FailAt(100)
		}
	}
	_, err = Solve(t.Context(), prior.RandomTiny(3).On(dev), p, glued(3, 0.5, 1), o)
	var none *tensor.OutOfMemory
	require.ErrorAs(t, err, &none)
	require.ErrorContains(t, err, "step 3 of 4: hidden")
	require.ErrorContains(t, err, "; last good state: ")
	require.Zero(t, dev.Live())
	dev.FailAt(0)
	o.Progress, o.Keep.Resume = nil, true
	got, err := Solve(t.Context(), prior.RandomTiny(3).On(dev), p, glued(3, 0.5, 1), o)
	require.NoError(t, err)
	require.Equal(t, want.X, got.X)
	require.Zero(t, dev.Live())
}

// TestRuntime: runs share what is spare, and what one gives back another can have, though the process's peak stays.
func TestRuntime(t *testing.T) {
	var b Runtime // the first one takes all
	require.EqualValues(t, 60, b.grant(100, 40))
	require.EqualValues(t, 0, b.grant(100, 45), "the process has taken 45 of the 60 at most")
	b.giveBack(60)
	require.EqualValues(t, 60, b.grant(100, 100), "60 of the peak were the first one's")
	b.giveBack(60)
	require.EqualValues(t, 40, b.grant(100, 120), "the rest has grown to 60")

	b = Runtime{Runs: 2}
	first, second := b.grant(100, 40), b.grant(100, 70)
	require.EqualValues(t, 30, first)
	require.EqualValues(t, 30, second)
	b.giveBack(first)
	require.EqualValues(t, 30, b.grant(100, 100))
	require.EqualValues(t, 0, b.grant(100, 100), "two runs have it all")
	b = Runtime{Runs: 2}
	require.EqualValues(t, 0, b.grant(100, 200))
}

// TestRuntimeRuns: no more runs compute at the same time than the budget has; one that waits can be cancelled.
func TestRuntimeRuns(t *testing.T) {
	b := &Runtime{Runs: 2}
	var inside, most atomic.Int64
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			first := true
			_, err := Solve(t.Context(), m, p, glued(3, 0, 1), Options{Runtime: b, Progress: func(p Progress) {
				if first {
					n := inside.Add(1)
					for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
					}
				}
				if first = false; p.Step == p.Steps {
					inside.Add(-1)
				}
			}})
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	require.LessOrEqual(t, most.Load(), int64(2))

	b = &Runtime{Runs: 1}
	leave, err := b.enter(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Solve(ctx, m, p, glued(3, 0, 1), Options{Runtime: b})
	require.ErrorIs(t, err, context.Canceled)
	leave()
	_, err = Solve(t.Context(), m, p, glued(3, 0, 1), Options{Runtime: b})
	require.NoError(t, err)
}
