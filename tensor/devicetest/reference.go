package devicetest

import (
	"math"

	"psld/tensor"
)

// The reference: every operation as plain float64 loops, written to be read next
// to its formula. Nothing here is shared with the engine but the shapes.

// Array is a dense row-major array of float64.
type Array struct {
	Shape []int
	Data  []float64
}

// NewArray returns a zeroed array.
func NewArray(shape ...int) Array {
	return Array{append([]int{}, shape...), make([]float64, tensor.Len(shape))}
}

// FromTensor copies a tensor.
func FromTensor(t *tensor.Tensor) Array {
	a := NewArray(t.Shape...)
	for i, v := range t.Data {
		a.Data[i] = float64(v)
	}
	return a
}

// rows splits an array in rows along its last axis.
func (a Array) rows() (rows, c int) {
	c = a.Shape[len(a.Shape)-1]
	return len(a.Data) / c, c
}

// lastAxis is a's shape with another last side.
func (a Array) lastAxis(c int) []int {
	return append(append([]int{}, a.Shape[:len(a.Shape)-1]...), c)
}

// conv2d: y[n,oy,ox,o] = b[o] + sum over ky, kx, i of x[n,iy,ix,i] w[o,i,ky,kx], with
// iy = oy*stride + ky - top. b may be empty. With Upsample the picture is
// enlarged two-fold by nearest neighbours first.
func conv2d(x, w, b Array, p tensor.Conv) Array {
	if p.Upsample {
		x = nearest2(x)
	}
	n, h, wd, ci, co := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3], w.Shape[0]
	oh := (h+p.PadTop+p.PadBottom-p.KH)/p.Stride + 1
	ow := (wd+p.PadLeft+p.PadRight-p.KW)/p.Stride + 1
	y := NewArray(n, oh, ow, co)
	for img := range n {
		for oy := range oh {
			for ox := range ow {
				for o := range co {
					sum := 0.0
					if len(b.Data) > 0 {
						sum = b.Data[o]
					}
					for ky := range p.KH {
						for kx := range p.KW {
							iy, ix := oy*p.Stride+ky-p.PadTop, ox*p.Stride+kx-p.PadLeft
							if iy < 0 || iy >= h || ix < 0 || ix >= wd {
								continue
							}
							for i := range ci {
								sum += x.Data[((img*h+iy)*wd+ix)*ci+i] * w.Data[((o*ci+i)*p.KH+ky)*p.KW+kx]
							}
						}
					}
					y.Data[((img*oh+oy)*ow+ox)*co+o] = sum
				}
			}
		}
	}
	return y
}

// nearest2: y[n,i,j,c] = x[n,i/2,j/2,c].
func nearest2(x Array) Array {
	n, h, w, c := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	y := NewArray(n, 2*h, 2*w, c)
	for img := range n {
		for i := range 2 * h {
			for j := range 2 * w {
				for ch := range c {
					y.Data[((img*2*h+i)*2*w+j)*c+ch] = x.Data[((img*h+i/2)*w+j/2)*c+ch]
				}
			}
		}
	}
	return y
}

// linear: y[r,o] = b[o] + sum over i of x[r,i] w[o,i].
func linear(x, w, b Array) Array {
	rows, ci := x.rows()
	co := w.Shape[0]
	y := NewArray(x.lastAxis(co)...)
	for r := range rows {
		for o := range co {
			sum := 0.0
			if len(b.Data) > 0 {
				sum = b.Data[o]
			}
			for i := range ci {
				sum += x.Data[r*ci+i] * w.Data[o*ci+i]
			}
			y.Data[r*co+o] = sum
		}
	}
	return y
}

// groupNorm: (x-mean)/sqrt(var+eps)*gamma + beta, with mean and (biased) variance
// over the pixels and the C/groups neighbouring channels of each group of an item.
func groupNorm(x, gamma, beta Array, groups int, eps float64) Array {
	n, c := x.Shape[0], x.Shape[len(x.Shape)-1]
	px := len(x.Data) / (n * c)
	per := c / groups
	y := NewArray(x.Shape...)
	for img := range n {
		for g := range groups {
			own := 0 // where gamma and beta of the item begin
			if len(gamma.Data) > c {
				own = img * c
			}
			each := func(f func(k, ch int)) {
				for p := range px {
					for ch := g * per; ch < (g+1)*per; ch++ {
						f((img*px+p)*c+ch, own+ch)
					}
				}
			}
			normalise(y, x, gamma, beta, float64(px*per), eps, each)
		}
	}
	return y
}

