package tensor

import (
	"math"

	"psld/asm"
)

// normBlock is the number of rows of c elements whose column sums stay in float32; the blocks
// are added in float64, so that the error does not grow with the picture.
func normBlock(c int) int { return max(8, min(256, 2*grain/c)) }

// normBlocks is how many such blocks px rows make.
func normBlocks(px, c int) int { return (px + normBlock(c) - 1) / normBlock(c) }

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

// backwards calls fn in parallel on elements [from, to) of the px rows of c elements of picture i, the last
// rows first: what a loop over all rows has read last may still be in the cache.
func backwards(n, px, c int, fn func(i, from, to int)) {
	block := (max(2*grain, grainOf(n*px*c)) + c - 1) / c
	forRows(n, px, block, func(i, _, lo, hi int, _ *scratch) {
		i = n - 1 - i
		fn(i, (i*px+px-hi)*c, (i*px+px-lo)*c)
	})
}

// GroupNorm implements [Device]. It reads x twice: for the moments around a number near the
// mean, which give mean and variance without cancellation, and for the result.
func (d *cpu) GroupNorm(y, stats, x, gamma, beta *Tensor, groups int, eps float32, silu bool) {
	n, px, c := pixels(x)
	per := c / groups
	own := scratches.Get().(*scratch)
	defer scratches.Put(own)
	mid, scale, shift := own.floats(0, n*c), own.floats(1, n*c), own.floats(2, n*c)
	for i := range n {
		middle(mid[i*c:][:c], x.Data[i*px*c:][:px*c], c, groups)
	}
	blocks := normBlocks(px, c)
	lent := lendDoubles(n * blocks * groups * 2)
	defer doubles.Put(lent)
	part := *lent
	forRows(n, px, normBlock(c), func(i, b, lo, hi int, s *scratch) {
		s1, s2 := s.floats(0, c), s.floats(1, c)
		clear(s1)
		clear(s2)
		asm.ColMoments(s1, s2, x.Data[(i*px+lo)*c:(i*px+hi)*c], mid[i*c:][:c], c)
		groupSums(part[(i*blocks+b)*groups*2:][:groups*2], s1, s2, nil)
	})
	addUp(part, n, blocks, groups*2)
	count := float64(px * per)
	for i := range n {
		for g := range groups {
			sums, at := part[(i*blocks*groups+g)*2:], i*c+g*per
			off := sums[0] / count
			mean := float64(mid[at]) + off
			rstd := 1 / math.Sqrt(max(0, sums[1]/count-off*off)+float64(eps))
			st := stats.Data[2*(i*groups+g):]
			st[0], st[1] = float32(mean), float32(rstd)
			for j := range per {
				sc := rstd * float64(gamma.Data[g*per+j])
				scale[at+j] = float32(sc)
				shift[at+j] = float32(float64(beta.Data[g*per+j]) - sc*mean)
			}
		}
	}
	backwards(n, px, c, func(i, from, to int) {
		if silu {
			asm.ScaleShiftSiLURows(y.Data[from:to], x.Data[from:to], scale[i*c:][:c], shift[i*c:][:c], c)
		} else {
			asm.ScaleShiftRows(y.Data[from:to], x.Data[from:to], scale[i*c:][:c], shift[i*c:][:c], c)
		}
	})
}

