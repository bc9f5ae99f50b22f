package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// eachTier runs f once in every tier that the machine has.
func eachTier(t *testing.T, f func(t *testing.T)) {
	for _, tier := range Available() {
		t.Run(tier.String(), func(t *testing.T) {
			defer Use(Use(tier))
			f(t)
		})
	}
}

// lengths are all that a tail can be, and some that end in each unrolled loop.
func lengths() []int {
	var n []int
	for i := range 71 {
		n = append(n, i)
	}
	return append(n, 127, 128, 129, 255, 1000, 2048, 2049, 4133)
}

const guard = float32(-7.25e20)

// guarded gives n elements, off elements into an array whose rest is guard.
func guarded(n, off int) (s, whole []float32) {
	whole = make([]float32, off+n+20)
	for i := range whole {
		whole[i] = guard
	}
	return whole[off : off+n : off+n], whole
}

func checkGuard(t *testing.T, whole []float32, off, n int) {
	t.Helper()
	for i, v := range whole {
		if (i < off || i >= off+n) && v != guard {
			t.Fatalf("n=%d offset=%d: wrote outside, at element %d", n, off, i-off)
		}
	}
}

// random gives n normal values times scale, at an odd address.
func random(rng *rand.Rand, n int, scale float64) []float32 {
	x := make([]float32, n+1)[1:]
	for i := range x {
		x[i] = float32(rng.NormFloat64() * scale)
	}
	return x
}

// near fails unless got is want within abs + rel*|want|; NaN is near NaN, an
// infinity near itself.
func near(t *testing.T, got float32, want, rel, abs float64, what ...any) {
	t.Helper()
	g := float64(got)
	if g == want || math.IsNaN(g) && math.IsNaN(want) || math.Abs(g-want) <= abs+rel*math.Abs(want) {
		return
	}
	t.Fatalf("%v: got %v, want %v", what, got, want)
}

const ulp = 1.0 / (1 << 23) // the largest relative size of one

func f64Silu(x float64) float64 { return x / (1 + math.Exp(-x)) }
func f64SiluGrad(x float64) float64 {
	s := 1 / (1 + math.Exp(-x))
	return s + x*s*(1-s)
}
func f64GELU(x float64) float64 { return x * 0.5 * math.Erfc(-x/math.Sqrt2) }
func f64GELUGrad(x float64) float64 {
	return 0.5*math.Erfc(-x/math.Sqrt2) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
}

// within is 1 where lo <= x <= hi, else 0.
func within(x, lo, hi float64) float64 {
	if lo <= x && x <= hi {
		return 1
	}
	return 0
}

