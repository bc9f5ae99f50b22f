package cpu

import (
	"math"

	"psld/asm"
	"psld/tensor"
)

// normBlock is the number of rows of c elements whose column sums stay in float32; the blocks
// are added in float64, so that the error does not grow with the picture.
func normBlock(c int) int { return max(8, min(256, 2*grain/c)) }

// groupSums adds up s1 and s2[c] over the channels of each group, into sums[groups][2]. With
// weights, each channel counts that often.
func groupSums(sums []float64, s1, s2, weights []float32) {
	groups := len(sums) / 2
	per := len(s1) / groups
	for g := range groups {
		var a, b float64
		if weights == nil {
			for j := g * per; j < (g+1)*per; j++ {
				a += float64(s1[j])
				b += float64(s2[j])
			}
		} else {
			for j := g * per; j < (g+1)*per; j++ {
				w := float64(weights[j])
				a += w * float64(s1[j])
				b += w * float64(s2[j])
			}
		}
		sums[2*g], sums[2*g+1] = a, b
	}
}

// addUp adds part[n][blocks][m] over the blocks, to the first block of each.
func addUp(part []float64, n, blocks, m int) {
	for i := range n {
		sum := part[i*blocks*m:][:m]
		for b := 1; b < blocks; b++ {
			for j, v := range part[(i*blocks+b)*m:][:m] {
				sum[j] += v
			}
		}
	}
}

// middle writes, for every channel of x[px][c], a number near the mean of its group: the mean of up to 64 rows
// spread over the picture, so that one odd pixel does not take it far.
func middle(mid, x []float32, c, groups int) {
	clear(mid)
	px := len(x) / c
	rows := min(px, max(8, px/64), 64)
	for r := range rows {
		asm.ColSum(mid, x[r*px/rows*c:][:c], c)
	}
	per := c / groups
	for g := range groups {
		m := mid[g*per:][:per]
		sum := 0.0
		for _, v := range m {
			sum += float64(v)
		}
		for j := range m {
			m[j] = float32(sum / float64(rows*per))
		}
	}
}

// groupNorm is what the parts of both passes over x know, there and back.
type groupNorm struct {
	y, x              []float32 // y is dx on the way back
	dy, du            []float32
	mid, scale, shift []float32 // [n][c]
	gamma, bx, cx     []float32
	part              []float64 // [n][blocks][groups][2]
	sums              []float32 // [n][blocks][2][c], or nil
	n, c, groups      int
	each              int // from one picture's gamma to the next one's: c, or 0 where all have the same
	blocks, backwards blocks
	silu              bool
}

func newGroupNorm(y, x, gamma *tensor.Tensor, groups int, silu bool) groupNorm {
	n, px, c := pixels(x)
	each := 0
	if len(gamma.Data) > c {
		each = c
	}
	return groupNorm{y: y.Data, x: x.Data, n: n, c: c, groups: groups, each: each, silu: silu,
		blocks: blocksOf(px, normBlock(c)), backwards: blocksOf(px, (max(2*grain, grainOf(n*px*c))+c-1)/c)}
}

// elements gives the picture of a task and its elements.
func (t *groupNorm) elements(task int) (picture, from, to int) {
	picture, lo, hi := t.blocks.of(task)
	return picture, (picture*t.blocks.px + lo) * t.c, (picture*t.blocks.px + hi) * t.c
}

// last gives the same with the last pixels first: what a loop over all has read last may still be in the cache.
func (t *groupNorm) last(task int) (picture, from, to int) {
	picture, lo, hi := t.backwards.of(task)
	picture = t.n - 1 - picture
	end := (picture + 1) * t.backwards.px
	return picture, (end - hi) * t.c, (end - lo) * t.c
}

