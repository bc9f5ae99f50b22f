package tensor

import (
	"math"

	"psld/asm"
)

// normBlock is the number of rows whose column sums stay in float32; the blocks
// are added in float64, so that the error does not grow with the picture.
func normBlock(c int) int { return max(8, min(256, grain/c)) }

// forBlocks runs fn over row blocks of every picture of x[N,px,C]:
// block b of picture i covers elements [from, to).
func forBlocks(n, px, c int, fn func(i, b, from, to int, s *scratch)) int {
	block := normBlock(c)
	blocks := (px + block - 1) / block
	parallel(n*blocks, func(task int, s *scratch) {
		i, b := task/blocks, task%blocks
		fn(i, b, (i*px+b*block)*c, (i*px+min(px, (b+1)*block))*c, s)
	})
	return blocks
}

// groupSums adds part[n][blocks][c] over blocks and over the channels of each group.
func groupSums(part []float32, n, blocks, c, groups int, weight []float32) []float64 {
	sums := make([]float64, n*groups)
	per := c / groups
	for i := range n {
		for b := range blocks {
			row := part[(i*blocks+b)*c:][:c]
			for j, v := range row {
				if weight != nil {
					v *= weight[j]
				}
				sums[i*groups+j/per] += float64(v)
			}
		}
	}
	return sums
}

// GroupNorm implements [Device].
func (d *cpu) GroupNorm(y, stats, x, gamma, beta *Tensor, groups int, eps float32, silu bool) {
	n, px, c := pixels(x)
	per := c / groups
	blocks := (px + normBlock(c) - 1) / normBlock(c)
	part := d.Get(n, blocks, c)
	defer d.Put(part)
	clear(part.Data)
	forBlocks(n, px, c, func(i, b, from, to int, _ *scratch) {
		asm.ColSum(part.Data[(i*blocks+b)*c:][:c], x.Data[from:to], c)
	})
	count := float64(px * per)
	mean := groupSums(part.Data, n, blocks, c, groups, nil)
	means := make([]float32, n*c)
	for i := range means {
		g := i/c*groups + i%c/per
		means[i] = float32(mean[g] / count)
	}
	clear(part.Data)
	forBlocks(n, px, c, func(i, b, from, to int, _ *scratch) {
		asm.ColSqDev(part.Data[(i*blocks+b)*c:][:c], x.Data[from:to], means[i*c:][:c], c)
	})
	dev := groupSums(part.Data, n, blocks, c, groups, nil)
	scale, shift := make([]float32, n*c), make([]float32, n*c)
	for g := range dev {
		mu := float64(means[g/groups*c+g%groups*per])
		// means is rounded to float32; take the rounding out of the variance again.
		off := mean[g]/count - mu
		rstd := 1 / math.Sqrt(max(0, dev[g]/count-off*off)+float64(eps))
		stats.Data[2*g], stats.Data[2*g+1] = float32(mu), float32(rstd)
		for j := range per {
			ch := g%groups*per + j
			sc := rstd * float64(gamma.Data[ch])
			scale[g/groups*c+ch] = float32(sc)
			shift[g/groups*c+ch] = float32(float64(beta.Data[ch]) - sc*mean[g]/count)
		}
	}
	forBlocks(n, px, c, func(i, b, from, to int, _ *scratch) {
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
	scale, shift, means := make([]float32, n*c), make([]float32, n*c), make([]float32, n*c)
	for i := range scale {
		g := i/c*groups + i%c/per
		mu, rstd := stats.Data[2*g], stats.Data[2*g+1]
		means[i] = mu
		scale[i] = rstd * gamma.Data[i%c]
		shift[i] = beta.Data[i%c] - scale[i]*mu
	}
	blocks := (px + normBlock(c) - 1) / normBlock(c)
	part := d.Get(2, n, blocks, c)
	defer d.Put(part)
	clear(part.Data)
	sum1, sum2 := part.Data[:n*blocks*c], part.Data[n*blocks*c:]
	// du: the gradient behind the SiLU; it is stored in dx.
	du := dy
	if silu {
		du = dx
	}
	forBlocks(n, px, c, func(i, b, from, to int, _ *scratch) {
		if silu {
			asm.SiLUGradRows(dx.Data[from:to], x.Data[from:to], scale[i*c:][:c], shift[i*c:][:c], dy.Data[from:to], c)
		}
		k := (i*blocks + b) * c
		asm.ColSum2(sum1[k:][:c], sum2[k:][:c], du.Data[from:to], x.Data[from:to], means[i*c:][:c], c)
	})
	if dgamma != nil {
		for j := range c {
			var g, b float64
			for i := range n {
				rstd := float64(stats.Data[2*(i*groups+j/per)+1])
				for k := range blocks {
					b += float64(sum1[(i*blocks+k)*c+j])
					g += float64(sum2[(i*blocks+k)*c+j]) * rstd
				}
			}
			dgamma.Data[j], dbeta.Data[j] = float32(g), float32(b)
		}
	}
	// dx = rstd*gamma*du - (rstd/count) (S1 + xhat*S2), with S1, S2 the group's sums of
	// gamma*du and gamma*du*xhat: linear in du and x.
	s1 := groupSums(sum1, n, blocks, c, groups, gamma.Data)
	s2 := groupSums(sum2, n, blocks, c, groups, gamma.Data)
	count := float64(px * per)
	bx, cx := make([]float32, n*c), make([]float32, n*c)
	for i := range bx {
		g := i/c*groups + i%c/per
		mu, rstd := float64(stats.Data[2*g]), float64(stats.Data[2*g+1])
		b := -rstd * rstd * rstd * s2[g] / count
		bx[i] = float32(b)
		cx[i] = float32(-rstd*s1[g]/count - b*mu)
	}
	forBlocks(n, px, c, func(i, b, from, to int, _ *scratch) {
		asm.LinearRows(dx.Data[from:to], du.Data[from:to], scale[i*c:][:c], x.Data[from:to], bx[i*c:][:c], cx[i*c:][:c], c)
	})
}

// LayerNorm implements [Device].
func (d *cpu) LayerNorm(y, stats, x, gamma, beta *Tensor, eps float32) {
	c := x.Dim(-1)
	chunks(x.Rows(), max(1, grain/c), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			in, out := x.Data[r*c:][:c], y.Data[r*c:][:c]
			mean := asm.Sum(in) / float64(c)
			for j, v := range in {
				out[j] = float32(float64(v) - mean)
			}
			rstd := 1 / math.Sqrt(asm.SumSq(out)/float64(c)+float64(eps))
			stats.Data[2*r], stats.Data[2*r+1] = float32(mean), float32(rstd)
			asm.Scale(out, float32(rstd), out)
			asm.Mul(out, out, gamma.Data)
			asm.Add(out, out, beta.Data)
		}
	})
}