// elementwise are the functions of up to three inputs; in[0] is the old dst.
var elementwise = []struct {
	name     string
	f        func(dst []float32, in [][]float32)
	want     func(d, a, b float64) float64
	rel, abs float64 // abs is times max(1, |b|), the gradient factor
}{
	{"Add", func(d []float32, in [][]float32) { Add(d, in[1], in[2]) },
		func(d, a, b float64) float64 { return a + b }, ulp, 0},
	{"Sub", func(d []float32, in [][]float32) { Sub(d, in[1], in[2]) },
		func(d, a, b float64) float64 { return a - b }, ulp, 0},
	{"Mul", func(d []float32, in [][]float32) { Mul(d, in[1], in[2]) },
		func(d, a, b float64) float64 { return a * b }, ulp, 0},
	{"Axpy", func(d []float32, in [][]float32) { Axpy(d, 0.75, in[1]) },
		func(d, a, b float64) float64 { return d + 0.75*a }, ulp, 2e-6},
	{"Scale", func(d []float32, in [][]float32) { Scale(d, -1.75, in[1]) },
		func(d, a, b float64) float64 { return -1.75 * a }, ulp, 0},
	{"Lerp", func(d []float32, in [][]float32) { Lerp(d, in[1], 0.125) },
		func(d, a, b float64) float64 { return d + 0.125*(a-d) }, ulp, 2e-6},
	{"Exp", func(d []float32, in [][]float32) { Exp(d, in[1]) },
		func(d, a, b float64) float64 { return math.Exp(a) }, ulp, 0},
	{"SiLU", func(d []float32, in [][]float32) { SiLU(d, in[1]) },
		func(d, a, b float64) float64 { return f64Silu(a) }, 3 * ulp, 0},
	{"SiLUGrad", func(d []float32, in [][]float32) { SiLUGrad(d, in[1], in[2]) },
		func(d, a, b float64) float64 { return b * f64SiluGrad(a) }, ulp, 2.5e-7},
	{"GELU", func(d []float32, in [][]float32) { GELU(d, in[1]) },
		func(d, a, b float64) float64 { return f64GELU(a) }, 16 * ulp, 1e-12},
	{"GELUGrad", func(d []float32, in [][]float32) { GELUGrad(d, in[1], in[2]) },
		func(d, a, b float64) float64 { return b * f64GELUGrad(a) }, ulp, 2.5e-7},
	{"QuickGELU", func(d []float32, in [][]float32) { QuickGELU(d, in[1]) },
		func(d, a, b float64) float64 { return f64Silu(1.702*a) / 1.702 }, 2e-6, 0},
	{"ExpGrad", func(d []float32, in [][]float32) { ExpGrad(d, in[1], in[2]) },
		func(d, a, b float64) float64 { return b * math.Exp(a) }, 2 * ulp, 0},
	{"Tanh", func(d []float32, in [][]float32) { Tanh(d, in[1]) },
		func(d, a, b float64) float64 { return math.Tanh(a) }, 3 * ulp, 0},
	{"TanhGrad", func(d []float32, in [][]float32) { TanhGrad(d, in[1], in[2]) },
		func(d, a, b float64) float64 { return b / (math.Cosh(a) * math.Cosh(a)) }, ulp, 2.5e-7},
	{"Abs", func(d []float32, in [][]float32) { Abs(d, in[1]) },
		func(d, a, b float64) float64 { return math.Abs(a) }, 0, 0},
	{"AbsGrad", func(d []float32, in [][]float32) { AbsGrad(d, in[1], in[2]) },
		func(d, a, b float64) float64 { return math.Copysign(b, a*b) }, 0, 0},
	{"ReLU", func(d []float32, in [][]float32) { ReLU(d, in[1]) },
		func(d, a, b float64) float64 { return math.Max(a, 0) }, 0, 0},
	{"ReLUGrad", func(d []float32, in [][]float32) { ReLUGrad(d, in[1], in[2]) },
		func(d, a, b float64) float64 { return within(a, 0, 1e9) * b }, 0, 0},
	{"Clamp", func(d []float32, in [][]float32) { Clamp(d, in[1], -1.5, 2) },
		func(d, a, b float64) float64 { return math.Min(math.Max(a, -1.5), 2) }, 0, 0},
	{"ClampGrad", func(d []float32, in [][]float32) { ClampGrad(d, in[1], in[2], -1.5, 2) },
		func(d, a, b float64) float64 { return within(a, -1.5, 2) * b }, 0, 0},
	{"QuickGELUGrad", func(d []float32, in [][]float32) { QuickGELUGrad(d, in[1], in[2]) },
		func(d, a, b float64) float64 { return b * f64SiluGrad(1.702*a) }, ulp, 4e-7},
}

func TestElementwise(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, c := range elementwise {
			for _, n := range lengths() {
				off := n % 4
				in := [][]float32{random(rng, n, 4), random(rng, n, 4), random(rng, n, 4)}
				dst, whole := guarded(n, off)
				copy(dst, in[0])
				c.f(dst, in)
				checkGuard(t, whole, off, n)
				for i := range dst {
					b := float64(in[2][i])
					near(t, dst[i], c.want(float64(in[0][i]), float64(in[1][i]), b), c.rel,
						c.abs*math.Max(1, math.Abs(b)), c.name, n, i)
				}
				// dst may be an input
				in[1] = slices.Clone(in[1])
				alias := in[1]
				if c.name == "Axpy" || c.name == "Lerp" {
					continue // dst is an input anyway
				}
				c.f(alias, in)
				require.Equal(t, dst, alias, c.name)
			}
		}
	})
}

