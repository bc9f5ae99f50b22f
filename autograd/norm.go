package autograd

import (
	"psld/tensor"
)

// GroupNorm normalises x[N,...,C] over each group of channels of each item, then
// scales by gamma[C] and shifts by beta[C], or by rows of gamma and beta[N,C], one for each item.
func (g *Graph) GroupNorm(x, gamma, beta *Value, groups int, eps float32) *Value {
	return g.groupNorm(x, gamma, beta, groups, eps, false)
}

// GroupNormSiLU is SiLU(GroupNorm(x)) in one pass.
func (g *Graph) GroupNormSiLU(x, gamma, beta *Value, groups int, eps float32) *Value {
	return g.groupNorm(x, gamma, beta, groups, eps, true)
}

func (g *Graph) groupNorm(x, gamma, beta *Value, groups int, eps float32, silu bool) *Value {
	c := x.T.Dim(-1)
	check(groups > 0 && c%groups == 0, "GroupNorm", "channels", c, []any{"a multiple of", groups})
	n := gamma.T.Len()
	check(n == c || n == x.T.Dim(0)*c, "GroupNorm", "gamma", gamma.T.Shape, []int{c})
	check(beta.T.Len() == n, "GroupNorm", "beta", beta.T.Shape, gamma.T.Shape)
	y := g.alloc(x.T.Shape...)
	stats := g.alloc(x.T.Dim(0), groups, 2)
	g.dev.GroupNorm(y, stats, x.T, gamma.T, beta.T, groups, eps, silu)
	return g.result(y, g.wants(x, gamma, beta), func(dy *tensor.Tensor) bool {
		dgamma, dbeta := g.paramGrads(gamma, beta)
		g.dev.GroupNormGrad(dy, dgamma, dbeta, dy, x.T, stats, gamma.T, beta.T, groups, silu)
		g.addOrDrop(x, dy)
		g.addParams(gamma, beta, dgamma, dbeta)
		return true
	}, x.T, stats, gamma.T, beta.T)
}

func (g *Graph) paramGrads(gamma, beta *Value) (dgamma, dbeta *tensor.Tensor) {
	if gamma.requires || beta.requires {
		return g.temp(gamma.T.Shape...), g.temp(beta.T.Shape...)
	}
	return nil, nil
}

func (g *Graph) addParams(gamma, beta *Value, dgamma, dbeta *tensor.Tensor) {
	if dgamma != nil {
		g.addOrDrop(gamma, dgamma)
		g.addOrDrop(beta, dbeta)
	}
}

// LayerNorm normalises over the last axis.
func (g *Graph) LayerNorm(x, gamma, beta *Value, eps float32) *Value {
	c := x.T.Dim(-1)
	check(gamma.T.Len() == c && beta.T.Len() == c, "LayerNorm", "gamma", gamma.T.Shape, c)
	y := g.alloc(x.T.Shape...)
	stats := g.alloc(x.T.Rows(), 2)
	g.dev.LayerNorm(y, stats, x.T, gamma.T, beta.T, eps)
	return g.result(y, g.wants(x, gamma, beta), func(dy *tensor.Tensor) bool {
		dx := g.temp(x.T.Shape...)
		dgamma, dbeta := g.paramGrads(gamma, beta)
		g.dev.LayerNormGrad(dx, dgamma, dbeta, dy, x.T, stats, gamma.T)
		g.addOrDrop(x, dx)
		g.addParams(gamma, beta, dgamma, dbeta)
		return false
	}, x.T, stats)
}
