package nn_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/nn"
	"psld/tensor"
	"psld/tensor/cpu"
)

type mapSource map[string][]float32

func (s mapSource) Read(name string, shape []int, dst []float32) error {
	data, ok := s[name]
	switch {
	case !ok:
		return errors.New("no tensor " + name)
	case len(data) != len(dst):
		return fmt.Errorf("tensor %s has %d values, want shape %v", name, len(data), shape)
	}
	copy(dst, data)
	return nil
}

func TestParamsNames(t *testing.T) {
	p := nn.NewParams()
	nn.NewConv2d(p.Sub("a.%d", 1), 2, 3, tensor.SameConv(3))
	nn.NewLinearNoBias(p.Sub("b"), 4, 5)
	require.Equal(t, map[string][]int{"a.1.weight": {3, 2, 3, 3}, "a.1.bias": {3}, "b.weight": {5, 4}}, p.Shapes())
	require.Equal(t, 54+3+20, p.Count())
	require.Equal(t, "a.1.weight", p.All()[0].Name)
	require.Equal(t, 20, p.Sub("b").Count(), "a view sees its own part")
	require.Panics(t, func() { p.Sub("b").New("weight", 1) })
}

// TestLoadErrors wants all bad tensors in one error, and the good ones loaded.
func TestLoadErrors(t *testing.T) {
	p := nn.NewParams()
	l := nn.NewLinear(p.Sub("good"), 1, 2)
	nn.NewLinear(p.Sub("bad"), 1, 2)
	err := p.Load(mapSource{"good.weight": {1, 2}, "good.bias": {3, 4}, "bad.weight": {1}})
	require.ErrorContains(t, err, "bad.weight")
	require.ErrorContains(t, err, "[2 1]")
	require.ErrorContains(t, err, "no tensor bad.bias")
	require.NotContains(t, err.Error(), "good")
	require.Equal(t, []float32{3, 4}, l.Bias.T.Data)
}

// rowSource gives matrices by rows only.
type rowSource struct {
	mapSource
	bad  bool
	done int
}

func (s *rowSource) Read(name string, shape []int, dst []float32) error {
	if len(shape) > 1 {
		return errors.New(name + " is read as a whole")
	}
	return s.mapSource.Read(name, shape, dst)
}

func (s *rowSource) Rows(name string, shape []int) (func(dst []float32, from int) error, func(), error) {
	read := func(dst []float32, from int) error {
		copy(dst, s.mapSource[name][from*shape[1]:])
		if s.bad {
			return errors.New("bad")
		}
		return nil
	}
	return read, func() { s.done++ }, nil
}

// TestLoadFrozen: matrices are packed, the rest stays, and a layer computes the same bits as after Load.
func TestLoadFrozen(t *testing.T) {
	src := mapSource{"l.weight": {1, 2, 3, 4, 5, 6}, "l.bias": {7, 8}, "n.weight": {9, 10}, "n.bias": {11, 12}}
	var out [2][]float32
	for i := range out {
		p := nn.NewParams()
		l := nn.NewLinear(p.Sub("l"), 3, 2)
		n := nn.NewLayerNorm(p.Sub("n"), 2, 1e-5)
		if i == 0 {
			require.NoError(t, p.Load(src))
		} else {
			require.NoError(t, p.LoadFrozen(src, cpu.F32))
			require.Nil(t, l.Weight.T.Data)
			require.Equal(t, src["l.weight"], cpu.F32.Host(l.Weight.T))
			require.Equal(t, src["n.bias"], n.Beta.T.Data)
		}
		require.Equal(t, 12, p.Count())
		g := autograd.NoGrad(cpu.F32)
		y := n.Forward(g, l.Forward(g, g.Const(tensor.From([]float32{1, -1, 2}, 1, 3))))
		out[i] = y.T.Clone().Data
		g.Release()
	}
	require.Equal(t, out[0], out[1])
	rows := &rowSource{mapSource: src}
	r := nn.NewParams()
	l := nn.NewLinear(r.Sub("l"), 3, 2)
	require.NoError(t, r.LoadFrozen(rows, cpu.F32))
	require.Equal(t, 1, rows.done) // and no Read of it
	require.Equal(t, src["l.weight"], cpu.F32.Host(l.Weight.T))
	rows.bad = true // the whole tells what is wrong
	require.ErrorContains(t, r.LoadFrozen(rows, cpu.F32), "l.weight is read as a whole")
	p := nn.NewParams()
	nn.NewLinear(p.Sub("x"), 3, 2)
	require.ErrorContains(t, p.LoadFrozen(src, cpu.F32), "no tensor x.weight")
}

// TestInit checks bounds and spread of the start values, and that they depend
// on seed and name alone.
func TestInit(t *testing.T) {
	p, q := nn.NewParams(), nn.NewParams()
	conv := nn.NewConv2d(p.Sub("conv"), 16, 32, tensor.SameConv(3))
	norm := nn.NewGroupNorm(p.Sub("norm"), 8, 4, 1e-5)
	table := p.Sub("token_embedding").New("weight", 100, 50)
	nn.NewGroupNorm(q.Sub("norm"), 8, 4, 1e-5)
	same := nn.NewConv2d(q.Sub("conv"), 16, 32, tensor.SameConv(3))
	other := nn.NewConv2d(q.Sub("other"), 16, 32, tensor.SameConv(3))
	p.Init(7)
	q.Init(7)

	bound := 1 / math.Sqrt(16*9)
	for _, v := range []*autograd.Value{conv.Weight, conv.Bias} {
		require.LessOrEqual(t, maxAbs(v.T.Data), bound)
		require.Greater(t, maxAbs(v.T.Data), 0.8*bound)
	}
	require.InDelta(t, bound/math.Sqrt(3), std(conv.Weight.T.Data), 0.02*bound)
	require.InDelta(t, 0.02, std(table.T.Data), 0.001)
	require.Equal(t, []float32{1, 1, 1, 1, 1, 1, 1, 1}, norm.Gamma.T.Data)
	require.Zero(t, maxAbs(norm.Beta.T.Data))

	require.Equal(t, conv.Weight.T.Data, same.Weight.T.Data, "the order of registration plays no part")
	require.NotEqual(t, conv.Weight.T.Data, other.Weight.T.Data)
	q.Init(8)
	require.NotEqual(t, conv.Weight.T.Data, same.Weight.T.Data)
}

func std(x []float32) float64 {
	var sum, sq float64
	for _, v := range x {
		sum += float64(v)
		sq += float64(v) * float64(v)
	}
	n := float64(len(x))
	return math.Sqrt(sq/n - sum*sum/n/n)
}

// A network's layers register parameters under the names of the weight files.
func Example() {
	p := nn.NewParams()
	block := nn.NewResBlock(p.Sub("resnets.0"), 4, 8, 0, 2, 1e-6)
	p.Init(1) // or p.Load(file)
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	y := block.Forward(g, g.Const(tensor.New(1, 6, 6, 4)), nil)
	fmt.Println(y.T.Shape, p.Count(), p.All()[2].Name)
	// Output: [1 6 6 8] 944 resnets.0.conv1.weight
}
