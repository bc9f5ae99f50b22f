package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"psld/asm"
	"psld/tensor"
)

// transforms are those of F(m, 3) in one direction, of n = m + 2 points of which the last is infinity: y = A' (Gg *
// B'd).
type transforms struct{ a, g, b [][]float64 } // [m][n], [n][3], [n][n]

// toomCook makes them for finite points.
func toomCook(points ...float64) (t transforms) {
	n := len(points) + 1
	times := func(a []float64, q float64) []float64 { // (x - q) a
		out := make([]float64, len(a)+1)
		for i, v := range a {
			out[i+1] += v
			out[i] -= q * v
		}
		return out
	}
	t.a = make([][]float64, n-2)
	for i := range t.a {
		t.a[i] = make([]float64, n)
		for j, p := range points {
			t.a[i][j] = math.Pow(p, float64(i))
		}
	}
	t.a[n-3][n-1] = 1
	all := []float64{1}
	for _, q := range points {
		all = times(all, q)
	}
	for j, p := range points {
		norm, poly := 1.0, []float64{1}
		for k, q := range points {
			if k != j {
				norm, poly = norm*(p-q), times(poly, q)
			}
		}
		t.g = append(t.g, []float64{1 / norm, p / norm, p * p / norm})
		t.b = append(t.b, append(poly, 0))
	}
	t.g = append(t.g, []float64{0, 0, 1})
	t.b = append(t.b, all)
	return t
}

// roundedWinograd is the 3x3 convolution of a picture x with w in the form of t, in float64 but for the transformed
// factors, which are rounded to bfloat16.
func roundedWinograd(t transforms, x, w *tensor.Tensor) []float64 {
	h, wd, c, o, n, m := x.Dim(1), x.Dim(2), x.Dim(3), w.Dim(0), len(t.b), len(t.a)
	round := func(v float64) float64 {
		return float64(math.Float32frombits(uint32(bfloat16(float32(v))) << 16))
	}
	u, y := make([]float64, n*n*o*c), make([]float64, h*wd*o)
	for at := range o * c {
		for ij := range n * n {
			var s float64
			for k := range 9 {
				s += t.g[ij/n][k/3] * t.g[ij%n][k%3] * float64(w.Data[at*9+k])
			}
			u[ij*o*c+at] = round(s)
		}
	}
	v := make([]float64, c)
	for ty := 0; ty < h; ty += m {
		for tx := 0; tx < wd; tx += m {
			for ij := range n * n {
				for ch := range v {
					var s float64
					for k := range n * n {
						if a, b := ty+k/n-1, tx+k%n-1; a >= 0 && a < h && b >= 0 && b < wd {
							s += t.b[ij/n][k/n] * t.b[ij%n][k%n] * float64(x.Data[(a*wd+b)*c+ch])
						}
					}
					v[ch] = round(s)
				}
				for j := range o {
					var s float64
					for ch, a := range v {
						s += a * u[(ij*o+j)*c+ch]
					}
					for a := range min(m, h-ty) {
						for b := range min(m, wd-tx) {
							y[((ty+a)*wd+tx+b)*o+j] += t.a[a][ij/n] * t.a[b][ij%n] * s
						}
					}
				}
			}
		}
	}
	return y
}

// TestFastWinograd holds convolutions whose transformed factors are rounded against the formula, forward and to the
// input, on every tier, and with pairs of bfloat16 where the tier has no products of them; and shows what rounding
// costs.
func TestFastWinograd(t *testing.T) {
	p := tensor.SameConv(3)
	for k, s := range []struct{ h, w, i, o int }{{18, 17, 80, 48}, {16, 16, 16, 32}} {
		r := rand.New(rand.NewPCG(uint64(k), 5))
		x, w := normal(r, 1, s.h, s.w, s.i), toBF16(normal(r, s.o, s.i, 3, 3))
		dy, turned := normal(r, 1, s.h, s.w, s.o), tensor.New(s.i, s.o, 3, 3)
		for at := range turned.Data {
			i, o, tap := at/9/s.o, at/9%s.o, at%9
			turned.Data[at] = w.Data[(o*s.i+i)*9+8-tap]
		}
		f4 := toomCook(0, 5./8, -5./8, 3./2, -3./2)
		want, wantGrad := roundedWinograd(f4, x, w), roundedWinograd(f4, dy, turned)
		exact := conv64(x, w, nil, p)
		for name, form := range map[string]transforms{"F(4x4)": f4, "F(2x2)": toomCook(0, 1, -1)} {
			t.Logf("%s: relative error %.2g", name, difference(roundedWinograd(form, x, w), exact))
		}
		for _, tier := range asm.Available() {
			if tier == asm.AMX { // tiles are faster
				continue
			}
			t.Run(fmt.Sprintf("%v/%d", tier, k), func(t *testing.T) {
				defer asm.Use(asm.Use(tier))
				y, dx := tensor.New(1, s.h, s.w, s.o), tensor.New(x.Shape...)
				BF16Fast.Conv2d(y, x, w, nil, p, tensor.Epilogue{})
				BF16Fast.Conv2dGradInput(dx, dy, w, p)
				requireClose(t, want, y.Data, 3e-4)
				requireClose(t, wantGrad, dx.Data, 3e-4)

				clear(y.Data)
				clear(dx.Data)
				none := newEpilogue(nil, tensor.Epilogue{})
				packed := pack(w, pairs)
				f := packed.factor(pairs)
				d := F32.(*device)
				in := convInput{pictures: picturesOf(x), top: 1, left: 1}
				d.convWinograd(picturesOf(y), &f, none, in, pairs)
				f = packed.turnedFactor(pairs, taps{lines: 3, line: 3, first: 8, down: -3, right: -1})
				in.pictures = picturesOf(dy)
				d.convWinograd(picturesOf(dx), &f, none, in, pairs)
				requireClose(t, want, y.Data, 3e-4)
				requireClose(t, wantGrad, dx.Data, 3e-4)
			})
		}
	}
}

// difference is the relative L2 error of a.
func difference(a, b []float64) float64 {
	var diff, size float64
	for i, v := range b {
		diff, size = diff+(a[i]-v)*(a[i]-v), size+v*v
	}
	return math.Sqrt(diff / size)
}
