package solver

import (
	"slices"

	"psld/autograd"
	"psld/tensor"
)

// Equivariant are the parameters of methods of pixels whose prior looks at its states flipped and turned. A photograph
// in another orientation is as likely as it was, but a network's estimate of its noise is another one: it is made in
// k of the eight orientations T (flips and quarter turns) and turned back,
//
//	e(z) = 1/k sum of T' e(T z)
//
// With k = 8 that is the geometric self-ensemble (Lim et al. 2017), whose errors partly cancel. With fewer each step
// draws k different ones: k = 1 is equivariant plug-and-play (Terris et al. 2024), which costs nothing, as errors
// cancel from step to step.
type Equivariant struct {
	Orientations int `json:"orientations" range:"0..8" help:"flips and turns that a noise estimate averages; 0: none"`
}

// bind lets the run estimate noise so.
func (o Equivariant) bind(r *Run) { r.orientations = o.Orientations }

// estimates is how many noise estimates stand for one.
func (o Equivariant) estimates() float64 { return float64(max(1, o.Orientations)) }

// equivariant is a method that embeds Equivariant.
type equivariant interface{ estimates() float64 }

// everyWay is the mean of the values f(z), of the shape of z [1,H,W,C], over the orientations of z that the run asks
// for. Those of a step depend on the seed and on its number alone.
func (r *Run) everyWay(g *autograd.Graph, z *autograd.Value,
	f func(z *autograd.Value) []*autograd.Value) []*autograd.Value {
	if r.orientations == 0 {
		return f(z)
	}
	var sums []*autograd.Value
	for _, k := range r.drawOrientations() {
		for i, v := range f(r.turned.there(g, z, k)) {
			if v = r.turned.back(g, v, k); i == len(sums) {
				sums = append(sums, v)
			} else {
				sums[i] = g.Add(sums[i], v)
			}
		}
	}
	for i, v := range sums {
		sums[i] = g.Scale(v, 1/float32(r.orientations))
	}
	return sums
}

// drawOrientations lists the orientations of the step under way.
func (r *Run) drawOrientations() []int {
	list := []int{0, 1, 2, 3, 4, 5, 6, 7}
	if r.orientations == len(list) {
		return list
	}
	rank := r.Noise("orientations", r.at, len(list))
	slices.SortFunc(list, func(a, b int) int {
		switch {
		case rank[a] < rank[b]:
			return -1
		case rank[a] > rank[b]:
			return 1
		}
		return a - b
	})
	return list[:r.orientations]
}

// orientations has the matrices that flip and turn states of one shape. Orientation k swaps rows with columns where
// k&4 is set, then the order of the rows where k&2 is, and that of the columns where k&1 is.
type orientations struct {
	shape      []int             // [1,H,W,C]
	swap, flip [2]*tensor.Sparse // swap of [H,W] and its inverse; flips of [H,W] as they are
	turnedFlip [2]*tensor.Sparse // flips of [W,H]
}

// there is z in orientation k.
func (o *orientations) there(g *autograd.Graph, z *autograd.Value, k int) *autograd.Value {
	o.prepare(z.T.Shape)
	forward, adjoint := o.chains(k)
	if len(forward) == 0 {
		return z
	}
	return g.Sparse(z, o.turnedShape(k), forward, adjoint)
}

// back is a value in orientation k as it was.
func (o *orientations) back(g *autograd.Graph, v *autograd.Value, k int) *autograd.Value {
	forward, adjoint := o.chains(k)
	if len(forward) == 0 {
		return v
	}
	return g.Sparse(v, o.shape, adjoint, forward)
}

func (o *orientations) turnedShape(k int) []int {
	if k&4 == 0 {
		return o.shape
	}
	return []int{1, o.shape[2], o.shape[1], o.shape[3]}
}

// chains are the matrices of orientation k one after the other, and those of its inverse.
func (o *orientations) chains(k int) (forward, adjoint []*tensor.Sparse) {
	flips := o.flip
	if k&4 != 0 {
		forward, adjoint, flips = append(forward, o.swap[0]), append(adjoint, o.swap[1]), o.turnedFlip
	}
	for i, bit := range []int{2, 1} {
		if k&bit != 0 {
			forward, adjoint = append(forward, flips[i]), append(adjoint, flips[i])
		}
	}
	slices.Reverse(adjoint)
	return forward, adjoint
}

func (o *orientations) prepare(shape []int) {
	if tensor.Same(o.shape, shape) {
		return
	}
	h, w, c := shape[1], shape[2], shape[3]
	o.shape = slices.Clone(shape)
	o.swap = [2]*tensor.Sparse{swapped(h, w, c), swapped(w, h, c)}
	o.flip = [2]*tensor.Sparse{flipped(1, h, w*c), flipped(h, w, c)}
	o.turnedFlip = [2]*tensor.Sparse{flipped(1, w, h*c), flipped(w, h, c)}
}

// swapped maps [H,W,C] to [W,H,C].
func swapped(h, w, c int) *tensor.Sparse {
	at := make([]int32, h*w)
	for i := range at {
		at[i] = int32((i%h*w + i/h) * c)
	}
	return permuted(1, c, at)
}

// flipped turns round the order of n groups of inner numbers, in each of outer.
func flipped(outer, n, inner int) *tensor.Sparse {
	at := make([]int32, n)
	for i := range at {
		at[i] = int32((n - 1 - i) * inner)
	}
	return permuted(outer, inner, at)
}

// permuted takes group i of inner numbers from the offset at[i].
func permuted(outer, inner int, at []int32) *tensor.Sparse {
	start, w := make([]int32, len(at)+1), make([]float32, len(at))
	for i := range at {
		start[i+1], w[i] = int32(i+1), 1
	}
	return tensor.NewSparse(outer, len(at)*inner, inner, start, at, w)
}
