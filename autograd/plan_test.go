package autograd

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/tensor"
	"psld/tensor/cpu"
)

// planned runs five blocks, of which block i makes i+1 inner values of n numbers, and returns the
// gradient of the input and the peak of memory.
func planned(p *Plan, checkpoint bool, n int) (grad []float32, peak int64) {
	cpu.Memory().ResetPeak()
	before := cpu.Memory().Live()
	g := NewGraph(cpu.F32)
	g.Plan, g.Checkpoint = p, checkpoint
	if p != nil {
		p.Start()
	}
	x := tensor.New(1, n)
	for i := range x.Data {
		x.Data[i] = float32(i%7) - 3
	}
	in := g.Input(x)
	h := in
	for i := range 5 {
		h = g.Block(func(g *Graph, in []*Value) *Value {
			h := in[0]
			for range i + 1 {
				h = g.SiLU(h)
			}
			return g.Block(func(g *Graph, in []*Value) *Value { return g.Add(in[0], in[1]) }, h, in[0]) // one within
		}, h)
	}
	g.Backward(g.Norm2(h), nil)
	grad = append(grad, in.Grad().Data...)
	g.Release()
	return grad, cpu.Memory().Peak() - before
}

func TestPlan(t *testing.T) {
	const n = 1 << 16
	want, whole := planned(nil, false, n)
	checkpointed, least := planned(nil, true, n)
	require.Equal(t, want, checkpointed)
	require.Less(t, least, whole*2/3)

	p := &Plan{}
	got, peak := planned(p, false, n) // the first graph measures
	require.Equal(t, want, got)
	require.InDelta(t, least, peak, float64(least)/10)
	require.Len(t, p.blocks, 5, "blocks within blocks are not counted")
	for i, b := range p.blocks {
		require.Equal(t, int64(4*n*(i+1)), b.bytes, "block %d", i)
	}

	kept, again := p.Choose(1 << 40)
	require.Equal(t, int64(4*n*15), kept)
	require.InDelta(t, 0, again, 1e-12)
	got, peak = planned(p, false, n)
	require.Equal(t, want, got)
	require.InDelta(t, whole, peak, float64(whole)/10)

	kept, again = p.Choose(0)
	require.Zero(t, kept)
	require.InDelta(t, 1, again, 1e-12)
	got, peak = planned(p, false, n)
	require.Equal(t, want, got)
	require.InDelta(t, least, peak, float64(least)/10)

	// The most time for the memory: block 4 is quickest here, block 1 slowest for its size.
	for i := range p.blocks {
		p.blocks[i].seconds = []float64{1, 9, 3, 2, 1}[i]
	}
	kept, again = p.Choose(4 * n * 6) // 2+3 of six, and 1 more
	require.Equal(t, int64(4*n*6), kept)
	require.InDelta(t, 3.0/16, again, 1e-12)
	got, _ = planned(p, false, n)
	require.Equal(t, want, got)
}

// TestPlanCountsBlocksWithin: what blocks within a block keep counts as the block's.
func TestPlanCountsBlocksWithin(t *testing.T) {
	const n = 1 << 10
	p := &Plan{}
	g := NewGraph(cpu.F32)
	defer g.Release()
	g.Plan = p
	twice := func(g *Graph, in []*Value) *Value { return g.SiLU(g.SiLU(in[0])) }
	g.Block(func(g *Graph, in []*Value) *Value { return g.Block(twice, g.Block(twice, in[0])) },
		g.Input(tensor.New(1, n)))
	require.Len(t, p.blocks, 1)
	require.EqualValues(t, 3*4*n, p.blocks[0].bytes) // one within each, and the first one's result
}
