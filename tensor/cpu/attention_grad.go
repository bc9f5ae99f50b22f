package cpu

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"psld/asm"
	"psld/tensor"
)

// The gradient of attention. With E = 2^(score-largest), f = 1/sum of E and D = sum of do*o of a query:
//
//	dv = E' (f do)     dS = E * ((f do) v' - f D)     dq = dS k/sqrt(d)     dk = dS' q/sqrt(d)
//
// (Dao et al., arXiv:2205.14135, appendix B.2). A task has a group of the keys of one head and goes over the
// queries. dk and dv are its own. To dq all groups of a head add: each waits, at each block of queries, until
// the group before it is through with that block. Groups so far apart run at once, the order of
// the sum is fixed, and nothing is kept twice. While it grows, dq holds transposed panels: NR
// queries of all heads, [heads][d][NR], take the room of the same rows.

// attentionGrad is one call.
type attentionGrad struct {
	attentionShape
	dq, dk, dv, do, o, q, k, v *tensor.Tensor
	stats                      *tensor.Tensor // as Attention leaves it
	delta                      []float32      // [n*heads][l]: -f D
	tail                       []float32      // [n][heads][d][NR]: dq of a last panel that is not full
	sums                       []float32      // [parts][n*heads][2][m][wide]: of dk and dv, where there are several parts
	block, group, groups       int            // keys at a time, of a task, and how many tasks that makes
	panels, parts              int            // of queries at a time, and parts of the queries
	wide                       int            // d in whole panels of columns
	done                       []atomic.Int32
}

// AttentionGrad implements [tensor.Device].
func (dev *device) AttentionGrad(dq, dk, dv, do, o, stats, q, k, v *tensor.Tensor, heads int, causal bool) {
	a := attentionGrad{attentionShape: dev.attention(q, k, heads, causal), dq: dq, dk: dk, dv: dv, do: do, o: o,
		q: q, k: k, v: v, stats: stats}
	nr, all := asm.NR(), a.n*a.heads
	a.delta = dev.take(all * a.l)
	defer dev.give(a.delta)
	a.tail = dev.take(a.n * a.c * nr)
	defer dev.give(a.tail)
	parallelWith(all*((a.l+deltaRows-1)/deltaRows), 1, a, (*attentionGrad).deltas)
	a.split()
	for a.wide < a.d {
		a.wide += a.columns(a.wide)
	}
	if a.parts > 1 {
		a.sums = dev.take(a.parts * all * 2 * a.m * a.wide)
		defer dev.give(a.sums)
	}
	done := progress.Get().(*[]atomic.Int32)
	defer progress.Put(done)
	n := a.groups * a.parts * all
	if cap(*done) < n {
		*done = make([]atomic.Int32, n)
	}
	a.done = (*done)[:n]
	for i := range a.done {
		a.done[i].Store(0)
	}
	parallelWith(n, 1, a, (*attentionGrad).task)
	if a.parts > 1 {
		parallelWith(all, 1, a, (*attentionGrad).addParts)
	}
	parallelWith(a.n*((a.l+nr-1)/nr), 1, a, (*attentionGrad).finish)
}

// progress lends the counters of tasks.
var progress = sync.Pool{New: func() any { return new([]atomic.Int32) }}

const deltaRows = 64 // of a task

// deltas computes -f D of some queries of a head.
func (a *attentionGrad) deltas(task, _ int, s *scratch) {
	blocks := (a.l + deltaRows - 1) / deltaRows
	head, lo := task/blocks, task%blocks*deltaRows
	factor := a.stats.Data[(2*head+1)*a.l:][:a.l]
	n := min(deltaRows, a.l-lo)
	g := s.floats(1, n*a.d)
	for i := range n {
		asm.Scale(g[i*a.d:][:a.d], factor[lo+i], a.row(a.do, head, lo+i, a.l)[:a.d])
	}
	if a.pairs { // as the products see it, so that rows of dS add up to zero
		rounded.write(g, g)
	}
	for i := range n {
		a.delta[head*a.l+lo+i] = -float32(asm.Dot(g[i*a.d:][:a.d], a.row(a.o, head, lo+i, a.l)[:a.d]))
	}
}

// finish turns a panel of dq, of all heads, to rows.
func (a *attentionGrad) finish(task, _ int, s *scratch) {
	nr := asm.NR()
	count := (a.l + nr - 1) / nr
	item, p := task/count, task%count
	panel := s.floats(1, a.c*nr)
	copy(panel, a.queryGrad(item*a.heads, p*nr)[:a.c*nr])
	asm.Scale(panel, a.scale, panel)
	asm.Transpose(a.dq.Data[(item*a.l+p*nr)*a.c:], panel, a.c, min(nr, a.l-p*nr), a.c, nr)
}

