package asm

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// The fuzz targets compare every tier with the generic one on arbitrary bits: lengths 0 to 300, odd
// addresses, NaNs, infinities and denormal numbers included.

// seeds adds some inputs: special values, text, and a long run of bytes.
func seeds(f *testing.F) {
	f.Add([]byte{0, 0, 0x80, 0x7f, 1, 0, 0x80, 0x7f, 0, 0, 0x80, 0xff, 1, 0, 0, 0, 0xff, 0xff, 0x7f, 0x7f}, uint16(0))
	f.Add([]byte("sixteen bytes of something, and then some more of it to fill a vector register"), uint16(3))
	long := make([]byte, 5000)
	for i := range long {
		long[i] = byte(i * i >> 3)
	}
	f.Add(long, uint16(77))
}

// reader makes numbers from data, again from the start when it is used up.
type reader struct {
	data []byte
	at   int
}

func (r *reader) bits() uint32 {
	var b [4]byte
	for i := range b {
		if len(r.data) > 0 {
			b[i] = r.data[(r.at+r.at/len(r.data))%len(r.data)] // other groups of four in each round
			r.at++
		}
	}
	return binary.LittleEndian.Uint32(b[:])
}

// any gives n numbers of any bits, at an odd address.
func (r *reader) any(n int) []float32 {
	x := make([]float32, n+1)[1:]
	for i := range x {
		x[i] = math.Float32frombits(r.bits())
	}
	return x
}

// moderate gives a number between 2^-16 and 2^16, 0, a denormal one, or, rarely, something that is not finite.
func (r *reader) moderate() float32 {
	b := r.bits()
	if e := b >> 23 & 255; e != 0 && (e != 255 || b&7 != 0) {
		b = b&^(255<<23) | (127-16+e%32)<<23
	}
	return math.Float32frombits(b)
}

func (r *reader) some(n int) []float32 {
	x := make([]float32, n+1)[1:]
	for i := range x {
		x[i] = r.moderate()
	}
	return x
}

// length is how many numbers data gives at least once, at most 300.
func (r *reader) length() int { return min(300, len(r.data)/4) }

// eachOther runs f in every tier but the generic one, which ran before.
func eachOther(f func(tier Tier)) {
	for _, tier := range Available()[1:] {
		old := Use(tier)
		f(tier)
		Use(old)
	}
}

func finite(x ...float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// close fails unless got is want within rel*|want| + abs, or both are NaN, or as large as can be.
func closeTo(t *testing.T, got, want float32, rel, abs float64, what ...any) {
	t.Helper()
	const most = 3.402e38
	if math.Abs(float64(want)) > most && math.Abs(float64(got)) > most && (got > 0) == (want > 0) {
		return
	}
	near(t, got, float64(want), rel, abs+3e-45, what...)
}

func FuzzElementwise(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte, _ uint16) {
		r := reader{data: data}
		n := r.length()
		in := [][]float32{r.any(n), r.any(n), r.any(n)}
		run := func(i int) []float32 {
			dst, whole := guarded(n, 1)
			copy(dst, in[0])
			elementwise[i].f(dst, in)
			checkGuard(t, whole, 1, n)
			return dst
		}
		for i, k := range elementwise {
			old := Use(Generic)
			want := run(i)
			Use(old)
			eachOther(func(tier Tier) {
				got := run(i)
				for j := range got {
					d, a, b := in[0][j], in[1][j], in[2][j]
					abs := k.abs * math.Abs(float64(b))
					switch k.name {
					case "Axpy", "Lerp": // one rounding or two, and what overflows between
						if !finite(d, a) || math.Abs(float64(d))+math.Abs(float64(a)) > 1e38 {
							continue
						}
						abs = 2 * ulp * (math.Abs(float64(d)) + math.Abs(float64(a)))
					case "SiLU", "GELU", "QuickGELU": // far below 0
						abs = 2e-9
					case "Exp":
						abs = 1e-37
					case "ExpGrad":
						abs = 1e-37 * math.Abs(float64(b))
					}
					if math.IsInf(abs, 0) || math.IsNaN(abs) { // the gradient is none
						continue
					}
					closeTo(t, got[j], want[j], 2*k.rel, 2*abs, k.name, tier, "of", d, a, b)
				}
			})
		}
	})
}

