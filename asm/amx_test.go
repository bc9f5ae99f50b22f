package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestPairsParts: a segment may be made of runs that the kernel takes in another order, and a run may be long
// enough to be cut in several calls. The sums are the same up to rounding.
func TestPairsParts(t *testing.T) {
	for _, tier := range Available() {
		t.Run(tier.String(), func(t *testing.T) {
			defer Use(Use(tier))
			if !HasPairs() {
				t.Skip("this tier multiplies no bfloat16")
			}
			r := rand.New(rand.NewPCG(3, 4))
			for _, c := range []struct{ parts, words, segs, m int }{
				{3, 16, 3, 32}, {3, 32, 3, 64}, {2, 48, 1, 17}, {3, 5, 3, 9}, {2, 16 * 60, 1, 3}, // around windows
				{1, 16 * 17, 1, 64}, {1, 16*33 + 7, 1, 40}, {1, 16 * 20, 2, 40}, // a long k
			} {
				p := newGemmProblem(r, min(c.m, PairsMR()), false, c.parts*c.words, c.segs, "bias")
				p.toPairs()
				p.tile.Parts = c.parts
				copy(p.c, p.c0)
				p.tile.RunPairs(p.m)
				p.check(t, p.m)
			}
		})
	}
}

// TestPairsNaN puts a NaN, or an infinity beside ones, into A or B: it must come out in its row, or column, and
// nowhere else.
func TestPairsNaN(t *testing.T) {
	for _, tier := range Available() {
		t.Run(tier.String(), func(t *testing.T) {
			defer Use(Use(tier))
			if !HasPairs() {
				t.Skip("this tier multiplies no bfloat16")
			}
			r := rand.New(rand.NewPCG(3, 4))
			for _, k := range []int{1, 3, 16, 17, 35} {
				p := newGemmProblem(r, PairsMR(), false, k, 2, "zero")
				p.toPairs()
				row, col := p.m-1, p.nr-2
				a := &p.a[gemmGuard+(row*p.tile.ARow+p.tile.ASeg)/4+k-1]
				b := &p.b[gemmGuard+(k+k-1)*p.nr+col]
				for name, element := range map[string]*float32{"A": a, "B": b} {
					for _, odd := range []int{0, 16} {
						for _, bits := range []uint32{0x7fc0, 0x7f80, 0xff80} {
							old := *element
							*element = math.Float32frombits(math.Float32bits(old)&^(0xffff<<odd) | bits<<odd)
							copy(p.c, p.c0)
							p.tile.RunPairs(p.m)
							for i := range p.m {
								for j := range p.nr {
									got := float64(p.c[p.cFirst+i*p.cRow+j])
									want := name == "A" && i == row || name == "B" && j == col
									if want != (math.IsNaN(got) || math.IsInf(got, 0)) || want && bits == 0x7fc0 != math.IsNaN(got) {
										t.Fatalf("%#x in %s, K %d: C[%d][%d] = %v", bits, name, k, i, j, got)
									}
								}
							}
							*element = old
						}
					}
				}
			}
		})
	}
}

// splitWords writes x as RunSplit wants it: the high halves in pairs, then the low ones. A zero ends an odd run.
func splitWords(dst []float32, x []float32) {
	half := len(dst) / 2
	set := func(at int, odd int, v float32) (rest float32) {
		var h [1]uint16
		var back [1]float32
		F32ToBF16(h[:], []float32{v})
		BF16ToF32(back[:], h[:])
		dst[at] = math.Float32frombits(math.Float32bits(dst[at])&^(0xffff<<(16*odd)) | uint32(h[0])<<(16*odd))
		return v - back[0]
	}
	clear(dst)
	for i, v := range x {
		set(half+i/2, i%2, set(i/2, i%2, v))
	}
}

// TestSplit holds products of split numbers against float64, at all heights, and the error of long sums against what
// RunSplit says.
func TestSplit(t *testing.T) {
	for _, tier := range Available() {
		t.Run(tier.String(), func(t *testing.T) {
			defer Use(Use(tier))
			if !HasSplit() {
				t.Skip("this tier splits no float32")
			}
			r := rand.New(rand.NewPCG(5, 6))
			for n, m := range pairsHeights() {
				for _, c := range []int{1, 8, 31, 32, 33, 64, 95} {
					splitProblem(t, r, m, c, 1+n%3, 1+n/3%3, gemmStarts[(n+c)%3])
				}
			}
			for _, k := range []int{320, 1280, 4608} {
				e := splitProblem(t, r, 32, k, 1, 1, "zero")
				t.Logf("K %d: relative L2 error %.2g", k, e)
				require.Less(t, e, 4.6e-6)
				if k == 320 {
					e = splitProblem(t, r, 32, k, 3, 3, "zero")
					require.Less(t, e, 4.6e-6)
				}
			}
		})
	}
}

