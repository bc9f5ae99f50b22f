package bench

import (
	"fmt"

	"psld/tensor"
)

// linear is x[rows,in] w[out,in]' + b, its gradient to x and, with train, to w and b.
func linear(rows, in, out int, train bool) problem {
	p := tensor.Conv{KH: 1, KW: 1, Stride: 1}
	return product("Linear", groupLinear, fmt.Sprintf("%dx%dx%d", rows, in, out), 1, rows, in, out, p, train)
}

// conv is a convolution of a picture of side x side pixels.
func conv(side, in, out int, p tensor.Conv, train bool) problem {
	shape := fmt.Sprintf("%dx%dx%d_%d_k%d", side, side, in, out, p.KH)
	if p.Stride > 1 {
		shape += fmt.Sprintf("_s%d", p.Stride)
	}
	if p.Upsample {
		shape += "_up"
	}
	group := groupConv
	if min(in, out) < 8 { // most of a vector is left unused
		group = groupConvThin
	}
	return product("Conv2d", group, shape, side, side, in, out, p, train)
}

// productFlop is the work of one direction: two operations for each output, input channel
// and place of the window, those on the padding included. That of the gradients is the same.
func productFlop(h, w, in, out int, p tensor.Conv) float64 {
	oh, ow := p.Out(h, w)
	return 2 * float64(oh*ow) * float64(out) * float64(in*p.KH*p.KW)
}

// product is the convolution of x[1,h,w,in] in all directions; a linear layer is one of a row of pixels.
func product(name, group, shape string, h, w, in, out int, p tensor.Conv, train bool) problem {
	flop := productFlop(h, w, in, out, p)
	ops := []op{
		{name: name, group: group + forward, flop: flop, pairs: true, split: true},
		{name: name + "GradInput", group: group + gradInput, flop: flop, pairs: true, split: true},
	}
	if train {
		ops = append(ops, op{name: name + "GradWeight", group: group + gradWeight, flop: flop})
	}
	return problem{shape, ops, func(r *random) []job {
		oh, ow := p.Out(h, w)
		t := &convTensors{
			p: p,
			x: r.tensor(0, 1, 1, h, w, in), dx: tensor.New(1, h, w, in),
			w: r.tensor(0, 1, out, in, p.KH, p.KW), bias: r.tensor(0, 1, out),
			y: tensor.New(1, oh, ow, out), dy: r.tensor(0, 1, 1, oh, ow, out),
		}
		jobs := []job{{t.forward, func(d tensor.Device, s *sample) {
			t.forward(d)
			for range samples {
				i := r.IntN(t.y.Len())
				s.add(0, t.y.Data[i], t.output(i/out/ow, i/out%ow, i%out))
			}
		}}, {t.gradInput, func(d tensor.Device, s *sample) {
			t.gradInput(d)
			for range samples {
				i := r.IntN(t.dx.Len())
				s.add(0, t.dx.Data[i], t.inputGrad(i/in/w, i/in%w, i%in))
			}
		}}}
		if train {
			t.dw, t.db = tensor.New(t.w.Shape...), tensor.New(out)
			jobs = append(jobs, job{t.gradWeight, func(d tensor.Device, s *sample) {
				t.gradWeight(d)
				for range samples {
					i, o := r.IntN(t.dw.Len()), r.IntN(out)
					dw, db := t.weightGrad(i, o)
					s.add(0, t.dw.Data[i], dw)
					s.add(1, t.db.Data[o], db)
				}
			}})
		}
		return jobs
	}}
}

// epilogues are products with what follows them fused, or as operations of their own: the fractions differ by what
// that saves.
func epilogues(name, what, shape string, h, w, in, out int, p tensor.Conv, e tensor.Epilogue, add bool) problem {
	flop := productFlop(h, w, in, out, p)
	ops := []op{
		{name: name + "+" + what, group: groupFused, flop: flop, pairs: true},
		{name: name + ", " + what, group: groupUnfused, flop: flop, pairs: true},
	}
	return problem{shape, ops, func(r *random) []job {
		oh, ow := p.Out(h, w)
		t := &convTensors{p: p, x: r.tensor(0, 1, 1, h, w, in), w: r.tensor(0, 1, out, in, p.KH, p.KW),
			bias: r.tensor(0, 1, out), y: tensor.New(1, oh, ow, out)}
		o := out
		if e.GEGLU {
			o /= 2
		}
		y := tensor.New(1, oh, ow, o)
		if add {
			e.Add = r.tensor(0, 1, 1, oh, ow, o)
		}
		check := func(run func(d tensor.Device)) func(d tensor.Device, s *sample) {
			return func(d tensor.Device, s *sample) {
				run(d)
				for range samples {
					i := r.IntN(y.Len())
					want := t.output(i/o/ow, i/o%ow, i%o)
					switch {
					case e.GEGLU:
						want *= gelu(t.output(i/o/ow, i/o%ow, o+i%o))
					case e.Func == tensor.SiLU:
						want = silu(want)
					}
					if add {
						want += float64(e.Add.Data[i])
					}
					s.add(0, y.Data[i], want)
				}
			}
		}
		fused := func(d tensor.Device) { d.Conv2d(y, t.x, t.w, t.bias, p, e) }
		separate := func(d tensor.Device) {
			d.Conv2d(t.y, t.x, t.w, t.bias, p, tensor.Epilogue{})
			switch {
			case e.GEGLU:
				d.GEGLU(y, t.y)
			case add:
				d.Add(y, t.y, e.Add)
			default:
				d.Unary(e.Func, y, t.y)
			}
		}
		return []job{{fused, check(fused)}, {separate, check(separate)}}
	}}
}