// TestSpecialValues checks NaN and infinities in each lane and in the tail.
func TestSpecialValues(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	cases := []struct {
		name            string
		f               func(dst, x []float32)
		atNegInf, atInf float64
	}{
		{"Exp", Exp, 0, inf},
		{"SiLU", SiLU, 0, inf},
		{"GELU", GELU, 0, inf},
		{"QuickGELU", QuickGELU, 0, inf},
		{"Tanh", Tanh, -1, 1},
		{"Abs", Abs, inf, inf},
		{"ReLU", ReLU, 0, inf},
		{"Clamp", func(dst, x []float32) { Clamp(dst, x, -2, 3) }, -2, 3},
		{"ExpGrad", func(dst, x []float32) { ExpGrad(dst, x, ones(len(x))) }, 0, inf},
		{"TanhGrad", func(dst, x []float32) { TanhGrad(dst, x, ones(len(x))) }, 0, 0},
		{"SiLUGrad", func(dst, x []float32) { SiLUGrad(dst, x, ones(len(x))) }, 0, 1},
		{"GELUGrad", func(dst, x []float32) { GELUGrad(dst, x, ones(len(x))) }, 0, 1},
		{"QuickGELUGrad", func(dst, x []float32) { QuickGELUGrad(dst, x, ones(len(x))) }, 0, 1},
	}
	eachTier(t, func(t *testing.T) {
		for _, c := range cases {
			for i := range 37 {
				for _, v := range []struct{ x, want float64 }{{nan, nan}, {inf, c.atInf}, {-inf, c.atNegInf},
					{3e38, c.atInf}, {-3e38, c.atNegInf}} {
					x := make([]float32, 37)
					x[i] = float32(v.x)
					dst := make([]float32, 37)
					c.f(dst, x)
					if v.x == 3e38 && c.name != "Exp" && c.name != "ExpGrad" && c.atInf == inf {
						v.want = float64(float32(v.x))
					}
					if v.x == -3e38 && c.name == "Abs" {
						v.want = float64(float32(3e38))
					}
					near(t, dst[i], v.want, 3e-7, 2e-7, c.name, "of", v.x)
					at0 := make([]float32, 1)
					c.f(at0, at0)
					for j := range dst {
						if j != i {
							require.Equal(t, at0[0], dst[j], "%s: lane %d disturbs lane %d", c.name, i, j)
						}
					}
				}
			}
		}
	})
}

func ones(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// sweep gives n values evenly from lo to hi.
func sweep(lo, hi float64, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(lo + (hi-lo)*float64(i)/float64(n-1))
	}
	return x
}

// TestAccuracy measures the errors that the doc comments promise.
func TestAccuracy(t *testing.T) {
	// in units of the last place of the true value, or absolute
	ulps := func(got float32, want float64) float64 {
		_, e := math.Frexp(want)
		return math.Abs(float64(got)-want) / math.Ldexp(1, max(e-24, -149))
	}
	absolute := func(got float32, want float64) float64 { return math.Abs(float64(got) - want) }
	cases := []struct {
		name   string
		f      func(dst, x []float32)
		want   func(float64) float64
		lo, hi float64
		err    func(float32, float64) float64
		bound  float64
	}{
		{"Exp", Exp, math.Exp, -87, 88.7, ulps, 1.1},
		{"Exp, small results", Exp, math.Exp, -103.5, -87, ulps, 1.5},
		{"SiLU", SiLU, f64Silu, -87, 30, ulps, 3},
		{"SiLU, far", SiLU, f64Silu, -1000, -87, absolute, 2e-36},
		{"SiLUGrad", func(dst, x []float32) { SiLUGrad(dst, x, ones(len(x))) }, f64SiluGrad, -30, 30, absolute, 2.5e-7},
		{"GELU, negative", GELU, f64GELU, -5, 0, ulps, 16},
		{"GELU, far", GELU, f64GELU, -30, -4, absolute, 1e-9},
		{"GELU, positive", GELU, f64GELU, 0, 30, ulps, 4},
		{"QuickGELU", QuickGELU, func(x float64) float64 { return f64Silu(1.702*x) / 1.702 }, -10, 10, ulps, 24},
		{"GELUGrad", func(dst, x []float32) { GELUGrad(dst, x, ones(len(x))) }, f64GELUGrad, -30, 30, absolute, 2e-7},
		{"ExpGrad", func(dst, x []float32) { ExpGrad(dst, x, ones(len(x))) }, math.Exp, -87, 88.7, ulps, 1.1},
		{"Tanh", Tanh, math.Tanh, -20, 20, ulps, 3},
		{"Tanh, small", Tanh, math.Tanh, -1e-3, 1e-3, ulps, 3},
		{"TanhGrad", func(dst, x []float32) { TanhGrad(dst, x, ones(len(x))) },
			func(x float64) float64 { return 1 / (math.Cosh(x) * math.Cosh(x)) }, -30, 30, absolute, 2.5e-7},
	}
	eachTier(t, func(t *testing.T) {
		for _, c := range cases {
			x := sweep(c.lo, c.hi, 300_000)
			dst := make([]float32, len(x))
			c.f(dst, x)
			worst, at := 0.0, 0
			for i := range x {
				if e := c.err(dst[i], c.want(float64(x[i]))); e > worst || e != e {
					worst, at = e, i
				}
			}
			t.Logf("%-20s on [%g, %g]: worst %.3g at %g", c.name, c.lo, c.hi, worst, x[at])
			if !(worst <= c.bound) {
				t.Errorf("%s: error %g at %g: got %g, want %g", c.name, worst, x[at], dst[at], c.want(float64(x[at])))
			}
		}
	})
}

