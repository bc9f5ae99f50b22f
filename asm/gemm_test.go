package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// gemmProblem is a tile product with operands in the middle of larger slices:
// what surrounds A, B and the bias is NaN, what surrounds C must stay.
type gemmProblem struct {
	tile              Tile
	a, b, c, bias     []float32
	c0                []float32 // C before
	cFirst, cRow      int       // in elements
	want, size        []float64 // [MR][NR]: the result, and the sum of absolute products
	m, nr, segs, kLen int
}

const gemmGuard = 19 // odd: nothing is aligned

// newGemmProblem makes a problem for m rows. In form T (transposed) elements of a
// column of A are contiguous, and B has a row stride.
func newGemmProblem(r *rand.Rand, m int, transposed bool, k, segs int, start string) *gemmProblem {
	nr := NR()
	p := &gemmProblem{m: m, nr: nr, segs: segs, kLen: k}
	nan := float32(math.NaN())
	guarded := func(n int) []float32 {
		s := make([]float32, n+2*gemmGuard)
		for i := range s {
			s[i] = nan
		}
		return s
	}
	// Where the elements of A[i][seg][k] and B[seg][k][j] are, in elements.
	aRow, aCol, aSeg := segs*(k+3)+5, 1, k+3
	bRow, bSeg := nr, k*nr
	aLen := m*aRow + 1
	if transposed {
		aRow, aCol, aSeg = 1, m+2, k*(m+2)+7
		bRow, bSeg = nr+3, k*(nr+3)+11
		aLen = segs*aSeg + m
	}
	p.a, p.b, p.bias = guarded(aLen), guarded(segs*bSeg+nr), guarded(nr)
	value := func() float32 { return float32(r.NormFloat64()) }
	atA := func(i, s, k int) int { return gemmGuard + i*aRow + s*aSeg + k*aCol }
	atB := func(s, k, j int) int { return gemmGuard + s*bSeg + k*bRow + j }
	for s := range segs {
		for k := range p.kLen {
			for i := range m {
				p.a[atA(i, s, k)] = value()
			}
			for j := range nr {
				p.b[atB(s, k, j)] = value()
			}
		}
	}
	p.cFirst, p.cRow = gemmGuard, nr+5
	p.c0 = make([]float32, m*p.cRow+2*gemmGuard)
	for i := range p.c0 {
		p.c0[i] = value()
	}
	p.c = make([]float32, len(p.c0))
	for j := range nr {
		p.bias[gemmGuard+j] = value()
	}
	p.want, p.size = make([]float64, m*nr), make([]float64, m*nr)
	for i := range m {
		for j := range nr {
			var sum float64
			switch start {
			case "accumulate":
				sum = float64(p.c0[p.cFirst+i*p.cRow+j])
			case "bias":
				sum = float64(p.bias[gemmGuard+j])
			}
			size := math.Abs(sum)
			for s := range segs {
				for k := range p.kLen {
					v := float64(p.a[atA(i, s, k)]) * float64(p.b[atB(s, k, j)])
					sum += v
					size += math.Abs(v)
				}
			}
			p.want[i*nr+j], p.size[i*nr+j] = sum, size
		}
	}
	at := func(s []float32, i int) unsafe.Pointer { return unsafe.Pointer(&s[i]) }
	p.tile = Tile{A: at(p.a, gemmGuard), B: at(p.b, gemmGuard), C: at(p.c, p.cFirst),
		ASeg: 4 * aSeg, CRow: 4 * p.cRow, Segs: segs, K: k}
	if transposed {
		p.tile.ACol, p.tile.BRow, p.tile.BSeg = 4*aCol, 4*bRow, 4*bSeg
	} else {
		p.tile.ARow = 4 * aRow
	}
	switch start {
	case "accumulate": // it goes before a bias
		p.tile.Accumulate, p.tile.Bias = 1, at(p.bias, gemmGuard)
	case "bias":
		p.tile.Bias = at(p.bias, gemmGuard)
	}
	return p
}

// run computes m rows.
func (p *gemmProblem) run(m int, transposed bool) {
	copy(p.c, p.c0)
	if transposed {
		p.tile.RunT(m)
	} else {
		p.tile.Run(m)
	}
}

// check compares the first m rows with the float64 sums, and everything else with what was there.
func (p *gemmProblem) check(t *testing.T, m int) {
	t.Helper()
	for i, got := range p.c {
		row, col := (i-p.cFirst)/p.cRow, (i-p.cFirst)%p.cRow
		if i < p.cFirst || row >= m || col >= p.nr {
			if got != p.c0[i] {
				t.Fatalf("%d rows, K %d, %d segments: wrote outside of C, at row %d column %d", m, p.kLen, p.segs, row, col)
			}
			continue
		}
		n := row*p.nr + col
		// A sum of K products, one rounding each.
		limit := float64(p.segs*p.kLen+1) * 0x1p-24 * p.size[n]
		if !(math.Abs(float64(got)-p.want[n]) <= limit) {
			t.Fatalf("%d rows, K %d, %d segments: C[%d][%d] = %v, want %v", m, p.kLen, p.segs, row, col, got, p.want[n])
		}
	}
}

// eachGemm runs f for every tier, form and start value.
func eachGemm(t *testing.T, f func(t *testing.T, r *rand.Rand, transposed bool, start string)) {
	for _, tier := range Available() {
		for _, form := range []string{"N", "T"} {
			for _, start := range []string{"zero", "bias", "accumulate"} {
				t.Run(fmt.Sprintf("%s/%s/%s", tier, form, start), func(t *testing.T) {
					defer Use(Use(tier))
					f(t, rand.New(rand.NewPCG(1, 2)), form == "T", start)
				})
			}
		}
	}
}

