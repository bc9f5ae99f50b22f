package tensor_test

import (
	"fmt"

	"psld/tensor"
	"psld/tensor/cpu"
)

// A 3x3 box filter over a picture of 1x3 pixels with one channel: zero padding
// keeps the size.
func ExampleDevice() {
	dev := cpu.F32
	x := tensor.FromNCHW([]float32{1, 2, 4}, 1, 1, 1, 3)
	w := tensor.New(1, 1, 3, 3)
	dev.Fill(w, 1)
	y := dev.Get(1, 1, 3, 1)
	dev.Conv2d(y, x, w, nil, tensor.SameConv(3), tensor.Epilogue{})
	fmt.Println(y.Shape, dev.Host(y))
	dev.Put(y)
	// Output: [1 1 3 1] [3 7 6]
}

// Pictures come as [N, C, H, W] and are [N, H, W, C] inside.
func ExampleFromNCHW() {
	red, green := []float32{1, 2}, []float32{10, 20}
	x := tensor.FromNCHW(append(red, green...), 1, 2, 1, 2)
	fmt.Println(x.Shape, x.Data)
	fmt.Println(x.NCHW())
	// Output:
	// [1 1 2 2] [1 10 2 20]
	// [1 2 10 20]
}
