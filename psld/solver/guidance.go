package solver

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"psld/autograd"
	"psld/tensor"
)

// Guidance are the parameters of what is made of the gradient of a loss before a step takes it.
type Guidance struct {
	// DiffStateGrad (Zirvi et al. 2025) keeps of the gradient G what lies in the singular directions of the state Z:
	// channel by channel U_r U_r' G V_r V_r' with Z = U S V', r the number of directions that have this share of
	// Z's energy, the mean over the channels. (The published code sums over the channels as if they were one, which for
	// four of 64x64 always gives r = 64: no filter at all.) 0.99 is theirs.
	StateGrad float64 `json:"state_grad" range:"0..1" help:"energy of the state's directions that guide; 0: all do"`
	// The gradient to the clean state z0 then moves that alone, and the step goes on from it: a' share of signal after
	// the step, the state moves by -sqrt(a') times the gradient (FlowChef's rule, Patel et al. 2024). A step costs no
	// gradient of the network that denoises, and its memory.
	JacobianFree bool `json:"jacobian_free" help:"gradient to the clean state alone, not through the denoiser"`
}

// enter puts the state z into a graph.
func (o *Guidance) enter(g *autograd.Graph, z *tensor.Tensor) *autograd.Value {
	if o.JacobianFree {
		return g.Const(z)
	}
	return g.Input(z)
}

// leaf is the value that the gradient is taken to, and the clean state z0 of zt as a function of it.
func (o *Guidance) leaf(g *autograd.Graph, zt, z0 *autograd.Value) (to, clean *autograd.Value) {
	if !o.JacobianFree {
		return zt, z0
	}
	to = g.Input(z0.T)
	return to, to
}

// of is what a step from the state z subtracts for the gradient to the leaf; after is the share of signal after the
// step.
func (o *Guidance) of(u *autograd.Graph, grad, z *tensor.Tensor, after float64) *autograd.Value {
	v := u.Const(grad)
	if o.JacobianFree {
		v = u.Scale(v, float32(math.Sqrt(after)))
	}
	if o.StateGrad == 0 {
		return v
	}
	kept := tensor.From(slices.Clone(v.Host()), grad.Shape...)
	keepDirections(kept.Data, tensor.From(u.Device().Host(z), z.Shape...), o.StateGrad)
	return u.Const(kept)
}

// keepDirections projects a gradient [1,H,W,C], in place, onto the leading singular directions of the state z of that
// shape: as many as have the share energy of its squares, the rounded mean over the channels.
func keepDirections(grad []float32, z *tensor.Tensor, energy float64) {
	h, w, c := z.Dim(1), z.Dim(2), z.Dim(3)
	svds, rank := make([]mat.SVD, c), 0
	for ch := range c {
		if !svds[ch].Factorize(channel(z.Data, h, w, c, ch), mat.SVDThin) {
			return // never seen: leave the gradient as it is
		}
		rank += leading(svds[ch].Values(nil), energy)
	}
	rank = max(1, (rank+c/2)/c)
	for ch := range c {
		var u, v, small, g mat.Dense
		svds[ch].UTo(&u)
		svds[ch].VTo(&v)
		ur, vr := u.Slice(0, h, 0, rank), v.Slice(0, w, 0, rank)
		small.Product(ur.T(), channel(grad, h, w, c, ch), vr)
		g.Product(ur, &small, vr.T())
		for i := range h * w {
			grad[i*c+ch] = float32(g.At(i/w, i%w))
		}
	}
}

// leading is how many of falling singular values have the share energy of the sum of squares.
func leading(values []float64, energy float64) int {
	var all, sum float64
	for _, v := range values {
		all += v * v
	}
	for i, v := range values {
		if sum += v * v; sum >= energy*all {
			return i + 1
		}
	}
	return len(values)
}

// channel is one of the channels of values [H,W,C].
func channel(x []float32, h, w, c, ch int) *mat.Dense {
	m := mat.NewDense(h, w, nil)
	for i := range h * w {
		m.Set(i/w, i%w, float64(x[i*c+ch]))
	}
	return m
}