// GroupNorm implements [tensor.Device]. It reads x twice: for the moments around a number near the
// mean, which give mean and variance without cancellation, and for the result.
func (d *device) GroupNorm(y, stats, x, gamma, beta *tensor.Tensor, groups int, eps float32, silu bool) {
	t := newGroupNorm(y, x, gamma, groups, silu)
	n, px, c, blocks := t.n, t.blocks.px, t.c, t.blocks.count
	per := c / groups
	own := scratches.Get().(*scratch)
	defer scratches.Put(own)
	t.mid, t.scale, t.shift = own.floats(0, n*c), own.floats(1, n*c), own.floats(2, n*c)
	for i := range n {
		middle(t.mid[i*c:][:c], x.Data[i*px*c:][:px*c], c, groups)
	}
	part := lendDoubles(n * blocks * groups * 2)
	defer doubles.Put(part)
	t.part = *part
	parallelWith(n*blocks, 1, t, func(t *groupNorm, task, _ int, s *scratch) {
		i, from, to := t.elements(task)
		s1, s2 := s.floats(0, t.c), s.floats(1, t.c)
		clear(s1)
		clear(s2)
		asm.ColMoments(s1, s2, t.x[from:to], t.mid[i*t.c:][:t.c], t.c)
		groupSums(t.part[task*t.groups*2:][:t.groups*2], s1, s2, nil)
	})
	addUp(t.part, n, blocks, groups*2)
	count := float64(px * per)
	for i := range n {
		for g := range groups {
			sums, at := t.part[(i*blocks*groups+g)*2:], i*c+g*per
			off := sums[0] / count
			mean := float64(t.mid[at]) + off
			rstd := 1 / math.Sqrt(max(0, sums[1]/count-off*off)+float64(eps))
			st := stats.Data[2*(i*groups+g):]
			st[0], st[1] = float32(mean), float32(rstd)
			for j := range per {
				sc := rstd * float64(gamma.Data[i*t.each+g*per+j])
				t.scale[at+j] = float32(sc)
				t.shift[at+j] = float32(float64(beta.Data[i*t.each+g*per+j]) - sc*mean)
			}
		}
	}
	parallelWith(n*t.backwards.count, 1, t, func(t *groupNorm, task, _ int, _ *scratch) {
		i, from, to := t.last(task)
		c := t.c
		if t.silu {
			asm.ScaleShiftSiLURows(t.y[from:to], t.x[from:to], t.scale[i*c:][:c], t.shift[i*c:][:c], c)
		} else {
			asm.ScaleShiftRows(t.y[from:to], t.x[from:to], t.scale[i*c:][:c], t.shift[i*c:][:c], c)
		}
	})
}

// GroupNormGrad implements [tensor.Device].
func (d *device) GroupNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma, beta *tensor.Tensor, groups int, silu bool) {
	t := newGroupNorm(dx, x, gamma, groups, silu)
	n, px, c, blocks := t.n, t.blocks.px, t.c, t.blocks.count
	per := c / groups
	own := scratches.Get().(*scratch)
	defer scratches.Put(own)
	t.scale, t.shift, t.mid = own.floats(0, n*c), own.floats(1, n*c), own.floats(2, n*c)
	for i := range n {
		for g := range groups {
			mu, rstd := stats.Data[2*(i*groups+g)], stats.Data[2*(i*groups+g)+1]
			for j := g * per; j < (g+1)*per; j++ {
				t.mid[i*c+j] = mu
				t.scale[i*c+j] = rstd * gamma.Data[i*t.each+j]
				t.shift[i*c+j] = beta.Data[i*t.each+j] - t.scale[i*c+j]*mu
			}
		}
	}
	part := lendDoubles(n * blocks * groups * 2)
	defer doubles.Put(part)
	t.part = *part
	if dgamma != nil {
		t.sums = d.take(n * blocks * 2 * c)
		defer d.give(t.sums)
	}
	// du: the gradient behind the SiLU; it is stored in dx.
	t.gamma, t.dy, t.du = gamma.Data, dy.Data, dy.Data
	if silu {
		t.du = dx.Data
	}
	parallelWith(n*blocks, 1, t, func(t *groupNorm, task, _ int, s *scratch) {
		i, from, to := t.elements(task)
		c := t.c
		if t.silu {
			asm.SiLUGradRows(t.y[from:to], t.x[from:to], t.scale[i*c:][:c], t.shift[i*c:][:c], t.dy[from:to], c)
		}
		s1, s2 := s.floats(0, c), s.floats(1, c)
		if t.sums != nil {
			k := task * 2 * c
			s1, s2 = t.sums[k:][:c], t.sums[k+c:][:c]
		}
		clear(s1)
		clear(s2)
		asm.ColSum2(s1, s2, t.du[from:to], t.x[from:to], t.mid[i*c:][:c], c)
		groupSums(t.part[task*t.groups*2:][:t.groups*2], s1, s2, t.gamma[i*t.each:][:c])
	})
	if dgamma != nil {
		t.scaleGrads(dgamma.Data, dbeta.Data, stats.Data)
	}
	// dx = rstd*gamma*du - (rstd/count) (S1 + xhat*S2), with S1, S2 the group's sums of
	// gamma*du and gamma*du*xhat: linear in du and x.
	addUp(t.part, n, blocks, groups*2)
	count := float64(px * per)
	t.bx, t.cx = own.floats(3, n*c), own.floats(4, n*c)
	for i := range n {
		for g := range groups {
			s := t.part[(i*blocks*groups+g)*2:]
			mu, rstd := float64(stats.Data[2*(i*groups+g)]), float64(stats.Data[2*(i*groups+g)+1])
			b := -rstd * rstd * rstd * s[1] / count
			for j := i*c + g*per; j < i*c+(g+1)*per; j++ {
				t.bx[j] = float32(b)
				t.cx[j] = float32(-rstd*s[0]/count - b*mu)
			}
		}
	}
	parallelWith(n*t.backwards.count, 1, t, func(t *groupNorm, task, _ int, _ *scratch) {
		i, from, to := t.last(task)
		c := t.c
		asm.LinearRows(t.y[from:to], t.du[from:to], t.scale[i*c:][:c], t.x[from:to], t.bx[i*c:][:c], t.cx[i*c:][:c], c)
	})
}

