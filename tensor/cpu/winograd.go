package cpu

import (
	"runtime"
	"unsafe"

	"psld/asm"
	"psld/tensor"
)

// 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3), see asm/winograd.go: a quarter of the
// multiplications. Pieces of the input are transformed for some rows of the picture at a time; then each
// task transforms the weights of one panel, some channels at a time, multiplies, and transforms back, so
// that everything but the transformed input stays in L2.

const (
	winogradMemory = 1200 << 10 // floats of transformed input at a time
	winogradPieces = 112        // of a task, about: their 36 products take 0.5 MiB
	winogradInputs = 64         // channels whose transformed weights are in L2 at a time
)

// winograd tells whether the convolution has this form and pays in it: with bfloat16 products, which
// are twice as fast, the picture must be large enough for the transformed weights; on tiles they are faster still.
func (in *convInput) winograd(f *factor, p tensor.Conv, oh, ow int, fast bool) bool {
	return p.KH == 3 && p.KW == 3 && p.Stride == 1 && in.left >= 0 && in.c%16 == 0 && f.outs%16 == 0 &&
		min(oh, ow) >= 4 &&
		(f.format == single || (f.format == pairs || fast) && oh*ow >= 256 && !asm.HasSplit())
}

// winogradConv is a convolution in that form. Rows are of pieces, of all pictures.
type winogradConv struct {
	f          factor
	e          epilogue
	in         convInput
	y          pictures
	th, tw     int       // pieces in a picture
	factors    format    // of the 36 products: single, or where transformed numbers are rounded pairs or rounded
	words      int       // of c transformed numbers
	v          []float32 // the transformed input of count rows: [36][pieces][words]
	step       int       // between its 36 matrices
	row, count int
	groups     int // of pieces
}

// convWinograd is conv in that form, with factors of that format.
func (d *device) convWinograd(y pictures, f *factor, e epilogue, in convInput, factors format) {
	defer runtime.KeepAlive(f.owner)
	in.format, in.words = single, in.c
	t := winogradConv{f: *f, e: e, y: y, th: (y.h + 3) / 4, tw: (y.w + 3) / 4, factors: factors,
		words: factors.words(in.c)}
	in.cols = 4*t.tw + 2
	in.rowLen = in.cols * in.c
	t.in = in
	rows := y.n * t.th
	block := max(1, min(rows, winogradMemory/(36*t.tw*t.words)))
	t.step = block*t.tw*t.words + 16 // not a multiple of a page
	t.v = d.take(36 * t.step)
	defer d.give(t.v)
	if f.turned && rows*t.tw > 2*winogradPieces {
		t.f = f.whole()
		defer d.give(t.f.w.data)
	}
	for t.row = 0; t.row < rows; t.row += block {
		t.count = min(block, rows-t.row)
		parallelWith(t.count, 1, t, (*winogradConv).transform)
		t.groups = max(1, (t.count*t.tw+winogradPieces/2)/winogradPieces)
		parallelWith(t.f.panels()*t.groups, 1, t, (*winogradConv).multiply)
		if !t.e.none() {
			parallelWith(4*t.count, 1, t, (*winogradConv).finish)
		}
	}
}

// transform writes row r of v.
func (t *winogradConv) transform(r, _ int, s *scratch) {
	in, c := &t.in, t.in.c
	img, ty := (t.row+r)/t.th, (t.row+r)%t.th
	pad := s.floats(1, 6*in.rowLen)
	in.rows(pad, img, 4*ty, 6)
	g := &s.grid
	*g = asm.Grid{SrcRow: 4 * in.rowLen, SrcCol: 4 * c, DstRow: 24 * t.step, DstCol: 4 * t.step, N: c}
	var whole []float32
	if t.factors != single {
		whole = s.floats(0, 36*c)
		g.DstRow, g.DstCol = 24*c, 4*c
	}
	for x := range t.tw {
		at := (r*t.tw + x) * t.words
		g.Src, g.Dst = ptr(pad[4*x*c:]), ptr(t.v[at:])
		if whole == nil {
			asm.WinogradInput(g)
			continue
		}
		g.Dst = ptr(whole)
		asm.WinogradInput(g)
		for i := range 36 {
			t.factors.write(t.v[i*t.step+at:], whole[i*c:][:c])
		}
	}
}

