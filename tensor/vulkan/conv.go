//go:build vulkan

package vulkan

import "psld/tensor"

// Conv2d implements [tensor.Device].
func (d *Device) Conv2d(y, x, w, b *tensor.Tensor, p tensor.Conv, e tensor.Epilogue) {
	defer d.lock()()
	if e.Scale == 0 {
		e.Scale = 1
	}
	o, i, _ := filter(w)
	g := geometry{conv: p, rows: y.Len() / o, in: i, out: o, scale: e.Scale}
	g.pictures, g.inH, g.inW, g.outH, g.outW = x.Dim(0), x.Dim(1), x.Dim(2), y.Dim(1), y.Dim(2)
	out := d.out(y)
	if !e.GEGLU {
		d.convolve(out, d.in(x), d.weight(w), d.in(b), d.in(e.Add), g)
	} else {
		// The halves of a row are far from each other: the gate is an operation of its own.
		g.rows = 2 * y.Len() / o
		wide := d.scratch(2 * y.Len())
		d.convolve(wide, d.in(x), d.weight(w), d.in(b), nil, g)
		d.geglu(out, wide, y)
		if e.Add != nil {
			d.elementwise(opAdd, 0, out, out, d.in(e.Add), y.Len())
		}
	}
	if e.Func != tensor.Identity {
		d.elementwise(opUnary, e.Func, out, out, nil, y.Len())
	}
}

// Conv2dGradInput implements [tensor.Device].
func (d *Device) Conv2dGradInput(dx, dy, w *tensor.Tensor, p tensor.Conv) {
	defer d.lock()()
	o, i, _ := filter(w)
	g := geometry{conv: p, grad: true, in: o, out: i, scale: 1}
	g.pictures, g.inH, g.inW, g.outH, g.outW = dy.Dim(0), dy.Dim(1), dy.Dim(2), dx.Dim(1), dx.Dim(2)
	g.rows = dx.Len() / i
	if !p.Upsample {
		d.convolve(d.out(dx), d.in(dy), d.weight(w), nil, nil, g)
		return
	}
	// The gradient of the enlarged picture, and then that of the enlarging.
	g.outH, g.outW, g.rows = 2*g.outH, 2*g.outW, 4*g.rows
	large := d.scratch(g.rows * i)
	d.convolve(large, d.in(dy), d.weight(w), nil, nil, g)
	d.squares(d.out(dx), large, dx, 1)
}

// geometry is a convolution, or its gradient, as conv.comp sees it: from pictures [*,inH,inW,in] to [*,outH,outW,out].
type geometry struct {
	conv                 tensor.Conv
	grad                 bool
	rows                 int // pixels of all pictures that are written
	in, out              int // channels
	pictures             int
	inH, inW, outH, outW int
	scale                float32
}

func (d *Device) convolve(y, x, w, bias, add *piece, g geometry) {
	if d.lanes && add != nil && g.out%4 != 0 { // which cannot be read four by four
		d.convolve(y, x, w, bias, nil, g)
		d.elementwise(opAdd, 0, y, y, add, g.rows*g.out)
		return
	}
	p := g.conv
	push := []uint32{u(g.rows), u(g.out), u(g.in), u(g.inH), u(g.inW), u(g.outH), u(g.outW), u(p.KH), u(p.KW),
		u(p.Stride), u(p.PadTop), u(p.PadLeft), flag(p.Upsample && !g.grad), f(g.scale), flag(bias != nil),
		flag(add != nil)}
	tiles := func(rows, columns int) [3]int {
		return square((g.rows + rows - 1) / rows * ((g.out + columns - 1) / columns))
	}
	if d.cooperative && !g.grad {
		d.launch(launch{kernel: "cooperative/conv_cooperative", out: []*piece{y}, in: []*piece{bias, add, x, w},
			push: push, groups: tiles(64, 64)})
		return
	}
	if !d.lanes {
		d.launch(launch{kernel: "conv", spec: []uint32{flag(g.grad), flag(d.halves)}, out: []*piece{y},
			in: []*piece{bias, add, x, w}, push: push, groups: tiles(64, 64)})
		return
	}
	if g.in%4 != 0 {
		x = d.pad(x, g.pictures*g.inH*g.inW, g.in)
	}
	read := []texels{{piece: x}, {w, d.halves}, {piece: bias}, {piece: add}}
	for i, p := range read {
		if p.piece == nil {
			read[i].piece = x
		}
		push = append(push, read[i].at())
	}
	d.launch(launch{kernel: "conv_lanes", spec: []uint32{flag(g.grad)}, out: []*piece{y}, texels: read, push: push,
		groups: tiles(64, 16)})
}

// pad makes the last side of x[rows,c] a multiple of four, with zeros.
func (d *Device) pad(x *piece, rows, c int) *piece {
	n := rows * fours(c)
	y := d.scratch(n)
	d.launch(launch{kernel: "pad", out: []*piece{y}, in: []*piece{x}, push: []uint32{u(n), u(fours(c)), u(c)},
		groups: lines(n)})
	return y
}

// Conv2dGradWeight implements [tensor.Device].
func (d *Device) Conv2dGradWeight(dw, db, x, dy *tensor.Tensor, p tensor.Conv) {
	defer d.lock()()
	o, i, taps := filter(dw)
	m, grad := dy.Len()/o, d.in(dy)
	if db != nil {
		d.sumColumns(d.out(db), grad, 1, m, o)
	}
	const tile, most = 64, 16 << 20 // elements of all parts
	splits := max(1, min(64, (m+255)/256, most/dw.Len()))
	size := (m + splits - 1) / splits
	splits = (m + size - 1) / size
	part := d.scratch(splits * dw.Len())
	d.launch(launch{kernel: "gradw", out: []*piece{part}, in: []*piece{d.in(x), grad},
		push: []uint32{u(m), u(i), u(o), u(x.Dim(1)), u(x.Dim(2)), u(dy.Dim(1)), u(dy.Dim(2)), u(p.KH), u(p.KW),
			u(p.Stride), u(p.PadTop), u(p.PadLeft), flag(p.Upsample), u(size), u(splits)},
		groups: [3]int{(i + tile - 1) / tile * ((o + tile - 1) / tile), taps, splits}})
	d.launch(launch{kernel: "gradw_sum", out: []*piece{d.out(dw)}, in: []*piece{part},
		push: []uint32{u(o), u(i), u(taps), u(splits)}, groups: lines(dw.Len())})
}