// addProduct adds a, [M, C], times b, [C, N], to want, and the products' magnitudes to size.
func addProduct(want, size, a, b []float64, c, n int) {
	for i := range len(a) / c {
		for ch := range c {
			for j := range n {
				p := a[i*c+ch] * b[ch*n+j]
				want[i*n+j] += p
				size[i*n+j] += math.Abs(p)
			}
		}
	}
}

// splitProblem multiplies windows of parts x segs pixels with c channels and returns the relative L2 error.
func splitProblem(t *testing.T, r *rand.Rand, m, c, parts, segs int, start string) float64 {
	t.Helper()
	const nr = 32
	words := (c + 1) / 2 * 2
	k := parts * words
	aRow, cRow := segs*(k+2)+3, nr+5
	a, b := make([]float32, m*aRow), make([]float32, segs*k*nr)
	c0, bias := make([]float32, m*cRow), make([]float32, nr)
	want, size := make([]float64, m*nr), make([]float64, m*nr)
	x, y := make([]float32, c), make([]float32, c)
	fa, fb := make([]float64, m*c), make([]float64, c*nr)
	for i := range c0 {
		c0[i] = float32(r.NormFloat64())
	}
	for j := range bias {
		bias[j] = float32(r.NormFloat64())
	}
	for i := range m {
		for j := range nr {
			switch start {
			case "bias":
				want[i*nr+j] = float64(bias[j])
			case "accumulate":
				want[i*nr+j] = float64(c0[i*cRow+j])
			}
		}
	}
	column := make([]float32, words)
	for seg := range segs {
		for part := range parts {
			for i := range m {
				for ch := range c {
					x[ch] = float32(r.NormFloat64())
					fa[i*c+ch] = float64(x[ch])
				}
				splitWords(a[i*aRow+seg*(k+2)+part*words:][:words], x)
			}
			for j := range nr {
				for ch := range c {
					y[ch] = float32(r.NormFloat64())
					fb[ch*nr+j] = float64(y[ch])
				}
				splitWords(column, y)
				for w, v := range column {
					b[(seg*k+part*words+w)*nr+j] = v
				}
			}
			addProduct(want, size, fa, fb, c, nr)
		}
	}
	out := slices.Clone(c0)
	tile := Tile{A: unsafe.Pointer(&a[0]), B: unsafe.Pointer(&b[0]), C: unsafe.Pointer(&out[0]),
		ARow: 4 * aRow, ASeg: 4 * (k + 2), CRow: 4 * cRow, Segs: segs, K: k, Parts: parts}
	switch start {
	case "bias":
		tile.Bias = unsafe.Pointer(&bias[0])
	case "accumulate":
		tile.Accumulate = 1
	}
	tile.RunSplit(m)
	var diff, norm float64
	for i, v := range out {
		row, col := i/cRow, i%cRow
		if col >= nr {
			require.Equal(t, c0[i], v, "wrote outside of C")
			continue
		}
		n := row*nr + col
		d := math.Abs(float64(v) - want[n])
		// Each product: what both halves leave of a factor is at most 2^-17 of it, and the low halves' product 2^-16.
		if !(d <= (0x1p-15+float64(segs*k)*0x1p-24)*(size[n]+math.Abs(want[n]))) {
			t.Fatalf("%d rows, %d channels, %d x %d: C[%d][%d] = %v, want %v", m, c, segs, parts, row, col, v, want[n])
		}
		diff += d * d
		norm += want[n] * want[n]
	}
	return math.Sqrt(diff / norm)
}

// TestAMXUnderFire multiplies on several threads while the collector runs and signals rain: the same bits every
// time. Only a processor can fail it, or a system that loses tiles at a signal.
func TestAMXUnderFire(t *testing.T) {
	if !slices.Contains(Available(), Tier(AMX)) || os.Getenv("PSLD_AMX_EMULATED") != "" {
		t.Skip("this machine has no AMX")
	}
	defer Use(Use(AMX))
	stop := make(chan struct{})
	defer close(stop)
	go fire(stop)
	errs := make(chan error)
	workers := 2 * runtime.GOMAXPROCS(0)
	for w := range workers {
		go func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			p := newGemmProblem(r, PairsMR(), false, 640, 2, "bias")
			p.toPairs()
			p.tile.RunPairs(p.m)
			first := slices.Clone(p.c)
			for until := time.Now().Add(500 * time.Millisecond); time.Now().Before(until); {
				clear(p.c)
				p.tile.RunPairs(p.m)
				for i, v := range first {
					if math.Float32bits(v) != math.Float32bits(p.c[i]) {
						errs <- fmt.Errorf("worker %d: element %d is %v, was %v", w, i, p.c[i], v)
						return
					}
				}
			}
			errs <- nil
		}()
	}
	for range workers {
		require.NoError(t, <-errs)
	}
}
