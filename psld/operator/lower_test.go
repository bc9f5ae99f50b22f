package operator

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/tensor/devicetest"
)

// lowered is A x and the gradient A'dy, computed in a graph on dev.
func lowered(t *testing.T, dev tensor.Device, a Linear, x, dy []float32) (ax, grad []float32) {
	in, out := a.In(), a.Out()
	g := autograd.NewGraph(dev)
	defer g.Release()
	v := g.Input(tensor.From(x, 1, in.H, in.W, in.C))
	y := Lower(g, v, a)
	require.Equal(t, []int{1, out.H, out.W, out.C}, y.T.Shape)
	g.Backward(y, tensor.From(dy, y.T.Shape...))
	return append([]float32(nil), y.Host()...), append([]float32(nil), dev.Host(v.Grad())...)
}

// TestLower: in a graph, every operator gives A x and the gradient A'dy. On the processor they are the bits of Apply
// and Adjoint; a device with memory of its own computes nearly all of them without a copy to the host.
func TestLower(t *testing.T) {
	for _, size := range [][3]int{{8, 12, 3}, {16, 16, 1}, {1, 5, 2}} {
		for name, a := range all(size[0], size[1], size[2]) {
			t.Run(name, func(t *testing.T) {
				x, dy := randn(a.In().Len(), 1), randn(a.Out().Len(), 2)
				want, back := make([]float32, a.Out().Len()), make([]float32, a.In().Len())
				a.Apply(want, x)
				a.Adjoint(back, dy)
				ax, grad := lowered(t, cpu.F32, a, x, dy)
				require.Equal(t, want, ax)
				require.Equal(t, back, grad)
				require.True(t, OnDevice(cpu.F32, a))

				dev := devicetest.Hidden(cpu.F32)
				ax, grad = lowered(t, dev, a, x, dy)
				near(t, want, ax)
				near(t, back, grad)
				_, _, ok := FactorsOf(a)
				require.Equal(t, ok, OnDevice(dev, a))
				require.Equal(t, name != "pseudo-inverse" && name != "normal inverse", ok)
			})
		}
	}
}

// near compares vectors up to rounding.
func near(t *testing.T, want, got []float32) {
	t.Helper()
	diff := make([]float32, len(want))
	for i, v := range want {
		diff[i] = v - got[i]
	}
	require.LessOrEqual(t, Dot(diff, diff), 1e-11*Dot(want, want))
}

// ofUser is an operator that knows Apply and Adjoint alone.
type ofUser struct{ Linear }

// TestUsersOperator: one without sparse matrices is computed by its own methods on any device, alone and composed.
func TestUsersOperator(t *testing.T) {
	s := Shape{8, 12, 3}
	a := ofUser{must(NewSR(s.H, s.W, s.C, 4))}
	dev := devicetest.Hidden(cpu.F32)
	for _, b := range []Linear{a, Transposed(a), must(Compose(a, Identity(s)))} {
		x, dy := randn(b.In().Len(), 1), randn(b.Out().Len(), 2)
		want, back := make([]float32, b.Out().Len()), make([]float32, b.In().Len())
		b.Apply(want, x)
		b.Adjoint(back, dy)
		ax, grad := lowered(t, dev, b, x, dy)
		require.Equal(t, want, ax)
		require.Equal(t, back, grad)
		require.False(t, OnDevice(dev, b))
		require.True(t, OnDevice(cpu.F32, b))
	}
}