// split chooses the blocks, by shape alone: at least 16 tasks, if there is as much to do.
func (a *attentionGrad) split() {
	nr, all := asm.NR(), a.n*a.heads
	a.block, a.panels = a.keyBlock(), 4
	a.group = 4 * a.block
	switch {
	case a.d > 160:
		a.group, a.panels = a.block, 2
	case a.d > 64:
		a.group = 2 * a.block
	}
	for a.group > a.block && all*((a.m+a.group-1)/a.group) < 16 {
		a.group -= a.block
	}
	a.groups = (a.m + a.group - 1) / a.group
	panels := (a.l + nr - 1) / nr
	a.parts = min(panels, (16+all*a.groups-1)/(all*a.groups))
	a.panels = min(a.panels, panels/a.parts)
}

// queryGrad is where dq of a head is added up for the panel that begins with query.
func (a *attentionGrad) queryGrad(head, query int) []float32 {
	nr := asm.NR()
	item, h := head/a.heads, head%a.heads
	if query+nr <= a.l {
		return a.dq.Data[(item*a.l+query)*a.c+h*a.d*nr:]
	}
	return a.tail[(item*a.c+h*a.d)*nr:]
}

// carve cuts pieces from a buffer, each from a multiple of 64 bytes on.
type carve struct{ rest []float32 }

func (c *carve) take(n int) []float32 {
	piece := c.rest[:n:n]
	c.rest = c.rest[roundUp(n, 16):]
	return piece
}

// gradFactors are the keys and values of a group, where they lie or rounded, with strides between their rows, and the
// memory for scores and what becomes of them, of all panels, apart by size words.
type gradFactors struct {
	keys, values      []float32
	keysT             []float32 // the factor of dq
	stride, strideT   int
	scores, dScores   []float32 // of one panel
	weights, dWeights []float32 // E and dS as the left factor of dv and dk
	dT                []float32 // dS as the right factor of dq
	size              int
}

// factors readies those of some rows of keys from lo on.
func (a *attentionGrad) factors(s *scratch, buf *carve, head, lo, rows int) gradFactors {
	nr, d := asm.NR(), a.d
	keys, values := a.row(a.k, head, lo, a.m), a.row(a.v, head, lo, a.m)
	if a.pairs {
		even := roundUp(a.block, 2)
		f := gradFactors{keys: buf.take(rows * a.words), values: buf.take(rows * a.words), stride: a.words,
			keysT: buf.take(a.keyPairs(rows) * d), strideT: d, size: even * nr / 2}
		a.packKeys(f.keys, keys, rows)
		a.packKeys(f.values, values, rows)
		for key := 0; key < rows; key += a.block {
			a.packKeyPairs(s, f.keysT[key/2*d:], a.row(a.k, head, lo+key, a.m), min(a.block, rows-key))
		}
		f.scores, f.dScores = buf.take(even*nr), buf.take(even*nr)
		f.weights, f.dWeights, f.dT = buf.take(a.panels*f.size), buf.take(a.panels*f.size), buf.take(f.size)
		return f
	}
	f := gradFactors{keys: keys, values: values, stride: a.c, size: a.block * nr}
	if f.stride%512 == 0 { // rows would lie on the same few lines of the cache
		f.stride = d + 16
		f.keys, f.values = buf.take(rows*f.stride), buf.take(rows*f.stride)
		for r := range rows {
			copy(f.keys[r*f.stride:][:d], keys[r*a.c:])
			copy(f.values[r*f.stride:][:d], values[r*a.c:])
		}
	}
	f.keysT, f.strideT = f.keys, f.stride
	f.weights, f.dWeights = buf.take(a.panels*f.size), buf.take(a.panels*f.size)
	return f
}

// inPlace makes the scores of panel p lie where its weights will.
func (f *gradFactors) inPlace(p int) {
	f.scores, f.dScores = f.weights[p*f.size:][:f.size], f.dWeights[p*f.size:][:f.size]
	f.dT = f.dScores
}

// await waits until another task has done all blocks of queries up to at.
func (a *attentionGrad) await(task, at int) {
	for before := &a.done[task]; int(before.Load()) <= at; {
		runtime.Gosched()
	}
}

