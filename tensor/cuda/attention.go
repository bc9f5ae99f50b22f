//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"slices"

	"psld/tensor"
)

// attention is struct Attention of attention.cu.
type attention struct {
	l, m, heads, d, causal int32
	scale                  float32
}

// kernelsOfHeads are kernels by the widest head that they are for, with the rows of a block: of queries, and of keys
// where the gradients of these are made.
type kernelsOfHeads struct {
	halves                     bool // gradients round factors to bfloat16
	d, queries, keys           int
	attend, gradQuery, gradKey string
}

// heads are those in float32.
var heads = []kernelsOfHeads{headsOf(48, 64, 64), headsOf(80, 64, 64), headsOf(160, 64, 64), headsOf(512, 32, 16)}

func headsOf(d, queries, keys int) kernelsOfHeads {
	name := func(text string) string { return fmt.Sprintf("%s%d", text, d) }
	return kernelsOfHeads{false, d, queries, keys, name("attend"), name("gradQuery"), name("gradKey")}
}

// headsOnCores are those of tensor cores for a kind: none for TF32.
var headsOnCores = map[string][]kernelsOfHeads{"bf16": {onCores("bf16", 48), onCores("bf16", 80)},
	"f16": {onCores("f16", 48), onCores("f16", 80)}}

func onCores(kind string, d int) kernelsOfHeads {
	return kernelsOfHeads{true, d, 128, 128, fmt.Sprintf("%sAttend%d", kind, d), fmt.Sprintf("bf16GradQuery%d", d),
		fmt.Sprintf("bf16GradKey%d", d)}
}

// attentionOf gives the shape, and the kernels for it.
func (d *device) attentionOf(q, k *tensor.Tensor, count int, causal bool) (a *attention, h kernelsOfHeads) {
	width := q.Dim(2) / count
	a = &attention{l: int32(q.Dim(1)), m: int32(k.Dim(1)), heads: int32(count), d: int32(width),
		scale: float32(1 / math.Sqrt(float64(width)))}
	if causal {
		a.causal = 1
	}
	list := slices.Concat(headsOnCores[d.kind], heads)
	i := slices.IndexFunc(list, func(h kernelsOfHeads) bool { return h.d >= width })
	if i < 0 {
		panic(tensor.NotImplemented{Device: d.Name(),
			Operation: fmt.Sprintf("attention with heads of %d channels, %d at most", width, list[len(list)-1].d)})
	}
	return a, list[i]
}

// Attention implements [tensor.Device].
func (d *device) Attention(o, stats, q, k, v *tensor.Tensor, count int, causal bool) {
	if o.Len() == 0 {
		return
	}
	a, h := d.attentionOf(q, k, count, causal)
	d.begin()
	defer d.leave()
	d.launch(h.attend, grid{(q.Dim(1) + h.queries - 1) / h.queries, q.Dim(0) * count, 1}, 256,
		at(d.out(o)), at(d.out(stats)), at(d.in(q)), at(d.in(k)), at(d.in(v)), structOf(a))
}

// AttentionGrad implements [tensor.Device].
func (d *device) AttentionGrad(dq, dk, dv, do, o, stats, q, k, v *tensor.Tensor, count int, causal bool) {
	if o.Len() == 0 {
		return
	}
	a, h := d.attentionOf(q, k, count, causal)
	d.begin()
	defer d.leave()
	l, all := q.Dim(1), q.Dim(0)*count
	delta := at(d.scratch(4 * int64(all*l)))
	grad, st, qs, ks, vs := at(d.in(do)), at(d.in(stats)), at(d.in(q)), at(d.in(k)), at(d.in(v))
	d.launch("attentionDelta", grid{(all*l + warps - 1) / warps, 1, 1}, 32*warps, delta, grad, at(d.in(o)), i32(l),
		i32(count), i32(int(a.d)), flag(h.halves), i64(all*l))
	d.launch(h.gradQuery, grid{(l + h.queries - 1) / h.queries, all, 1}, 256, at(d.out(dq)), grad,
		st, delta, qs, ks, vs, structOf(a))
	d.launch(h.gradKey, grid{(k.Dim(1) + h.keys - 1) / h.keys, all, 1}, 256, at(d.out(dk)),
		at(d.out(dv)), grad, st, delta, qs, ks, vs, structOf(a))
}
