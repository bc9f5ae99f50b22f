package tensor

import (
	"runtime"
	"unsafe"

	"psld/asm"
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
func (in *convInput) winograd(f *factor, p Conv, oh, ow int) bool {
	return p.KH == 3 && p.KW == 3 && p.Stride == 1 && in.left >= 0 && in.c%16 == 0 && f.outs%16 == 0 && min(oh, ow) >= 4 &&
		(f.format == single || f.format == pairs && oh*ow >= 256 && !asm.HasSplit())
}

// convWinograd is conv in that form.
func (d *cpu) convWinograd(y, x *Tensor, f *factor, e *epilogue, in convInput) {
	defer runtime.KeepAlive(f.w)
	n, oh, ow, o := y.Dim(0), y.Dim(1), y.Dim(2), y.Dim(3)
	c, nr := in.c, asm.NR()
	in.format, in.words = single, c
	th, tw := (oh+3)/4, (ow+3)/4
	in.cols = 4*tw + 2
	in.rowLen = in.cols * c
	rows := n * th // of pieces
	block := max(1, min(rows, winogradMemory/(36*tw*c)))
	step := block*tw*c + 16 // between the 36 matrices: not a multiple of a page
	v := d.Get(36, step)
	defer d.Put(v)
	if f.turned && rows*tw > 2*winogradPieces {
		var memory *Tensor
		f, memory = f.whole()
		defer d.Put(memory)
	}
	for row := 0; row < rows; row += block {
		count := min(block, rows-row)
		parallel(count, func(r int, s *scratch) {
			img, ty := (row+r)/th, (row+r)%th
			view := in
			view.x = x.Data[img*in.h*in.w*c:][:in.h*in.w*c]
			pad := s.floats(1, 6*in.rowLen)
			view.rows(pad, 4*ty, 6)
			g := &s.grid
			*g = asm.Grid{SrcRow: 4 * in.rowLen, SrcCol: 4 * c, DstRow: 24 * step, DstCol: 4 * step, N: c}
			for t := range tw {
				g.Src, g.Dst = ptr(pad[4*t*c:]), ptr(v.Data[(r*tw+t)*c:])
				asm.WinogradInput(g)
			}
		})
		pieces := count * tw
		groups := max(1, (pieces+winogradPieces/2)/winogradPieces)
		parallel(f.panels()*groups, func(task int, s *scratch) {
			panel, group := task/groups, task%groups
			lo, hi := group*pieces/groups, (group+1)*pieces/groups
			between := (hi-lo)*nr + 16
			m := s.floats(2, 36*between)
			winogradProducts(s, m, between, v.Data[lo*c:], step, f, panel, hi-lo)
			cols := min(nr, o-panel*nr)
			g := &s.grid
			*g = asm.Grid{SrcRow: 24 * between, SrcCol: 4 * between, DstRow: 4 * ow * o, DstCol: 4 * o, N: cols}
			if e.bias != nil {
				g.Bias = ptr(e.bias[panel*nr:])
			}
			edge := s.floats(4, 16*nr)
			for t := lo; t < hi; t++ {
				img, ty, tx := (row+t/tw)/th, (row+t/tw)%th, t%tw
				out := y.Data[((img*oh+4*ty)*ow+4*tx)*o+panel*nr:]
				g.Src = ptr(m[(t-lo)*nr:])
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
		})
		if e.none() {
			continue
		}
		parallel(4*count, func(i int, _ *scratch) { // lines of the result, which are in the outer caches
			if img, line := (row+i/4)/th, (row+i/4)%th*4+i%4; line < oh {
				at := (img*oh + line) * ow * o
				e.finish(y.Data, at, ow*o, y.Data[at:][:ow*o])
			}
		})
	}
}

// winogradProducts computes the 36 products m of transformed inputs v with the weights of a panel: [pieces][NR], between apart, from
// [pieces][channels], step apart.
func winogradProducts(s *scratch, m []float32, between int, v []float32, step int, f *factor, panel, pieces int) {
	nr, c := asm.NR(), f.ins
	uStep := winogradInputs*nr + 16
	u := s.floats(3, 36*uStep)
	raw := s.floats(0, 9*(winogradInputs+1)*nr)
	tile := tileRows(pieces, asm.MR())
	for from := 0; from < c; from += winogradInputs {
		k := min(winogradInputs, c-from)
		src, srcStep := unsafe.Pointer(nil), 4*c*nr
		if f.turned || f.format == pairs {
			for tap := range 9 {
				if to := raw[tap*winogradInputs*nr:]; f.turned {
					f.turn(s, to[:k*nr], single, panel, tap, from)
				} else {
					f.w.read(to, panel, tap, 0, from, k)
				}
			}
			src, srcStep = ptr(raw), 4*winogradInputs*nr
		} else {
			src = ptr(f.w.data[panel*f.w.size+from*nr:])
		}
		s.grid = asm.Grid{Src: src, Dst: ptr(u), SrcRow: 3 * srcStep, SrcCol: srcStep, DstRow: 24 * uStep, DstCol: 4 * uStep, N: k * nr}
		asm.WinogradWeight(&s.grid)
		t := &s.tile
		*t = asm.Tile{ARow: 4 * c, CRow: 4 * nr, Segs: 1, K: k}
		if from > 0 {
			t.Accumulate = 1
		}
		for i := range 36 {
			t.B = ptr(u[i*uStep:])
			for r := 0; r < pieces; r += tile {
				t.A, t.C = ptr(v[i*step+r*c+from:]), ptr(m[i*between+r*nr:])
				t.Run(min(tile, pieces-r))
			}
		}
	}
}
