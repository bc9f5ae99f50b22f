//go:build vulkan

package vulkan

import (
	"math"

	"psld/tensor"
)

// heads16 is how many columns of a head of size d each of 16 members has room for: one of few numbers, since each is a
// kernel to compile.
func heads16(d int) uint32 {
	for _, n := range []int{1, 3, 5, 10, 32} {
		if d <= 16*n {
			return u(n)
		}
	}
	return u((d + 15) / 16)
}

// Attention implements [tensor.Device].
func (d *Device) Attention(o, stats, q, k, v *tensor.Tensor, heads int, causal bool) {
	defer d.lock()()
	n, l, m, size := q.Dim(0), q.Dim(1), k.Dim(1), q.Dim(2)/heads
	d.launch(launch{kernel: "attention", spec: []uint32{heads16(size)},
		out: []*piece{d.out(o), d.out(stats)}, in: []*piece{d.in(q), d.in(k), d.in(v)},
		push: []uint32{u(l), u(m), u(heads), u(size), f(float32(1 / math.Sqrt(float64(size)))), flag(causal),
			flag(stats != nil)},
		groups: [3]int{(l + 15) / 16, heads, n}})
}

// AttentionGrad implements [tensor.Device].
func (d *Device) AttentionGrad(dq, dk, dv, do, o, stats, q, k, v *tensor.Tensor, heads int, causal bool) {
	defer d.lock()()
	n, l, m, size := q.Dim(0), q.Dim(1), k.Dim(1), q.Dim(2)/heads
	delta := d.scratch(n * heads * l)
	g, qs, ks, vs, st := d.in(do), d.in(q), d.in(k), d.in(v), d.in(stats)
	d.launch(launch{kernel: "attention_delta", out: []*piece{delta}, in: []*piece{d.in(o), g},
		push: []uint32{u(n * heads * l), u(l), u(heads), u(size)}, groups: lines(n * heads * l)})
	scale := f(float32(1 / math.Sqrt(float64(size))))
	d.launch(launch{kernel: "attention_grad", spec: []uint32{heads16(size), 0},
		out: []*piece{d.out(dq), nil}, in: []*piece{qs, g, ks, vs, st, delta},
		push: []uint32{u(l), u(m), u(heads), u(size), scale, flag(causal)}, groups: [3]int{(l + 15) / 16, heads, n}})
	d.launch(launch{kernel: "attention_grad", spec: []uint32{heads16(size), 1},
		out: []*piece{d.out(dk), d.out(dv)}, in: []*piece{ks, vs, qs, g, st, delta},
		push: []uint32{u(m), u(l), u(heads), u(size), scale, flag(causal)}, groups: [3]int{(m + 15) / 16, heads, n}})
}