// convTensors are the operands of a convolution of one picture, and plain float64 sums for elements of
// its results.
type convTensors struct {
	p                             tensor.Conv
	x, w, bias, y, dy, dx, dw, db *tensor.Tensor
}

func (t *convTensors) forward(d tensor.Device) {
	d.Conv2d(t.y, t.x, t.w, t.bias, t.p, tensor.Epilogue{})
}
func (t *convTensors) gradInput(d tensor.Device)  { d.Conv2dGradInput(t.dx, t.dy, t.w, t.p) }
func (t *convTensors) gradWeight(d tensor.Device) { d.Conv2dGradWeight(t.dw, t.db, t.x, t.dy, t.p) }

// pixel is the input pixel that output (oy, ox) sees at (ky, kx) of its window, as an
// index, or -1 in the padding.
func (t *convTensors) pixel(oy, ox, ky, kx int) int {
	h, w := t.x.Dim(1), t.x.Dim(2)
	y, x := oy*t.p.Stride+ky-t.p.PadTop, ox*t.p.Stride+kx-t.p.PadLeft
	if y < 0 || x < 0 {
		return -1
	}
	if t.p.Upsample {
		y, x = y/2, x/2
	}
	if y >= h || x >= w {
		return -1
	}
	return y*w + x
}

func (t *convTensors) output(oy, ox, o int) float64 {
	in, taps := t.x.Dim(3), t.p.KH*t.p.KW
	sum := float64(t.bias.Data[o])
	for tap := range taps {
		at := t.pixel(oy, ox, tap/t.p.KW, tap%t.p.KW)
		for c := 0; c < in && at >= 0; c++ {
			sum += float64(t.x.Data[at*in+c]) * float64(t.w.Data[(o*in+c)*taps+tap])
		}
	}
	return sum
}

// inputGrad looks for the input pixel in the windows of all outputs that may see it.
func (t *convTensors) inputGrad(y, x, c int) float64 {
	oh, ow, out, in, taps := t.y.Dim(1), t.y.Dim(2), t.y.Dim(3), t.x.Dim(3), t.p.KH*t.p.KW
	scale := 1
	if t.p.Upsample {
		scale = 2
	}
	sum := 0.0
	for oy := max(0, (scale*y-t.p.KH)/t.p.Stride); oy < min(oh, (scale*(y+1)+t.p.KH)/t.p.Stride+1); oy++ {
		for ox := max(0, (scale*x-t.p.KW)/t.p.Stride); ox < min(ow, (scale*(x+1)+t.p.KW)/t.p.Stride+1); ox++ {
			for tap := range taps {
				if t.pixel(oy, ox, tap/t.p.KW, tap%t.p.KW) != y*t.x.Dim(2)+x {
					continue
				}
				for o := range out {
					sum += float64(t.dy.Data[(oy*ow+ox)*out+o]) * float64(t.w.Data[(o*in+c)*taps+tap])
				}
			}
		}
	}
	return sum
}

// weightGrad is element i of the weight's gradient and element o of the bias'.
func (t *convTensors) weightGrad(i, o int) (dw, db float64) {
	oh, ow, out, in, taps := t.y.Dim(1), t.y.Dim(2), t.y.Dim(3), t.x.Dim(3), t.p.KH*t.p.KW
	tap, c, row := i%taps, i/taps%in, i/taps/in
	for oy := range oh {
		for ox := range ow {
			dy := t.dy.Data[(oy*ow+ox)*out:][:out]
			db += float64(dy[o])
			if at := t.pixel(oy, ox, tap/t.p.KW, tap%t.p.KW); at >= 0 {
				dw += float64(dy[row]) * float64(t.x.Data[at*in+c])
			}
		}
	}
	return dw, db
}
