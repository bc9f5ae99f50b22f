package vae

import "psld/autograd"

// fold moves each square of p x p pixels of x [N,H,W,C] into channels: [N,H/p,W/p,p*p*C], row by row of the square.
func fold(g *autograd.Graph, x *autograd.Value, p int) *autograd.Value {
	if p == 1 {
		return x
	}
	n, h, w, c := x.T.Dim(0), x.T.Dim(1)/p, x.T.Dim(2)/p, x.T.Dim(3)
	row := p * w * c // numbers in a row of the picture
	rows := g.Reshape(x, n, h, p*row)
	var out *autograd.Value
	for i := range p {
		part := g.Reshape(g.Slice(rows, i*row, (i+1)*row), n, h, w, p*c)
		if out == nil {
			out = part
		} else {
			out = g.Concat(out, part)
		}
	}
	return out
}

// unfold is the inverse of fold: [N,h,w,p*p*C] to [N,h*p,w*p,C].
func unfold(g *autograd.Graph, x *autograd.Value, p int) *autograd.Value {
	if p == 1 {
		return x
	}
	n, h, w, c := x.T.Dim(0), x.T.Dim(1), x.T.Dim(2), x.T.Dim(3)/(p*p)
	var out *autograd.Value
	for i := range p {
		row := g.Reshape(g.Slice(x, i*p*c, (i+1)*p*c), n, h, p*w*c)
		if out == nil {
			out = row
		} else {
			out = g.Concat(out, row)
		}
	}
	return g.Reshape(out, n, h*p, w*p, c)
}
