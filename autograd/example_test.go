package autograd_test

import (
	"fmt"

	"psld/autograd"
	"psld/tensor"
	"psld/tensor/cpu"
)

// The gradient of |w x|^2 with respect to x is 2 w'w x.
func Example() {
	w := autograd.NewParam(tensor.From([]float32{1, 2, 0, 3}, 2, 2)) // frozen
	g := autograd.NewGraph(cpu.F32)
	defer g.Release()
	x := g.Input(tensor.From([]float32{1, 1}, 1, 2))
	loss := g.SumSquares(g.Linear(x, w, nil))
	g.Backward(loss, nil)
	fmt.Println(loss.Item(), x.Grad().Data, w.Grad() == nil)
	// Output: 18 [6 30] true
}

// A parameter that trains gathers gradients until they are cleared.
func ExampleValue_RequireGrad() {
	w := autograd.NewParam(tensor.From([]float32{3}, 1))
	w.RequireGrad(true)
	for range 2 {
		g := autograd.NewGraph(cpu.F32)
		g.Backward(g.Mul(w, w), nil)
		g.Release()
	}
	fmt.Println(w.Grad().Data)
	w.ZeroGrad()
	fmt.Println(w.Grad().Data)
	// Output:
	// [12]
	// [0]
}

// Block names a unit whose inside is made again during Backward, not kept.
func ExampleGraph_Block() {
	square := func(g *autograd.Graph, in []*autograd.Value) *autograd.Value { return g.Mul(in[0], in[0]) }
	g := autograd.NewGraph(cpu.F32)
	g.Checkpoint = true
	defer g.Release()
	x := g.Input(tensor.From([]float32{3}, 1))
	g.Backward(g.Block(square, g.Block(square, x)), nil)
	fmt.Println(x.Grad().Data) // of x^4
	// Output: [108]
}

// NoGrad is for computing only.
func ExampleNoGrad() {
	g := autograd.NoGrad(cpu.F32)
	x := g.Const(tensor.From([]float32{-1, 0.5, 2}, 3))
	y := g.Detach(g.Clamp(x, 0, 1))
	g.Release()
	fmt.Println(y.Data)
	// Output: [0 0.5 1]
}
