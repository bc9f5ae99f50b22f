package solver

import (
	"context"
	"math"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/memstat"
	"psld/psld/operator"
	"psld/psld/prior"
	"psld/tensor"
	"psld/tensor/cpu"
)

// TestMaxMemory: a limit changes no bit, and one that is too low is an error that says both numbers.
func TestMaxMemory(t *testing.T) {
	m := prior.RandomTiny(1)
	a, err := operator.NewSR(16, 24, 3, 4)
	require.NoError(t, err)
	p := Problem{A: a, Y: noise(1, a.Out().Len(), 0.5)}
	o := Options{Steps: 4, Gamma: 0.1, Omega: 1}
	want, err := Solve(context.Background(), m, p, o)
	require.NoError(t, err)
	_, peak := memstat.Process()
	for _, limit := range []int64{1 << 50, peak + 1<<28} {
		o.MaxMemory = limit
		got, err := Solve(context.Background(), m, p, o)
		require.NoError(t, err)
		require.Equal(t, want.X, got.X)
	}
	if peak == 0 {
		t.Skip("this system does not tell the memory of a process")
	}
	o.MaxMemory = 1 << 20
	_, err = Solve(context.Background(), m, p, o)
	require.ErrorContains(t, err, "GiB at the least, weights included, the limit is 0.0 GiB (--max-mem): ")

	o.MaxMemory = 0
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 20))
	_, err = Solve(context.Background(), m, p, o)
	require.ErrorContains(t, err, "the limit is 0.0 GiB (GOMEMLIMIT): ")
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
	o := Options{Steps: 3, Omega: 1, Gamma: 0.5, Seed: 3}
	want, err := Solve(t.Context(), prior.RandomTiny(3), p, o)
	require.NoError(t, err)
	before := cpu.Memory().Live()
	for _, limit := range []int64{0, 1 << 40} { // the first step with a limit recomputes all, the others nothing
		o.MaxMemory = limit
		got, err := Solve(t.Context(), prior.RandomTiny(3).On(poisoned{cpu.F32}), p, o)
		require.NoError(t, err)
		require.Equal(t, want.X, got.X)
	}
	require.Equal(t, before, cpu.Memory().Live())
}
