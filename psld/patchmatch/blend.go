package patchmatch

import (
	"context"
	"math"

	"psld/internal/parallel"
)

const (
	misfit = 0.15 // difference of colours, on [-1,1], from which a seam is thought to be an edge, and stays
	screen = 3e-3 // weight that holds pixels to their patches' colours, beside 1 for each difference to a neighbour
)

// blend takes each missing pixel from the patch that fits best, and then hides the seams: it solves for colours whose
// differences between neighbours are those inside the patches that they are from, with the known pixels about the hole
// in their place (Perez, Gangnet, Blake 2003, "Poisson image editing"). Where patches do not agree at all on what lies
// at a seam, the difference there counts little, so that colours do not bleed over edges.
func (l *level) blend(ctx context.Context, f field) error {
	b, err := l.equations(ctx, f)
	if err != nil {
		return err
	}
	x := make([][3]float32, len(b.pixels))
	for i, from := range b.from {
		x[i] = l.colour(int(from))
	}
	relax, sweeps := l.relaxation()
	for range sweeps {
		if err := ctx.Err(); err != nil {
			return err
		}
		for colour := range 2 { // as on a chessboard: pixels of one colour have neighbours of the other alone
			parallel.Rows(len(x), 12*len(x), func(i int) {
				if p := int(b.pixels[i]); (p/l.w+p%l.w)%2 == colour {
					b.rows[i].relax(x, i, relax)
				}
			})
		}
	}
	low, high := l.extremes()
	for i, p := range b.pixels {
		for c, v := range x[i] {
			l.pix[channels*int(p)+c] = min(max(v, low[c]), high[c])
		}
	}
	return nil
}

// relaxation is the factor of successive over-relaxation that suits the hole, and how often to go over it.
func (l *level) relaxation() (factor float32, sweeps int) {
	deep := depth(l.known, l.h, l.w)
	return float32(2 / (1 + math.Sin(math.Pi/float64(2*deep+2)))), 8 * deep
}

// beside is the pixel that lies so many rows and columns from p, -1 beyond the border.
func (l *level) beside(p, rows, columns int) int {
	y, x := p/l.w+rows, p%l.w+columns
	if y < 0 || y >= l.h || x < 0 || x >= l.w {
		return -1
	}
	return y*l.w + x
}

// extremes are the least and the largest value of each colour among known pixels.
func (l *level) extremes() (low, high [3]float32) {
	first := true
	for p, known := range l.known {
		if known {
			v := l.colour(p)
			for c := range v {
				if first {
					low[c], high[c] = v[c], v[c]
				}
				low[c], high[c] = min(low[c], v[c]), max(high[c], v[c])
			}
			first = false
		}
	}
	return low, high
}

// blender is the linear system of blend.
type blender struct {
	*level
	number []int32 // [h][w]: which missing pixel it is, -1 for known ones
	pixels []int32 // the missing pixels
	from   []int32 // where their best patches have them
	rows   []row
}

// equations are those of the missing pixels, by the patches of f.
func (l *level) equations(ctx context.Context, f field) (*blender, error) {
	b := &blender{level: l, number: make([]int32, l.h*l.w)}
	for p, known := range l.known {
		b.number[p] = -1
		if !known {
			b.number[p] = int32(len(b.pixels))
			b.pixels = append(b.pixels, int32(p))
		}
	}
	b.from = make([]int32, len(b.pixels))
	b.rows = make([]row, len(b.pixels))
	err := parallel.RowsUntil(ctx, len(b.pixels), len(b.pixels)*patch, func(i int) {
		b.from[i] = int32(l.origin(f, int(b.pixels[i])))
	})
	if err == nil {
		err = parallel.RowsUntil(ctx, len(b.pixels), len(b.pixels)*patch, func(i int) { b.rows[i] = b.row(i) })
	}
	return b, err
}

// row is the equation of a missing pixel: total x = right + sum over the neighbours of weight x_neighbour.
type row struct {
	right     [3]float32
	total     float32
	neighbour [4]int32 // numbers of missing pixels, -1 for none
	weight    [4]float32
}

func (r *row) relax(x [][3]float32, i int, relax float32) {
	sum := r.right
	for k, n := range r.neighbour {
		if n >= 0 {
			for c := range sum {
				sum[c] += r.weight[k] * x[n][c]
			}
		}
	}
	for c := range sum {
		x[i][c] += relax * (sum[c]/r.total - x[i][c])
	}
}

// origin is the place that the best of the patches over the missing pixel p takes it from. Patches whose rim it lies
// on do not count: the neighbours at its origin must be in the patch as well.
func (l *level) origin(f field, p int) int {
	top, bottom, left, right := l.window(p)
	best, from := float32(math.Inf(1)), -1
	for dy := max(top, 1-radius); dy <= min(bottom, radius-1); dy++ {
		for dx := max(left, 1-radius); dx <= min(right, radius-1); dx++ {
			if m := f[l.at[p+dy*l.w+dx]]; m.d < best || from < 0 {
				best, from = m.d, int(m.from)-dy*l.w-dx
			}
		}
	}
	return from
}

func (l *level) colour(p int) [3]float32 { return [3]float32(l.pix[channels*p : channels*p+3]) }

func (b *blender) row(i int) row {
	p, from := int(b.pixels[i]), int(b.from[i])
	own := b.colour(from)
	r := row{total: screen, neighbour: [4]int32{-1, -1, -1, -1}}
	for c := range own {
		r.right[c] = screen * own[c]
	}
	for k, o := range [4][2]int{{0, 1}, {1, 0}, {0, -1}, {-1, 0}} {
		q := b.beside(p, o[0], o[1])
		if q < 0 {
			continue
		}
		expected := b.colour(from + o[0]*b.w + o[1])
		there, n := b.colour(q), b.number[q]
		step := difference(own, expected)
		weight := trust(difference(expected, there))
		if n >= 0 {
			// Both patches say what the difference is, and how far it is to be trusted: the neighbour's equation has
			// the same weight, without which over-relaxation may diverge.
			origin := int(b.from[n])
			there = b.colour(origin)
			back := b.colour(origin - o[0]*b.w - o[1])
			other := difference(back, there)
			for c := range step {
				step[c] = (step[c] + other[c]) / 2
			}
			weight = (trust(difference(expected, there)) + trust(difference(back, own))) / 2
		}
		r.total += weight
		for c := range step {
			r.right[c] += weight * step[c]
			if n < 0 {
				r.right[c] += weight * there[c]
			}
		}
		r.neighbour[k], r.weight[k] = n, weight
	}
	return r
}

func difference(a, b [3]float32) [3]float32 { return [3]float32{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }

// trust is the weight of a difference between neighbours whose patches differ by d about it.
func trust(d [3]float32) float32 {
	return 1 / (1 + (d[0]*d[0]+d[1]*d[1]+d[2]*d[2])/(3*misfit*misfit))
}
