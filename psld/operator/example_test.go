package operator_test

import (
	"context"
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

// grey is an operator of your own: the mean of a picture's colours. Its rows do not overlap and A A' is I/3, so that
// it can answer for its proximal step.
type grey struct{ h, w int }

func (a grey) In() operator.Shape  { return operator.Shape{H: a.h, W: a.w, C: 3} }
func (a grey) Out() operator.Shape { return operator.Shape{H: a.h, W: a.w, C: 1} }

func (a grey) Apply(dst, x []float32) {
	for i := range dst {
		dst[i] = (x[3*i] + x[3*i+1] + x[3*i+2]) / 3
	}
}

func (a grey) Adjoint(dst, y []float32) {
	for i := range dst {
		dst[i] = y[i/3] / 3
	}
}

func (a grey) Prox(_ context.Context, dst, z, y []float32, rho float64) error {
	m := make([]float32, len(y))
	a.Apply(m, z)
	for i := range dst {
		dst[i] = z[i] + (y[i/3]-m[i/3])/3/float32(1.0/3+rho)
	}
	return nil
}

// An operator may answer more than Linear asks; who needs the answer gets one for any operator.
func ExampleProxOf() {
	closed := operator.ProxOf(grey{1, 1})
	iterated := operator.ProxOf(operator.Transposed(operator.Transposed(grey{1, 1}))) // does not know of Prox
	x, z := make([]float32, 3), []float32{0.5, 0, -0.5}
	for _, a := range []operator.Proximal{closed, iterated} {
		if err := a.Prox(context.Background(), x, z, []float32{0.2}, 0.5); err != nil {
			panic(err)
		}
		fmt.Printf("%.3f\n", x)
	}
	// Output:
	// [0.580 0.080 -0.420]
	// [0.580 0.080 -0.420]
}
