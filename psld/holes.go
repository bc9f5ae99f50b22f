package psld

import (
	"image"
	"slices"

	"psld/psld/operator"
)

// In a large picture with small holes the work is where the holes are: each is restored in a window around it, the
// wider the thicker it is, and the windows are worked on one after the other, so that each sees what those before it
// have painted. Long scratches are cut into pieces.

const (
	wholePicture = 256 * 256 // pixels up to which a picture is always solved in one piece
	thinContext  = 16        // pixels around a hole, at the least
	leastContext = 32        // around one that is thick enough to need it
	mostContext  = 256
	leastPiece   = 64  // side of the pieces of a long hole, where windows may be that small
	sparse       = 0.2 // a hole that fills less of its bounding box is cut into pieces
)

// window is a part of a picture that is solved alone. What it paints is taken inside inner only: holes may go on
// beyond, with too little around them here, and are another window's.
type window struct{ all, inner image.Rectangle }

// area is the number of pixels that are worked on.
func (w window) area() int { return w.all.Dx() * w.all.Dy() }

// holeWindows are windows that cover all holes of a picture of h x w pixels, of at least side pixels where the picture
// has them, top to bottom. nil: the whole picture is one piece of work, since it is small or the windows would save
// little.
func holeWindows(keep []bool, h, w, side int) []window {
	if h*w <= wholePicture {
		return nil
	}
	var list []window
	for _, hole := range pieces(keep, h, w, max(leastPiece, side-2*leastContext)) {
		list = append(list, windowOf(hole, side, h, w))
	}
	list = merged(list)
	area := 0
	for _, v := range list {
		area += v.area()
	}
	if 10*area > 6*h*w {
		return nil
	}
	slices.SortFunc(list, func(a, b window) int { return above(a.all, b.all) })
	return list
}

// above orders boxes by their upper left corners.
func above(a, b image.Rectangle) int {
	if a.Min.Y != b.Min.Y {
		return a.Min.Y - b.Min.Y
	}
	return a.Min.X - b.Min.X
}

// windowOf is the window around a hole, of at least side pixels, inside a picture of h x w.
func windowOf(one hole, side, h, w int) window {
	context := contextOf(one.thick)
	x0, x1 := grow(one.box.Min.X, one.box.Max.X, context, side, w)
	y0, y1 := grow(one.box.Min.Y, one.box.Max.Y, context, side, h)
	all := image.Rect(x0, y0, x1, y1)
	return window{all, one.box.Inset(-context / 2).Intersect(all)}
}

// contextOf is how many pixels around a hole are looked at: twice its thickness, and more where it is thin. Around
// scratches of 3 pixels 16 are as good as 46, and half the work (16 photographs: 29.63 and 29.64 dB, by PnP-ADMM).
func contextOf(thick int) int {
	return min(max(2*thick, min(4*thick, leastContext), thinContext), mostContext)
}

// grow is window for one axis of n pixels. The side becomes a multiple of 16 where there is room, which models like.
func grow(from, to, context, side, n int) (int, int) {
	length := max(to-from+2*context, side)
	length = min((length+15)/16*16, n)
	start := min(max((from+to-length)/2, 0), n-length)
	return start, start + length
}

// merged joins windows where one for both is no more work than both.
func merged(list []window) []window {
	area := func(r image.Rectangle) int { return r.Dx() * r.Dy() }
	for again := true; again; {
		again = false
		for i := 0; i < len(list); i++ {
			for j := len(list) - 1; j > i; j-- {
				both := list[i].all.Union(list[j].all)
				if area(both) <= area(list[i].all)+area(list[j].all) {
					list[i] = window{both, list[i].inner.Union(list[j].inner)}
					list = slices.Delete(list, j, j+1)
					again = true
				}
			}
		}
	}
	return list
}

// hole is a connected set of missing pixels, or a piece of one.
type hole struct {
	box   image.Rectangle
	thick int // pixels across at its thickest place
}

// pieces are the holes of a picture; those longer than side are cut, and smaller ones that are close to each other are
// one.
func pieces(keep []bool, h, w, side int) []hole {
	depth := depths(keep, h, w)
	var all []hole
	small := map[image.Point]hole{} // by the cell of their middle
	each(keep, h, w, func(pixels []int) {
		one := holeOf(pixels, depth, w)
		b := one.box
		switch {
		case b.Dx() <= side && b.Dy() <= side:
			cell := image.Pt((b.Min.X+b.Max.X)/2/side, (b.Min.Y+b.Max.Y)/2/side)
			if other, ok := small[cell]; ok {
				one = hole{b.Union(other.box), max(one.thick, other.thick)}
			}
			small[cell] = one
		default:
			all = cut(all, pixels, max(side, one.thick), depth, w)
		}
	})
	for _, one := range small {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b hole) int { return above(a.box, b.box) }) // that of a map is none
	return all
}

// cut appends a hole to all: whole where it is compact, else in strips across its longer side, each cut in its turn.
func cut(all []hole, pixels []int, side int, depth []int32, w int) []hole {
	one := holeOf(pixels, depth, w)
	b := one.box
	long, area := max(b.Dx(), b.Dy()), b.Dx()*b.Dy()
	if long <= side || long <= 4*side && float64(len(pixels)) >= sparse*float64(area) {
		return append(all, one)
	}
	n := (long + side - 1) / side
	strips := make([][]int, n)
	for _, p := range pixels {
		at := p%w - b.Min.X
		if b.Dy() > b.Dx() {
			at = p/w - b.Min.Y
		}
		strips[at*n/long] = append(strips[at*n/long], p)
	}
	for _, strip := range strips {
		if len(strip) > 0 {
			all = cut(all, strip, side, depth, w)
		}
	}
	return all
}

func holeOf(pixels []int, depth []int32, w int) hole {
	one := hole{box: image.Rect(pixels[0]%w, pixels[0]/w, pixels[0]%w+1, pixels[0]/w+1)}
	for _, p := range pixels {
		x, y := p%w, p/w
		one.box.Min.X, one.box.Max.X = min(one.box.Min.X, x), max(one.box.Max.X, x+1)
		one.box.Min.Y, one.box.Max.Y = min(one.box.Min.Y, y), max(one.box.Max.Y, y+1)
		one.thick = max(one.thick, across(depth[p]))
	}
	return one
}

// each calls f with the pixels of each hole; pixels that touch by a side or a corner are of one hole.
func each(keep []bool, h, w int, f func(pixels []int)) {
	seen := make([]bool, len(keep))
	var queue []int
	for start, k := range keep {
		if k || seen[start] {
			continue
		}
		queue = append(queue[:0], start)
		seen[start] = true
		for i := 0; i < len(queue); i++ {
			x, y := queue[i]%w, queue[i]/w
			for r := max(y-1, 0); r <= min(y+1, h-1); r++ {
				for c := max(x-1, 0); c <= min(x+1, w-1); c++ {
					if p := r*w + c; !keep[p] && !seen[p] {
						seen[p] = true
						queue = append(queue, p)
					}
				}
			}
		}
		f(queue)
	}
}

// depths are those of operator.Depths in thirds of a pixel (Borgefors 1986), so that a slanted scratch is as thick as
// an upright one.
func depths(keep []bool, h, w int) []int32 { return operator.Depths(keep, h, w, 3, 4) }

// across is how many pixels a hole is across at a depth.
func across(depth int32) int { return (2*int(depth) + 2) / 3 }
