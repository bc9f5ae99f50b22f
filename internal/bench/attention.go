package bench

import (
	"fmt"
	"math"

	"psld/tensor"
)

// attention is softmax(q k'/sqrt(d)) v of several heads and its gradients to q, k and v, with l queries,
// m keys and d numbers a head. The work is that of the matrix products: two forward; five
// backward, where the weights, which are not kept, are made once more.
func attention(heads, l, m, d int) problem {
	product := 2 * float64(heads) * float64(l) * float64(m) * float64(d)
	return problem{fmt.Sprintf("%dx%dx%dx%d", heads, l, m, d), []op{
		{name: "Attention", group: groupAttention + forward, flop: 2 * product, pairs: true},
		{name: "AttentionGrad", group: groupAttention + backward, flop: 5 * product, pairs: true},
	}, func(r *random) []job {
		c := heads * d
		t := &attentionTensors{heads: heads, d: d,
			q: r.tensor(0, 2, 1, l, c), k: r.tensor(0, 2, 1, m, c), v: r.tensor(0, 1, 1, m, c),
			o: tensor.New(1, l, c), stats: tensor.New(1, heads, 2, l),
			do: tensor.New(1, l, c), dq: tensor.New(1, l, c), dk: tensor.New(1, m, c), dv: tensor.New(1, m, c)}
		return []job{{t.forward, func(d tensor.Device, s *sample) {
			t.forward(d)
			t.checkForward(r, s)
		}}, {t.backward, func(d tensor.Device, s *sample) {
			t.forward(d)
			t.checkBackward(d, r, s)
			r.fill(t.do.Data, 0, 1)
		}}}
	}}
}

type attentionTensors struct {
	heads, d                   int
	q, k, v, o, do, dq, dk, dv *tensor.Tensor // [1, L or M, heads*d]
	stats                      *tensor.Tensor
}

func (t *attentionTensors) forward(d tensor.Device) {
	d.Attention(t.o, t.stats, t.q, t.k, t.v, t.heads, false)
}

func (t *attentionTensors) backward(d tensor.Device) {
	d.AttentionGrad(t.dq, t.dk, t.dv, t.do, t.o, t.stats, t.q, t.k, t.v, t.heads, false)
}

// row is the part of a position that belongs to a head.
func (t *attentionTensors) row(x *tensor.Tensor, position, head int) []float32 {
	return x.Data[position*t.heads*t.d+head*t.d:][:t.d]
}

// weights is the softmax row of a query.
func (t *attentionTensors) weights(query, head int) []float64 {
	p := make([]float64, t.k.Dim(1))
	top, sum := math.Inf(-1), 0.0
	for j := range p {
		p[j] = dot(t.row(t.q, query, head), t.row(t.k, j, head)) / math.Sqrt(float64(t.d))
		top = max(top, p[j])
	}
	for j := range p {
		p[j] = math.Exp(p[j] - top)
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
	return p
}

func (t *attentionTensors) checkForward(r *random, s *sample) {
	for range 4 {
		query, head := r.IntN(t.q.Dim(1)), r.IntN(t.heads)
		want := make([]float64, t.d)
		for j, p := range t.weights(query, head) {
			for c, v := range t.row(t.v, j, head) {
				want[c] += p * float64(v)
			}
		}
		for c, v := range t.row(t.o, query, head) {
			s.add(0, v, want[c])
		}
	}
}

// checkBackward lets the gradient come in at a few queries only. What flows to keys and values is
// then a sum over these, of the same code.
func (t *attentionTensors) checkBackward(d tensor.Device, r *random, s *sample) {
	head, scale := r.IntN(t.heads), 1/math.Sqrt(float64(t.d))
	m := t.k.Dim(1)
	queries := map[int]bool{}
	for range 4 {
		queries[r.IntN(t.q.Dim(1))] = true
	}
	clear(t.do.Data)
	for i := range queries {
		r.fill(t.row(t.do, i, head), 0, 1)
	}
	t.backward(d)
	dk, dv := make([]float64, m*t.d), make([]float64, m*t.d)
	for i := range queries {
		p, do := t.weights(i, head), t.row(t.do, i, head)
		mean := 0.0
		dp := make([]float64, m)
		for j := range m {
			dp[j] = dot(do, t.row(t.v, j, head))
			mean += p[j] * dp[j]
		}
		dq := make([]float64, t.d)
		for j := range m {
			ds := p[j] * (dp[j] - mean) * scale
			for c := range t.d {
				dq[c] += ds * float64(t.row(t.k, j, head)[c])
				dk[j*t.d+c] += ds * float64(t.row(t.q, i, head)[c])
				dv[j*t.d+c] += p[j] * float64(do[c])
			}
		}
		for c, v := range t.row(t.dq, i, head) {
			s.add(0, v, dq[c])
		}
	}
	for j := range m {
		for c := range t.d {
			s.add(1, t.row(t.dk, j, head)[c], dk[j*t.d+c])
			s.add(2, t.row(t.dv, j, head)[c], dv[j*t.d+c])
		}
	}
}

func dot(a, b []float32) (sum float64) {
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}
