package solver_test

import (
	"context"
	"fmt"

	"psld/psld/operator"
	"psld/psld/prior"
	"psld/psld/solver"
)

// A tiny model with random weights shows the calls; it restores nothing.
func ExampleSolve() {
	a, err := operator.NewSR(16, 16, 3, 4)
	if err != nil {
		fmt.Println(err)
		return
	}
	y := make([]float32, a.Out().Len())
	res, err := solver.Solve(context.Background(), prior.RandomTiny(1), solver.Problem{A: a, Y: y}, solver.Options{Steps: 2, Gamma: 0.1, Omega: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.H, res.W, len(res.X), res.Steps)
	// Output: 16 16 768 2
}
