// Package tensor holds dense float32 arrays, their memory, and the [Device]
// seam behind which the arithmetic stands.
//
// Activations are channels last, [N, H, W, C]: the channels of a pixel are one
// contiguous vector, so a 1x1 convolution, a linear layer and attention are the
// same matrix product. NCHW exists only at the borders, through [FromNCHW] and
// [Tensor.NCHW]. Convolution weights keep the order of the files, [O, I, KH, KW].
package tensor

import (
	"fmt"
	"slices"
)

// Tensor is a dense row-major array of float32. The zero value is not usable:
// make one with [New], [From] or a Device.
type Tensor struct {
	Shape []int
	// Data are the elements, as many as the product of Shape says, where they lie in host memory. It is nil for a
	// tensor of a device with memory of its own, a weight after [Device].Pack, and one of [Shaped]: ask
	// [Device].Host.
	Data []float32

	storage *Storage
	kept
}

// Storage is the memory of a tensor and of the views on it, which share one: by it an owner knows what is whose.
type Storage struct {
	// Buffer is what a device with memory of its own has in place of Data, nil for host memory.
	Buffer any
}

// New returns a zeroed tensor in ordinary Go memory.
func New(shape ...int) *Tensor {
	return From(make([]float32, Len(shape)), shape...)
}

// Shaped returns a tensor without elements, for a weight that is filled later.
func Shaped(shape ...int) *Tensor {
	Len(shape) // panics on a negative side
	return wrap(nil, nil, shape)
}

// Buffered returns a tensor whose elements lie in buffer, memory of the device that calls it.
func Buffered(buffer any, shape ...int) *Tensor {
	Len(shape)
	return wrap(nil, buffer, shape)
}

// wrap makes a tensor with a storage of its own, both in one piece of memory.
func wrap(data []float32, buffer any, shape []int) *Tensor {
	x := &struct {
		t Tensor
		s Storage
	}{Tensor{Shape: slices.Clone(shape), Data: data}, Storage{buffer}}
	x.t.storage = &x.s
	return &x.t
}

// From wraps data, which is not copied. It panics when the length does not fit the shape.
func From(data []float32, shape ...int) *Tensor {
	if len(data) != Len(shape) {
		panic(fmt.Sprintf("tensor: From got %d values for shape %v", len(data), shape))
	}
	return wrap(data, nil, shape)
}

// Len is the number of elements of a shape; it panics on a negative side.
func Len(shape []int) int {
	n := 1
	for _, d := range shape {
		if d < 0 {
			panic(fmt.Sprintf("tensor: negative side in shape %v", shape))
		}
		n *= d
	}
	return n
}

// Len is the number of elements.
func (t *Tensor) Len() int { return Len(t.Shape) }

// Dim is the size of axis i; negative i counts from the end.
func (t *Tensor) Dim(i int) int {
	if i < 0 {
		i += len(t.Shape)
	}
	return t.Shape[i]
}

// Rows is the product of all sides but the last.
func (t *Tensor) Rows() int { return t.Len() / max(1, t.Dim(-1)) }

// Storage is the handle of t's memory: two tensors are views of the same memory if theirs are equal.
func (t *Tensor) Storage() *Storage { return t.storage }

// Clone returns a copy in ordinary Go memory of a tensor in host memory.
func (t *Tensor) Clone() *Tensor { return From(slices.Clone(t.Data), t.Shape...) }

// Reshaped returns a view: a tensor with the same memory and another shape of the same length.
func (t *Tensor) Reshaped(shape ...int) *Tensor {
	if Len(shape) != t.Len() {
		panic(fmt.Sprintf("tensor: Reshaped of %v to %v", t.Shape, shape))
	}
	return &Tensor{Shape: slices.Clone(shape), Data: t.Data, storage: t.storage}
}

// FromNCHW copies data of shape [n, c, h, w] into a new tensor [n, h, w, c].
func FromNCHW(data []float32, n, c, h, w int) *Tensor {
	t := New(n, h, w, c)
	if len(data) != t.Len() {
		panic(fmt.Sprintf("tensor: FromNCHW got %d values for [%d %d %d %d]", len(data), n, c, h, w))
	}
	for i := range n {
		for ch := range c {
			plane := data[(i*c+ch)*h*w:][:h*w]
			out := t.Data[i*h*w*c+ch:]
			for p, v := range plane {
				out[p*c] = v
			}
		}
	}
	return t
}

// NCHW copies a tensor [n, h, w, c] into a slice in the order [n, c, h, w].
func (t *Tensor) NCHW() []float32 {
	n, h, w, c := t.Dim(0), t.Dim(1), t.Dim(2), t.Dim(3)
	out := make([]float32, t.Len())
	for i := range n {
		for ch := range c {
			plane := out[(i*c+ch)*h*w:][:h*w]
			in := t.Data[i*h*w*c+ch:]
			for p := range plane {
				plane[p] = in[p*c]
			}
		}
	}
	return out
}

// Same reports whether two shapes are equal.
func Same(a, b []int) bool { return slices.Equal(a, b) }
