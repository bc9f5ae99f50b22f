package autograd

import (
	"runtime"
	"strings"

	"psld/tensor"
)

// Op is one operation, as Graph.OnOp sees it.
type Op struct {
	Name     string   // of the method of Graph, e.g. "Conv2d"
	Params   []*Value // that it takes, e.g. weight and bias
	Gradient bool     // Out is a gradient that Backward of it gives to one of its inputs
	Out      *tensor.Tensor
}

// show calls OnOp with an operation's result and returns its backward, which says whose gradients come.
func (g *Graph) show(t *tensor.Tensor, backward func(dy *tensor.Tensor) bool) func(dy *tensor.Tensor) bool {
	op := g.op
	op.Name, op.Out = operation(), t
	g.OnOp(op)
	op.Gradient = true
	return func(dy *tensor.Tensor) bool {
		g.op = op
		return backward(dy)
	}
}

// params picks the parameters.
func params(in []*Value) []*Value {
	var list []*Value
	for _, v := range in {
		if v != nil && v.param {
			list = append(list, v)
		}
	}
	return list
}

// operation is the name of the method of Graph that the caller of this package called.
func operation() string {
	var pc [16]uintptr
	name := ""
	frames := runtime.CallersFrames(pc[:runtime.Callers(2, pc[:])])
	for {
		f, more := frames.Next()
		_, method, ok := strings.Cut(f.Function, "autograd.(*Graph).")
		if !ok {
			return name
		}
		if name = method; !more {
			return name
		}
	}
}
