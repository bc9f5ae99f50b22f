package asm

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// softmaxState is stats before any row.
func softmaxState() []float32 {
	s := make([]float32, 3*NR())
	for j := range NR() {
		s[j] = float32(math.Inf(-1))
	}
	return s
}

func brainValue(h uint16) float64 { return float64(math.Float32frombits(uint32(h) << 16)) }

func brains(words []float32) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(words))), 2*len(words))
}

// columnSoftmax runs blocks of rows down the columns of x, and checks sums and powers, each multiplied by the factors
// that follow it, against float64.
func columnSoftmax(t *testing.T, x []float32, blocks []int, pairs bool) {
	nr, rows := NR(), len(x)/NR()
	tolerance := 1e-5 // x*ln 2 is rounded in the tiers without kernels of their own
	if pairs {
		tolerance = 1.0/256 + 2e-4
	}
	stats := softmaxState()
	got := make([]float64, len(x))
	for at, b := 0, 0; at < rows; b++ {
		n := min(blocks[b%len(blocks)], rows-at)
		p, whole := guarded(n*nr, 3)
		copy(p, x[at*nr:])
		if pairs {
			dst, wholeDst := guarded(n/2*nr, 5)
			SoftmaxPanelPairs(dst, p, stats)
			checkGuard(t, wholeDst, 5, n/2*nr)
			for i := range p {
				r, j := i/nr, i%nr
				got[at*nr+i] = brainValue(brains(dst)[(r/2*nr+j)*2+r%2])
			}
		} else {
			SoftmaxPanel(p, stats)
			checkGuard(t, whole, 3, n*nr)
			for i, v := range p {
				got[at*nr+i] = float64(v)
			}
		}
		for i := range at * nr {
			got[i] *= float64(stats[2*nr+i%nr])
		}
		at += n
	}
	for j := range nr {
		top, sum, nan := math.Inf(-1), 0.0, false
		for r := range rows {
			v := float64(x[r*nr+j])
			top, nan = max(top, v), nan || v != v
		}
		if nan {
			require.True(t, math.IsNaN(float64(stats[nr+j])), "sum %v of a column with NaN", stats[nr+j])
			continue
		}
		for r := range rows {
			want := math.Exp2(float64(x[r*nr+j]) - top)
			near(t, float32(got[r*nr+j]), want, tolerance, 1e-37, Active(), "row", r, "column", j, x[r*nr+j], top)
			sum += want
		}
		near(t, stats[j], top, 0, 0, "top")
		near(t, stats[nr+j], sum, 2e-5+tolerance/10, 0, "sum")
	}
}

func TestSoftmaxPanel(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		nr, rng := NR(), rand.New(rand.NewPCG(1, 2))
		for rows := 1; rows <= 70; rows++ {
			x := random(rng, rows*nr, 20)
			if rows > 1 { // hidden scores, large and small ones; no column is without a finite one
				x[nr], x[rows*nr-1] = float32(math.Inf(-1)), -3e38
				x[nr/2] = 1e4
			}
			columnSoftmax(t, x, []int{rows}, false)
			columnSoftmax(t, x, []int{7, 1, 30}, false)
			if HasPairs() && rows%2 == 0 {
				columnSoftmax(t, x, []int{rows}, true)
				columnSoftmax(t, x, []int{8, 2, 30}, true)
			}
			x[len(x)/2] = float32(math.NaN())
			columnSoftmax(t, x, []int{16, 10}, false)
			if HasPairs() && rows%2 == 0 {
				columnSoftmax(t, x, []int{16, 10}, true)
			}
		}
		// A payload in the NaN must not leak into the exponent.
		x := random(rng, 4*nr, 1)
		x[2*nr+1] = math.Float32frombits(0x7fc00001)
		columnSoftmax(t, x, []int{4}, false)
	})
}