// layerNorm is the same over the last axis.
func layerNorm(x, gamma, beta Array, eps float64) Array {
	rows, c := x.rows()
	y := NewArray(x.Shape...)
	for r := range rows {
		normalise(y, x, gamma, beta, float64(c), eps, func(f func(k, ch int)) {
			for ch := range c {
				f(r*c+ch, ch)
			}
		})
	}
	return y
}

// normalise treats the count elements that each walks through.
func normalise(y, x, gamma, beta Array, count, eps float64, each func(f func(k, ch int))) {
	var mean, variance float64
	each(func(k, _ int) { mean += x.Data[k] / count })
	each(func(k, _ int) { variance += (x.Data[k] - mean) * (x.Data[k] - mean) / count })
	each(func(k, ch int) {
		y.Data[k] = (x.Data[k]-mean)/math.Sqrt(variance+eps)*gamma.Data[ch] + beta.Data[ch]
	})
}

// softmax over the last axis.
func softmax(x Array) Array {
	rows, c := x.rows()
	y := NewArray(x.Shape...)
	for r := range rows {
		softmaxRow(y.Data[r*c:][:c], x.Data[r*c:][:c])
	}
	return y
}

func softmaxRow(y, x []float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = max(top, v)
	}
	for i, v := range x {
		y[i] = math.Exp(v - top)
		sum += y[i]
	}
	for i := range y {
		y[i] /= sum
	}
}

// attention: for each head, o = softmax(q k'/sqrt(d)) v; with causal, query i sees keys 0..i.
func attention(q, k, v Array, heads int, causal bool) Array {
	n, l, c, m := q.Shape[0], q.Shape[1], q.Shape[2], k.Shape[1]
	d := c / heads
	o := NewArray(n, l, c)
	for b := range n {
		for h := range heads {
			for i := range l {
				seen := m
				if causal {
					seen = min(m, i+1)
				}
				p := make([]float64, seen)
				for j := range p {
					for x := range d {
						p[j] += q.Data[(b*l+i)*c+h*d+x] * k.Data[(b*m+j)*c+h*d+x]
					}
					p[j] /= math.Sqrt(float64(d))
				}
				softmaxRow(p, p)
				for j := range p {
					for x := range d {
						o.Data[(b*l+i)*c+h*d+x] += p[j] * v.Data[(b*m+j)*c+h*d+x]
					}
				}
			}
		}
	}
	return o
}

func sigmoid(x float64) float64   { return 1 / (1 + math.Exp(-x)) }
func silu(x float64) float64      { return x * sigmoid(x) }
func gelu(x float64) float64      { return x * math.Erfc(-x/math.Sqrt2) / 2 }
func quickGELU(x float64) float64 { return x * sigmoid(1.702*x) }

// each applies f to every element.
func each(x Array, f func(float64) float64) Array {
	y := NewArray(x.Shape...)
	for i, v := range x.Data {
		y.Data[i] = f(v)
	}
	return y
}

// pairs applies f to the elements of two arrays of one shape.
func pairs(a, b Array, f func(a, b float64) float64) Array {
	y := NewArray(a.Shape...)
	for i, v := range a.Data {
		y.Data[i] = f(v, b.Data[i])
	}
	return y
}

// geglu: y[r,c] = x[r,c] * gelu(x[r,C+c]).
func geglu(x Array) Array {
	rows, c2 := x.rows()
	c := c2 / 2
	y := NewArray(x.lastAxis(c)...)
	for r := range rows {
		for j := range c {
			y.Data[r*c+j] = x.Data[r*c2+j] * gelu(x.Data[r*c2+c+j])
		}
	}
	return y
}

// addChannels: y[n,...,c] = x[n,...,c] + e[n,c].
func addChannels(x, e Array) Array {
	n, c := e.Shape[0], e.Shape[1]
	y := NewArray(x.Shape...)
	for i, v := range x.Data {
		y.Data[i] = v + e.Data[i/(len(x.Data)/n)*c+i%c]
	}
	return y
}

// concat joins on the last axis.
func concat(a, b Array) Array {
	rows, ca := a.rows()
	_, cb := b.rows()
	y := NewArray(a.lastAxis(ca + cb)...)
	for r := range rows {
		for j := range ca + cb {
			if j < ca {
				y.Data[r*(ca+cb)+j] = a.Data[r*ca+j]
			} else {
				y.Data[r*(ca+cb)+j] = b.Data[r*cb+j-ca]
			}
		}
	}
	return y
}