// multiply computes a group of pieces of a panel.
func (t *winogradConv) multiply(task, _ int, s *scratch) {
	nr := asm.NR()
	oh, ow, o := t.y.h, t.y.w, t.y.c
	panel, group := task/t.groups, task%t.groups
	pieces := t.count * t.tw
	lo, hi := group*pieces/t.groups, (group+1)*pieces/t.groups
	between := (hi-lo)*nr + 16
	m := s.floats(2, 36*between)
	t.products(s, m, between, lo, hi-lo, panel)
	cols := min(nr, o-panel*nr)
	g := &s.grid
	*g = asm.Grid{SrcRow: 24 * between, SrcCol: 4 * between, DstRow: 4 * ow * o, DstCol: 4 * o, N: cols}
	if t.e.bias != nil {
		g.Bias = ptr(t.e.bias[panel*nr:])
	}
	edge := s.floats(4, 16*nr)
	for i := lo; i < hi; i++ {
		img, ty, tx := (t.row+i/t.tw)/t.th, (t.row+i/t.tw)%t.th, i%t.tw
		out := t.y.data[((img*oh+4*ty)*ow+4*tx)*o+panel*nr:]
		g.Src = ptr(m[(i-lo)*nr:])
		if 4*ty+4 <= oh && 4*tx+4 <= ow {
			g.Dst = ptr(out)
			asm.WinogradOutput(g)
			continue
		}
		whole := *g
		g.Dst, g.DstRow, g.DstCol = ptr(edge), 16*nr, 4*nr
		asm.WinogradOutput(g)
		for i := range min(4, oh-4*ty) {
			for j := range min(4, ow-4*tx) {
				copy(out[(i*ow+j)*o:][:cols], edge[(4*i+j)*nr:])
			}
		}
		*g = whole
	}
}

// finish computes the epilogue of a line of the result, which is in the outer caches.
func (t *winogradConv) finish(i, _ int, _ *scratch) {
	img, line := (t.row+i/4)/t.th, (t.row+i/4)%t.th*4+i%4
	if line >= t.y.h {
		return
	}
	n := t.y.w * t.y.c
	at := (img*t.y.h + line) * n
	t.e.finish(t.y.data, at, n, t.y.data[at:][:n])
}

// products computes the 36 products m of transformed inputs with the weights of a panel: [pieces][NR], between apart,
// from the transformed input of pieces from lo on.
func (t *winogradConv) products(s *scratch, m []float32, between, lo, pieces, panel int) {
	nr, c := asm.NR(), t.in.c
	uStep := winogradInputs*nr + 16
	u := s.floats(3, 36*uStep)
	mr := asm.MR()
	if t.factors == pairs {
		mr = asm.PairsMR()
	}
	tile := tileRows(pieces, mr)
	for from := 0; from < c; from += winogradInputs {
		k := min(winogradInputs, c-from)
		t.weights(s, u, uStep, panel, from, k)
		words := t.factors.words(k)
		a := &s.tile
		*a = asm.Tile{ARow: 4 * t.words, CRow: 4 * nr, Segs: 1, K: words}
		if from > 0 {
			a.Accumulate = 1
		}
		v := t.v[lo*t.words+t.factors.words(from):]
		for i := range 36 {
			a.B = ptr(u[i*uStep:])
			for r := 0; r < pieces; r += tile {
				a.A, a.C = ptr(v[i*t.step+r*t.words:]), ptr(m[i*between+r*nr:])
				s.run(min(tile, pieces-r), t.factors)
			}
		}
	}
}

// weights writes the transformed weights of k inputs of a panel to u: 36 times [words][NR], uStep apart.
func (t *winogradConv) weights(s *scratch, u []float32, uStep, panel, from, k int) {
	nr, c, f := asm.NR(), t.in.c, &t.f
	src, srcStep := unsafe.Pointer(nil), 4*c*nr
	raw := s.floats(0, (9*winogradInputs+winogradInputs/2+1)*nr)
	packed := raw[9*winogradInputs*nr:] // of a tap
	if t.factors == single && !f.turned && f.w.format == single {
		src = ptr(f.w.data[panel*f.w.size+from*nr:])
	} else {
		for tap := range 9 {
			to := raw[tap*winogradInputs*nr:][:k*nr]
			switch {
			case t.factors == pairs: // the inputs of even numbers first, then the others
				half := packed[:k/2*nr]
				if f.turned {
					f.turn(s, half, pairs, panel, tap, from/2)
				} else {
					half = f.w.data[panel*f.w.size+(tap*f.w.format.words(c)+from/2)*nr:][:k/2*nr]
				}
				asm.SplitPairs(to[:k/2*nr], to[k/2*nr:], half)
			case f.turned:
				f.turn(s, to, single, panel, tap, from)
			default:
				f.w.read(raw[tap*winogradInputs*nr:], panel, tap, 0, from, k)
			}
		}
		src, srcStep = ptr(raw), 4*winogradInputs*nr
	}
	s.grid = asm.Grid{Src: src, Dst: ptr(u), SrcRow: 3 * srcStep, SrcCol: srcStep, DstRow: 24 * uStep,
		DstCol: 4 * uStep, N: k * nr}
	asm.WinogradWeight(&s.grid)
	if t.factors == single {
		return
	}
	for i := range 36 {
		all := u[i*uStep:][:k*nr]
		switch even, odd := all[:k/2*nr], all[k/2*nr:]; {
		case t.factors == rounded:
			rounded.write(all, all)
		case asm.HasPairs():
			asm.InterleavePairs(even, even, odd)
		default: // in tests
			rounded.write(all, all)
			asm.JoinPairs(even, even, odd)
		}
	}
}
