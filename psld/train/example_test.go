package train_test

import (
	"fmt"

	"psld/autograd"
	"psld/nn"
	"psld/psld/train"
	"psld/tensor/cpu"
)

// Minimise |w|^2 by AdamW.
func ExampleAdamW() {
	p := nn.NewParams()
	w := p.New("w.weight", 1, 2)
	w.T.Data = []float32{3, -4}
	w.Changed()
	p.RequireGrad(true)
	opt := train.NewAdamW(p.All(), cpu.F32)
	for range 200 {
		g := autograd.NewGraph(cpu.F32)
		g.Backward(g.SumSquares(w), nil)
		g.Release()
		if _, err := opt.Step(0.1); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(w.T.Data[0] < 0.01 && w.T.Data[0] > -0.01)
	// Output: true
}
