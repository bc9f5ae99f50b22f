package cpu

import (
	"math"

	"psld/asm"
	"psld/tensor"
)

// Attention without the matrix of scores: a task takes a few panels of NR queries of one head and
// goes over the keys in blocks. Scores are made transposed, [keys][NR queries]: then q is the packed
// factor, k and v are read where they lie, the softmax runs down the columns, and no
// product is padded to more than the queries. Softmax online: when a column's largest score
// grows, what was added up before shrinks (Milakov and Gimelshein, arXiv:1805.02867; Dao et al.,
// arXiv:2205.14135). Powers are of two, log2(e) is in the scale of q.

// attentionShape is what attention knows of its arguments.
type attentionShape struct {
	n, heads, l, m int
	c, d           int // of all heads, of one
	causal         bool
	pairs          bool // factors of products in bfloat16
	tiles          bool // that a tile unit multiplies: its tiles are high, and it takes no transposed factor
	words          int  // of d values
	scale          float32
}

func (dev *device) attention(q, k *tensor.Tensor, heads int, causal bool) attentionShape {
	c := q.Dim(2)
	a := attentionShape{n: q.Dim(0), heads: heads, l: q.Dim(1), m: k.Dim(1), c: c, d: c / heads, causal: causal}
	a.pairs = dev.format() == pairs
	a.words = a.format().words(a.d)
	if a.tiles = a.pairs && asm.HasSplit(); a.tiles {
		a.words = roundUp(a.words, 16) // whole lines of the cache, in one call
	}
	a.scale = float32(1 / math.Sqrt(float64(a.d)))
	return a
}

func (a *attentionShape) format() format {
	if a.pairs {
		return pairs
	}
	return single
}

// row is where position i of rows of length positions begins, for a head of a batch item, counted together.
func (a *attentionShape) row(x *tensor.Tensor, head, i, length int) []float32 {
	return x.Data[(head/a.heads*length+i)*a.c+head%a.heads*a.d:]
}

// keyBlock is the number of keys whose scores with a panel of queries stay in L1, in whole tiles.
func (a *attentionShape) keyBlock() int {
	if a.tiles {
		return asm.PairsMR()
	}
	return max(1, 4096/asm.NR()/asm.MR()) * asm.MR()
}

// tileRows is the height of tiles for so many rows.
func (a *attentionShape) tileRows(rows int) int {
	if a.tiles {
		return asm.PairsMR()
	}
	return tileRows(rows, asm.MR())
}

