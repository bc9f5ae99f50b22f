package patchmatch

import "math"

// textureReach is half the side of the window over which texture is meaned.
const textureReach = 8

// withTexture gives a picture the two channels of Newson et al. 2014: means, over a window, of the absolute
// differences of brightness to the right and down, so that smooth patches do not pass for textured ones.
func withTexture(pix []float32, known []bool, h, w int, weight float64) []float32 {
	root := math.Sqrt(weight)
	out := make([]float32, h*w*channels)
	bright := func(p int) float32 { return (pix[3*p] + pix[3*p+1] + pix[3*p+2]) / 3 }
	var strength, pairs [2]table // of the differences between known pixels
	for k, step := range [2]int{1, w} {
		both := func(p int) bool {
			return (k == 0 && p%w+1 < w || k == 1 && p/w+1 < h) && known[p] && known[p+step]
		}
		strength[k] = newTable(h, w, func(p int) float64 {
			if !both(p) {
				return 0
			}
			return math.Abs(float64(bright(p+step) - bright(p)))
		})
		pairs[k] = newTable(h, w, func(p int) float64 {
			if !both(p) {
				return 0
			}
			return 1
		})
	}
	for p := range h * w {
		copy(out[channels*p:], pix[3*p:3*p+3])
		top, bottom := max(0, p/w-textureReach), min(h, p/w+textureReach+1)
		left, right := max(0, p%w-textureReach), min(w, p%w+textureReach+1)
		for k := range 2 {
			n := max(1, pairs[k].sum(top, bottom, left, right))
			out[channels*p+3+k] = float32(root * strength[k].sum(top, bottom, left, right) / n)
		}
	}
	return out
}

// table has the sums of a function of pixels over all rectangles from the upper left corner (Crow 1984).
type table struct {
	w    int
	sums []float64 // [h+1][w+1]
}

func newTable(h, w int, f func(p int) float64) table {
	t := table{w + 1, make([]float64, (h+1)*(w+1))}
	for p := range h * w {
		at := (p/w+1)*t.w + p%w + 1
		t.sums[at] = f(p) + t.sums[at-1] + t.sums[at-t.w] - t.sums[at-t.w-1]
	}
	return t
}

// sum is over the rows from top to bottom and the columns from left to right, without the last ones.
func (t table) sum(top, bottom, left, right int) float64 {
	return t.sums[bottom*t.w+right] - t.sums[bottom*t.w+left] - t.sums[top*t.w+right] + t.sums[top*t.w+left]
}

// spreadTexture gives missing pixels the strength of texture that goes on smoothly from the known ones (Laplace's
// equation, by over-relaxation): where colours are known from elsewhere, of the texture nothing else is.
func (l *level) spreadTexture() {
	relax, sweeps := l.relaxation()
	for range sweeps {
		for p, known := range l.known {
			if known {
				continue
			}
			for c := 3; c < channels; c++ {
				var sum, n float32
				for _, o := range [4][2]int{{0, -1}, {0, 1}, {-1, 0}, {1, 0}} {
					if q := l.beside(p, o[0], o[1]); q >= 0 {
						sum += l.pix[channels*q+c]
						n++
					}
				}
				l.pix[channels*p+c] += relax * (sum/n - l.pix[channels*p+c])
			}
		}
	}
}
