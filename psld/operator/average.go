package operator

import (
	"context"
	"fmt"
)

// NewAveragePool returns the mean over k x k blocks: block-mean down-sampling. The output is floor(h/k) x floor(w/k),
// as in torch: pixels that fill no whole block at the right and bottom are not seen. k must be between 1 and the
// shorter side.
func NewAveragePool(h, w, c, k int) (Linear, error) {
	if err := checkShape(Shape{h, w, c}); err != nil {
		return nil, err
	}
	if k < 1 || k > min(h, w) {
		return nil, fmt.Errorf("operator: pooling block %d must be between 1 and the shorter side "+
			"of the %dx%d picture", k, w, h)
	}
	axis := func(in int) table {
		return newTable(in/k, in, func(i int) ([]int, []float64) { return mean(i*k, (i+1)*k) })
	}
	return &averagePool{newSeparable(c, axis(h), axis(w)), k}, nil
}

// averagePool is the mean over k x k blocks.
type averagePool struct {
	*separable
	k int
}

// Prox implements Proximal. Blocks do not overlap, so that A A' = I/k^2 and A' repeats each value over k^2:
//
//	x = z + repeat(y - mean(z)) / (1 + rho k^2)
func (p *averagePool) Prox(_ context.Context, dst, z, y []float32, rho float64) error {
	checkProx(p, dst, z, y, rho)
	means := make([]float32, len(y))
	p.Apply(means, z)
	copy(dst, z)
	share := 1 / (1 + rho*float64(p.k*p.k))
	for i, m := range means {
		r, col, ch := i/p.out.C/p.out.W, i/p.out.C%p.out.W, i%p.out.C
		d := float32(share * (float64(y[i]) - float64(m)))
		for dy := range p.k {
			for dx := range p.k {
				dst[((r*p.k+dy)*p.in.W+col*p.k+dx)*p.in.C+ch] += d
			}
		}
	}
	return nil
}
