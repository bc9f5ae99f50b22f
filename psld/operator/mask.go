package operator

import (
	"context"
	"fmt"
	"image"
	"math"
	"sync"

	"psld/tensor"
)

// Mask is the inpainting operator: it keeps some pixels (all their channels) and sets the others to zero.
type Mask struct {
	shape Shape
	known []bool

	once    sync.Once
	factors []*tensor.Sparse
}

// NewMask returns the mask of h x w pictures with c channels that keeps the pixels with keep[y*w+x]. keep is copied.
// A length other than h*w is an error.
func NewMask(h, w, c int, keep []bool) (*Mask, error) {
	if err := checkShape(Shape{h, w, c}); err != nil {
		return nil, err
	}
	if len(keep) != h*w {
		return nil, fmt.Errorf("operator: mask has %d pixels, the %dx%d picture has %d", len(keep), w, h, h*w)
	}
	return &Mask{shape: Shape{h, w, c}, known: append([]bool(nil), keep...)}, nil
}

// In returns the shape of the picture.
func (m *Mask) In() Shape { return m.shape }

// Out returns the shape of the measurement, the same as In.
func (m *Mask) Out() Shape { return m.shape }

// MaskOf tells, row by row, which pixels of the picture a mask keeps, and is nil where a is none. The caller must not
// write to it.
func MaskOf(a Linear) []bool {
	if m, ok := a.(*Mask); ok {
		return m.known
	}
	return nil
}

// Known implements Measured: the kept pixels, row by row. The caller must not write to it.
func (m *Mask) Known() []bool { return m.known }

// Apply copies the kept pixels and zeroes the hole, whatever it holds (NaN included).
func (m *Mask) Apply(dst, x []float32) {
	check(dst, x, m.shape, m.shape)
	c := m.shape.C
	for i, k := range m.known {
		if k {
			copy(dst[i*c:(i+1)*c], x[i*c:])
		} else {
			clear(dst[i*c : (i+1)*c])
		}
	}
}

// Prox implements Proximal: (y + rho z)/(1 + rho) where the pixel is known, z in the hole.
func (m *Mask) Prox(_ context.Context, dst, z, y []float32, rho float64) error {
	checkProx(m, dst, z, y, rho)
	c, share := m.shape.C, 1/(1+rho)
	copy(dst, z)
	for i, k := range m.known {
		if k {
			for j := i * c; j < (i+1)*c; j++ {
				dst[j] = blend(z[j], y[j], share)
			}
		}
	}
	return nil
}

// Adjoint is the same as Apply: a mask is symmetric.
func (m *Mask) Adjoint(dst, y []float32) { m.Apply(dst, y) }

// RandomMask returns a keep mask with round(missing*h*w) pixels dropped at random places. missing must lie in [0,1].
func RandomMask(h, w int, missing float64, seed uint64) ([]bool, error) {
	if h < 1 || w < 1 || !(missing >= 0 && missing <= 1) {
		return nil, fmt.Errorf("operator: random mask %dx%d with fraction %g missing: the fraction must lie in [0,1]",
			w, h, missing)
	}
	keep := make([]bool, h*w)
	drop := int(math.Round(missing * float64(h*w)))
	for i, p := range newRand(seed, streamMask).Perm(h * w) {
		keep[p] = i >= drop
	}
	return keep, nil
}

// StripeMask returns a keep mask with round(missing*h) whole rows dropped at random places. missing must lie in [0,1].
func StripeMask(h, w int, missing float64, seed uint64) ([]bool, error) {
	rows, err := RandomMask(h, 1, missing, seed)
	if err != nil || w < 1 {
		return nil, fmt.Errorf("operator: stripes %dx%d with fraction %g missing: the fraction must lie in [0,1]", w, h,
			missing)
	}
	keep := make([]bool, h*w)
	for i := range keep {
		keep[i] = rows[i/w]
	}
	return keep, nil
}

// BoxMask returns a keep mask with one rectangle dropped whose sides are fraction times those of the picture (rounded,
// at least one pixel); fraction must lie in (0,1]. The box is centred, or, with random, at a random place at least
// 1/32 of the side away from the border where that is possible (16 pixels of 512 as in the PSLD code); seed is used
// for random only.
func BoxMask(h, w int, fraction float64, random bool, seed uint64) ([]bool, error) {
	if h < 1 || w < 1 || !(fraction > 0 && fraction <= 1) {
		return nil, fmt.Errorf("operator: box mask %dx%d with side fraction %g: the fraction must lie in (0,1]",
			w, h, fraction)
	}
	rng := newRand(seed, streamBox)
	place := func(n int) (lo, hi int) {
		side := max(1, int(math.Round(fraction*float64(n))))
		lo = (n - side) / 2
		if random {
			margin := min(n/32, lo)
			lo = margin + rng.IntN(n-side-2*margin+1)
		}
		return lo, lo + side
	}
	y0, y1 := place(h)
	x0, x1 := place(w)
	keep := make([]bool, h*w)
	for i := range keep {
		y, x := i/w, i%w
		keep[i] = y < y0 || y >= y1 || x < x0 || x >= x1
	}
	return keep, nil
}

// RectangleMask returns a keep mask of h x w pictures with the rectangle r dropped, in pixels from the upper left
// corner. An empty one, and one that is not wholly inside, are errors.
func RectangleMask(h, w int, r image.Rectangle) ([]bool, error) {
	if h < 1 || w < 1 || r.Empty() || !r.In(image.Rect(0, 0, w, h)) {
		return nil, fmt.Errorf("a box of %dx%d pixels at %d,%d, want one inside of the picture's %dx%d",
			r.Dx(), r.Dy(), r.Min.X, r.Min.Y, w, h)
	}
	keep := make([]bool, h*w)
	for i := range keep {
		keep[i] = !image.Pt(i%w, i/w).In(r)
	}
	return keep, nil
}

// Depths are the distances of the pixels of h x w that keep has not to the nearest that it has, as the shortest way
// through neighbours: a step in rows and columns counts straight, one across diagonal (Borgefors 1986, "Distance
// transformations in digital images"). 0 for kept ones; straight (h + w) where none is kept.
func Depths(keep []bool, h, w int, straight, diagonal int32) []int32 {
	d := make([]int32, len(keep))
	// pass looks at those neighbours of a missing pixel that lie before it in the order of the pass, which is back one
	// in its row, and up one row.
	pass := func(p, back, up int, inRow, ahead, rows bool) {
		least := d[p]
		if inRow {
			least = min(least, d[p+back]+straight)
		}
		if rows {
			least = min(least, d[p+up]+straight)
			if inRow {
				least = min(least, d[p+up+back]+diagonal)
			}
			if ahead {
				least = min(least, d[p+up-back]+diagonal)
			}
		}
		d[p] = least
	}
	for y := range h {
		for x := range w {
			if p := y*w + x; !keep[p] { // most are kept
				d[p] = straight * int32(h+w)
				pass(p, -1, -w, x > 0, x < w-1, y > 0)
			}
		}
	}
	for y := h - 1; y >= 0; y-- {
		for x := w - 1; x >= 0; x-- {
			if p := y*w + x; !keep[p] {
				pass(p, 1, w, x < w-1, x > 0, y < h-1)
			}
		}
	}
	return d
}
