package bench

import (
	"fmt"
	"math"

	"psld/tensor"
)

// What memory bounds. The operations counted are rough: 8 for an exponential or the like.

// groupNormOp is x[1,h,w,c] normalised in groups of channels. Bytes: its statistics must be known
// before the first output, so that x is read twice; so is, backward, all that comes in.
func groupNormOp(h, w, c int, withSiLU bool, eps float64) problem {
	name, flop := "GroupNorm", 8.0
	if withSiLU {
		name, flop = "GroupNormSiLU", 18
	}
	n := float64(h * w * c)
	return problem{fmt.Sprintf("%dx%dx%d", h, w, c), []op{
		{name: name, group: groupNorm + forward, flop: flop * n, bytes: 3 * 4 * n},
		{name: name + "Grad", group: groupNorm + backward, flop: 2 * flop * n, bytes: 5 * 4 * n},
	}, func(r *random) []job {
		shape := []int{1, h, w, c}
		x, dy, y, dx := r.tensor(0.7, 1, shape...), r.tensor(0, 1, shape...), tensor.New(shape...), tensor.New(shape...)
		gamma, beta, stats := r.tensor(1, 0.5, c), r.tensor(0, 1, c), tensor.New(1, groupsOfChannels, 2)
		forward := func(d tensor.Device) {
			d.GroupNorm(y, stats, x, gamma, beta, groupsOfChannels, float32(eps), withSiLU)
		}
		backward := func(d tensor.Device) {
			d.GroupNormGrad(dx, nil, nil, dy, x, stats, gamma, beta, groupsOfChannels, withSiLU)
		}
		// members calls f for the elements of a group, with their channels.
		per := c / groupsOfChannels
		members := func(g int, f func(i, ch int)) {
			for px := range h * w {
				for ch := g * per; ch < (g+1)*per; ch++ {
					f(px*c+ch, ch)
				}
			}
		}
		statistics := func(g int) (mean, rstd float64) {
			return moments(eps, func(f func(v float64)) { members(g, func(i, _ int) { f(float64(x.Data[i])) }) })
		}
		check := func(s *sample, want func(g int) func(i, ch int) float64, got *tensor.Tensor) {
			for range 4 {
				g := r.IntN(groupsOfChannels)
				f := want(g)
				for range samples / 4 {
					ch := g*per + r.IntN(per)
					i := r.IntN(h*w)*c + ch
					s.add(0, got.Data[i], f(i, ch))
				}
			}
		}
		return []job{{forward, func(d tensor.Device, s *sample) {
			forward(d)
			check(s, func(g int) func(i, ch int) float64 {
				mean, rstd := statistics(g)
				return func(i, ch int) float64 {
					u := (float64(x.Data[i])-mean)*rstd*float64(gamma.Data[ch]) + float64(beta.Data[ch])
					if withSiLU {
						return silu(u)
					}
					return u
				}
			}, y)
		}}, {backward, func(d tensor.Device, s *sample) {
			forward(d) // for stats
			backward(d)
			check(s, func(g int) func(i, ch int) float64 {
				mean, rstd := statistics(g)
				hat := func(i int) float64 { return (float64(x.Data[i]) - mean) * rstd }
				dhat := func(i, ch int) float64 { // the gradient to hat
					gm := float64(gamma.Data[ch])
					if withSiLU {
						return float64(dy.Data[i]) * siluGrad(hat(i)*gm+float64(beta.Data[ch])) * gm
					}
					return float64(dy.Data[i]) * gm
				}
				var s1, s2 float64
				members(g, func(i, ch int) {
					v := dhat(i, ch)
					s1 += v
					s2 += v * hat(i)
				})
				count := float64(h * w * per)
				return func(i, ch int) float64 { return rstd * (dhat(i, ch) - (s1+hat(i)*s2)/count) }
			}, dx)
		}}}
	}}
}

// moments is the mean of the values that all gives, and 1/sqrt(variance+eps).
func moments(eps float64, all func(f func(v float64))) (mean, rstd float64) {
	var n, variance float64
	all(func(v float64) { mean += v; n++ })
	mean /= n
	all(func(v float64) { variance += (v - mean) * (v - mean) })
	return mean, 1 / math.Sqrt(variance/n+eps)
}