func TestReductions(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		for _, n := range append(lengths(), 10_000, 100_003) {
			a, b := random(rng, n, 1), random(rng, n, 1)
			var dot, dotAbs, sum, sumAbs, sq float64
			for i := range a {
				x, y := float64(a[i]), float64(b[i])
				dot += x * y
				dotAbs += math.Abs(x * y)
				sum += x
				sumAbs += math.Abs(x)
				sq += x * x
			}
			require.InDelta(t, dot, Dot(a, b), 2e-7*dotAbs, "Dot %d", n)
			require.InDelta(t, sum, Sum(a), 2e-7*sumAbs, "Sum %d", n)
			require.InDelta(t, sq, SumSq(a), 2e-7*sq, "SumSq %d", n)
			require.False(t, HasNonFinite(a))
		}

		for n := 1; n < 150; n += 7 {
			for i := range n {
				x := make([]float32, n)
				for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
					x[i] = float32(v)
					require.True(t, HasNonFinite(x))
				}
				x[i] = 3e38
				require.False(t, HasNonFinite(x))
				x[i] = -3e38
				require.False(t, HasNonFinite(x))
				for _, bits := range []uint32{0x7fc00000, 0xffc00000, 0x7f800001} { // the last is a signalling one
					x[i] = math.Float32frombits(bits)
					require.True(t, HasNonFinite(x))
				}
			}
		}
		require.True(t, HasNonFinite(append(make([]float32, 1<<16), float32(math.NaN()))))
	})
}

func TestRows(t *testing.T) {
	cases := []struct {
		name string
		f    func(dst, x, y []float32, v [3][]float32, c int)
		want func(x, y, a, b, d float64) float64
		abs  float64
	}{
		{"ScaleShiftRows", func(dst, x, y []float32, v [3][]float32, c int) { ScaleShiftRows(dst, x, v[0], v[1], c) },
			func(x, y, a, b, d float64) float64 { return x*a + b }, 1e-6},
		{"ScaleShiftSiLURows", func(dst, x, y []float32, v [3][]float32, c int) {
			ScaleShiftSiLURows(dst, x, v[0], v[1], c)
		},
			func(x, y, a, b, d float64) float64 { return f64Silu(x*a + b) }, 2e-6},
		{"SiLUGradRows", func(dst, x, y []float32, v [3][]float32, c int) { SiLUGradRows(dst, x, v[0], v[1], y, c) },
			func(x, y, a, b, d float64) float64 { return y * f64SiluGrad(x*a+b) }, 2e-6},
		{"LinearRows", func(dst, x, y []float32, v [3][]float32, c int) { LinearRows(dst, x, v[0], y, v[1], v[2], c) },
			func(x, y, a, b, d float64) float64 { return a*x + b*y + d }, 2e-6},
		{"AddRows", func(dst, x, y []float32, v [3][]float32, c int) { AddRows(dst, x, v[0], c) },
			func(x, y, a, b, d float64) float64 { return x + a }, 1e-6},
		{"MulRows", func(dst, x, y []float32, v [3][]float32, c int) { copy(dst, x); MulRows(dst, v[0]) },
			func(x, y, a, b, d float64) float64 { return x * a }, 1e-6},
	}
	eachTier(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 6))
		for _, k := range cases {
			for _, c := range lengths()[1:] {
				for _, rows := range []int{0, 1, 2, 5} {
					n := rows * c
					x, y := random(rng, n, 1), random(rng, n, 1)
					v := [3][]float32{random(rng, c, 1), random(rng, c, 1), random(rng, c, 1)}
					dst, whole := guarded(n, c%4)
					k.f(dst, x, y, v, c)
					checkGuard(t, whole, c%4, n)
					for i := range dst {
						j := i % c
						near(t, dst[i], k.want(float64(x[i]), float64(y[i]), float64(v[0][j]), float64(v[1][j]), float64(v[2][j])),
							ulp, k.abs*(1+math.Abs(float64(y[i]))), k.name, rows, c, i)
					}
					k.f(x, x, y, v, c)
					require.Equal(t, dst, x)
				}
			}
		}
	})
}

