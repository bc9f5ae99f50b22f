//go:build cuda

package cuda

import (
	"fmt"
	"math"

	"psld/tensor"
)

// attention is struct Attention of attention.cu.
type attention struct {
	l, m, heads, d, causal int32
	scale                  float32
}

// heads are the kernels by the widest head that they are for, with the rows of a block: of queries, and of keys where
// the gradients of these are made.
var heads = []struct{ d, queries, keys int }{{48, 64, 64}, {80, 64, 64}, {160, 64, 64}, {512, 32, 16}}

// attentionOf gives the shape, and what of heads is for it.
func (d *device) attentionOf(q, k *tensor.Tensor, count int, causal bool) (a *attention, kind int) {
	width := q.Dim(2) / count
	a = &attention{l: int32(q.Dim(1)), m: int32(k.Dim(1)), heads: int32(count), d: int32(width),
		scale: float32(1 / math.Sqrt(float64(width)))}
	if causal {
		a.causal = 1
	}
	for kind < len(heads) && heads[kind].d < width {
		kind++
	}
	if kind == len(heads) {
		panic(tensor.NotImplemented{Device: d.Name(),
			Operation: fmt.Sprintf("attention with heads of %d channels, %d at most", width, heads[kind-1].d)})
	}
	return a, kind
}

// Attention implements [tensor.Device].
func (d *device) Attention(o, stats, q, k, v *tensor.Tensor, count int, causal bool) {
	if o.Len() == 0 {
		return
	}
	a, kind := d.attentionOf(q, k, count, causal)
	d.begin()
	defer d.leave()
	h := heads[kind]
	d.launch(fmt.Sprintf("attend%d", h.d), grid{(q.Dim(1) + h.queries - 1) / h.queries, q.Dim(0) * count, 1}, 256,
		at(d.out(o)), at(d.out(stats)), at(d.in(q)), at(d.in(k)), at(d.in(v)), structOf(a))
}

// AttentionGrad implements [tensor.Device].
func (d *device) AttentionGrad(dq, dk, dv, do, o, stats, q, k, v *tensor.Tensor, count int, causal bool) {
	if o.Len() == 0 {
		return
	}
	a, kind := d.attentionOf(q, k, count, causal)
	d.begin()
	defer d.leave()
	h := heads[kind]
	l, all := q.Dim(1), q.Dim(0)*count
	delta := at(d.scratch(4 * int64(all*l)))
	grad, st, qs, ks, vs := at(d.in(do)), at(d.in(stats)), at(d.in(q)), at(d.in(k)), at(d.in(v))
	d.launch("attentionDelta", grid{(all*l + warps - 1) / warps, 1, 1}, 32*warps, delta, grad, at(d.in(o)), i32(l),
		i32(count), i32(int(a.d)), i64(all*l))
	d.launch(fmt.Sprintf("gradQuery%d", h.d), grid{(l + h.queries - 1) / h.queries, all, 1}, 256, at(d.out(dq)), grad,
		st, delta, qs, ks, vs, structOf(a))
	d.launch(fmt.Sprintf("gradKey%d", h.d), grid{(k.Dim(1) + h.keys - 1) / h.keys, all, 1}, 256, at(d.out(dk)),
		at(d.out(dv)), grad, st, delta, qs, ks, vs, structOf(a))
}
