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
	spec, err := solver.Lookup("psld")
	if err != nil {
		fmt.Println(err)
		return
	}
	method := spec.Default().(*solver.PSLD)
	method.Steps = 2
	res, err := solver.Solve(context.Background(), prior.RandomTiny(1), solver.Problem{A: a, Y: y}, method,
		solver.Options{Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(res.X), res.Steps)
	// Output: 768 2
}

// A grey picture of two halves, half of its pixels lost, comes back.
func ExampleTV() {
	const n = 16
	truth := make([]float32, n*n)
	for i := range truth {
		truth[i] = -0.5
		if i%n >= n/2 {
			truth[i] = 0.5
		}
	}
	keep, err := operator.RandomMask(n, n, 0.5, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	a, err := operator.NewMask(n, n, 1, keep)
	if err != nil {
		fmt.Println(err)
		return
	}
	y := make([]float32, n*n)
	a.Apply(y, truth)
	o := &solver.TV{Lambda: 0.001, Iterations: 100, CGSteps: 10, Tol: 1e-3}
	res, err := solver.Solve(context.Background(), nil, solver.Problem{A: a, Y: y}, o, solver.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.2f %.2f\n", res.X[n], res.X[2*n-1])
	// Output: -0.50 0.50
}