func TestColumns(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 8))
		for _, c := range lengths()[1:] {
			for _, rows := range []int{0, 1, 3, 17} {
				x, dy := random(rng, rows*c, 1), random(rng, rows*c, 1)
				mean := random(rng, c, 1)
				sum, wholeSum := guarded(c, 1)
				sq, wholeSq := guarded(c, 2)
				sm, wholeSm := guarded(c, 1)
				s1, whole1 := guarded(c, 3)
				s2, whole2 := guarded(c, 0)
				for j := range c { // they add to what is there
					sum[j], sm[j], sq[j], s1[j], s2[j] = 1, 5, 2, 3, 4
				}
				ColSum(sum, x, c)
				ColMoments(sm, sq, x, mean, c)
				ColSum2(s1, s2, dy, x, mean, c)
				checkGuard(t, wholeSum, 1, c)
				checkGuard(t, wholeSq, 2, c)
				checkGuard(t, wholeSm, 1, c)
				checkGuard(t, whole1, 3, c)
				checkGuard(t, whole2, 0, c)
				for j := range c {
					want := [5]float64{1, 2, 3, 4, 5}
					for i := j; i < rows*c; i += c {
						d := float64(x[i]) - float64(mean[j])
						want[0] += float64(x[i])
						want[1] += d * d
						want[4] += d
						want[2] += float64(dy[i])
						want[3] += float64(dy[i]) * d
					}
					for i, got := range []float32{sum[j], sq[j], s1[j], s2[j], sm[j]} {
						near(t, got, want[i], 4e-6, 2e-5, "columns", rows, c, j, i)
					}
				}
			}
		}
	})
}

// halfValue is the number that 16 bits of IEEE 754's binary16 stand for.
func halfValue(h uint16) float64 {
	sign, e, m := 1-2*float64(h>>15), int(h>>10&31), float64(h&1023)
	switch {
	case e == 31 && m != 0:
		return math.NaN()
	case e == 31:
		return sign * math.Inf(1)
	case e == 0:
		return sign * math.Ldexp(m, -24)
	}
	return sign * math.Ldexp(1024+m, e-25)
}

// TestI8ToF32 widens every value, from places of every alignment, and writes nothing beyond.
func TestI8ToF32(t *testing.T) {
	all := make([]int8, 256+40)
	for i := range all {
		all[i] = int8(i - 128)
	}
	eachTier(t, func(t *testing.T) {
		for from := range 40 {
			n := 256 - from%3
			dst, whole := guarded(n, from%4)
			I8ToF32(dst, all[from:][:n])
			checkGuard(t, whole, from%4, n)
			for i, v := range dst {
				require.Equal(t, float32(all[from+i]), v)
			}
		}
	})
}

