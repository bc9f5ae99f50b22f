package asm

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// normCase is a function that normalises rows. in are its inputs, the first of them x[rows][c], and
// want computes one row in float64, with the size of what was added up for each element.
type normCase struct {
	name   string
	widths []int // of a row of the inputs, in units of c; 0 stands for one vector of c for all rows
	out    int   // width of the output
	f      func(dst []float32, in [][]float32, c int)
	want   func(in [][]float32, c int) (want, size []float64)
	rel    float64 // of size
}

const normEps = 1e-5

func moments(x []float32) (mean, rstd float64) {
	for _, v := range x {
		mean += float64(v) / float64(len(x))
	}
	variance := 0.0
	for _, v := range x {
		variance += (float64(v) - mean) * (float64(v) - mean) / float64(len(x))
	}
	return mean, 1 / math.Sqrt(variance+normEps)
}

// statsOf gives mean and rstd of the rows of x.
func statsOf(x []float32, c int) []float32 {
	var s []float32
	for ; len(x) > 0; x = x[c:] {
		mean, rstd := moments(x[:c])
		s = append(s, float32(mean), float32(rstd))
	}
	return s
}

var normCases = []normCase{
	{"Softmax", []int{1}, 1, func(dst []float32, in [][]float32, c int) {
		SoftmaxRows(dst, in[0], make([]float32, c), c)
	},
		func(in [][]float32, c int) (want, size []float64) {
			top, sum := math.Inf(-1), 0.0
			for _, v := range in[0] {
				top = math.Max(top, float64(v))
			}
			for _, v := range in[0] {
				want = append(want, math.Exp(float64(v)-top))
				sum += math.Exp(float64(v) - top)
			}
			for j := range want {
				want[j] /= sum
				size = append(size, want[j]*(1+min(104, top-float64(in[0][j])))) // x-max is rounded
			}
			return want, size
		}, 4e-7},
	{"SoftmaxGrad", []int{1, 1}, 1, func(dst []float32, in [][]float32, c int) { SoftmaxGradRows(dst, in[1], in[0], c) },
		func(in [][]float32, c int) (want, size []float64) {
			dot, all := 0.0, 0.0
			for j, y := range in[0] {
				dot += float64(y) * float64(in[1][j])
				all += math.Abs(float64(y) * float64(in[1][j]))
			}
			for j, y := range in[0] {
				want = append(want, float64(y)*(float64(in[1][j])-dot))
				size = append(size, math.Abs(float64(y))*(math.Abs(float64(in[1][j]))+all))
			}
			return want, size
		}, 4e-7},
	{"LayerNorm", []int{1, 0, 0}, 1, func(dst []float32, in [][]float32, c int) {
		LayerNormRows(dst, make([]float32, 2*(len(dst)/c)), in[0], in[1], in[2], c, normEps)
	},
		func(in [][]float32, c int) (want, size []float64) {
			mean, rstd := moments(in[0])
			for j, x := range in[0] {
				h := (float64(x) - mean) * rstd
				want = append(want, h*float64(in[1][j])+float64(in[2][j]))
				size = append(size, (1+math.Abs(h))*math.Abs(float64(in[1][j]))+math.Abs(float64(in[2][j])))
			}
			return want, size
		}, 2e-6},
	{"LayerNormGrad", []int{1, 1, 0}, 1, func(dst []float32, in [][]float32, c int) {
		LayerNormGradRows(dst, in[1], in[0], statsOf(in[0], c), in[2], c)
	},
		func(in [][]float32, c int) (want, size []float64) {
			s := statsOf(in[0], c)
			mean, rstd := float64(s[0]), float64(s[1])
			var a, b, absA, absB float64
			for j, x := range in[0] {
				g := float64(in[1][j]) * float64(in[2][j]) / float64(c)
				a, absA = a+g, absA+math.Abs(g)
				g *= (float64(x) - mean) * rstd
				b, absB = b+g, absB+math.Abs(g)
			}
			for j, x := range in[0] {
				g, h := float64(in[1][j])*float64(in[2][j]), (float64(x)-mean)*rstd
				want = append(want, rstd*(g-a-h*b))
				size = append(size, rstd*(math.Abs(g)+absA+math.Abs(h)*absB))
			}
			return want, size
		}, 2e-6},
	{"LayerNormGamma", []int{1, 1}, 1, func(dst []float32, in [][]float32, c int) {
		LayerNormGammaRows(dst, in[1], in[0], statsOf(in[0], c), c)
	},
		func(in [][]float32, c int) (want, size []float64) {
			s := statsOf(in[0], c)
			for j, x := range in[0] {
				want = append(want, float64(in[1][j])*(float64(x)-float64(s[0]))*float64(s[1]))
			}
			return want, nil
		}, 4e-7},
	{"GEGLU", []int{2}, 1, func(dst []float32, in [][]float32, c int) { GEGLURows(dst, in[0], c) },
		func(in [][]float32, c int) (want, size []float64) {
			for j, x := range in[0][:c] {
				gate := float64(in[0][c+j])
				want = append(want, float64(x)*f64GELU(gate))
				size = append(size, math.Abs(float64(x))*math.Max(math.Abs(f64GELU(gate)), 1e-6))
			}
			return want, size
		}, 2e-6},
	{"GEGLUGrad", []int{2, 1}, 2, func(dst []float32, in [][]float32, c int) { GEGLUGradRows(dst, in[1], in[0], c) },
		func(in [][]float32, c int) (want, size []float64) {
			want, size = make([]float64, 2*c), make([]float64, 2*c)
			for j, x := range in[0][:c] {
				x, gate, dy := float64(x), float64(in[0][c+j]), float64(in[1][j])
				want[j], want[c+j] = dy*f64GELU(gate), dy*x*f64GELUGrad(gate)
				size[j], size[c+j] = math.Abs(dy)*math.Max(math.Abs(f64GELU(gate)), 1e-6), math.Abs(dy*x)
			}
			return want, size
		}, 2e-6},
}

