package autograd

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/tensor"
	"psld/tensor/cpu"
)

// TestOnOp: operations and gradients are shown in the order of their making, inside of blocks too, whether
// these are kept or computed again; parameters come along, and the numbers do not change.
func TestOnOp(t *testing.T) {
	w := NewParam(tensor.From([]float32{2, 0, 0, 2}, 2, 2))
	x := tensor.From([]float32{1, 2}, 1, 2)
	run := func(checkpoint bool, see func(Op)) []float32 {
		g := NewGraph(cpu.F32)
		defer g.Release()
		g.Checkpoint, g.OnOp = checkpoint, see
		in := g.Input(x)
		y := g.Block(func(g *Graph, in []*Value) *Value { return g.SiLU(g.Linear(in[0], w, nil)) }, in)
		g.Backward(g.Mean(y), nil)
		return append([]float32(nil), in.Grad().Data...)
	}
	want := run(false, nil)
	for checkpoint, names := range map[bool][]string{
		false: {"Linear", "SiLU", "Block", "Mean", "Mean", "d Mean", "d Mean", "d SiLU", "d Linear", "d Block"},
		true: {"Linear", "SiLU", "Block", "Mean", "Mean", "d Mean", "d Mean", "Linear", "SiLU", "d SiLU",
			"d Linear", "d Block"},
	} {
		var seen []string
		got := run(checkpoint, func(op Op) {
			name := op.Name
			if op.Gradient {
				name = "d " + name
			}
			seen = append(seen, name)
			require.NotNil(t, op.Out)
			if op.Name == "Linear" {
				require.Equal(t, []*Value{w}, op.Params)
			} else {
				require.Empty(t, op.Params)
			}
		})
		require.Equal(t, want, got)
		require.Equal(t, names, seen)
	}
}