func TestConversions(t *testing.T) {
	// Widening is checked by its definition, for every 16-bit pattern.
	all := make([]uint16, 1<<16)
	for i := range all {
		all[i] = uint16(i)
	}
	formats := []struct {
		name   string
		widen  func([]float32, []uint16)
		narrow func([]uint16, []float32)
		value  func(uint16) float64
		maxFin uint16 // the largest finite pattern
	}{
		{"f16", F16ToF32, F32ToF16, halfValue, 0x7bff},
		{"bf16", BF16ToF32, F32ToBF16, brainValue, 0x7f7f},
	}
	eachTier(t, func(t *testing.T) {
		for _, f := range formats {
			wide := make([]float32, len(all))
			back := make([]uint16, len(all))
			f.widen(wide, all)
			f.narrow(back, wide)
			for i, h := range all {
				near(t, wide[i], f.value(h), 0, 0, f.name, h)
				if v := f.value(h); v == v {
					require.Equal(t, math.Signbit(v), math.Signbit(float64(wide[i])))
					require.Equal(t, h, back[i], f.name)
				} else {
					require.True(t, math.IsNaN(f.value(back[i])), "%s: NaN %#x became %#x", f.name, h, back[i])
				}
			}
			// Narrowing: halfway between neighbours goes to the even one, a bit
			// more or less to the nearer one.
			var x []float32
			var want []uint16
			for h := range f.maxFin {
				lo, hi := f.value(h), f.value(h+1)
				mid := float32((lo + hi) / 2)
				even := h + h&1
				x = append(x, mid, math.Nextafter32(mid, 0), math.Nextafter32(mid, float32(hi)), -mid)
				want = append(want, even, h, h+1, even|0x8000)
				if lo == 0 && f.name == "bf16" { // float32 has nothing between
					want[len(want)-3] = h
				}
			}
			x = append(x, float32(math.Inf(1)), -float32(math.Inf(1)), math.MaxFloat32, -math.MaxFloat32)
			want = append(want, f.maxFin+1, f.maxFin+1|0x8000, f.maxFin+1, f.maxFin+1|0x8000)
			got := make([]uint16, len(x))
			f.narrow(got, x)
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("%s of %g (%#x): got %#x, want %#x", f.name, x[i], math.Float32bits(x[i]), got[i], want[i])
				}
			}
			for n := range 40 { // lengths, and no writing beyond
				got := make([]uint16, n+1)
				got[n] = 12345
				f.narrow(got[:n:n], x[:n])
				require.Equal(t, want[:n], got[:n])
				require.Equal(t, uint16(12345), got[n])
			}
		}
		// A NaN whose payload is only in the low bits must not become Inf.
		x := slices.Repeat([]float32{math.Float32frombits(0x7f800001), math.Float32frombits(0xffffffff)}, 17)
		got := make([]uint16, len(x))
		F32ToBF16(got, x)
		for _, h := range got {
			require.True(t, math.IsNaN(brainValue(h)))
		}
		F32ToF16(got, x)
		for _, h := range got {
			require.True(t, math.IsNaN(halfValue(h)))
		}
	})
}

func TestAdamW(t *testing.T) {
	const lr, b1, b2, eps, wd = 1e-2, 0.9, 0.999, 1e-8, 0.05
	eachTier(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(9, 10))
		for _, n := range lengths() {
			p, whole := guarded(n, n%4)
			copy(p, random(rng, n, 1))
			m, v := make([]float32, n), make([]float32, n)
			wp, wm, wv := make([]float64, n), make([]float64, n), make([]float64, n)
			for i := range p {
				wp[i] = float64(p[i])
			}
			for step := 1; step <= 3; step++ {
				g := random(rng, n, 1)
				c1, c2 := 1-math.Pow(b1, float64(step)), 1-math.Pow(b2, float64(step))
				AdamW(p, m, v, g, lr, b1, b2, eps, wd, float32(c1), float32(c2))
				for i, g := range g {
					g := float64(g)
					wm[i] = b1*wm[i] + (1-b1)*g
					wv[i] = b2*wv[i] + (1-b2)*g*g
					wp[i] -= lr * (wm[i]/c1/(math.Sqrt(wv[i]/c2)+eps) + wd*wp[i])
				}
			}
			checkGuard(t, whole, n%4, n)
			for i := range p {
				// float32(0.999) is 1e-8 off, and 1-beta2 is that much coarser
				near(t, m[i], wm[i], 1e-6, 1e-7, "m")
				near(t, v[i], wv[i], 3e-5, 1e-9, "v")
				near(t, p[i], wp[i], 1e-6, 1e-6, "p")
			}
		}
	})
}