// GroupNormGrad implements [Device].
func (d *cpu) GroupNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma, beta *Tensor, groups int, silu bool) {
	n, px, c := pixels(x)
	per := c / groups
	own := scratches.Get().(*scratch)
	defer scratches.Put(own)
	scale, shift, means := own.floats(0, n*c), own.floats(1, n*c), own.floats(2, n*c)
	for i := range n {
		for g := range groups {
			mu, rstd := stats.Data[2*(i*groups+g)], stats.Data[2*(i*groups+g)+1]
			for j := g * per; j < (g+1)*per; j++ {
				means[i*c+j] = mu
				scale[i*c+j] = rstd * gamma.Data[j]
				shift[i*c+j] = beta.Data[j] - scale[i*c+j]*mu
			}
		}
	}
	blocks := normBlocks(px, c)
	lent := lendDoubles(n * blocks * groups * 2)
	defer doubles.Put(lent)
	part := *lent
	var sums *Tensor // [n][blocks][2][c]
	if dgamma != nil {
		sums = d.Get(n, blocks, 2, c)
		defer d.Put(sums)
	}
	// du: the gradient behind the SiLU; it is stored in dx.
	du := dy
	if silu {
		du = dx
	}
	forRows(n, px, normBlock(c), func(i, b, lo, hi int, s *scratch) {
		from, to := (i*px+lo)*c, (i*px+hi)*c
		if silu {
			asm.SiLUGradRows(dx.Data[from:to], x.Data[from:to], scale[i*c:][:c], shift[i*c:][:c], dy.Data[from:to], c)
		}
		s1, s2 := s.floats(0, c), s.floats(1, c)
		if sums != nil {
			k := (i*blocks + b) * 2 * c
			s1, s2 = sums.Data[k:][:c], sums.Data[k+c:][:c]
		}
		clear(s1)
		clear(s2)
		asm.ColSum2(s1, s2, du.Data[from:to], x.Data[from:to], means[i*c:][:c], c)
		groupSums(part[(i*blocks+b)*groups*2:][:groups*2], s1, s2, gamma.Data)
	})
	if dgamma != nil {
		for j := range c {
			var g, b float64
			for i := range n {
				rstd := float64(stats.Data[2*(i*groups+j/per)+1])
				for k := range blocks {
					at := (i*blocks+k)*2*c + j
					b += float64(sums.Data[at])
					g += float64(sums.Data[at+c]) * rstd
				}
			}
			dgamma.Data[j], dbeta.Data[j] = float32(g), float32(b)
		}
	}
	// dx = rstd*gamma*du - (rstd/count) (S1 + xhat*S2), with S1, S2 the group's sums of
	// gamma*du and gamma*du*xhat: linear in du and x.
	addUp(part, n, blocks, groups*2)
	count := float64(px * per)
	bx, cx := own.floats(3, n*c), own.floats(4, n*c)
	for i := range n {
		for g := range groups {
			s := part[(i*blocks*groups+g)*2:]
			mu, rstd := float64(stats.Data[2*(i*groups+g)]), float64(stats.Data[2*(i*groups+g)+1])
			b := -rstd * rstd * rstd * s[1] / count
			for j := i*c + g*per; j < i*c+(g+1)*per; j++ {
				bx[j] = float32(b)
				cx[j] = float32(-rstd*s[0]/count - b*mu)
			}
		}
	}
	backwards(n, px, c, func(i, from, to int) {
		asm.LinearRows(dx.Data[from:to], du.Data[from:to], scale[i*c:][:c], x.Data[from:to], bx[i*c:][:c], cx[i*c:][:c], c)
	})
}

// LayerNorm implements [Device].
func (d *cpu) LayerNorm(y, stats, x, gamma, beta *Tensor, eps float32) {
	c := x.Dim(-1)
	rowParts(x.Rows(), c, func(lo, hi int, _ *scratch) {
		asm.LayerNormRows(y.Data[lo*c:hi*c], stats.Data[2*lo:2*hi], x.Data[lo*c:hi*c], gamma.Data, beta.Data, c, eps)
	})
}

// LayerNormGrad implements [Device].
func (d *cpu) LayerNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma *Tensor) {
	c := x.Dim(-1)
	rowParts(x.Rows(), c, func(lo, hi int, _ *scratch) {
		asm.LayerNormGradRows(dx.Data[lo*c:hi*c], dy.Data[lo*c:hi*c], x.Data[lo*c:hi*c], stats.Data[2*lo:2*hi], gamma.Data, c)
	})
	if dgamma != nil {
		xhat := d.Get(x.Rows(), c) // times dy
		defer d.Put(xhat)
		rowParts(x.Rows(), c, func(lo, hi int, _ *scratch) {
			asm.LayerNormGammaRows(xhat.Data[lo*c:hi*c], dy.Data[lo*c:hi*c], x.Data[lo*c:hi*c], stats.Data[2*lo:2*hi], c)
		})
		sumRows(dbeta.Data, dy.Data, c)
		sumRows(dgamma.Data, xhat.Data, c)
	}
}

// Softmax implements [Device].
func (d *cpu) Softmax(y, x *Tensor) {
	c := x.Dim(-1)
	rowParts(x.Rows(), c, func(lo, hi int, s *scratch) {
		asm.SoftmaxRows(y.Data[lo*c:hi*c], x.Data[lo*c:hi*c], s.floats(0, c), c)
	})
}

// SoftmaxGrad implements [Device].
func (d *cpu) SoftmaxGrad(dx, dy, y *Tensor) {
	c := y.Dim(-1)
	rowParts(y.Rows(), c, func(lo, hi int, _ *scratch) {
		asm.SoftmaxGradRows(dx.Data[lo*c:hi*c], dy.Data[lo*c:hi*c], y.Data[lo*c:hi*c], c)
	})
}
