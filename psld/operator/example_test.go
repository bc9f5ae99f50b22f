package operator_test

import (
	"fmt"

	"psld/psld/operator"
)

// A measurement is an operator applied to a picture, plus noise; the adjoint maps measurements back.
func Example() {
	a, err := operator.NewSR(64, 64, 3, 4)
	if err != nil {
		fmt.Println(err)
		return
	}
	x := make([]float32, a.In().Len())
	for i := range x {
		x[i] = 0.25
	}
	y := make([]float32, a.Out().Len())
	a.Apply(y, x)
	fmt.Printf("%v -> %v, value %.2f\n", a.In(), a.Out(), y[0])
	operator.AddGaussian(y, 0.05, 42)
	a.Adjoint(x, y)

	_, err = operator.NewSR(3, 64, 3, 4)
	fmt.Println(err)
	// Output:
	// 64x64x3 -> 16x16x3, value 0.25
	// operator: super-resolution factor 4 must be between 1 and the shorter side of the 64x3 picture
}