// task adds what a group of keys and a part of the queries of a head give.
func (a *attentionGrad) task(task, _ int, s *scratch) {
	all := a.n * a.heads
	head, part, group := task%all, task/all%a.parts, task/all/a.parts
	nr, d, words, wide := asm.NR(), a.d, a.words, a.wide
	lo := group * a.group
	rows := min(a.group, a.m-lo)
	span := a.panels * nr
	even := roundUp(a.block, 2)
	buf := carve{s.floats(1, 2*rows*wide+2*a.panels*words*nr+2*span*wide+2*even*span+2*even*nr+3*a.group*(d+16)+
		4*nr+2*d+20*16)}
	sumK, sumV := buf.take(rows*wide), buf.take(rows*wide)
	if a.parts > 1 {
		sumK, sumV = a.part(part, head, 0)[lo*wide:][:rows*wide], a.part(part, head, 1)[lo*wide:][:rows*wide]
	}
	clear(sumK)
	clear(sumV)
	panelsQ, panelsG := buf.take(a.panels*words*nr), buf.take(a.panels*words*nr)
	rowsQ, rowsG := buf.take(span*wide), buf.take(span*wide)
	scales := buf.take(nr) // of a panel's queries
	bias := buf.take(2 * nr)
	pair := buf.take(2 * d)

	f := a.factors(s, &buf, head, lo, rows)

	blocks := (a.l + span - 1) / span
	first := part * blocks / a.parts
	if a.causal {
		first = max(first, lo/span)
	}
	for at := first; at < (part+1)*blocks/a.parts; at++ {
		query := at * span
		count := min(a.panels, (a.l-query+nr-1)/nr)
		for p := range count {
			a.pack(s, head, query+p*nr, scales, pair, panelsQ[p*words*nr:][:words*nr],
				panelsG[p*words*nr:][:words*nr], rowsQ, rowsG, p, count)
		}
		if group > 0 {
			a.await(task-a.parts*all, at)
		}
		for key := 0; key < rows; key += a.block {
			n := min(a.block, rows-key)
			from := 0 // panels of earlier queries than all the keys
			for a.causal && from < count && lo+key >= query+(from+1)*nr {
				from++
			}
			for p := from; p < count; p++ {
				lines := query + p*nr
				a.biases(bias, head, lines)
				if !a.pairs {
					f.inPlace(p)
				}
				a.keysTimesQueries(s, f.scores, f.keys[key*f.stride:], f.stride, panelsQ[p*words*nr:], bias, n)
				a.keysTimesQueries(s, f.dScores, f.values[key*f.stride:], f.stride, panelsG[p*words*nr:], bias[nr:], n)
				a.hide(f.scores, lo+key, lines, n)
				sum := a.queryGrad(head, lines)
				if a.pairs {
					fill(f.scores[n*nr:][:n%2*nr], minusInf)
					clear(f.dScores[n*nr:][:n%2*nr])
					all := roundUp(n, 2) * nr
					asm.WeightsGradPanelPairs(f.weights[p*f.size:], f.dWeights[p*f.size:], f.dT, f.scores[:all], f.dScores[:all])
					a.addKeys(s, sum, f.keysT[key/2*f.strideT:], f.strideT, f.dT, (n+1)/2, lo+key > 0)
				} else {
					asm.WeightsGradPanel(f.scores[:n*nr], f.dScores[:n*nr])
					a.addKeys(s, sum, f.keysT[key*f.strideT:], f.strideT, f.dT, n, lo+key > 0)
				}
			}
			if from < count {
				a.addQueries(s, sumV[key*wide:], f.weights[from*f.size:], rowsG, f.size, n, from, count)
				a.addQueries(s, sumK[key*wide:], f.dWeights[from*f.size:], rowsQ, f.size, n, from, count)
			}
		}
		a.done[task].Store(int32(at + 1))
	}
	if a.parts == 1 {
		a.keyGrads(sumK, sumV, head, lo, rows)
	}
}

// part is the sum of dk or of dv of a part of the queries.
func (a *attentionGrad) part(part, head, which int) []float32 {
	size := a.m * a.wide
	return a.sums[((part*a.n*a.heads+head)*2+which)*size:][:size]
}

// addParts adds up the parts of a head.
func (a *attentionGrad) addParts(head, _ int, _ *scratch) {
	sumK, sumV := a.part(0, head, 0), a.part(0, head, 1)
	for p := 1; p < a.parts; p++ {
		asm.Add(sumK, sumK, a.part(p, head, 0))
		asm.Add(sumV, sumV, a.part(p, head, 1))
	}
	a.keyGrads(sumK, sumV, head, 0, a.m)
}

