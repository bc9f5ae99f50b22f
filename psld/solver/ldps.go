package solver

import (
	"math"

	"psld/autograd"
)

// LDPS is DPS on the states of a prior: DDIM steps guided by
//
//	omega |A D(z0) - y|
//
// (Chung et al. 2023; on latents, Rout et al. 2023). On a pixel prior it is DPS itself.
type LDPS struct {
	DDIM
	Fit
}

// Bind implements [Method].
func (o *LDPS) Bind(r *Run) (Stepper, error) {
	return GuidedDDIM(r, o.DDIM, o.Guidance, o.fit)
}

// Fit are the parameters of the measurement's term in the loss.
type Fit struct {
	Omega float64 `json:"omega" range:"0.." default:"1" scale:"side" help:"weight of the measurement"`
	// Squared norms are the papers' formula, norms what their code computes.
	Squared bool `json:"squared" help:"squared norms in place of norms; weights must then be much smaller"`
	// The published code adds what the measurement has, 0.05.
	LoopNoise float64 `json:"loop_noise" range:"0..100" help:"deviation of fresh noise in the prediction of each step"`
	Guidance
}

// fit is omega |A x - y|.
func (o *Fit) fit(e *Estimate) *autograd.Value {
	predicted := e.AX
	if o.LoopNoise > 0 {
		noise := e.fresh(e.G, "measurement", e.Step, e.AX.T.Shape)
		predicted = e.G.Add(e.AX, e.G.Scale(noise, float32(o.LoopNoise)))
	}
	var n *autograd.Value
	n, e.Report.Measurement = o.norm(e.G, e.G.Sub(predicted, e.Y))
	return e.G.Scale(n, float32(o.Omega))
}

// norm is |x|, or its square where the loss has squares, and the number |x|.
func (o *Fit) norm(g *autograd.Graph, x *autograd.Value) (*autograd.Value, float64) {
	if o.Squared {
		n := g.SumSquares(x)
		return n, math.Sqrt(n.Item())
	}
	n := g.Norm2(x)
	return n, n.Item()
}