// FuzzRows takes the functions with vectors of c numbers for all rows.
func FuzzRows(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte, width uint16) {
		r := reader{data: data}
		c := 1 + int(width)%100
		rows := r.length() / c
		x, y, u, v, w := r.some(rows*c), r.some(rows*c), r.some(c), r.some(c), r.some(c)
		run := func() (out [6][]float32) {
			for i := range out {
				out[i] = make([]float32, len(x))
			}
			ScaleShiftRows(out[0], x, u, v, c)
			ScaleShiftSiLURows(out[1], x, u, v, c)
			SiLUGradRows(out[2], x, u, v, y, c)
			LinearRows(out[3], x, u, y, v, w, c)
			AddRows(out[4], x, u, c)
			copy(out[5], x)
			MulRows(out[5], u)
			return out
		}
		old := Use(Generic)
		want := run()
		Use(old)
		eachOther(func(tier Tier) {
			for i, got := range run() {
				for j, g := range got {
					a, b, l := float64(x[j]), float64(y[j]), j%c
					lin := math.Abs(a*float64(u[l])) + math.Abs(float64(v[l])) // what is rounded once or twice
					bound := [6]float64{ulp * lin, 2*ulp*lin + 2e-36, (4e-7 + 2*ulp*lin) * math.Abs(b),
						2 * ulp * (math.Abs(a*float64(u[l])) + math.Abs(b*float64(v[l])) + math.Abs(float64(w[l]))), 0, 0}[i]
					if !finite(float32(bound)) {
						bound = [6]float64{1: 2e-36, 2: 4e-7 * math.Abs(b)}[i]
						if i == 2 && !finite(y[j]) {
							continue // Inf times about 0
						}
					}
					closeTo(t, g, want[i][j], 4*ulp, bound, i, tier, x[j], y[j], u[l], v[l], w[l])
				}
			}
		})
	})
}

func FuzzReductions(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte, width uint16) {
		r := reader{data: data}
		n, c := r.length(), 1+int(width)%100
		whole := n / c * c
		wild, x, y := r.any(n), r.some(n), r.some(n)
		mean := r.some(c)
		type result struct {
			nonFinite bool
			sums      [3]float64
			cols      [5][]float32
		}
		run := func() (out result) {
			out.nonFinite = HasNonFinite(wild)
			out.sums = [3]float64{Dot(x, y), Sum(x), SumSq(x)}
			for i := range out.cols {
				out.cols[i] = make([]float32, c)
			}
			ColSum(out.cols[0], x[:whole], c)
			ColMoments(out.cols[1], out.cols[2], x[:whole], mean, c)
			ColSum2(out.cols[3], out.cols[4], y[:whole], x[:whole], mean, c)
			return out
		}
		old := Use(Generic)
		want := run()
		Use(old)
		var size [3]float64
		for i, v := range x {
			a, b := math.Abs(float64(v)), math.Abs(float64(y[i]))
			size[0], size[1], size[2] = size[0]+a*b, size[1]+a, size[2]+a*a
		}
		eachOther(func(tier Tier) {
			got := run()
			require.Equal(t, want.nonFinite, got.nonFinite)
			for i, w := range want.sums {
				bound := 4e-7 * size[i]
				if !finite(float32(bound)) {
					bound = 0
				}
				closeTo(t, float32(got.sums[i]), float32(w), 2*ulp, bound, "sum", i, tier)
			}
			for i, col := range want.cols {
				for j, w := range col {
					bound := 0.0
					for k := j; k < whole; k += c {
						a, b := math.Abs(float64(x[k]))+math.Abs(float64(mean[j])), math.Abs(float64(y[k]))
						bound += 1e-5 * [5]float64{a, a, a * a, b, a * b}[i]
					}
					if !finite(float32(bound)) {
						bound = 0
					}
					closeTo(t, got.cols[i][j], w, 2*ulp, bound, "column", i, tier)
				}
			}
		})
	})
}

func FuzzNorms(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte, width uint16) {
		r := reader{data: data}
		c := 1 + int(width)%150
		rows := r.length() / c
		for _, k := range normCases {
			in := k.inputs(rows, c, r.moderate)
			for _, tier := range Available() {
				old := Use(tier)
				dst := make([]float32, rows*c*k.out)
				k.f(dst, in, c)
				for row := range rows {
					one := k.row(in, row, c)
					fine := true
					for _, v := range one {
						fine = fine && finite(v...)
					}
					if fine {
						want, size := k.want(one, c)
						for j, w := range want {
							s := math.Abs(w)
							if size != nil {
								s = size[j]
							}
							closeTo(t, dst[row*k.out*c+j], float32(w), 2*ulp, 2*k.rel*s+1e-36, k.name, tier, rows, c, row, j)
						}
					} else if k.name == "LayerNorm" && !finite(one[0]...) {
						for j := range c {
							require.True(t, math.IsNaN(float64(dst[row*c+j])), "%s %v", k.name, tier)
						}
					}
				}
				Use(old)
			}
		}
	})
}

func FuzzConversions(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte, _ uint16) {
		r := reader{data: data}
		x := r.any(r.length())
		n := len(x)
		narrow := make([]uint16, n)
		for i := range narrow {
			narrow[i] = uint16(r.bits())
		}
		run := func() (h, b []uint16, wide [2][]float32) {
			h, b = make([]uint16, n), make([]uint16, n)
			F32ToF16(h, x)
			F32ToBF16(b, x)
			for i := range wide {
				wide[i] = make([]float32, n)
			}
			F16ToF32(wide[0], narrow)
			BF16ToF32(wide[1], narrow)
			return h, b, wide
		}
		old := Use(Generic)
		h, b, wide := run()
		Use(old)
		eachOther(func(tier Tier) {
			h2, b2, wide2 := run()
			require.Equal(t, h, h2)
			require.Equal(t, b, b2)
			for i := range wide {
				for j, w := range wide[i] {
					near(t, wide2[i][j], float64(w), 0, 0, tier, narrow[j])
				}
			}
		})
	})
}