// panelsATask gives the number of panels of queries that share what is read of the keys: few enough
// for 32 tasks, and for L2.
func (a *attentionShape) panelsATask() int {
	nr := asm.NR()
	panels := a.n * a.heads * ((a.l + nr - 1) / nr)
	return max(1, min(4, panels/32, 64<<10/(a.d*nr)))
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// queryPanel packs cols rows of x, row j times by[j], as [words][NR]; columns behind cols are 0.
func (a *attentionShape) queryPanel(s *scratch, dst, x, by []float32, cols int) {
	nr := asm.NR()
	all := dst
	if a.pairs {
		all = s.floats(0, 2*a.words*nr)
		clear(all[a.d*nr:])
	}
	one := all[:a.d*nr]
	if cols < nr {
		clear(one)
	}
	asm.Transpose(one, x, cols, a.d, nr, a.c)
	asm.ScalePanel(one, by)
	if a.pairs {
		for w := range a.words {
			asm.InterleavePairs(dst[w*nr:][:nr], all[2*w*nr:][:nr], all[(2*w+1)*nr:][:nr])
		}
	}
}

// keysTimesQueries: c[rows][NR] = x y + bias, rows of x[rows][words] stride apart, y a packed panel.
func (a *attentionShape) keysTimesQueries(s *scratch, c, x []float32, stride int, y, bias []float32, rows int) {
	nr := asm.NR()
	t := &s.tile
	*t = asm.Tile{ARow: 4 * stride, CRow: 4 * nr, B: ptr(y), Segs: 1, K: a.words}
	if bias != nil {
		t.Bias = ptr(bias)
	}
	tile := a.tileRows(rows)
	for r := 0; r < rows; r += tile {
		t.A, t.C = ptr(x[r*stride:]), ptr(c[r*nr:])
		s.run(min(tile, rows-r), a.format())
	}
}

// addKeys: c[d][NR] (+)= x' p, with x[rows][d], rows stride apart, and p[rows][NR]. Rows are
// keys, or pairs of keys. For tiles x is transposed, see packKeyPairs.
func (a *attentionShape) addKeys(s *scratch, c, x []float32, stride int, p []float32, rows int, add bool) {
	nr := asm.NR()
	t := &s.tile
	*t = asm.Tile{ACol: 4 * stride, BRow: 4 * nr, CRow: 4 * nr, B: ptr(p), Segs: 1, K: rows}
	if add {
		t.Accumulate = 1
	}
	tile := a.tileRows(a.d)
	if a.tiles {
		t.ARow = 4 * a.keyBlock() / 2
	}
	for r := 0; r < a.d; r += tile {
		t.C = ptr(c[r*nr:])
		switch m := min(tile, a.d-r); {
		case a.tiles:
			t.A = ptr(x[r*a.keyBlock()/2:])
			t.RunPairs(m)
		case a.pairs:
			t.A = ptr(x[r:])
			t.RunPairsT(m)
		default:
			t.A = ptr(x[r:])
			t.RunT(m)
		}
	}
}

// packKeys rounds rows of x[rows][d] to bfloat16, in pairs along d.
func (a *attentionShape) packKeys(dst, x []float32, rows int) {
	n := pairs.words(a.d)
	for r := range rows {
		row := dst[r*a.words:][:a.words]
		pairs.write(row[:n], x[r*a.c:][:a.d])
		clear(row[n:])
	}
}

// keyPairs is the number of rows that packKeyPairs needs in all for so many keys.
func (a *attentionShape) keyPairs(keys int) int {
	if a.tiles {
		return roundUp(keys, a.keyBlock()) / 2
	}
	return (keys + 1) / 2
}

// packKeyPairs does it in pairs along the keys: dst[(rows+1)/2][d], for tiles dst[d][block/2], where block are the
// most keys at a time.
func (a *attentionShape) packKeyPairs(s *scratch, dst, x []float32, rows int) {
	if a.tiles {
		block, half := a.keyBlock(), (rows+1)/2
		flat := s.floats(2, half*a.d)
		defer asm.Transpose(dst, flat, half, a.d, block/2, a.d)
		dst = flat
	}
	for r := 0; r < rows; r += 2 {
		var second []float32
		if r+1 < rows {
			second = x[(r+1)*a.c:][:a.d]
		} else {
			second = s.floats(0, a.d)
			clear(second)
		}
		asm.InterleavePairs(dst[r/2*a.d:][:a.d], x[r*a.c:][:a.d], second)
	}
}

var minusInf = float32(math.Inf(-1))

// hide takes from scores[rows][NR], with keys from key on and queries from query on, those of later keys.
func (a *attentionShape) hide(scores []float32, key, query, rows int) {
	if !a.causal {
		return
	}
	nr := asm.NR()
	for r := max(0, query-key); r < rows; r++ {
		fill(scores[r*nr:][:min(nr, key+r-query)], minusInf)
	}
}

func fill(x []float32, v float32) {
	for i := range x {
		x[i] = v
	}
}

// attention is one call.
type attention struct {
	attentionShape
	o, q, k, v *tensor.Tensor
	stats      *tensor.Tensor // or nil
	kp, vp     []float32      // k and v in bfloat16, of all heads
	blocks     int            // of keys
	per, tasks int            // panels of a task, and tasks of a head
}

// Attention implements [tensor.Device].
func (dev *device) Attention(o, stats, q, k, v *tensor.Tensor, heads int, causal bool) {
	a := attention{attentionShape: dev.attention(q, k, heads, causal), o: o, stats: stats, q: q, k: k, v: v}
	if a.pairs {
		a.kp, a.vp = dev.take(a.n*heads*a.m*a.words), dev.take(a.n*heads*a.keyPairs(a.m)*a.d)
		defer dev.give(a.kp)
		defer dev.give(a.vp)
		a.blocks = (a.m + a.keyBlock() - 1) / a.keyBlock()
		parallelWith(a.n*heads*a.blocks, 1, a, (*attention).pack)
	}
	nr := asm.NR()
	a.per = a.panelsATask()
	a.tasks = (a.l + a.per*nr - 1) / (a.per * nr)
	parallelWith(a.n*heads*a.tasks, 1, a, (*attention).task)
}

// pack rounds a block of keys and values.
func (a *attention) pack(task, _ int, s *scratch) {
	block := a.keyBlock()
	head, lo := task/a.blocks, task%a.blocks*block
	rows := min(block, a.m-lo)
	a.packKeys(a.kp[(head*a.m+lo)*a.words:], a.row(a.k, head, lo, a.m), rows)
	a.packKeyPairs(s, a.vp[(head*a.keyPairs(a.m)+lo/2)*a.d:], a.row(a.v, head, lo, a.m), rows)
}

// task computes some panels of queries of a head.
func (a *attention) task(task, _ int, s *scratch) {
	nr, per, block := asm.NR(), a.per, a.keyBlock()
	head, first := task/a.tasks, task%a.tasks*per*nr
	count := min(per, (a.l-first+nr-1)/nr)
	scores := s.floats(1, (block+1)*nr)
	weights := scores
	if a.pairs {
		weights = s.floats(2, (block+1)*nr/2)
	}
	queries := s.floats(3, count*a.words*nr)
	sums := s.floats(4, count*a.d*nr)
	columns := s.floats(5, count*3*nr)
	for p := range count {
		query := first + p*nr
		fill(columns[p*3*nr:][:nr], a.scale*math.Log2E)
		a.queryPanel(s, queries[p*a.words*nr:][:a.words*nr], a.row(a.q, head, query, a.l), columns[p*3*nr:],
			min(nr, a.l-query))
		fill(columns[p*3*nr:][:nr], minusInf)
		clear(columns[p*3*nr+nr:][:nr])
	}
	for key := 0; key < a.m; key += block {
		rows := min(block, a.m-key)
		var kb, vb []float32
		stride := a.c
		if !a.pairs {
			kb, vb = a.row(a.k, head, key, a.m), a.row(a.v, head, key, a.m)
			if a.c%512 == 0 { // rows would lie on the same few lines of the cache
				stride = a.d + 16
				tmp := s.floats(2, 2*block*stride)
				for r := range rows {
					copy(tmp[r*stride:][:a.d], kb[r*a.c:])
					copy(tmp[(block+r)*stride:][:a.d], vb[r*a.c:])
				}
				kb, vb = tmp, tmp[block*stride:]
			}
		}
		for p := range count {
			query := first + p*nr
			if a.causal && key >= query+nr {
				continue
			}
			st, sum := columns[p*3*nr:][:3*nr], sums[p*a.d*nr:][:a.d*nr]
			y := queries[p*a.words*nr:]
			if a.pairs {
				a.keysTimesQueries(s, scores, a.kp[(head*a.m+key)*a.words:], a.words, y, nil, rows)
			} else {
				a.keysTimesQueries(s, scores, kb, stride, y, nil, rows)
			}
			a.hide(scores, key, query, rows)
			if a.pairs {
				fill(scores[rows*nr:][:rows%2*nr], minusInf)
				asm.SoftmaxPanelPairs(weights, scores[:roundUp(rows, 2)*nr], st)
			} else {
				asm.SoftmaxPanel(scores[:rows*nr], st)
			}
			if key > 0 {
				asm.ScalePanel(sum, st[2*nr:])
			}
			if a.pairs {
				a.addKeys(s, sum, a.vp[(head*a.keyPairs(a.m)+key/2)*a.d:], a.d, weights, (rows+1)/2, key > 0)
			} else {
				a.addKeys(s, sum, vb, stride, weights, rows, key > 0)
			}
		}
	}
	for p := range count {
		a.finish(head, first+p*nr, columns[p*3*nr:][:2*nr], sums[p*a.d*nr:][:a.d*nr])
	}
}

// finish divides the sums of a panel of queries, [D, NR], by the sums of their weights, and writes them to o; st holds
// the largest score of each query and that sum, [2, NR].
func (a *attention) finish(head, query int, st, sum []float32) {
	nr := asm.NR()
	cols := min(nr, a.l-query)
	top, total := st[:nr], st[nr:2*nr]
	for j, t := range total {
		total[j] = 1 / t
	}
	if a.stats != nil {
		at := a.stats.Data[head*2*a.l+query:]
		copy(at[:cols], top)
		copy(at[a.l:][:cols], total)
	}
	asm.ScalePanel(sum, total)
	asm.Transpose(a.row(a.o, head, query, a.l), sum, a.d, cols, a.c, nr)
}
