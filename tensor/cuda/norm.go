//go:build cuda

package cuda

import "psld/tensor"

// each is the distance from the gamma of a picture to the next one's: 0 where all have the same.
func each(gamma *tensor.Tensor, c int) int {
	if gamma.Len() > c {
		return c
	}
	return 0
}

// GroupNorm implements [tensor.Device].
func (d *device) GroupNorm(y, stats, x, gamma, beta *tensor.Tensor, groups int, eps float32, silu bool) {
	if x.Len() == 0 {
		return
	}
	d.begin()
	defer d.leave()
	n, px, c := pixels(x)
	size, count := chunks(px)
	from := at(d.in(x))
	part := at(d.scratch(4 * int64(n*count*2*c)))
	scale, shift := at(d.scratch(4*int64(n*c))), at(d.scratch(4*int64(n*c)))
	d.launch("groupMoments", grid{(c + 31) / 32, count, n}, 256, part, from, i64(px), i32(c), i32(size))
	d.launch("groupStats", grid{groups, n, 1}, 128, at(d.out(stats)), scale, shift, part, at(d.in(gamma)),
		at(d.in(beta)), i64(px), i32(c), i32(groups), i32(count), i32(size), i32(each(gamma, c)), f32(eps))
	d.each("groupApply", x.Len(), at(d.out(y)), from, scale, shift, i32(c), i64(px*c), flag(silu))
}

// GroupNormGrad implements [tensor.Device].
func (d *device) GroupNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma, beta *tensor.Tensor, groups int, silu bool) {
	if x.Len() == 0 {
		return
	}
	d.begin()
	defer d.leave()
	n, px, c := pixels(x)
	size, count := chunks(px)
	step := i32(each(gamma, c))
	grad, from, st, g, b := at(d.in(dy)), at(d.in(x)), at(d.in(stats)), at(d.in(gamma)), at(d.in(beta))
	part, coef := at(d.scratch(4*int64(n*count*2*c))), at(d.scratch(4*int64(n*groups*2)))
	d.launch("groupGradSums", grid{(c + 31) / 32, count, n}, 256, part, grad, from, st, g, b, i64(px), i32(c),
		i32(groups), i32(size), step, flag(silu))
	d.launch("groupGradCoef", grid{groups, n, 1}, 128, coef, part, st, g, i64(px), i32(c), i32(groups), i32(count), step)
	if dgamma != nil {
		d.each("groupScaleGrads", dgamma.Len(), at(d.out(dgamma)), at(d.out(dbeta)), part, st, i32(n), i32(c),
			i32(groups), i32(count), step)
	}
	d.each("groupGradApply", x.Len(), at(d.out(dx)), grad, from, st, coef, g, b, i32(c), i32(groups), step, i64(px*c),
		flag(silu))
}

// warps is the number of rows of a block where each has a warp.
const warps = 4

// LayerNorm implements [tensor.Device].
func (d *device) LayerNorm(y, stats, x, gamma, beta *tensor.Tensor, eps float32) {
	if x.Len() == 0 {
		return
	}
	d.begin()
	defer d.leave()
	rows := x.Rows()
	d.launch("layerNorm", grid{(rows + warps - 1) / warps, 1, 1}, 32*warps, at(d.out(y)), at(d.out(stats)), at(d.in(x)),
		at(d.in(gamma)), at(d.in(beta)), i32(x.Dim(-1)), f32(eps), i64(rows))
}

// LayerNormGrad implements [tensor.Device].
func (d *device) LayerNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma *tensor.Tensor) {
	if x.Len() == 0 {
		return
	}
	d.begin()
	defer d.leave()
	rows, c := x.Rows(), x.Dim(-1)
	grad, from, st := at(d.in(dy)), at(d.in(x)), at(d.in(stats))
	d.launch("layerNormGrad", grid{(rows + warps - 1) / warps, 1, 1}, 32*warps, at(d.out(dx)), grad, from, st,
		at(d.in(gamma)), i32(c), i64(rows))
	if dgamma == nil {
		return
	}
	size, count := chunks(rows)
	part, both := d.scratch(4*int64(count*2*c)), d.scratch(4*int64(2*c))
	d.launch("layerNormSums", grid{(c + 31) / 32, count, 1}, 256, at(part), grad, from, st, i64(rows), i32(c), i32(size))
	d.each("columnSumsEnd", 2*c, at(both), at(part), i32(count), i32(2*c))
	d.copy(d.out(dbeta), both, c)
	d.copy(d.out(dgamma), both+4*uint64(c), c)
}

// copy copies n elements.
func (d *device) copy(to, from uint64, n int) {
	d.queue.text = append(d.queue.text, copyJob, to, from, uint64(4*n))
	d.queued()
}

// Softmax implements [tensor.Device].
func (d *device) Softmax(y, x *tensor.Tensor) {
	if x.Len() == 0 {
		return
	}
	d.begin()
	defer d.leave()
	d.launch("softmax", grid{x.Rows(), 1, 1}, 256, at(d.out(y)), at(d.in(x)), i32(x.Dim(-1)))
}

// SoftmaxGrad implements [tensor.Device].
func (d *device) SoftmaxGrad(dx, dy, y *tensor.Tensor) {
	if y.Len() == 0 {
		return
	}
	d.begin()
	defer d.leave()
	d.launch("softmaxGrad", grid{y.Rows(), 1, 1}, 256, at(d.out(dx)), at(d.in(dy)), at(d.in(y)), i32(y.Dim(-1)))
}
