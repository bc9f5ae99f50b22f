//go:build vulkan

package vulkan

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/tensor"
	"psld/tensor/devicetest"
)

// attempt gives the error that a computation ends in.
func attempt(fn func()) (err error) {
	defer tensor.Catch(&err)
	fn()
	return nil
}

func TestNoLoader(t *testing.T) {
	_, err := openLoader("libnothing.so")
	require.EqualError(t, err, "no Vulkan on this machine: libnothing.so cannot be opened")
	_, err = openLoader("libc.so.6")
	require.ErrorContains(t, err, "no Vulkan on this machine: libc.so.6 has no vkGetInstanceProcAddr")
}

func TestNoDevice(t *testing.T) {
	open(t)
	_, err := Open(99, "f32")
	require.ErrorContains(t, err, "no device 99 for Vulkan on this machine, want 0 to")
}

// TestLacks: a device that lacks something is named with what it lacks.
func TestLacks(t *testing.T) {
	d := open(t)
	for want, change := range map[string]func(p *physical){
		"has Vulkan 1.0, want 1.1 or later": func(p *physical) { p.properties.apiVersion = 1 << 22 },
		"has no queue for compute shaders":  func(p *physical) { p.family = -1 },
		"has no VK_KHR_push_descriptor":     func(p *physical) { p.extensions = nil },
		"has work groups of 128 with": func(p *physical) {
			p.properties.limits.maxComputeWorkGroupInvocations = 128
		},
	} {
		p, properties := *d.physical, *d.physical.properties
		p.properties = &properties
		require.NoError(t, p.lacks())
		change(&p)
		_, err := newDevice(&p, false)
		require.ErrorContains(t, err, want)
	}
}

// TestCooperative: a device without cooperative matrices is not opened where somebody asks for them, and says so.
func TestCooperative(t *testing.T) {
	p := open(t).physical
	t.Setenv("PSLD_VULKAN_COOPERATIVE", "1")
	d, err := newDevice(p, true)
	if p.cooperative() == nil {
		require.ErrorContains(t, err, "PSLD_VULKAN_COOPERATIVE=1: "+p.name()+" has no cooperative matrices of 16 x 16")
		_, err = newDevice(p, false) // whose precision has none
		require.NoError(t, err)
		return
	}
	require.NoError(t, err) // on hardware
	require.True(t, d.cooperative)
	devicetest.RunCases(t, d, 2e-3, func(c *devicetest.Case) bool { return c.Product && c.Op != "Attention" })
}

// TestOutOfMemory: the error tells what was asked for, and the next operation is as good as any.
func TestOutOfMemory(t *testing.T) {
	d := open(t)
	x := d.Get(1000)
	d.Fill(x, 3)
	for name, change := range map[string]func() (undo func()){
		"budget": func() func() {
			old := d.memory.budget
			d.memory.budget = d.memory.held
			return func() { d.memory.budget = old }
		},
		"driver": func() func() {
			d.refusals = 1 << 20
			return func() { d.refusals = 0 }
		},
	} {
		undo := change()
		var none *tensor.OutOfMemory
		err := attempt(func() { d.Get(96 << 20 / 4) })
		undo()
		require.ErrorAs(t, err, &none, name)
		require.EqualValues(t, 96<<20, none.Bytes)
		require.ErrorContains(t, err, "has no memory for 96.0 MiB more")
		require.EqualValues(t, 3000, d.Sum(x), name)
	}
	d.Put(x)
}

// TestLost: a device that is lost is an error, in the operation that finds it and in all later ones, and tensors can
// be put back.
func TestLost(t *testing.T) {
	d, err := newDevice(open(t).physical, false) // of its own
	require.NoError(t, err)
	x := d.Get(1000)
	d.Fill(x, 1)
	d.fault = deviceLost
	for range 2 {
		require.ErrorContains(t, attempt(func() { d.Sum(x) }), ": submitting work: device lost")
	}
	require.ErrorContains(t, attempt(func() { d.Get(3) }), "device lost")
	d.Put(x)
}

// TestArena: pieces do not overlap, neighbours are joined again, and blocks that nobody uses go back.
func TestArena(t *testing.T) {
	d := open(t)
	a := arena{d: d, kind: d.memory.kind, budget: 64 << 20, size: 1 << 20}
	var pieces []piece
	for i := range 40 {
		p, ok := a.get(uint64(1 + i*7919%100000))
		require.True(t, ok)
		for _, q := range pieces {
			require.False(t, touch{p, true}.conflicts(touch{q, true}))
		}
		pieces = append(pieces, p)
	}
	require.LessOrEqual(t, a.used, a.held)
	for i := range pieces { // in another order
		a.put(pieces[i*17%len(pieces)])
	}
	require.Zero(t, a.used)
	for _, b := range a.blocks {
		require.Equal(t, []span{{0, b.total}}, b.free)
	}
	_, ok := a.get(a.budget + 1)
	require.False(t, ok)
	a.trim()
	require.Zero(t, a.held)
	require.Empty(t, a.blocks)
}

// TestProfile: kernels are told with the number of their runs.
func TestProfile(t *testing.T) {
	d := open(t)
	if !d.physical.stamps {
		t.Skip("this device has no time stamps")
	}
	x := d.Get(1000)
	defer d.Put(x)
	list := d.Profile(func() {
		for range 100 {
			d.Fill(x, 1)
		}
		d.Sum(x)
	})
	require.Len(t, list, 2)
	calls := map[string]int{}
	for _, k := range list {
		calls[k.Name] = k.Calls
		require.GreaterOrEqual(t, k.Time, 0*k.Time)
	}
	require.Equal(t, map[string]int{"elementwise": 100, "reduce": 1}, calls)
}

// TestLimits: a tensor beyond what a kernel can bind is an error.
func TestLimits(t *testing.T) {
	d := open(t)
	n := int(d.physical.properties.limits.maxStorageBufferRange/4) + 1
	if d.physical.properties.limits.maxStorageBufferRange > 1<<31 {
		t.Skip("no limit to speak of")
	}
	require.ErrorContains(t, attempt(func() { d.Get(n) }), "takes tensors of")
}

// TestMeter: the peak is that since it was last asked for.
func TestMeter(t *testing.T) {
	d := open(t)
	var m tensor.Meter = d
	m.Peak()
	before := m.Peak()
	d.Put(d.Get(1 << 20))
	require.Equal(t, before+4<<20, m.Peak())
	require.Equal(t, before, m.Peak())
	require.Greater(t, m.Limit(), before)
}
