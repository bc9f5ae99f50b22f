//go:build vulkan

package vulkan

import "psld/tensor"

// normShape is what the kernels of group norms know of x[N,...,C].
type normShape struct {
	n, px, c, groups int
	each             uint32 // 1: items have a gamma and a beta of their own
}

func newNormShape(x, gamma *tensor.Tensor, groups int) normShape {
	n, px, c := pixels(x)
	return normShape{n, px, c, groups, flag(len(gamma.Shape) > 1)}
}

// GroupNorm implements [tensor.Device].
func (d *Device) GroupNorm(y, stats, x, gamma, beta *tensor.Tensor, groups int, eps float32, silu bool) {
	defer d.lock()()
	s := newNormShape(x, gamma, groups)
	in, st := d.in(x), d.out(stats)
	size := max(1, (4096+s.c/groups-1)/(s.c/groups)) // pixels of a part: some 4096 elements
	parts := (s.px + size - 1) / size
	part := d.scratch(2 * s.n * groups * parts)
	d.launch(launch{kernel: "groupnorm_parts", out: []*piece{part}, in: []*piece{in},
		push: []uint32{u(s.px), u(s.c), u(groups), u(size)}, groups: [3]int{parts, groups, s.n}})
	d.launch(launch{kernel: "groupnorm_stats", out: []*piece{st}, in: []*piece{part},
		push:   []uint32{u(s.n * groups), u(parts), u(s.px), u(s.c / groups), u(size), f(eps)},
		groups: lines(s.n * groups)})
	d.launch(launch{kernel: "groupnorm", spec: []uint32{flag(silu)}, out: []*piece{d.out(y)},
		in:   []*piece{in, st, d.in(gamma), d.in(beta)},
		push: []uint32{u(x.Len()), u(s.px), u(s.c), u(groups), s.each}, groups: lines(x.Len())})
}

// GroupNormGrad implements [tensor.Device].
func (d *Device) GroupNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma, beta *tensor.Tensor, groups int, silu bool) {
	defer d.lock()()
	s := newNormShape(x, gamma, groups)
	g, in, st, ga, be := d.in(dy), d.in(x), d.in(stats), d.in(gamma), d.in(beta)
	size := partRows(s.px)
	parts := (s.px + size - 1) / size
	part := d.scratch(2 * s.n * parts * s.c)
	d.launch(launch{kernel: "columns", spec: []uint32{2, flag(silu)}, out: []*piece{part},
		in:   []*piece{g, in, st, ga, be},
		push: []uint32{u(s.px), u(s.c), u(size), u(groups), s.each}, groups: [3]int{(s.c + 255) / 256, parts, s.n}})
	sums := d.scratch(2 * s.n * s.c)
	d.combine(sums, part, s.n, parts, 2*s.c, 2*s.c, 0)
	means := d.scratch(2 * s.n * groups)
	d.launch(launch{kernel: "groupnorm_means", out: []*piece{means}, in: []*piece{sums, ga},
		push:   []uint32{u(s.n * groups), u(s.c), u(groups), s.each, f(float32(s.px * (s.c / groups)))},
		groups: lines(s.n * groups)})
	d.launch(launch{kernel: "groupnorm_dx", spec: []uint32{flag(silu)}, out: []*piece{d.out(dx)},
		in:   []*piece{g, in, st, means, ga, be},
		push: []uint32{u(x.Len()), u(s.px), u(s.c), u(groups), s.each}, groups: lines(x.Len())})
	if dgamma == nil {
		return
	}
	outer, over := 1, s.n // sums over the items
	if s.each == 1 {
		outer, over = s.n, 1
	}
	d.combine(d.out(dbeta), sums, outer, over, s.c, 2*s.c, 0)
	d.combine(d.out(dgamma), sums, outer, over, s.c, 2*s.c, s.c)
}

// LayerNorm implements [tensor.Device].
func (d *Device) LayerNorm(y, stats, x, gamma, beta *tensor.Tensor, eps float32) {
	defer d.lock()()
	d.launch(launch{kernel: "layernorm", out: []*piece{d.out(y), d.out(stats)},
		in: []*piece{d.in(x), d.in(gamma), d.in(beta)}, push: []uint32{u(x.Rows()), u(x.Dim(-1)), f(eps)},
		groups: square(x.Rows())})
}

// LayerNormGrad implements [tensor.Device].
func (d *Device) LayerNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma *tensor.Tensor) {
	defer d.lock()()
	rows, c := x.Rows(), x.Dim(-1)
	g, in, st := d.in(dy), d.in(x), d.in(stats)
	d.launch(launch{kernel: "layernorm", spec: []uint32{1}, out: []*piece{d.out(dx), st},
		in: []*piece{in, d.in(gamma), g}, push: []uint32{u(rows), u(c), 0}, groups: square(rows)})
	if dgamma == nil {
		return
	}
	size := partRows(rows)
	parts := (rows + size - 1) / size
	part := d.scratch(2 * parts * c)
	d.launch(launch{kernel: "columns", spec: []uint32{1}, out: []*piece{part}, in: []*piece{g, in, st, nil, nil},
		push: []uint32{u(rows), u(c), u(size), 1, 0}, groups: [3]int{(c + 255) / 256, parts, 1}})
	d.combine(d.out(dbeta), part, 1, parts, c, 2*c, 0)
	d.combine(d.out(dgamma), part, 1, parts, c, 2*c, c)
}

// Softmax implements [tensor.Device].
func (d *Device) Softmax(y, x *tensor.Tensor) {
	defer d.lock()()
	d.launch(launch{kernel: "softmax", out: []*piece{d.out(y)}, in: []*piece{d.in(x), nil},
		push: []uint32{u(x.Rows()), u(x.Dim(-1))}, groups: square(x.Rows())})
}

// SoftmaxGrad implements [tensor.Device].
func (d *Device) SoftmaxGrad(dx, dy, y *tensor.Tensor) {
	defer d.lock()()
	d.launch(launch{kernel: "softmax", spec: []uint32{1}, out: []*piece{d.out(dx)}, in: []*piece{d.in(y), d.in(dy)},
		push: []uint32{u(y.Rows()), u(y.Dim(-1))}, groups: square(y.Rows())})
}
