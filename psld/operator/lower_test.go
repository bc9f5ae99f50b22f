package operator

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/tensor"
	"psld/tensor/cpu"
)

// onDevice is an operator with a form on the device: half of x.
type onDevice struct{ identity }

func (a onDevice) Apply(dst, x []float32)   { panic("computed on the host") }
func (a onDevice) Adjoint(dst, y []float32) { panic("computed on the host") }
func (a onDevice) Lower(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	return g.Scale(x, 0.5)
}

// TestLower: in a graph, operators give A x and the gradient A'dy, by their form on the device where they have one.
func TestLower(t *testing.T) {
	s := Shape{8, 12, 3}
	for name, a := range map[string]Linear{
		"identity": Identity(s), "sr": must(NewSR(s.H, s.W, s.C, 4)),
		"mask": must(NewMask(s.H, s.W, s.C, must(RandomMask(s.H, s.W, 0.5, 1)))), "device": onDevice{identity{s}},
	} {
		in, out := a.In(), a.Out()
		x, dy := randn(in.Len(), 1), randn(out.Len(), 2)
		want, grad := make([]float32, out.Len()), make([]float32, in.Len())
		if name == "device" {
			for i := range want {
				want[i], grad[i] = x[i]/2, dy[i]/2
			}
		} else {
			a.Apply(want, x)
			a.Adjoint(grad, dy)
		}
		g := autograd.NewGraph(cpu.F32)
		v := g.Input(tensor.From(x, 1, in.H, in.W, in.C))
		y := Lower(g, v, a)
		require.Equal(t, []int{1, out.H, out.W, out.C}, y.T.Shape, name)
		require.Equal(t, want, y.T.Data, name)
		g.Backward(y, tensor.From(dy, y.T.Shape...))
		require.Equal(t, grad, v.Grad().Data, name)
		g.Release()
	}
}
