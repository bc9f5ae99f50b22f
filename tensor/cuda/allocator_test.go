//go:build cuda

package cuda

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAllocator: blocks do not overlap, all memory comes back, and the driver is seldom asked.
func TestAllocator(t *testing.T) {
	segments, next, calls := map[uint64]int64{}, uint64(1<<40), 0
	a := allocator{budget: 256 << 20,
		take: func(bytes int64) (uint64, bool) {
			calls++
			addr := next
			next += uint64(bytes) + 4096
			segments[addr] = bytes
			return addr, true
		},
		give: func(addr uint64) {
			require.Contains(t, segments, addr)
			delete(segments, addr)
		}}
	r := rand.New(rand.NewPCG(1, 2))
	var live []*block
	for range 5000 {
		if len(live) > 40 || len(live) > 0 && r.IntN(3) == 0 {
			i := r.IntN(len(live))
			a.put(live[i])
			live[i] = live[len(live)-1]
			live = live[:len(live)-1]
			continue
		}
		bytes := int64(1) << r.IntN(23)
		bytes += r.Int64N(bytes)
		b := a.get(bytes)
		require.NotNil(t, b)
		require.GreaterOrEqual(t, b.size, bytes)
		inside := false
		for addr, size := range segments {
			inside = inside || b.addr >= addr && b.addr+uint64(b.size) <= addr+uint64(size)
		}
		require.True(t, inside)
		for _, other := range live {
			require.True(t, b.addr+uint64(b.size) <= other.addr || other.addr+uint64(other.size) <= b.addr)
		}
		live = append(live, b)
	}
	require.Less(t, calls, 60)
	for _, b := range live {
		a.put(b)
	}
	require.Zero(t, a.used)
	a.trim()
	require.Zero(t, a.held)
	require.Empty(t, segments)
	require.Empty(t, a.free)
	require.Nil(t, a.get(300<<20), "above the budget")
	// What is free but in parts goes back where something large needs the room.
	b := a.get(200 << 20)
	a.put(b)
	require.NotNil(t, a.get(230<<20))
}