// slice takes columns [from, to) of the last axis.
func slice(x Array, from, to int) Array {
	rows, c := x.rows()
	y := NewArray(x.lastAxis(to - from)...)
	for r := range rows {
		for j := from; j < to; j++ {
			y.Data[r*(to-from)+j-from] = x.Data[r*c+j]
		}
	}
	return y
}

// reshape gives the same numbers another shape.
func reshape(x Array, shape ...int) Array { return Array{shape, x.Data} }

// repeat copies x[1,...] n times.
func repeat(x Array, n int) Array {
	y := NewArray(append([]int{n}, x.Shape[1:]...)...)
	for i := range y.Data {
		y.Data[i] = x.Data[i%len(x.Data)]
	}
	return y
}

// windows: y[i,r,s,c] = x[0, row_i+r, col_i+s, c].
func windows(x Array, h, w int, at [][2]int) Array {
	c := x.Shape[3]
	y := NewArray(len(at), h, w, c)
	eachWindow(x.Shape[2], h, w, c, at, func(picture, window int) { y.Data[window] = x.Data[picture] })
	return y
}

// addWindows: y[0, row_i+r, col_i+s, c] += x[i,r,s,c].
func addWindows(x Array, h, w int, at [][2]int) Array {
	c := x.Shape[3]
	y := NewArray(1, h, w, c)
	eachWindow(w, x.Shape[1], x.Shape[2], c, at, func(picture, window int) { y.Data[picture] += x.Data[window] })
	return y
}

// enlarge2x: y[n, 2r+i, 2s+j, c] = x[n,r,s,c].
func enlarge2x(x Array) Array {
	n, h, w, c := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	y := NewArray(n, 2*h, 2*w, c)
	eachSquare(n, h, w, c, func(small, large int) { y.Data[large] = x.Data[small] })
	return y
}

// mean2x2: y[n,r,s,c] = sum over i and j of x[n, 2r+i, 2s+j, c]/4.
func mean2x2(x Array) Array {
	n, h, w, c := x.Shape[0], x.Shape[1]/2, x.Shape[2]/2, x.Shape[3]
	y := NewArray(n, h, w, c)
	eachSquare(n, h, w, c, func(small, large int) { y.Data[small] += x.Data[large] / 4 })
	return y
}

// eachSquare calls f with the places of an element [n,r,s,c] and of each of the four elements [n,2r+i,2s+j,c].
func eachSquare(n, h, w, c int, f func(small, large int)) {
	for large := range n * 2 * h * 2 * w * c {
		ch, s, r := large%c, large/c%(2*w), large/c/(2*w) // r counts the rows of all pictures
		f((r/2*w+s/2)*c+ch, large)
	}
}

// eachWindow calls f with the places of an element in the picture, width wide, and in the windows.
func eachWindow(width, h, w, c int, at [][2]int, f func(picture, window int)) {
	for i, o := range at {
		for r := range h {
			for s := range w {
				for ch := range c {
					f(((o[0]+r)*width+o[1]+s)*c+ch, ((i*h+r)*w+s)*c+ch)
				}
			}
		}
	}
}

// sparseProduct: y[o,r,k] = sum of W[e] x[o, At[e]+k] over the entries of row r.
func sparseProduct(x Array, m *tensor.Sparse) Array {
	y := NewArray(m.Outer, m.Rows(), m.Inner)
	for i := range y.Data {
		o, r, k := i/m.Inner/m.Rows(), i/m.Inner%m.Rows(), i%m.Inner
		for e := m.Start[r]; e < m.Start[r+1]; e++ {
			y.Data[i] += float64(m.W[e]) * x.Data[o*m.In+int(m.At[e])+k]
		}
	}
	return y
}

// embedding: y[i] = w[ids[i]].
func embedding(w Array, ids []int, shape ...int) Array {
	c := w.Shape[1]
	y := NewArray(append(append([]int{}, shape...), c)...)
	for i, id := range ids {
		copy(y.Data[i*c:][:c], w.Data[id*c:][:c])
	}
	return y
}

// total adds f over all elements: a [1] array.
func total(x Array, f func(float64) float64) Array {
	y := NewArray(1)
	for _, v := range x.Data {
		y.Data[0] += f(v)
	}
	return y
}

func identity(v float64) float64 { return v }
func square(v float64) float64   { return v * v }
