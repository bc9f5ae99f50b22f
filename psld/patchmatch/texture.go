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
	// Summed-area tables of the differences between known pixels, and of their number.
	var sums, counts [2][]float64
	for k, step := range [2]int{1, w} {
		sums[k], counts[k] = make([]float64, (h+1)*(w+1)), make([]float64, (h+1)*(w+1))
		for y := range h {
			for x := range w {
				p := y*w + x
				var v, n float64
				if (k == 0 && x+1 < w || k == 1 && y+1 < h) && known[p] && known[p+step] {
					v, n = math.Abs(float64(bright(p+step)-bright(p))), 1
				}
				at := (y+1)*(w+1) + x + 1
				sums[k][at] = v + sums[k][at-1] + sums[k][at-w-1] - sums[k][at-w-2]
				counts[k][at] = n + counts[k][at-1] + counts[k][at-w-1] - counts[k][at-w-2]
			}
		}
	}
	for y := range h {
		for x := range w {
			p := y*w + x
			copy(out[channels*p:], pix[3*p:3*p+3])
			top, bottom := max(0, y-textureReach), min(h, y+textureReach+1)
			left, right := max(0, x-textureReach), min(w, x+textureReach+1)
			area := func(t []float64) float64 {
				return t[bottom*(w+1)+right] - t[bottom*(w+1)+left] - t[top*(w+1)+right] + t[top*(w+1)+left]
			}
			for k := range 2 {
				out[channels*p+3+k] = float32(root * area(sums[k]) / max(1, area(counts[k])))
			}
		}
	}
	return out
}