func TestGemmTiles(t *testing.T) {
	eachGemm(t, func(t *testing.T, r *rand.Rand, transposed bool, start string) {
		for k := 1; k <= 70; k++ {
			for segs := 1; segs <= 3; segs++ {
				p := newGemmProblem(r, MR(), transposed, k, segs, start)
				for m := 1; m <= MR(); m++ {
					p.run(m, transposed)
					p.check(t, m)
				}
			}
		}
	})
}

// TestGemmNaN puts one NaN into A, or B: it must come out in its row, or column, and nowhere else.
func TestGemmNaN(t *testing.T) {
	nan := float32(math.NaN())
	eachGemm(t, func(t *testing.T, r *rand.Rand, transposed bool, start string) {
		for _, k := range []int{1, 3, 4, 5, 9} {
			p := newGemmProblem(r, MR(), transposed, k, 2, start)
			m := MR()
			row, col, seg, step := m-1, NR()-2, 1, k-1
			aAt, bAt := row*p.tile.ARow+seg*p.tile.ASeg+4*step, 4*(seg*k*p.nr+step*p.nr+col)
			if transposed {
				aAt, bAt = 4*row+seg*p.tile.ASeg+step*p.tile.ACol, seg*p.tile.BSeg+step*p.tile.BRow+4*col
			}
			for name, element := range map[string]*float32{"A": &p.a[gemmGuard+aAt/4], "B": &p.b[gemmGuard+bAt/4]} {
				old := *element
				*element = nan
				p.run(m, transposed)
				for i := range m {
					for j := range p.nr {
						got := p.c[p.cFirst+i*p.cRow+j]
						want := i == row
						if name == "B" {
							want = j == col
						}
						if want != (got != got) {
							t.Fatalf("NaN in %s, K %d: C[%d][%d] = %v", name, k, i, j, got)
						}
					}
				}
				*element = old
			}
		}
	})
}

// TestGemmPairs compares bfloat16 products with float64 sums, for all heights, and guards C.
func TestGemmPairs(t *testing.T) {
	for _, tier := range Available() {
		t.Run(tier.String(), func(t *testing.T) {
			defer Use(Use(tier))
			if !HasPairs() {
				t.Skip("this tier multiplies no bfloat16")
			}
			r := rand.New(rand.NewPCG(3, 4))
			for k := 1; k <= 70; k++ {
				for n, m := range pairsHeights() { // segments and starts by turns
					p := newGemmProblem(r, m, false, k, 1+n%3, gemmStarts[(n/3+k)%3])
					p.toPairs()
					copy(p.c, p.c0)
					p.tile.RunPairs(m)
					p.check(t, m)
				}
			}
		})
	}
}

var gemmStarts = []string{"zero", "bias", "accumulate"}

// pairsHeights are the numbers of rows to try: all of a block, and some of several.
func pairsHeights() (heights []int) {
	for m := 1; m <= min(PairsMR(), 32); m++ {
		heights = append(heights, m)
	}
	for _, m := range []int{33, 48, 49, 64, 95, 128} {
		if m <= PairsMR() {
			heights = append(heights, m)
		}
	}
	return heights
}

// toPairs reads the 4-byte words of A and B as two bfloat16 each and makes the
// expected sums anew: random bits, but of moderate size.
func (p *gemmProblem) toPairs() {
	pair := func(w *float32) (lo, hi float64) {
		bits := math.Float32bits(*w)
		bits = bits&0xffff807f | 0x3f00 // the low half gets an exponent near 1 as well
		*w = math.Float32frombits(bits)
		return float64(math.Float32frombits(bits << 16)), float64(math.Float32frombits(bits & 0xffff0000))
	}
	for i := range p.m {
		for j := range p.nr {
			var sum float64
			switch {
			case p.tile.Accumulate == 1:
				sum = float64(p.c0[p.cFirst+i*p.cRow+j])
			case p.tile.Bias != nil:
				sum = float64(p.bias[gemmGuard+j])
			}
			size := math.Abs(sum)
			for s := range p.segs {
				for k := range p.kLen {
					a0, a1 := pair(&p.a[gemmGuard+(i*p.tile.ARow+s*p.tile.ASeg)/4+k])
					b0, b1 := pair(&p.b[gemmGuard+(s*p.kLen+k)*p.nr+j])
					sum += a0*b0 + a1*b1
					size += math.Abs(a0*b0) + math.Abs(a1*b1)
				}
			}
			p.want[i*p.nr+j], p.size[i*p.nr+j] = sum, 2*size // two roundings for each k
		}
	}
}

// BenchmarkGemm is the speed of the micro-kernels on data in L1.
func BenchmarkGemm(b *testing.B) {
	for _, tier := range Available() {
		for _, form := range []string{"N", "T", "pairs"} {
			b.Run(fmt.Sprintf("%s/%s", tier, form), func(b *testing.B) {
				defer Use(Use(tier))
				flop := 2.0
				if form == "pairs" {
					if !HasPairs() {
						b.Skip("this tier multiplies no bfloat16")
					}
					flop = 4
				}
				m := MR()
				if form == "pairs" {
					m = PairsMR()
				}
				p := newGemmProblem(rand.New(rand.NewPCG(1, 2)), m, form == "T", 96, 1, "accumulate")
				t := p.tile
				for b.Loop() {
					switch form {
					case "T":
						t.RunT(m)
					case "N":
						t.Run(m)
					default:
						t.RunPairs(m)
					}
				}
				b.ReportMetric(flop*96*float64(m*p.nr)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
