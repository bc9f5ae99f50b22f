package cpu

import (
	"math/rand/v2"
	"psld/tensor"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestArena lends and takes back at random: nothing overlaps, everything joins again in the end, and the
// memory in use at the peak covers most of what was touched.
func TestArena(t *testing.T) {
	var p Pool
	r := rand.New(rand.NewPCG(1, 2))
	var lent []*tensor.Tensor
	for i := range 2000 {
		if len(lent) == 0 || len(lent) < 30 && r.IntN(2) == 0 {
			n := arenaFrom + r.IntN(1<<20)
			x := p.Get(n)
			require.Len(t, x.Data, n)
			x.Data[0], x.Data[n-1] = float32(i), float32(-i)
			lent = append(lent, x)
			continue
		}
		k := r.IntN(len(lent))
		x := lent[k]
		require.Equal(t, x.Data[0], -x.Data[x.Len()-1], "somebody else wrote to it")
		p.Put(x)
		require.Nil(t, x.Data)
		p.Put(x) // again: nothing
		lent = append(lent[:k], lent[k+1:]...)
	}
	for _, x := range lent {
		p.Put(x)
	}
	require.Zero(t, p.Live())
	total := 0
	for _, s := range p.large.segments {
		require.Equal(t, []span{{0, len(s.words)}}, s.free)
		total += len(s.words)
	}
	require.LessOrEqual(t, int64(4*total), 2*p.Peak())
	// What was free is given to the system, and can be lent again.
	p.Drop()
	x := p.Get(arenaFrom)
	x.Data[0] = 1
	p.Put(x)
}

// TestArenaLongest: a tensor that is longer than any segment gets one of its own.
func TestArenaLongest(t *testing.T) {
	var p Pool
	x := p.Get(segmentMax + 1) // only its ends are touched
	x.Data[0], x.Data[segmentMax] = 1, 2
	p.Put(x)
	y := p.Get(segmentMax + 1)
	p.Put(y)
	require.Len(t, p.large.segments, 1)
	p.Drop()
}

func TestArenaForeign(t *testing.T) {
	var p, q Pool
	for _, x := range []*tensor.Tensor{q.Get(arenaFrom), tensor.New(arenaFrom), tensor.New(arenaFrom + 1)} {
		p.Put(x)
		require.NotNil(t, x.Data)
	}
	require.Zero(t, p.Live())
	x := p.Get(2 * arenaFrom)
	part := tensor.From(x.Data[arenaFrom:], arenaFrom)
	p.Put(part)
	again := tensor.From(x.Data[arenaFrom:], arenaFrom)
	require.Panics(t, func() { p.Put(again) })
}
