package operator

import (
	"fmt"
	"math"

	"psld/internal/parallel"
)

// NewBlur returns the blur of h x w pictures with c channels: a depth-wise correlation (the kernel is not flipped)
// with reflect padding that does not repeat the edge pixel, as ReflectionPad2d and Conv2d in the DPS code. The adjoint
// scatters, the reflection included. Kernels of rank one become two 1-D passes; of others only the taps that are not
// zero are computed. A kernel whose non-zero part reaches further than side-1 from its centre is an error, for the
// reflection of such a picture is not defined.
func NewBlur(h, w, c int, k *Kernel) (Linear, error) {
	if err := checkShape(Shape{h, w, c}); err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	r := k.Size / 2
	var taps []tap
	reachY, reachX := 0, 0
	for i, v := range k.W {
		if v == 0 {
			continue
		}
		dy, dx := i/k.Size-r, i%k.Size-r
		taps = append(taps, tap{dy, dx, float32(v)})
		reachY, reachX = max(reachY, dy, -dy), max(reachX, dx, -dx)
	}
	if reachY >= h || reachX >= w {
		return nil, fmt.Errorf("operator: blur kernel reaches %dx%d pixels from its centre: "+
			"too large for a %dx%d picture (at most %dx%d)",
			reachX, reachY, w, h, w-1, h-1)
	}
	if col, row, ok := k.factors(); ok {
		return newSeparable(c, reflectTable(h, col), reflectTable(w, row)), nil
	}
	return &sparseBlur{Shape{h, w, c}, taps, reachY, reachX, plain, new(chains)}, nil
}

// reflect folds index j into [0,n) by reflection that does not repeat the edge pixel; |overshoot| < n.
func reflect(j, n int) int {
	if j < 0 {
		j = -j
	}
	if j >= n {
		j = 2*(n-1) - j
	}
	return j
}

// reflectTable is the correlation with a 1-D kernel along an axis of n pixels.
func reflectTable(n int, k []float64) table {
	return newTable(n, n, func(i int) (idx []int, w []float64) {
		for d, v := range k {
			if v != 0 {
				idx, w = append(idx, reflect(i+d-len(k)/2, n)), append(w, v)
			}
		}
		return idx, w
	})
}

// sparseBlur is a correlation with few taps over a padded picture; py and px are the padding.
type sparseBlur struct {
	shape  Shape
	taps   []tap
	py, px int
	k      kernels
	chains *chains
}

// quick is the same map with the engine's loops.
func (b *sparseBlur) quick() Linear {
	q := *b
	q.k = vector
	return &q
}

func (b *sparseBlur) In() Shape  { return b.shape }
func (b *sparseBlur) Out() Shape { return b.shape }

func (b *sparseBlur) Apply(dst, x []float32) {
	check(dst, x, b.shape, b.shape)
	h, w, c := b.shape.H, b.shape.W, b.shape.C
	wide := (w + 2*b.px) * c // one padded row
	pad := make([]float32, (h+2*b.py)*wide)
	for r := range h + 2*b.py {
		src, d := x[reflect(r-b.py, h)*w*c:][:w*c], pad[r*wide:(r+1)*wide]
		copy(d[b.px*c:], src)
		for p := range b.px {
			copy(d[p*c:(p+1)*c], src[reflect(p-b.px, w)*c:])
			q := w + p
			copy(d[(b.px+q)*c:(b.px+q+1)*c], src[reflect(q, w)*c:])
		}
	}
	parallel.Rows(h, len(b.taps)*len(x)/4, func(i int) {
		d := dst[i*w*c : (i+1)*w*c]
		clear(d)
		for _, t := range b.taps {
			b.k.axpy(t.w, pad[(i+b.py+t.dy)*wide+(b.px+t.dx)*c:][:w*c], d)
		}
	})
}

func (b *sparseBlur) Adjoint(dst, y []float32) {
	check(dst, y, b.shape, b.shape)
	h, w, c := b.shape.H, b.shape.W, b.shape.C
	wide := (w + 2*b.px) * c
	pad := make([]float32, (h+2*b.py)*wide)
	parallel.Rows(h+2*b.py, len(b.taps)*len(y)/4, func(r int) {
		d := pad[r*wide : (r+1)*wide]
		for _, t := range b.taps {
			if i := r - b.py - t.dy; i >= 0 && i < h {
				b.k.axpy(t.w, y[i*w*c:(i+1)*w*c], d[(b.px+t.dx)*c:])
			}
		}
	})
	// Fold the padding back: the transpose of copying.
	clear(dst)
	for r := range h + 2*b.py {
		src, d := pad[r*wide:(r+1)*wide], dst[reflect(r-b.py, h)*w*c:][:w*c]
		b.k.axpy(1, src[b.px*c:][:w*c], d)
		for p := range b.px {
			q := w + p
			for ch := range c {
				d[reflect(p-b.px, w)*c+ch] += src[p*c+ch]
				d[reflect(q, w)*c+ch] += src[(b.px+q)*c+ch]
			}
		}
	}
}

// factors returns col and row with k = col*row' when the kernel has rank one (to float32 accuracy).
func (k *Kernel) factors() (col, row []float64, ok bool) {
	n, best := k.Size, 0
	for i, v := range k.W {
		if math.Abs(v) > math.Abs(k.W[best]) {
			best = i
		}
	}
	peak := k.W[best]
	col, row = make([]float64, n), make([]float64, n)
	for i := range n {
		col[i], row[i] = k.W[i*n+best%n], k.W[best/n*n+i]/peak
	}
	for i, v := range k.W {
		if math.Abs(v-col[i/n]*row[i%n]) > 1e-7*math.Abs(peak) {
			return nil, nil, false
		}
	}
	return col, row, true
}