// LayerNormGrad implements [Device].
func (d *cpu) LayerNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma *Tensor) {
	c := x.Dim(-1)
	rows := x.Rows()
	xhat := d.Get(rows, c)
	defer d.Put(xhat)
	chunks(rows, max(1, grain/c), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			mu, rstd := stats.Data[2*r], stats.Data[2*r+1]
			in, g, h, out := x.Data[r*c:][:c], dy.Data[r*c:][:c], xhat.Data[r*c:][:c], dx.Data[r*c:][:c]
			for j, v := range in {
				h[j] = (v - mu) * rstd
			}
			asm.Mul(out, g, gamma.Data)
			s1, s2 := asm.Sum(out)/float64(c), asm.Dot(out, h)/float64(c)
			a, b := float32(s1), float32(s2)
			for j := range out {
				out[j] = rstd * (out[j] - a - h[j]*b)
			}
		}
	})
	if dgamma != nil {
		sumRows(dbeta.Data, dy.Data, c)
		d.Mul(xhat, xhat, dy)
		sumRows(dgamma.Data, xhat.Data, c)
	}
}

// Softmax implements [Device].
func (d *cpu) Softmax(y, x *Tensor) {
	c := x.Dim(-1)
	chunks(x.Rows(), max(1, grain/c), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			softmaxRow(y.Data[r*c:][:c], x.Data[r*c:][:c])
		}
	})
}

func softmaxRow(y, x []float32) {
	sum := asm.ExpSum(y, x, asm.Max(x))
	asm.Scale(y, float32(1/sum), y)
}

// SoftmaxGrad implements [Device].
func (d *cpu) SoftmaxGrad(dx, dy, y *Tensor) {
	c := y.Dim(-1)
	chunks(y.Rows(), max(1, grain/c), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			softmaxGradRow(dx.Data[r*c:][:c], dy.Data[r*c:][:c], y.Data[r*c:][:c])
		}
	})
}

// softmaxGradRow: dx = y*(dy - <y, dy>); dx may be dy.
func softmaxGradRow(dx, dy, y []float32) {
	dot := float32(asm.Dot(y, dy))
	for j, p := range y {
		dx[j] = p * (dy[j] - dot)
	}
}
