package tensor

import (
	"math"

	"psld/asm"
)

// Attention in blocks of queries: a task holds attBlock rows of scores, never the
// whole L x M matrix. The backward pass makes the same rows again.

const attBlock = 56 // a multiple of the AVX-512 tile height

// panelsTransposed packs src (n rows of k values, row stride ld) as the right-hand matrix
// B[k][n] = src', in panels [ceil(n/NR)][k][NR]: for q k'.
func panelsTransposed(dst, src []float32, n, k, ld int) {
	nr := asm.NR()
	for p := 0; p < n; p += nr {
		out := dst[p*k:][:k*nr]
		cols := min(nr, n-p)
		if cols < nr {
			clear(out)
		}
		for j := range cols {
			row := src[(p+j)*ld:][:k]
			for i, v := range row {
				out[i*nr+j] = v
			}
		}
	}
}

// panels packs src (k rows of n values, row stride ld) as B[k][n] in panels: for p v.
func panels(dst, src []float32, k, n, ld int) {
	nr := asm.NR()
	for p := 0; p < n; p += nr {
		out := dst[p*k:][:k*nr]
		cols := min(nr, n-p)
		for i := range k {
			row := out[i*nr:][:nr]
			copy(row, src[i*ld+p:][:cols])
			clear(row[cols:])
		}
	}
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// head is the view of one head of one batch item.
type head struct {
	q, k, v []float32 // first element; rows are c apart
	c, d    int
	l, m    int
	causal  bool
}

func heads(q, k, v *Tensor, nh, i int, causal bool) head {
	l, m, c := q.Dim(1), k.Dim(1), q.Dim(2)
	b, h := i/nh, i%nh
	d := c / nh
	return head{q.Data[b*l*c+h*d:], k.Data[b*m*c+h*d:], v.Data[b*m*c+h*d:], c, d, l, m, causal}
}

// weights writes the softmax rows of queries [lo, hi): p[hi-lo][mp], mp = m rounded up.
func (h *head) weights(s *scratch, p []float32, kt *packed, lo, hi, mp int) {
	gemmRows(s, p, mp, h.q[lo*h.c:], h.c, 1, 0, h.d, kt, nil, hi-lo, mp)
	scale := float32(1 / math.Sqrt(float64(h.d)))
	for r := lo; r < hi; r++ {
		row := p[(r-lo)*mp:][:mp]
		n := h.m
		if h.causal {
			n = min(n, r+1)
		}
		asm.Scale(row[:n], scale, row[:n])
		softmaxRow(row[:n], row[:n])
		clear(row[n:])
	}
}

// Attention implements [Device].
func (d *cpu) Attention(o, q, k, v *Tensor, nh int, causal bool) {
	nr := asm.NR()
	n, l, m, c := q.Dim(0), q.Dim(1), k.Dim(1), q.Dim(2)
	hd := c / nh
	mp, dp := roundUp(m, nr), roundUp(hd, nr)
	per := mp*hd + m*dp
	pk := d.Get(n*nh, per)
	defer d.Put(pk)
	parallel(n*nh, func(i int, _ *scratch) {
		h := heads(q, k, v, nh, i, causal)
		buf := pk.Data[i*per:][:per]
		panelsTransposed(buf[:mp*hd], h.k, m, hd, c)
		panels(buf[mp*hd:], h.v, m, hd, c)
	})
	blocks := (l + attBlock - 1) / attBlock
	parallel(n*nh*blocks, func(task int, s *scratch) {
		i, lo := task/blocks, task%blocks*attBlock
		hi := min(l, lo+attBlock)
		h := heads(q, k, v, nh, i, causal)
		buf := pk.Data[i*per:][:per]
		p := s.floats(1, attBlock*mp)
		h.weights(s, p, &packed{data: buf[:mp*hd], size: nr * hd}, lo, hi, mp)
		out := o.Data[(i/nh*l+lo)*c+i%nh*hd:]
		gemmRows(s, out, c, p, mp, 1, 0, m, &packed{data: buf[mp*hd:], size: nr * m}, nil, hi-lo, hd)
	})
}

// AttentionGrad implements [Device].
func (d *cpu) AttentionGrad(dq, dk, dv, do, o, q, k, v *Tensor, nh int, causal bool) {
	nr := asm.NR()
	n, l, m, c := q.Dim(0), q.Dim(1), k.Dim(1), q.Dim(2)
	hd := c / nh
	mp, dp := roundUp(m, nr), roundUp(hd, nr)
	scale := float32(1 / math.Sqrt(float64(hd)))
	per := 2*mp*hd + m*dp // k', v', k
	pk := d.Get(n*nh, per)
	defer d.Put(pk)
	parallel(n*nh, func(i int, _ *scratch) {
		h := heads(q, k, v, nh, i, causal)
		buf := pk.Data[i*per:][:per]
		panelsTransposed(buf[:mp*hd], h.k, m, hd, c)
		panelsTransposed(buf[mp*hd:2*mp*hd], h.v, m, hd, c)
		panels(buf[2*mp*hd:], h.k, m, hd, c)
	})
	// dk and dv are sums over queries: a few groups of query blocks, by shape, each with
	// a partial result of its own.
	blocks := (l + attBlock - 1) / attBlock
	groups := max(1, min(blocks, 8/(n*nh)))
	part := d.Get(n*nh, groups, 2, m, dp)
	defer d.Put(part)
	size := m * dp
	parallel(n*nh*groups, func(task int, s *scratch) {
		i, g := task/groups, task%groups
		h := heads(q, k, v, nh, i, causal)
		buf := pk.Data[i*per:][:per]
		kt := &packed{data: buf[:mp*hd], size: nr * hd}
		vt := &packed{data: buf[mp*hd : 2*mp*hd], size: nr * hd}
		kp := &packed{data: buf[2*mp*hd:], size: nr * m}
		sums := part.Data[task*2*size:][:2*size]
		base := i/nh*l*c + i%nh*hd
		first, last := g*blocks/groups, (g+1)*blocks/groups
		for b := first; b < last; b++ {
			lo, hi := b*attBlock, min(l, (b+1)*attBlock)
			p := s.floats(1, attBlock*mp)
			ds := s.floats(2, attBlock*mp)
			h.weights(s, p, kt, lo, hi, mp)
			g := do.Data[base+lo*c:]
			gemmRows(s, ds, mp, g, c, 1, 0, hd, vt, nil, hi-lo, mp)
			rows := s.floats(3, 2*attBlock*dp)
			panels(rows[:(hi-lo)*dp], g, hi-lo, hd, c)
			addTransposed(s, sums[size:], p, rows, hi-lo, m, mp, dp, b > first)
			for r := range hi - lo {
				softmaxGradRow(ds[r*mp:][:m], ds[r*mp:][:m], p[r*mp:][:m])
			}
			asm.Scale(ds[:(hi-lo)*mp], scale, ds[:(hi-lo)*mp])
			gemmRows(s, dq.Data[base+lo*c:], c, ds, mp, 1, 0, m, kp, nil, hi-lo, hd)
			panels(rows[:(hi-lo)*dp], h.q[lo*c:], hi-lo, hd, c)
			addTransposed(s, sums[:size], ds, rows, hi-lo, m, mp, dp, b > first)
		}
	})
	parallel(n*nh, func(i int, _ *scratch) {
		sums := part.Data[i*groups*2*size:][:groups*2*size]
		for g := 1; g < groups; g++ {
			asm.Add(sums[:2*size], sums[:2*size], sums[g*2*size:][:2*size])
		}
		base := i/nh*m*c + i%nh*hd
		for r := range m {
			for p := 0; p < hd; p += nr {
				w := min(nr, hd-p)
				copy(dk.Data[base+r*c+p:][:w], sums[r*dp+p:])
				copy(dv.Data[base+r*c+p:][:w], sums[size+r*dp+p:])
			}
		}
	})
}

// addTransposed: out[m][dp] (+)= p' b with p[rows][mp] and b packed as panels [dp/NR][rows][NR].
func addTransposed(s *scratch, out, p, b []float32, rows, m, mp, dp int, add bool) {
	nr := asm.NR()
	t := &s.tile
	*t = asm.Tile{ACol: 4 * mp, BRow: 4 * nr, CRow: 4 * dp, Segs: 1, K: rows}
	if add {
		t.Accumulate = 1
	}
	tile := tileRows(m, asm.MR())
	for panel := 0; panel < dp; panel += nr {
		t.B = ptr(b[panel*rows:])
		for r := 0; r < m; r += tile {
			t.A, t.C = ptr(p[r:]), ptr(out[r*dp+panel:])
			t.RunT(min(tile, m-r))
		}
	}
}
