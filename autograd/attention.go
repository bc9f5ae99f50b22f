package autograd

import (
	"psld/tensor"
)

// Softmax is over the last axis.
func (g *Graph) Softmax(x *Value) *Value {
	y := g.alloc(x.T.Shape...)
	g.dev.Softmax(y, x.T)
	return g.result(y, g.wants(x), func(dy *tensor.Tensor) bool {
		g.dev.SoftmaxGrad(dy, dy, y)
		g.add(x, dy)
		return true
	}, y)
}

// Attention is scaled dot-product attention of q[N,L,heads*d] on k and
// v[N,M,heads*d], scale 1/sqrt(d): [N,L,heads*d]. With causal, position i sees
// positions up to i.
func (g *Graph) Attention(q, k, v *Value, heads int, causal bool) *Value {
	c := q.T.Dim(2)
	check(c%heads == 0 && k.T.Dim(2) == c && k.T.Dim(0) == q.T.Dim(0), "Attention", "k", k.T.Shape, q.T.Shape)
	check(tensor.Same(k.T.Shape, v.T.Shape), "Attention", "v", v.T.Shape, k.T.Shape)
	o := g.alloc(q.T.Shape...)
	wants := g.wants(q, k, v)
	var stats *tensor.Tensor
	if wants {
		stats = g.alloc(q.T.Dim(0), heads, 2, q.T.Dim(1))
	}
	g.dev.Attention(o, stats, q.T, k.T, v.T, heads, causal)
	return g.result(o, wants, func(do *tensor.Tensor) bool {
		dq, dk, dv := g.temp(q.T.Shape...), g.temp(k.T.Shape...), g.temp(v.T.Shape...)
		g.dev.AttentionGrad(dq, dk, dv, do, o, stats, q.T, k.T, v.T, heads, causal)
		g.addOrDrop(q, dq)
		g.addOrDrop(k, dk)
		g.addOrDrop(v, dv)
		return false
	}, o, stats, q.T, k.T, v.T)
}
