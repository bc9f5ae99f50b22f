package cpu

import (
	"psld/asm"
	"psld/tensor"
)

// epilogue is what follows the sums of a convolution: the bias, and an [Epilogue], which is applied to pieces of
// the result that are still in the caches.
type epilogue struct {
	bias, add []float32 // or nil; add in the layout of the result
	scale     float32
	gated     bool
	f         tensor.Func
}

func newEpilogue(b *tensor.Tensor, e tensor.Epilogue) epilogue {
	ep := epilogue{scale: e.Scale, gated: e.GEGLU, f: e.Func}
	if ep.scale == 0 {
		ep.scale = 1
	}
	if b != nil {
		ep.bias = b.Data
	}
	if e.Add != nil {
		ep.add = e.Add.Data
	}
	return ep
}

// none tells that there is nothing to do but to add the bias.
func (e *epilogue) none() bool {
	return e.scale == 1 && !e.gated && e.add == nil && e.f == tensor.Identity
}

// finish writes n elements of a row of the result y, from element at on, of their sums x, which may lie there
// already. With a gate x are 2n.
func (e *epilogue) finish(y []float32, at, n int, x []float32) {
	out := y[at:][:n]
	if e.scale != 1 {
		asm.Scale(x, e.scale, x)
	}
	if e.gated {
		asm.GEGLURows(out, x, n)
		x = out
	}
	if e.add != nil {
		asm.Add(out, x, e.add[at:][:n])
		x = out
	}
	switch {
	case e.f != tensor.Identity:
		unary[e.f](out, x)
	case &x[0] != &out[0]:
		copy(out, x)
	}
}
