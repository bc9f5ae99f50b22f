package prior

import (
	"math"

	"psld/autograd"
	"psld/tensor"
)

// windowed computes f on overlapping windows of x [1,H,W,C] and blends the results:
// y(p) = sum over windows of w(p) f(window)(p), where the smooth weights w add up to 1 at every
// place. It is exact where f is local to less than the overlap, and smooth
// everywhere. Gradients flow through all of it. What f takes from the whole picture it takes from the window here: a
// group norm its mean and variance, which gives each window a brightness and contrast of its own
// ([LatentDiffusion.DecodeTiled] has the measures, and a way out without gradient).
//
// side is the longest side of a window in pixels of x, a multiple of step; a picture that fits is one call of f.
// Windows are as large as so many have to be (see fit). Neighbours share at least overlap pixels, less step; offsets
// and sides are multiples of step where those of x are. f maps side pixels to side*up/down pixels. Each window is one
// recomputed block: what the networks need inside does not grow with the picture. With a gradient each window leaves
// one output picture behind, without one its own output only.
func windowed(g *autograd.Graph, x *autograd.Value, side, overlap, step, up, down int,
	f func(*autograd.Graph, *autograd.Value) *autograd.Value) *autograd.Value {
	h, w := x.T.Dim(1), x.T.Dim(2)
	if side <= 0 || h <= side && w <= side {
		return f(g, x)
	}
	wh, ww := fit(h, side, overlap, step), fit(w, side, overlap, step)
	rows, cols := offsets(h, wh, overlap, step), offsets(w, ww, overlap, step)
	var from, to [][2]int
	for _, r := range rows {
		for _, c := range cols {
			from = append(from, [2]int{r, c})
			to = append(to, [2]int{r * up / down, c * up / down})
		}
	}
	oh, ow, owh, oww := h*up/down, w*up/down, wh*up/down, ww*up/down
	wy, wx := blend(rows, wh, h, up, down), blend(cols, ww, w, up, down)
	old := g.Checkpoint
	g.Checkpoint = g.Recording()
	defer func() { g.Checkpoint = old }()
	weighted := func(i int) func(*autograd.Graph, []*autograd.Value) *autograd.Value {
		return func(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
			y := f(g, g.Windows(in[0], wh, ww, from[i:i+1]))
			c := y.T.Dim(3)
			weight := tensor.New(1, owh, oww, c)
			ry, rx := wy[i/len(cols)], wx[i%len(cols)]
			for a := range owh {
				for b := range oww {
					px := weight.Data[(a*oww+b)*c:][:c]
					for j := range px {
						px[j] = float32(ry[a] * rx[b])
					}
				}
			}
			return g.Mul(y, g.Const(weight))
		}
	}
	var sum *autograd.Value
	for i := range from {
		if sum != nil && !g.Recording() {
			g.Device().AddWindows(sum.T, g.Block(weighted(i), x).T, to[i:i+1])
			continue
		}
		y := g.Block(func(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
			return g.AddWindows(weighted(i)(g, in), oh, ow, to[i:i+1])
		}, x)
		if sum == nil {
			sum = y
		} else {
			sum = g.Add(sum, y)
		}
	}
	return sum
}

// fit is the side of the windows, as few as there can be of up to side pixels, that cover n pixels and share overlap:
// the smallest multiple of step, so that no more is computed twice than has to be.
func fit(n, side, overlap, step int) int {
	if side <= 0 || n <= side {
		return n
	}
	k := (n - overlap + side - overlap - 1) / (side - overlap) // windows
	least := (n + (k-1)*overlap + k - 1) / k
	return min(side, (least+step-1)/step*step)
}

// offsets spreads windows of side over n pixels so that neighbours share at least overlap-step
// pixels, on multiples of step where n-side is one.
func offsets(n, side, overlap, step int) []int {
	if n <= side {
		return []int{0}
	}
	stride := max(step, side-overlap)
	k := (n-side+stride-1)/stride + 1
	out := make([]int, k)
	for i := range out {
		out[i] = (i * (n - side) / (k - 1)) / step * step
	}
	out[k-1] = n - side
	return out
}

// blend gives the 1-D weights of each window in output pixels: raised cosines over the
// overlaps, which add up to one.
func blend(offs []int, side, n, up, down int) [][]float64 {
	total := make([]float64, n*up/down)
	out := make([][]float64, len(offs))
	for i, o := range offs {
		out[i] = make([]float64, side*up/down)
		for k := range out[i] {
			v := math.Sin(math.Pi * (float64(k) + 0.5) / float64(len(out[i])))
			if len(offs) == 1 { // no neighbours to share with
				v = 1
			}
			out[i][k] = v*v + 1e-3
			total[o*up/down+k] += out[i][k]
		}
	}
	for i, o := range offs {
		for k := range out[i] {
			out[i][k] /= total[o*up/down+k]
		}
	}
	return out
}
