// Package optable is the one list of operation cases: an operation of the engine on
// tensors of certain shapes, what it should compute, and how much work that is.
//
// The list drives four things: the comparison of every kernel tier with the plain
// float64 loops in reference.go, the gradient check against finite differences of
// those loops, the adjoint check of the linear operations, and the GFLOP/s
// benchmark. A new operation of [autograd.Graph] needs one row in cases.go; a test
// fails while it has none. A new kernel or device is tested by running the list.
package optable

import (
	"hash/fnv"
	"math/rand/v2"

	"psld/autograd"
	"psld/tensor"
)

// Arg is one tensor that an operation takes, filled with uniform random numbers in
// Mean-Spread..Mean+Spread; Spread 0 stands for 1.
type Arg struct {
	Shape        []int
	Param        bool // a weight
	Mean, Spread float64
}

// Case is one row of the table.
type Case struct {
	Op   string // the method of autograd.Graph
	Name string // op, shapes and attributes; no two cases share it
	Args []Arg
	// Linear lists the arguments in which the operation is linear, up to a constant.
	Linear []int
	// Flops is the work of one forward pass: two for a multiply-add, one for another
	// arithmetic operation, and by convention 8 for an exponential or the like.
	Flops float64

	Run       func(g *autograd.Graph, x []*autograd.Value) *autograd.Value
	Reference func(x []Array) Array
}

// Inputs makes the tensors of the arguments: the same numbers each time.
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
