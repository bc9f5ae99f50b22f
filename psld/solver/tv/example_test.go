package tv_test

import (
	"context"
	"fmt"

	"psld/psld/operator"
	"psld/psld/solver/tv"
)

// A grey picture of two halves, half of its pixels lost, comes back.
func Example() {
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
	x, err := tv.Solve(context.Background(), a, y, tv.Options{Lambda: 0.001})
	fmt.Printf("%.2f %.2f %v\n", x[n], x[2*n-1], err)
	// Output: -0.50 0.50 <nil>
}
