package patchmatch

import (
	"cmp"
	"context"
	"math"
	"slices"

	"psld/internal/parallel"
)

// chance is a random number of 32 bits for these three (SplitMix64): random numbers that do not depend on the order in
// which pixels are looked at.
func chance(seed uint64, p, k int) uint32 {
	z := seed + uint64(p)*0x9e3779b97f4a7c15 + uint64(k)*0xd1b54a32d192ed03
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return uint32((z ^ z>>31) >> 32)
}

func below(n int, r uint32) int { return int(uint64(r) * uint64(n) >> 32) }

// random gives every target some source.
func (l *level) random(seed uint64) field {
	f := make(field, len(l.targets))
	for i, p := range l.targets {
		f[i].from = l.sources[below(len(l.sources), chance(seed, int(p), 0))]
	}
	return f
}

// peel fills the hole from its border inwards: each pixel takes the middle of the source patch that is most like what
// is known, or filled, about it. It looks at some thousand sources, evenly spread, to begin with: the search betters
// them.
func (l *level) peel(ctx context.Context) error {
	const most = 4000 // sources
	filled, every := slices.Clone(l.known), (len(l.sources)+most-1)/most
	for ctx.Err() == nil {
		var rim []int
		for p, k := range filled {
			if !k && l.touches(filled, p) {
				rim = append(rim, p)
			}
		}
		if len(rim) == 0 {
			return nil
		}
		best := make([]int32, len(rim))
		err := parallel.RowsUntil(ctx, len(rim), len(rim)*most*patch, func(i int) {
			least := float32(math.Inf(1))
			for k := 0; k < len(l.sources); k += every {
				q := l.sources[k]
				if d := l.partly(rim[i], int(q), filled, least); d < least {
					best[i], least = q, d
				}
			}
		})
		if err != nil {
			return err
		}
		for i, p := range rim {
			copy(l.pix[channels*p:channels*(p+1)], l.pix[channels*best[i]:])
			filled[p] = true
		}
	}
	return ctx.Err()
}

// touches tells whether one of the eight neighbours of p is set.
func (l *level) touches(set []bool, p int) bool {
	y, x := p/l.w, p%l.w
	left, right := max(0, x-1), min(l.w, x+2)
	for row := max(0, y-1); row < min(l.h, y+2); row++ {
		if slices.Contains(set[row*l.w+left:row*l.w+right], true) {
			return true
		}
	}
	return false
}

// partly is the sum of squared differences where the patch about p is filled.
func (l *level) partly(p, q int, filled []bool, most float32) (sum float32) {
	top, bottom, left, right := l.window(p)
	for dy := top; dy <= bottom; dy++ {
		for dx := left; dx <= right; dx++ {
			if o := dy*l.w + dx; filled[p+o] {
				for c := range channels {
					d := l.pix[channels*(p+o)+c] - l.pix[channels*(q+o)+c]
					sum += d * d
				}
			}
		}
		if sum >= most {
			return sum
		}
	}
	return sum
}

// refined carries the matches of the coarser level c over.
func (l *level) refined(coarse field, c *level, seed uint64) field {
	f := l.random(seed)
	for i, p := range l.targets {
		y, x := int(p)/l.w, int(p)%l.w
		at := c.at[min(y/2, c.h-1)*c.w+min(x/2, c.w-1)]
		if at < 0 {
			continue
		}
		from := int(coarse[at].from)
		qy, qx := 2*(from/c.w)+y%2, 2*(from%c.w)+x%2
		if q := qy*l.w + qx; qy < l.h && qx < l.w && l.source[q] {
			f[i].from = int32(q)
		}
	}
	return f
}

// search betters a field: each target looks at the sources beside those of the targets one, two, four and eight pixels
// away, and at random ones, ever closer to its own. All look at the field of the round before, so that they do not
// depend on each other's order.
func (l *level) search(ctx context.Context, f field, seed uint64, rounds int) (field, error) {
	f = slices.Clone(f)
	err := parallel.RowsUntil(ctx, len(f), len(f)*patch, func(i int) {
		f[i].d = l.distance(int(l.targets[i]), int(f[i].from), float32(math.Inf(1)))
	})
	next := make(field, len(f))
	for r := 0; r < rounds && err == nil; r++ {
		raised := l.repeats(f)
		err = parallel.RowsUntil(ctx, len(f), 16*len(f)*patch, func(i int) {
			next[i] = l.better(f, raised, i, seed+uint64(r)<<32)
		})
		f, next = next, f
	}
	return f, err
}

// better is the best match that target i finds in one round, by its distance and what that is raised by.
func (l *level) better(f field, raised []float32, i int, seed uint64) match {
	p, best := int(l.targets[i]), f[i]
	y, x := p/l.w, p%l.w
	try := func(qy, qx int) {
		if qy < 0 || qy >= l.h || qx < 0 || qx >= l.w || !l.source[qy*l.w+qx] {
			return
		}
		q := qy*l.w + qx
		most := best.d + raised[best.from] - raised[q]
		if most <= 0 {
			return
		}
		if d := l.distance(p, q, most); d < most {
			best = match{int32(q), d}
		}
	}
	for _, step := range [4]int{1, 8, 2, 4} {
		for _, o := range [4][2]int{{0, -1}, {-1, 0}, {0, 1}, {1, 0}} {
			dy, dx := step*o[0], step*o[1]
			if y+dy < 0 || y+dy >= l.h || x+dx < 0 || x+dx >= l.w {
				continue
			}
			if at := l.at[p+dy*l.w+dx]; at >= 0 {
				q := int(f[at].from)
				try(q/l.w-dy, q%l.w-dx)
			}
		}
	}
	k := 1
	for reach := max(l.h, l.w); reach >= 1; reach /= 2 {
		qy, qx := int(best.from)/l.w, int(best.from)%l.w
		try(qy-reach+below(2*reach+1, chance(seed, p, k)), qx-reach+below(2*reach+1, chance(seed, p, k+1)))
		k += 2
	}
	return best
}

// vote sets each missing pixel to the mean of what the patches over it would put there, weighted by how well they fit:
// of those that are so many pixels apart from each other, 1 for all. When ctx ends nothing is set.
func (l *level) vote(ctx context.Context, f field, apart int) error {
	spread := l.spread(f)
	out := make([]float32, len(l.pix))
	err := parallel.RowsUntil(ctx, len(l.known), len(l.targets)*patch, func(p int) {
		if l.known[p] {
			return
		}
		top, bottom, left, right := l.window(p)
		var sum [channels]float64
		var total float64
		for dy := top + (-top)%apart; dy <= bottom; dy += apart {
			for dx := left + (-left)%apart; dx <= right; dx += apart { // the patch about p+d has p at -d
				i := l.at[p+dy*l.w+dx]
				m := f[i]
				weight := math.Exp(-float64(m.d)/spread) + 1e-12
				q := int(m.from) - dy*l.w - dx
				for c := range channels {
					sum[c] += weight * float64(l.pix[channels*q+c])
				}
				total += weight
			}
		}
		for c := range channels {
			out[channels*p+c] = float32(sum[c] / total)
		}
	})
	if err != nil {
		return err
	}
	for p, k := range l.known {
		if !k {
			copy(l.pix[channels*p:channels*(p+1)], out[channels*p:])
		}
	}
	return nil
}

// spread is twice the 75th percentile of the distances, as Wexler et al. take it.
func (l *level) spread(f field) float64 {
	sorted := slices.SortedFunc(slices.Values(f), func(a, b match) int { return cmp.Compare(a.d, b.d) })
	return max(1e-6, 2*float64(sorted[len(sorted)*3/4].d))
}