// keyGrads writes rows of dk and dv from key on.
func (a *attentionGrad) keyGrads(sumK, sumV []float32, head, key, rows int) {
	for r := range rows {
		copy(a.row(a.dv, head, key+r, a.m)[:a.d], sumV[r*a.wide:])
		asm.Scale(a.row(a.dk, head, key+r, a.m)[:a.d], a.scale, sumK[r*a.wide:][:a.d])
	}
}

// biases are what is added to the scores and to the gradients of the weights of a panel, [2][NR].
func (a *attentionGrad) biases(dst []float32, head, query int) {
	nr := asm.NR()
	cols := min(nr, a.l-query)
	clear(dst)
	asm.Scale(dst[:cols], -1, a.stats.Data[2*head*a.l+query:][:cols])
	copy(dst[nr:][:cols], a.delta[head*a.l+query:])
}

// pack makes a panel of q, with the scale of scores, and one of do, times f, and panel p of count of their rows,
// the right-hand factors of dk and dv: [panels of columns][count*NR][columns], or half as many rows of pairs.
func (a *attentionGrad) pack(s *scratch, head, query int, scales, pair, panelQ, panelG, rowsQ, rowsG []float32, p,
	count int) {
	nr := asm.NR()
	cols := min(nr, a.l-query)
	q, g := a.row(a.q, head, query, a.l), a.row(a.do, head, query, a.l)
	clear(scales)
	fill(scales[:cols], a.scale*math.Log2E)
	a.queryPanel(s, panelQ, q, scales, cols)
	a.rowPanels(rowsQ, q, nil, pair, cols, p, count)
	copy(scales, a.stats.Data[(2*head+1)*a.l+query:][:cols])
	a.queryPanel(s, panelG, g, scales, cols)
	a.rowPanels(rowsG, g, scales, pair, cols, p, count)
}

func (a *attentionGrad) rowPanels(dst, x, by, pair []float32, cols, p, count int) {
	nr, d := asm.NR(), a.d
	k := a.format().words(nr)
	scaled := func(r int, dst []float32, from int) {
		switch {
		case r >= cols:
			clear(dst)
		case by == nil:
			copy(dst, x[r*a.c+from:])
		default:
			asm.Scale(dst, by[r], x[r*a.c+from:][:len(dst)])
		}
	}
	for r := 0; r < nr; r += 2 {
		if a.pairs {
			scaled(r, pair[:d], 0)
			scaled(r+1, pair[d:], 0)
		}
		for from := 0; from < d; {
			width := a.columns(from)
			w := min(width, d-from)
			panel := dst[from*count*k:][p*k*width:]
			if a.pairs {
				row := panel[r/2*width:][:width]
				asm.InterleavePairs(row[:w], pair[from:][:w], pair[d+from:][:w])
				clear(row[w:])
			} else {
				for i := r; i < r+2; i++ {
					row := panel[i*width:][:width]
					scaled(i, row[:w], from)
					clear(row[w:])
				}
			}
			from += width
		}
	}
}

// columns is the width of the panel of columns that begins at from.
func (a *attentionGrad) columns(from int) int {
	nr := asm.NR()
	if a.d-from == nr+8 && asm.WideMR() > 0 && !a.tiles {
		return nr + 8
	}
	return nr
}

// addQueries: sum[rows][wide] += x y of the panels from .. count, x[rows][NR], panels apart by size
// words, y as rowPanels makes it.
func (a *attentionGrad) addQueries(s *scratch, sum, x, y []float32, size, rows, from, count int) {
	nr := asm.NR()
	k := a.format().words(nr)
	t := &s.tile
	*t = asm.Tile{ARow: 4 * k, ASeg: 4 * size, CRow: 4 * a.wide, Segs: count - from, K: k, Accumulate: 1}
	for col := 0; col < a.wide; {
		width := a.columns(col)
		t.B = ptr(y[col*count*k+from*k*width:])
		tile := a.tileRows(rows)
		if width > nr {
			tile = tileRows(rows, asm.WideMR())
		}
		for r := 0; r < rows; r += tile {
			t.A, t.C = ptr(x[r*k:]), ptr(sum[r*a.wide+col:])
			switch m := min(tile, rows-r); {
			case width == nr:
				s.run(m, a.format())
			case a.pairs:
				t.RunWidePairs(m)
			default:
				t.RunWide(m)
			}
		}
		col += width
	}
}