// scaleGrads writes the gradients of gamma and beta, which are sums over all pictures where these share them.
func (t *groupNorm) scaleGrads(dgamma, dbeta, stats []float32) {
	n, c, per := t.n, t.c, t.c/t.groups
	rows := 1
	if t.each > 0 {
		rows = n
	}
	for row := range rows {
		for j := range c {
			var g, b float64
			for i := row; i < n; i++ {
				rstd := float64(stats[2*(i*t.groups+j/per)+1])
				for k := range t.blocks.count {
					at := (i*t.blocks.count+k)*2*c + j
					b += float64(t.sums[at])
					g += float64(t.sums[at+c]) * rstd
				}
				if rows > 1 {
					break
				}
			}
			dgamma[row*c+j], dbeta[row*c+j] = float32(g), float32(b)
		}
	}
}

// layerNorm is what the parts of LayerNorm and its gradient know.
type layerNorm struct {
	y, stats, x, dy, gamma, beta []float32
	c                            int
	eps                          float32
}

// LayerNorm implements [tensor.Device].
func (d *device) LayerNorm(y, stats, x, gamma, beta *tensor.Tensor, eps float32) {
	rows, c := x.Rows(), x.Dim(-1)
	t := layerNorm{y: y.Data, stats: stats.Data, x: x.Data, gamma: gamma.Data, beta: beta.Data, c: c, eps: eps}
	parallelWith(rows, rowGrain(rows, c), t, func(t *layerNorm, lo, hi int, _ *scratch) {
		c := t.c
		asm.LayerNormRows(t.y[lo*c:hi*c], t.stats[2*lo:2*hi], t.x[lo*c:hi*c], t.gamma, t.beta, c, t.eps)
	})
}

// LayerNormGrad implements [tensor.Device].
func (d *device) LayerNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma *tensor.Tensor) {
	rows, c := x.Rows(), x.Dim(-1)
	t := layerNorm{y: dx.Data, stats: stats.Data, x: x.Data, dy: dy.Data, gamma: gamma.Data, c: c}
	parallelWith(rows, rowGrain(rows, c), t, func(t *layerNorm, lo, hi int, _ *scratch) {
		c := t.c
		asm.LayerNormGradRows(t.y[lo*c:hi*c], t.dy[lo*c:hi*c], t.x[lo*c:hi*c], t.stats[2*lo:2*hi], t.gamma, c)
	})
	if dgamma != nil {
		t.y = d.take(rows * c) // xhat times dy
		defer d.give(t.y)
		parallelWith(rows, rowGrain(rows, c), t, func(t *layerNorm, lo, hi int, _ *scratch) {
			c := t.c
			asm.LayerNormGammaRows(t.y[lo*c:hi*c], t.dy[lo*c:hi*c], t.x[lo*c:hi*c], t.stats[2*lo:2*hi], c)
		})
		sumRows(dbeta.Data, dy.Data, c)
		sumRows(dgamma.Data, t.y, c)
	}
}

// Softmax implements [tensor.Device].
func (d *device) Softmax(y, x *tensor.Tensor) {
	rowParts(x.Rows(), args{y: y.Data, a: x.Data, c: x.Dim(-1)}, func(t *args, lo, hi int, s *scratch) {
		asm.SoftmaxRows(t.y[lo*t.c:hi*t.c], t.a[lo*t.c:hi*t.c], s.floats(0, t.c), t.c)
	})
}

// SoftmaxGrad implements [tensor.Device].
func (d *device) SoftmaxGrad(dx, dy, y *tensor.Tensor) {
	rowParts(y.Rows(), args{y: dx.Data, a: dy.Data, b: y.Data, c: y.Dim(-1)}, func(t *args, lo, hi int, _ *scratch) {
		asm.SoftmaxGradRows(t.y[lo*t.c:hi*t.c], t.a[lo*t.c:hi*t.c], t.b[lo*t.c:hi*t.c], t.c)
	})
}