// layerNormOp is x[rows,c] normalised by rows.
func layerNormOp(rows, c int) problem {
	const eps = 1e-5
	n := float64(rows * c)
	return problem{fmt.Sprintf("%dx%d", rows, c), []op{
		{name: "LayerNorm", group: groupNorm + forward, flop: 8 * n, bytes: 2 * 4 * n},
		{name: "LayerNormGrad", group: groupNorm + backward, flop: 12 * n, bytes: 3 * 4 * n},
	}, func(r *random) []job {
		x, dy, y, dx := r.tensor(0.7, 1, rows, c), r.tensor(0, 1, rows, c), tensor.New(rows, c), tensor.New(rows, c)
		gamma, beta, stats := r.tensor(1, 0.5, c), r.tensor(0, 1, c), tensor.New(rows, 2)
		forward := func(d tensor.Device) { d.LayerNorm(y, stats, x, gamma, beta, eps) }
		backward := func(d tensor.Device) { d.LayerNormGrad(dx, nil, nil, dy, x, stats, gamma) }
		statistics := func(in []float32) (mean, rstd float64) {
			return moments(eps, func(f func(v float64)) {
				for _, v := range in {
					f(float64(v))
				}
			})
		}
		return []job{{forward, func(d tensor.Device, s *sample) {
			forward(d)
			someRows(r, s, y, func(row int, want []float64) {
				in := x.Data[row*c:][:c]
				mean, rstd := statistics(in)
				for j, v := range in {
					want[j] = (float64(v)-mean)*rstd*float64(gamma.Data[j]) + float64(beta.Data[j])
				}
			})
		}}, {backward, func(d tensor.Device, s *sample) {
			forward(d) // for stats
			backward(d)
			someRows(r, s, dx, func(row int, want []float64) {
				in, g := x.Data[row*c:][:c], dy.Data[row*c:][:c]
				mean, rstd := statistics(in)
				var s1, s2 float64
				for j, v := range in {
					want[j] = float64(g[j]) * float64(gamma.Data[j])
					s1 += want[j]
					s2 += want[j] * (float64(v) - mean) * rstd
				}
				for j, v := range in {
					want[j] = rstd * (want[j] - (s1+(float64(v)-mean)*rstd*s2)/float64(c))
				}
			})
		}}}
	}}
}

// someRows compares a few rows of got with what want fills in.
func someRows(r *random, s *sample, got *tensor.Tensor, want func(row int, out []float64)) {
	c := got.Dim(-1)
	out := make([]float64, c)
	for range 4 {
		row := r.IntN(got.Rows())
		want(row, out)
		for j, v := range got.Data[row*c:][:c] {
			s.add(0, v, out[j])
		}
	}
}

// softmaxOp is the softmax of rows.
func softmaxOp(rows, c int) problem {
	n := float64(rows * c)
	return problem{fmt.Sprintf("%dx%d", rows, c), []op{
		{name: "Softmax", group: groupNorm + forward, flop: 12 * n, bytes: 2 * 4 * n},
		{name: "SoftmaxGrad", group: groupNorm + backward, flop: 4 * n, bytes: 3 * 4 * n},
	}, func(r *random) []job {
		x, dy, y, dx := r.tensor(0, 6, rows, c), r.tensor(0, 1, rows, c), tensor.New(rows, c), tensor.New(rows, c)
		forward := func(d tensor.Device) { d.Softmax(y, x) }
		backward := func(d tensor.Device) { d.SoftmaxGrad(dx, dy, y) }
		softmax := func(row int, out []float64) {
			sum := 0.0
			for j, v := range x.Data[row*c:][:c] {
				out[j] = math.Exp(float64(v))
				sum += out[j]
			}
			for j := range out {
				out[j] /= sum
			}
		}
		return []job{{forward, func(d tensor.Device, s *sample) {
			forward(d)
			someRows(r, s, y, softmax)
		}}, {backward, func(d tensor.Device, s *sample) {
			forward(d)
			backward(d)
			someRows(r, s, dx, func(row int, out []float64) {
				softmax(row, out)
				mean, g := 0.0, dy.Data[row*c:][:c]
				for j, p := range out {
					mean += p * float64(g[j])
				}
				for j, p := range out {
					out[j] = p * (float64(g[j]) - mean)
				}
			})
		}}}
	}}
}
