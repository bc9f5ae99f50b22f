package operator

import (
	"psld/autograd"
	"psld/tensor"
	"psld/tensor/cpu"
)

// Factored is an operator that can be a product of sparse matrices, by which a device with memory of its own computes
// it; see Lower.
type Factored interface {
	Linear
	// Factors are the matrices of A, the first one applied first, on pictures [H, W, C], and those of A'; the same ones
	// each time, since devices keep copies with them. Without any, A is the identity. ok is false where there are none
	// after all, as of a composition with an operator that is not Factored.
	Factors() (forward, adjoint []*tensor.Sparse, ok bool)
}

// FactorsOf are the sparse matrices of A and of A'; ok is false for an operator that has none.
func FactorsOf(a Linear) (forward, adjoint []*tensor.Sparse, ok bool) {
	if f, is := a.(Factored); is {
		return f.Factors()
	}
	return nil, nil, false
}

// Lower puts A into a graph: A x for x [1, H, W, C] of shape a.In(), of shape a.Out(), with the gradient A'. On a
// device with memory of its own an operator that has sparse matrices is computed by them. Everything else is computed
// on the host by Apply and Adjoint, x and the result being copied from and to the device; see OnDevice.
func Lower(g *autograd.Graph, x *autograd.Value, a Linear) *autograd.Value {
	out := a.Out()
	shape := []int{1, out.H, out.W, out.C}
	if !tensor.OnHost(g.Device()) {
		switch forward, adjoint, ok := FactorsOf(a); {
		case ok && len(forward) == 0:
			return x
		case ok:
			return g.Sparse(x, shape, forward, adjoint)
		}
	}
	return g.Map(x, shape, a.Apply, a.Adjoint)
}

// OnDevice tells whether Lower computes a in the memory of the device, without copies to the host and back.
func OnDevice(dev tensor.Device, a Linear) bool {
	if tensor.OnHost(dev) { // where nobody wants the matrices
		return true
	}
	_, _, ok := FactorsOf(a)
	return ok
}

// product is dst = the product of the matrices times x, on the processor.
func product(dst, x []float32, chain []*tensor.Sparse) {
	for i, m := range chain {
		y := dst
		if i < len(chain)-1 {
			y = make([]float32, m.Outer*m.Rows()*m.Inner)
		}
		cpu.F32.Sparse(tensor.From(y, len(y)), tensor.From(x, len(x)), m)
		x = y
	}
}

// Factors implements Factored.
func (a identity) Factors() (forward, adjoint []*tensor.Sparse, ok bool) { return nil, nil, true }

// Factors implements Factored.
func (t transposed) Factors() (forward, adjoint []*tensor.Sparse, ok bool) {
	forward, adjoint, ok = FactorsOf(t.a)
	return adjoint, forward, ok
}

// Factors implements Factored.
func (c composed) Factors() (forward, adjoint []*tensor.Sparse, ok bool) {
	forward, back, ok := FactorsOf(c.inner)
	next, adjoint, both := FactorsOf(c.outer)
	return append(forward[:len(forward):len(forward)], next...), append(adjoint[:len(adjoint):len(adjoint)], back...),
		ok && both
}

// Factors implements Factored: ones on the diagonal, at the kept pixels.
func (m *Mask) Factors() (forward, adjoint []*tensor.Sparse, ok bool) {
	m.once.Do(func() {
		start, at, w := []int32{0}, []int32(nil), []float32(nil)
		for i, k := range m.known {
			if k {
				at, w = append(at, int32(i*m.shape.C)), append(w, 1)
			}
			start = append(start, int32(len(at)))
		}
		m.factors = []*tensor.Sparse{tensor.NewSparse(1, m.shape.Len(), m.shape.C, start, at, w)}
	})
	return m.factors, m.factors, true
}

// Factors implements Factored: a row of weights at each pixel.
func (g *grey) Factors() (forward, adjoint []*tensor.Sparse, ok bool) {
	return g.forward, g.adjoint, true
}

// Factors implements Factored.
func (b *sparseBlur) Factors() (forward, adjoint []*tensor.Sparse, ok bool) {
	b.chains.once.Do(func() { b.chains.forward, b.chains.adjoint = correlation(b.shape, b.taps, 1, reflect) })
	return b.chains.forward, b.chains.adjoint, true
}

// Factors implements Factored: those of the correlation itself, in float32. On the processor the transform is used.
func (b *circular) Factors() (forward, adjoint []*tensor.Sparse, ok bool) {
	b.chains.once.Do(func() { b.chains.forward, b.chains.adjoint = b.direct() })
	return b.chains.forward, b.chains.adjoint, true
}