func TestWeightsGradPanel(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		nr, rng := NR(), rand.New(rand.NewPCG(1, 3))
		for rows := 1; rows <= 40; rows++ {
			n := rows * nr
			x, g := random(rng, n, 8), random(rng, n, 3)
			x[0], x[n/2], x[n-1], g[n-1] = float32(math.Inf(-1)), -140, float32(math.NaN()), 1
			p, wholeP := guarded(n, 1)
			ds, wholeD := guarded(n, 6)
			copy(p, x)
			copy(ds, g)
			WeightsGradPanel(p, ds)
			checkGuard(t, wholeP, 1, n)
			checkGuard(t, wholeD, 6, n)
			for i := range x {
				want := math.Exp2(float64(x[i]))
				near(t, p[i], want, 1e-5, 1e-37, "power", x[i])
				near(t, ds[i], want*float64(g[i]), 1e-5, 1e-36, "gradient", x[i], g[i])
			}
			require.Zero(t, p[0])
			require.Zero(t, ds[0])
			if !HasPairs() || rows%2 == 1 {
				continue
			}
			pr, w1 := guarded(n/2, 1)
			dr, w2 := guarded(n/2, 2)
			dp, w3 := guarded(n/2, 3)
			WeightsGradPanelPairs(pr, dr, dp, x, g)
			for i, w := range [][]float32{w1, w2, w3} {
				checkGuard(t, w, i+1, n/2)
			}
			for i := range x {
				r, j := i/nr, i%nr
				want := math.Exp2(float64(x[i]))
				grad := want * float64(g[i])
				near(t, float32(brainValue(brains(pr)[i])), want, 1.0/256, 1e-37, "power", x[i])
				near(t, float32(brainValue(brains(dr)[i])), grad, 1.0/256, 1e-36, "gradient", x[i])
				near(t, float32(brainValue(brains(dp)[(r/2*nr+j)*2+r%2])), grad, 1.0/256, 1e-36, "gradient in pairs", x[i])
			}
		}
	})
}

func TestScalePanel(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		nr, rng := NR(), rand.New(rand.NewPCG(1, 4))
		for rows := 1; rows <= 9; rows++ {
			x, by := random(rng, rows*nr, 1), random(rng, nr, 1)
			y, whole := guarded(rows*nr, 2)
			copy(y, x)
			ScalePanel(y, by)
			checkGuard(t, whole, 2, rows*nr)
			for i := range x {
				require.Equal(t, x[i]*by[i%nr], y[i])
			}
		}
	})
}

func TestInterleavePairs(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		if !HasPairs() {
			t.Skip("this tier multiplies no bfloat16")
		}
		rng := rand.New(rand.NewPCG(1, 6))
		for n := 1; n <= 70; n++ {
			a, b := random(rng, n, 1), random(rng, n, 1e10)
			b[n-1] = float32(math.Inf(1))
			dst, whole := guarded(n, 3)
			InterleavePairs(dst, a, b)
			checkGuard(t, whole, 3, n)
			wantA, wantB := make([]uint16, n), make([]uint16, n)
			F32ToBF16(wantA, a)
			F32ToBF16(wantB, b)
			for i := range n {
				require.Equal(t, wantA[i], brains(dst)[2*i])
				require.Equal(t, wantB[i], brains(dst)[2*i+1])
			}
		}
	})
}

// TestRunPairsT compares with float64 sums for all heights, and guards C; NaN surrounds A and B.
func TestRunPairsT(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		if !HasPairs() {
			t.Skip("this tier multiplies no bfloat16")
		}
		nr, rng := NR(), rand.New(rand.NewPCG(1, 7))
		for m := 1; m <= MR(); m++ {
			for _, k := range []int{1, 2, 3, 7, 8, 33, 63} {
				aCol, bRow, cRow := m+2, nr+3, nr+5
				words := func(n, width, row int) []float32 { // two random bfloat16 each
					x := make([]float32, n*row)
					for i := range x {
						x[i] = float32(math.NaN())
						if i%row < width {
							brains(x)[2*i] = uint16(math.Float32bits(float32(rng.NormFloat64())) >> 16)
							brains(x)[2*i+1] = uint16(math.Float32bits(float32(rng.NormFloat64())) >> 16)
						}
					}
					return x
				}
				a, b := words(k, m, aCol), words(k, nr, bRow)
				for accumulate := range 2 {
					c, whole := guarded((m-1)*cRow+nr, 7)
					start := random(rng, len(c), 1)
					copy(c, start)
					tile := Tile{A: unsafe.Pointer(&a[0]), B: unsafe.Pointer(&b[0]), C: unsafe.Pointer(&c[0]),
						ACol: 4 * aCol, BRow: 4 * bRow, CRow: 4 * cRow, Segs: 1, K: k, Accumulate: accumulate}
					tile.RunPairsT(m)
					checkGuard(t, whole, 7, len(c))
					for i, v := range c {
						r, j := i/cRow, i%cRow
						if j >= nr {
							require.Equal(t, start[i], v)
							continue
						}
						sum := float64(accumulate) * float64(start[i])
						for s := range 2 * k {
							sum += brainValue(brains(a)[(s/2*aCol+r)*2+s%2]) * brainValue(brains(b)[(s/2*bRow+j)*2+s%2])
						}
						near(t, v, sum, 1e-5, 1e-4, m, k, i)
					}
				}
			}
		}
	})
}

