// Package devicetest checks and times a [tensor.Device]. A backend's own test calls
//
//	func TestDevice(t *testing.T) { devicetest.Run(t, dev) }
//
// The list of cases behind it is the one list of engine operations: an operation of [autograd.Graph] on tensors of
// certain shapes, what it should compute, how exactly, and how much work that is. It drives the comparison of
// values with the plain float64 loops of reference.go, that of gradients with finite differences of those loops,
// the adjoint check of the linear operations, and the GFLOP/s of [Benchmark]. A new operation needs one row in
// cases.go; a test fails while it has none.
package devicetest

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"psld/autograd"
	"psld/tensor"
)

// Arg is one tensor that an operation takes, filled with uniform random numbers in
// Mean-Spread..Mean+Spread; Spread 0 stands for 1.
type Arg struct {
	Shape        []int
	Param        bool // a weight
	Matrix       bool // a factor of products, that a device may pack
	Mean, Spread float64
}

// Case is one row of the table.
type Case struct {
	Op   string // the method of autograd.Graph
	Name string // op, shapes and attributes; no two cases share it
	Args []Arg
	// Linear lists the arguments in which the operation is linear, up to a constant.
	Linear []int
	// Product tells that the operation is one of matrix products, whose factors a device may round.
	Product bool
	// Tolerance is the relative error, in the norm of the result, of a device that computes in float32.
	Tolerance float64
	// Flops is the work of one forward pass: two for a multiply-add, one for another
	// arithmetic operation, and by convention 8 for an exponential or the like.
	Flops float64

	Run       func(g *autograd.Graph, x []*autograd.Value) *autograd.Value
	Reference func(x []Array) Array
}

// Inputs makes the tensors of the arguments, in host memory: the same numbers each time.
func (c *Case) Inputs() []*tensor.Tensor {
	h := fnv.New64a()
	h.Write([]byte(c.Name))
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	out := make([]*tensor.Tensor, len(c.Args))
	for i, a := range c.Args {
		if a.Spread == 0 {
			a.Spread = 1
		}
		out[i] = tensor.New(a.Shape...)
		for j := range out[i].Data {
			out[i].Data[j] = float32(a.Mean + a.Spread*(2*r.Float64()-1))
		}
	}
	return out
}

// Values puts inputs into g: arguments marked Param as parameters, frozen unless
// train, the rest as inputs of the graph.
func (c *Case) Values(g *autograd.Graph, inputs []*tensor.Tensor, train bool) []*autograd.Value {
	out := make([]*autograd.Value, len(inputs))
	for i, t := range inputs {
		if c.Args[i].Param {
			out[i] = autograd.NewParam(t)
			out[i].RequireGrad(train)
		} else {
			out[i] = g.Input(t)
		}
	}
	return out
}

// moved puts the inputs into dev's memory as a model does: weights packed or placed, the rest uploaded.
func (c *Case) moved(dev tensor.Device, inputs []*tensor.Tensor) []*tensor.Tensor {
	out := slices.Clone(inputs)
	for i, a := range c.Args {
		switch {
		case a.Matrix:
			dev.Pack(out[i])
		case a.Param:
			dev.Place(out[i])
		default:
			out[i] = dev.Get(a.Shape...)
			dev.Upload(out[i], inputs[i].Data)
		}
	}
	return out
}