func TestLengthPanics(t *testing.T) {
	x, y := make([]float32, 6), make([]float32, 5)
	require.PanicsWithValue(t, "asm: Add: slices of different length", func() { Add(x, x, y) })
	require.PanicsWithValue(t, "asm: AddRows: data is not whole rows of c elements", func() { AddRows(x, x, y[:4], 4) })
	require.PanicsWithValue(t, "asm: ColSum: data is not whole rows of c elements", func() { ColSum(nil, x, 0) })
	require.PanicsWithValue(t, "asm: AddRows: per-column vector is not c long", func() { AddRows(x, x, y, 3) })
}

func BenchmarkVec(b *testing.B) {
	const rows, c = 256, 128 // 128 KiB a slice
	const n = rows * c
	rng := rand.New(rand.NewPCG(1, 1))
	x, y, z, dst := random(rng, n, 1), random(rng, n, 1), random(rng, n, 0.01), make([]float32, n)
	u, v, w := random(rng, c, 1), random(rng, c, 1), random(rng, c, 1)
	stats := random(rng, 2*rows, 1)
	h := make([]uint16, n)
	for i := range z {
		z[i] *= z[i]
	}
	for _, k := range []struct {
		name   string
		slices int
		f      func()
	}{
		{"Add", 3, func() { Add(dst, x, y) }},
		{"Axpy", 3, func() { Axpy(dst, 0, x) }},
		{"Dot", 2, func() { Dot(x, y) }},
		{"Sum", 1, func() { Sum(x) }},
		{"HasNonFinite", 1, func() { HasNonFinite(x) }},
		{"Exp", 2, func() { Exp(dst, x) }},
		{"SiLU", 2, func() { SiLU(dst, x) }},
		{"SiLUGrad", 3, func() { SiLUGrad(dst, x, y) }},
		{"GELU", 2, func() { GELU(dst, x) }},
		{"GELUGrad", 3, func() { GELUGrad(dst, x, y) }},
		{"ScaleShiftRows", 2, func() { ScaleShiftRows(dst, x, u, v, c) }},
		{"ScaleShiftSiLURows", 2, func() { ScaleShiftSiLURows(dst, x, u, v, c) }},
		{"SiLUGradRows", 3, func() { SiLUGradRows(dst, x, u, v, y, c) }},
		{"LinearRows", 3, func() { LinearRows(dst, x, u, y, v, w, c) }},
		{"SoftmaxRows", 2, func() { SoftmaxRows(dst, x, w, c) }},
		{"SoftmaxGradRows", 3, func() { SoftmaxGradRows(dst, x, y, c) }},
		{"LayerNormRows", 2, func() { LayerNormRows(dst, stats, x, u, v, c, 1e-5) }},
		{"LayerNormGradRows", 3, func() { LayerNormGradRows(dst, y, x, stats, u, c) }},
		{"GEGLURows", 3, func() { GEGLURows(dst[:n/2], x, c) }},
		{"AddRows", 2, func() { AddRows(dst, x, u, c) }},
		{"ColSum", 1, func() { ColSum(w, x, c) }},
		{"ColMoments", 1, func() { ColMoments(v, w, x, u, c) }},
		{"ColSum2", 2, func() { ColSum2(v, w, y, x, u, c) }},
		{"F16ToF32", 1, func() { F16ToF32(dst, h) }},
		{"F32ToBF16", 1, func() { F32ToBF16(h, x) }},
		{"AdamW", 7, func() { AdamW(dst, y, z, x, 1e-6, 0.9, 0.999, 1e-8, 0, 1, 1) }},
	} {
		for _, tier := range Available() {
			b.Run(fmt.Sprintf("%s/%s", k.name, tier), func(b *testing.B) {
				defer Use(Use(tier))
				b.SetBytes(4 * n * int64(k.slices))
				for b.Loop() {
					k.f()
				}
			})
		}
	}
}

// A softmax of one row.
func ExampleSoftmaxRows() {
	row := []float32{1, 2, 3, 2}
	SoftmaxRows(row, row, make([]float32, 4), 4)
	fmt.Printf("%.3f\n", row)
	// Output: [0.072 0.197 0.534 0.197]
}