// TestRunWide compares with float64 sums for all heights, several segments, and guards C; NaN surrounds A and B.
func TestRunWide(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		width, rng := NR()+8, rand.New(rand.NewPCG(1, 8))
		for m := 1; m <= WideMR(); m++ {
			for _, k := range []int{1, 2, 3, 16, 33} {
				for segs := 1; segs <= 3; segs++ {
					for _, pairs := range []bool{false, true} {
						if pairs && !HasPairs() {
							continue
						}
						aSeg, cRow := k+1, width+3
						aRow := segs*aSeg + 2
						a := make([]float32, m*aRow)
						for i := range a {
							a[i] = float32(math.NaN())
							if at := i % aRow; at < segs*aSeg && at%aSeg < k {
								brains(a)[2*i] = uint16(math.Float32bits(float32(rng.NormFloat64())) >> 16)
								brains(a)[2*i+1] = uint16(math.Float32bits(float32(rng.NormFloat64())) >> 16)
							}
						}
						b := random(rng, segs*k*width, 1)
						if pairs {
							for i := range brains(b) {
								brains(b)[i] = uint16(math.Float32bits(float32(rng.NormFloat64())) >> 16)
							}
						}
						c, whole := guarded((m-1)*cRow+width, 7)
						start := random(rng, len(c), 1)
						copy(c, start)
						tile := Tile{A: unsafe.Pointer(&a[0]), B: unsafe.Pointer(&b[0]), C: unsafe.Pointer(&c[0]),
							ARow: 4 * aRow, ASeg: 4 * aSeg, CRow: 4 * cRow, Segs: segs, K: k, Accumulate: 1}
						if pairs {
							tile.RunWidePairs(m)
						} else {
							tile.RunWide(m)
						}
						checkGuard(t, whole, 7, len(c))
						for i, v := range c {
							r, j := i/cRow, i%cRow
							sum := float64(start[i])
							for s := range segs * k {
								if j >= width {
									break // between the rows
								}
								x, y := r*aRow+s/k*aSeg+s%k, s*width+j
								if pairs {
									sum += brainValue(brains(a)[2*x])*brainValue(brains(b)[2*y]) +
										brainValue(brains(a)[2*x+1])*brainValue(brains(b)[2*y+1])
								} else {
									sum += float64(a[x]) * float64(b[y])
								}
							}
							near(t, v, sum, 1e-5, 1e-4, m, k, segs, pairs, i)
						}
					}
				}
			}
		}
	})
}

// FuzzSoftmaxPanel takes any bits for scores, and any blocks.
func FuzzSoftmaxPanel(f *testing.F) {
	f.Add([]byte{0, 0, 0x80, 0x3f, 1, 0, 0x80, 0x7f, 0, 0, 0, 0xc0}, uint8(3))
	f.Add([]byte("scores of some sort, for some of the columns"), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, block uint8) {
		for _, tier := range Available() {
			t.Run(fmt.Sprint(tier), func(t *testing.T) {
				defer Use(Use(tier))
				nr := NR()
				x := make([]float32, 12*nr)
				for i := range min(len(x), len(data)/4) {
					x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
					if v := float64(x[i]); math.Abs(v) > 1e30 { // the difference of two would be infinite
						x[i] = float32(math.Copysign(1e30, v))
					}
				}
				columnSoftmax(t, x, []int{int(block%12) + 1}, false)
				if HasPairs() {
					columnSoftmax(t, x, []int{int(block%6)*2 + 2}, true)
				}
			})
		}
	})
}