// row gives the inputs of one row.
func (k normCase) row(in [][]float32, r, c int) [][]float32 {
	out := slices.Clone(in)
	for i, w := range k.widths {
		if w > 0 {
			out[i] = in[i][r*w*c:][:w*c]
		}
	}
	return out
}

func (k normCase) inputs(rows, c int, value func() float32) [][]float32 {
	in := make([][]float32, len(k.widths))
	for i, w := range k.widths {
		n := w * rows * c
		if w == 0 {
			n = c
		}
		in[i] = make([]float32, n+1)[1:]
		for j := range in[i] {
			in[i][j] = value()
		}
	}
	return in
}

// check compares a whole result with want; rows of numbers that are not finite, with NaN.
func (k normCase) check(t *testing.T, dst []float32, in [][]float32, rows, c int) {
	t.Helper()
	for r := range rows {
		want, size := k.want(k.row(in, r, c), c)
		for j, w := range want {
			s := math.Abs(w)
			if size != nil {
				s = size[j]
			}
			near(t, dst[r*k.out*c+j], w, 0, k.rel*(1+float64(c)/256)*s+1e-37, k.name, Active(), rows, c, r, j)
		}
	}
}

func TestNormRows(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(11, 12))
		normal := func() float32 { return float32(rng.NormFloat64()*2 + 0.5) }
		for _, k := range normCases {
			for _, c := range append(lengths()[1:71], 128, 255, 320, 1280) {
				for _, rows := range []int{0, 1, 2, 5} {
					in := k.inputs(rows, c, normal)
					dst, whole := guarded(rows*c*k.out, c%4)
					k.f(dst, in, c)
					checkGuard(t, whole, c%4, len(dst))
					k.check(t, dst, in, rows, c)
				}
			}
		}
	})
}

// TestNormSpecial puts a NaN or an infinity into one row: that row becomes NaN, others stay.
func TestNormSpecial(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(13, 14))
		normal := func() float32 { return float32(rng.NormFloat64()) }
		for _, k := range normCases[:4] {
			for _, c := range []int{1, 7, 16, 19, 77} {
				for _, bad := range []float32{float32(math.NaN()), math.Float32frombits(0x7f800001),
					float32(math.Inf(1)), float32(math.Inf(-1))} {
					in := k.inputs(3, c, normal)
					good := make([]float32, 3*c)
					k.f(good, in, c)
					in[0][c+rng.IntN(c)] = bad
					dst := make([]float32, 3*c)
					k.f(dst, in, c)
					require.Equal(t, good[:c], dst[:c])
					require.Equal(t, good[2*c:], dst[2*c:])
					k.check(t, dst, in, 3, c)
				}
			}
		}
	})
	// A large mean does no harm, and no variance is no NaN.
	eachTier(t, func(t *testing.T) {
		const c = 320
		x, dst, stats, gamma, beta := make([]float32, c), make([]float32, c), make([]float32, 2), ones(c), make([]float32, c)
		for i := range x {
			x[i] = 10_000 + float32(i%2)
		}
		LayerNormRows(dst, stats, x, gamma, beta, c, 0)
		require.Equal(t, []float32{10_000.5, 2}, stats)
		require.Equal(t, []float32{-1, 1}, dst[:2])
		for i := range x {
			x[i] = 0.1
		}
		LayerNormRows(dst, stats, x, gamma, beta, c, normEps)
		near(t, dst[3], 0, 0, 1e-5)
		near(t, stats[0], 0.1, ulp, 0)
	})
}

// TestLongResults compares calls whose results are stored past the caches with calls on parts.
func TestLongResults(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		if Active() == Generic {
			return
		}
		rng := rand.New(rand.NewPCG(15, 16))
		const n = 1<<16 + 37
		for off := range 2 {
			in := [][]float32{random(rng, n, 2), random(rng, n, 2), random(rng, n, 2)}
			for _, k := range elementwise {
				dst, whole := guarded(n, 16+off)
				copy(dst, in[0])
				k.f(dst, in)
				checkGuard(t, whole, 16+off, n)
				want := slices.Clone(in[0])
				for lo := 0; lo < n; lo += 4096 {
					hi := min(n, lo+4096)
					k.f(want[lo:hi], [][]float32{in[0][lo:hi], in[1][lo:hi], in[2][lo:hi]})
				}
				require.Equal(t, want, dst, k.name)
			}
		}
		for _, c := range []int{32, 48, 77, 320} {
			rows := (1<<16)/c + 3
			normal := func() float32 { return float32(rng.NormFloat64()) }
			for _, k := range normCases {
				in := k.inputs(rows, c, normal)
				dst, whole := guarded(rows*c*k.out, 16)
				k.f(dst, in, c)
				checkGuard(t, whole, 16, len(dst))
				want := make([]float32, len(dst))
				for r := range rows {
					k.f(want[r*k.out*c:][:k.out*c], k.row(in, r, c), c)
				}
				require.Equal(t, want, dst, k.name)
			}
			x, scale, shift := random(rng, rows*c, 1), random(rng, c, 1), random(rng, c, 1)
			dst, want := make([]float32, rows*c), make([]float32, rows*c)
			ScaleShiftSiLURows(dst, x, scale, shift, c)
			for r := range rows {
				ScaleShiftSiLURows(want[r*c:][:c], x[r*c:][:c], scale, shift, c)
			}
			require.Equal(t, want, dst)
		}
	})
}
