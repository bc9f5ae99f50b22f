package operator

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func randn(n int, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 99))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// poison fills x with NaN.
func poison(x []float32) {
	for i := range x {
		x[i] = float32(math.NaN())
	}
}

// all lists every kind of operator at one size; those that the size does not allow are left out.
func all(h, w, c int) map[string]Linear {
	ops := map[string]Linear{"identity": Identity(Shape{h, w, c})}
	add := func(name string, a Linear, err error) {
		if err == nil {
			ops[name] = a
		}
	}
	for _, f := range []int{1, 2, 3, 4, 8} {
		a, err := NewSR(h, w, c, f)
		add(fmt.Sprint("sr", f), a, err)
		a, err = NewAveragePool(h, w, c, f)
		add(fmt.Sprint("pool", f), a, err)
		a, err = NewResize(h, w, c, f*h, f*w, Nearest)
		add(fmt.Sprint("up", f), a, err)
		if f > 1 {
			a, err = NewCircularBlur(h, w, c, must(Gaussian(9, 1.2)), f)
			add(fmt.Sprint("circular", f), a, err)
			a, err = NewCircularBlur(h, w, c, must(MotionKernel(9, 0.5, 7)), f)
			add(fmt.Sprint("circular motion, every ", f), a, err)
		}
	}
	for m := Nearest; m <= CubicSmall; m++ {
		for _, s := range [][2]int{{1, 1}, {5, 7}, {16, 3}, {h * 2, w * 3}} {
			a, err := NewResize(h, w, c, s[0], s[1], m)
			add(fmt.Sprint("resize", m, s), a, err)
		}
	}
	for _, size := range []int{1, 3, 9, 61} {
		a, err := NewBlur(h, w, c, must(Gaussian(size, 1.5)))
		add(fmt.Sprint("gauss", size), a, err)
		if size > 1 {
			a, err = NewBlur(h, w, c, must(MotionKernel(size, 0.5, 7)))
			add(fmt.Sprint("motion", size), a, err)
		}
		a, err = NewCircularBlur(h, w, c, must(MotionKernel(max(3, size), 0.5, 7)), 1)
		add(fmt.Sprint("circular motion", size), a, err)
	}
	grey, err := NewGrey(h, w, [][]float64{{1}, {0.7, 0.3}, Luma, {0.3, 0.6, -0.2, 0.3}}[c-1])
	add("grey", grey, err)
	mask, err := NewMask(h, w, c, must(RandomMask(h, w, 0.7, 1)))
	add("mask", mask, err)
	if sr, ok := ops["sr2"]; ok {
		a, err := Compose(sr, mask)
		add("compose", a, err)
		add("transposed", Transposed(sr), nil)
		add("reference transpose", PublishedTranspose(sr), nil)
		a, err = NewPseudoInverse(sr, 0.01, 30)
		add("pseudo-inverse", a, err)
	}
	return ops
}

// TestAdjoint checks <Ax,y> = <x,A'y> for every operator over many sizes.
func TestAdjoint(t *testing.T) {
	for _, s := range []Shape{{1, 1, 3}, {1, 5, 3}, {2, 2, 1}, {3, 7, 2}, {8, 8, 3}, {13, 31, 3},
		{32, 20, 4}, {33, 47, 3}, {64, 64, 3}} {
		for name, a := range all(s.H, s.W, s.C) {
			t.Run(fmt.Sprint(name, " ", s), func(t *testing.T) {
				require.True(t, a.Out().C == s.C || name == "grey" && a.Out().C == 1)
				x, y := randn(a.In().Len(), 1), randn(a.Out().Len(), 2)
				ax, aty := make([]float32, len(y)), make([]float32, len(x))
				poison(ax) // dst is overwritten, not added to
				poison(aty)
				a.Apply(ax, x)
				a.Adjoint(aty, y)
				scale := math.Sqrt(Dot(ax, ax)*Dot(y, y)) + 1e-3
				require.InDelta(t, 0, (Dot(ax, y)-Dot(x, aty))/scale, 2e-6)
			})
		}
	}
}

// TestBlurAgainstDefinition compares both blur routes with the definition, pixel by pixel.
func TestBlurAgainstDefinition(t *testing.T) {
	gauss := must(Gaussian(7, 1))
	skew := must(NewKernel(7, must(MotionKernel(7, 1, 3)).W))
	rank1 := make([]float64, 25) // separable, not symmetric, with a zero border on two sides
	for i := range rank1 {
		rank1[i] = []float64{0, 1, 2, 5, 1}[i/5] * []float64{3, 1, 0, 2, 0}[i%5]
	}
	sizes := map[string]*Kernel{"gauss": gauss, "motion": skew, "rank1": must(NewKernel(5, rank1))}
	for name, k := range sizes {
		for _, s := range []Shape{{4, 4, 3}, {7, 12, 1}, {9, 5, 3}} {
			a := must(NewBlur(s.H, s.W, s.C, k))
			_, sep := a.(*separable)
			require.Equal(t, name != "motion", sep, name)
			x := randn(s.Len(), 4)
			got := make([]float32, s.Len())
			a.Apply(got, x)
			for i, v := range got {
				ch, px, py := i%s.C, i/s.C%s.W, i/s.C/s.W
				var want float64
				for j, w := range k.W {
					sy, sx := py+j/k.Size-k.Size/2, px+j%k.Size-k.Size/2
					for sy < 0 || sy >= s.H { // bounce
						sy = map[bool]int{true: -sy, false: 2*(s.H-1) - sy}[sy < 0]
					}
					for sx < 0 || sx >= s.W {
						sx = map[bool]int{true: -sx, false: 2*(s.W-1) - sx}[sx < 0]
					}
					want += w * float64(x[(sy*s.W+sx)*s.C+ch])
				}
				require.InDelta(t, want, v, 1e-5, "%s %v at %d", name, s, i)
			}
		}
	}
}

// TestConstants: maps that average keep a constant picture, borders included.
func TestConstants(t *testing.T) {
	for name, a := range all(33, 47, 3) {
		if name == "mask" || name == "compose" || name == "transposed" || name == "pseudo-inverse" {
			continue
		}
		x, y := make([]float32, a.In().Len()), make([]float32, a.Out().Len())
		for i := range x {
			x[i] = 0.7
		}
		a.Apply(y, x)
		for _, v := range y {
			require.InDelta(t, 0.7, v, 1e-5, name)
		}
	}
}

// TestSRSizes: sizes that are no multiple of the factor round up, and the grid stays centred (a mirrored picture gives
// the mirrored result).
func TestSRSizes(t *testing.T) {
	for n := 4; n < 30; n++ {
		a := must(NewSR(n, 4, 1, 4))
		require.Equal(t, Shape{(n + 3) / 4, 1, 1}, a.Out())
		x := randn(a.In().Len(), uint64(n))
		flip := make([]float32, len(x))
		for i := range x {
			flip[i] = x[(n-1-i/4)*4+i%4]
		}
		y, z := make([]float32, a.Out().Len()), make([]float32, a.Out().Len())
		a.Apply(y, x)
		a.Apply(z, flip)
		for i := range y {
			require.InDelta(t, y[i], z[len(z)-1-i], 1e-5)
		}
		require.Equal(t, a.In(), PublishedTranspose(a).Out())
	}
}

func TestErrors(t *testing.T) {
	k := must(Gaussian(61, 3))
	tests := map[string]error{
		"too large for a 12x40 picture": second(NewBlur(40, 12, 3, k)),
		"size must be odd":              second(NewBlur(9, 9, 3, &Kernel{2, make([]float64, 4)})),
		"zero everywhere":               second(NewBlur(9, 9, 3, &Kernel{3, make([]float64, 9)})),
		"must be finite":                second(NewKernel(1, []float64{math.NaN()})),
		"sum to":                        second(NewKernel(1, []float64{-1})),
		"4 pixels, the 3x3 picture has": second(NewMask(3, 3, 3, make([]bool, 4))),
		"factor 4 must be":              second(NewSR(3, 9, 3, 4)),
		"at least 1x1x1":                second(NewSR(0, 9, 3, 4)),
		"block 10":                      second(NewAveragePool(9, 9, 3, 10)),
		"stride 2 must be":              second(NewCircularBlur(9, 8, 3, k, 2)),
		"unknown resize method":         second(NewResize(9, 9, 3, 2, 2, 77)),
		"cannot compose":                second(Compose(Identity(Shape{1, 2, 3}), Identity(Shape{2, 1, 3}))),
		"size 4 must be odd":            second(Gaussian(4, 1)),
		"std 0 must be":                 second(Gaussian(5, 0)),
		"motion kernel size 4":          second(MotionKernel(4, 1, 1)),
		"intensity 2":                   second(MotionKernel(5, 2, 1)),
		"fraction 1.5 missing":          second(RandomMask(3, 3, 1.5, 1)),
		"side fraction 0":               second(BoxMask(3, 3, 0, false, 1)),
		"2x2 pixels at 2,0, want":       second(RectangleMask(3, 3, image.Rect(2, 0, 4, 2))),
		"0x0 pixels at 0,0, want":       second(RectangleMask(3, 3, image.Rectangle{})),
		"regularisation 0":              second(NewPseudoInverse(Identity(Shape{1, 1, 1}), 0, 1)),
		"0 CG steps":                    second(NewPseudoInverse(Identity(Shape{1, 1, 1}), 1, 0)),
	}
	for want, err := range tests {
		require.ErrorContains(t, err, want)
	}
	require.Panics(t, func() { Identity(Shape{1, 1, 1}).Apply(make([]float32, 2), make([]float32, 1)) })
	// A window larger than the picture is fine when its non-zero part is not: 61 holds a radius of 12.
	require.NoError(t, second(NewBlur(13, 13, 3, k)))
}

func second[T any](_ T, err error) error { return err }

// TestSVD: U S V' is A, and V and U are orthogonal.
func TestSVD(t *testing.T) {
	for name, a := range all(13, 18, 3) {
		d := SVDOf(a)
		if d == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			in, out := a.In(), a.Out()
			x := randn(in.Len(), 5)
			want, got := make([]float32, out.Len()), make([]float32, out.Len())
			a.Apply(want, x)
			coef, back, s := make([]float32, in.Len()), make([]float32, in.Len()), make([]float32, out.Len())
			poison(coef)
			poison(back)
			d.V.Adjoint(coef, x)
			d.V.Apply(back, coef)
			for i := range x {
				require.InDelta(t, x[i], back[i], 1e-5)
			}
			for i, v := range coef {
				ch, px, py := i%in.C, i/in.C%in.W, i/in.C/in.W
				if py < out.H && px < out.W && ch < out.C {
					s[(py*out.W+px)*out.C+ch] = v * d.S[i]
				} else {
					require.Zero(t, d.S[i])
				}
			}
			d.U.Apply(got, s)
			for i := range want {
				require.InDelta(t, want[i], got[i], 2e-5)
			}
		})
	}
}

// norm is the largest singular value of a, by power iteration.
func norm(a Linear) float64 {
	x, y := randn(a.In().Len(), 3), make([]float32, a.Out().Len())
	n := 0.0
	for range 20 {
		s := float32(1 / math.Sqrt(Dot(x, x)))
		for i := range x {
			x[i] *= s
		}
		a.Apply(y, x)
		n = math.Sqrt(Dot(y, y))
		a.Adjoint(x, y)
	}
	return n
}

// TestNormalInverse: (A'A + lambda I) times the inverse is the identity, by both routes.
func TestNormalInverse(t *testing.T) {
	const lambda = 0.05
	for name, a := range all(16, 20, 3) {
		if name == "transposed" || norm(a) > 3 { // CG alone would need more steps for these
			continue
		}
		exact := must(NewNormalInverse(a, lambda, 200))
		for _, n := range []Linear{exact, &normalCG{a, lambda, 200}} {
			x := randn(a.In().Len(), 6)
			r, q, y := make([]float32, len(x)), make([]float32, len(x)), make([]float32, a.Out().Len())
			n.Apply(r, x)
			a.Apply(y, r)
			a.Adjoint(q, y)
			for i := range q {
				require.InDelta(t, x[i], q[i]+lambda*r[i], 1e-4, name)
			}
		}
	}
}

// TestPseudoInverse: for small lambda A B y is y where A has full row rank.
func TestPseudoInverse(t *testing.T) {
	a := must(NewSR(32, 24, 3, 4))
	b := must(NewPseudoInverse(a, 1e-6, 100))
	y := randn(a.Out().Len(), 8)
	x, z := make([]float32, a.In().Len()), make([]float32, len(y))
	b.Apply(x, y)
	a.Apply(z, x)
	for i := range y {
		require.InDelta(t, y[i], z[i], 1e-3)
	}
}

// TestDepths: the shortest way to a kept pixel, looked for among all of them; on a free grid it is this long.
func TestDepths(t *testing.T) {
	const h, w = 9, 13
	keep := must(RandomMask(h, w, 0.85, 3))
	for _, step := range [][2]int{{1, 1}, {3, 4}} {
		for p, got := range Depths(keep, h, w, int32(step[0]), int32(step[1])) {
			want := math.MaxInt
			for q, k := range keep {
				if k {
					dy, dx := max(p/w-q/w, q/w-p/w), max(p%w-q%w, q%w-p%w)
					want = min(want, min(dy, dx)*step[1]+(max(dy, dx)-min(dy, dx))*step[0])
				}
			}
			require.Equal(t, want, int(got), "pixel %d", p)
		}
	}
	require.Equal(t, []int32{15, 15, 15, 15, 15, 15}, Depths(make([]bool, 6), 2, 3, 3, 4))
}

func TestMasks(t *testing.T) {
	for _, f := range []float64{0, 0.3, 0.7, 1} {
		m := must(NewMask(20, 30, 3, must(RandomMask(20, 30, f, 5))))
		require.Equal(t, 3*(600-int(f*600)), MeasuredOf(m))
	}
	require.Equal(t, must(RandomMask(9, 9, 0.5, 5)), must(RandomMask(9, 9, 0.5, 5)))
	require.NotEqual(t, must(RandomMask(9, 9, 0.5, 5)), must(RandomMask(9, 9, 0.5, 6)))
	// The centred half-side box of 4x4 and the reference's margin for random ones.
	require.Equal(t, []bool{true, true, true, true, true, false, false, true, true,
		false, false, true, true, true, true, true},
		must(BoxMask(4, 4, 0.5, false, 0)))
	require.Equal(t, []bool{true, true, true, true, true, false, false, true},
		must(RectangleMask(2, 4, image.Rect(1, 1, 3, 2))))
	seen := map[int]bool{}
	for seed := range uint64(200) {
		keep := must(BoxMask(512, 512, 0.5, true, seed))
		first, dropped := -1, 0
		for i, k := range keep {
			if !k {
				dropped++
				if first < 0 {
					first = i
				}
			}
		}
		require.Equal(t, 256*256, dropped)
		y, x := first/512, first%512
		require.True(t, y >= 16 && y <= 240 && x >= 16 && x <= 240, "box at %d,%d", x, y)
		seen[first] = true
	}
	require.Greater(t, len(seen), 190)
	// A hole hides whatever is in it.
	m := must(NewMask(1, 2, 1, []bool{true, false}))
	dst := make([]float32, 2)
	m.Apply(dst, []float32{3, float32(math.NaN())})
	require.Equal(t, []float32{3, 0}, dst)
}

func TestMotionKernel(t *testing.T) {
	for seed := range uint64(50) {
		k := must(MotionKernel(61, float64(seed)/50, seed))
		var sum, mx, my float64
		taps := 0
		for i, v := range k.W {
			require.GreaterOrEqual(t, v, 0.0)
			sum, mx, my = sum+v, mx+v*float64(i%61), my+v*float64(i/61)
			if v > 0 {
				taps++
			}
		}
		require.InDelta(t, 1, sum, 1e-12)
		require.InDelta(t, 30, mx, 1e-6) // no shift of the picture
		require.InDelta(t, 30, my, 1e-6)
		require.Greater(t, taps, 30)
		require.Equal(t, k, must(MotionKernel(61, float64(seed)/50, seed)))
	}
}

func TestKernelFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k.png")
	k := must(MotionKernel(21, 0.5, 2))
	require.NoError(t, SaveKernel(path, k))
	got := must(LoadKernel(path))
	for i, v := range k.W {
		require.InDelta(t, v, got.W[i], 1e-5)
	}
	write := func(img image.Image) string {
		f := must(os.Create(path))
		require.NoError(t, png.Encode(f, img))
		require.NoError(t, f.Close())
		return path
	}
	require.ErrorContains(t, second(LoadKernel(write(image.NewGray(image.Rect(0, 0, 4, 4))))), "odd side")
	require.ErrorContains(t, second(LoadKernel(write(image.NewGray(image.Rect(0, 0, 5, 3))))), "square")
	require.ErrorContains(t, second(LoadKernel(write(image.NewGray(image.Rect(0, 0, 5, 5))))), "black")
	require.NoError(t, os.WriteFile(path, []byte("hello"), 0o600))
	require.ErrorContains(t, second(LoadKernel(path)), "not a readable PNG")
	require.ErrorContains(t, second(LoadKernel(filepath.Join(dir, "none.png"))), "none.png")
	require.Error(t, SaveKernel(filepath.Join(dir, "no", "k.png"), k))
	rgb := image.NewRGBA(image.Rect(0, 0, 3, 3))
	rgb.Set(1, 1, color.RGBA{255, 0, 0, 255})
	require.Equal(t, 1.0, must(LoadKernel(write(rgb))).W[4])
}

// TestKernelFileIsPointSpread: a bright point blurred by the kernel of a file looks like the file.
func TestKernelFileIsPointSpread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "psf.png")
	img := image.NewGray(image.Rect(0, 0, 5, 5))
	img.SetGray(2, 2, color.Gray{Y: 200})
	img.SetGray(3, 1, color.Gray{Y: 100})
	img.SetGray(4, 0, color.Gray{Y: 50})
	f := must(os.Create(path))
	require.NoError(t, png.Encode(f, img))
	require.NoError(t, f.Close())
	point := make([]float32, 9*9)
	point[4*9+4] = 1
	got := make([]float32, 9*9)
	for _, a := range []Linear{must(NewBlur(9, 9, 1, must(LoadKernel(path)))),
		must(NewCircularBlur(9, 9, 1, must(LoadKernel(path)), 1))} {
		a.Apply(got, point)
		for y := range 5 {
			for x := range 5 {
				require.InDelta(t, float64(img.GrayAt(x, y).Y)/350, got[(y+2)*9+x+2], 1e-6, "%d %d", x, y)
			}
		}
	}
}

func TestLineKernel(t *testing.T) {
	for _, angle := range []float64{0, 30, 45, 90, 135, -20, 400} {
		for _, length := range []float64{1, 2, 7.5, 15} {
			k := must(LineKernel(length, angle))
			var mx, my, sxx, syy, sxy float64
			r := float64(k.Size / 2)
			for i, v := range k.W {
				x, y := float64(i%k.Size)-r, r-float64(i/k.Size) // y upwards
				mx, my, sxx, syy, sxy = mx+v*x, my+v*y, sxx+v*x*x, syy+v*y*y, sxy+v*x*y
			}
			sin, cos := math.Sincos(angle * math.Pi / 180)
			// The variance of an even line of length-1, and at most a quarter for the pixels' width.
			along := (length - 1) * (length - 1) / 12
			require.InDelta(t, 0, mx, 1e-9)
			require.InDelta(t, 0, my, 1e-9)
			require.InDelta(t, along, sxx*cos*cos+2*sxy*sin*cos+syy*sin*sin, 0.25+0.05*along, "%v %v", length, angle)
			require.InDelta(t, 0, sxx*sin*sin-2*sxy*sin*cos+syy*cos*cos, 0.25)
		}
	}
	require.Equal(t, 1.0, slices.Max(must(LineKernel(1, 20)).W))
	require.ErrorContains(t, second(LineKernel(0, 0)), "length 0")
	require.ErrorContains(t, second(LineKernel(5, math.NaN())), "angle NaN")
}

func TestNoise(t *testing.T) {
	y := make([]float32, 60000)
	AddGaussian(y, 0.05, 3)
	mean, std := stats(y)
	require.InDelta(t, 0, mean, 1e-3)
	require.InDelta(t, 0.05, std, 5e-4)
	again := make([]float32, len(y))
	AddGaussian(again, 0.05, 3)
	require.Equal(t, y, again)
	// Poisson of mean m on the photon scale: value 2*n/peak-1 has mean v and std 2*sqrt(m)/peak; both branches.
	for _, peak := range []float64{40, 4000} {
		for i := range y {
			y[i] = 0.5
		}
		AddPoisson(y, peak, 4)
		mean, std = stats(y)
		want := 2 * math.Sqrt(peak*0.75) / peak
		require.InDelta(t, 0.5, mean, want*0.02)
		require.InDelta(t, want, std, want*0.02)
	}
	clear(y)
	AddSaltPepper(y, 3, 0.2, 5)
	n := map[float32]int{}
	for i := 0; i < len(y); i += 3 {
		n[y[i]]++
		require.Equal(t, y[i], y[i+2])
	}
	require.Len(t, n, 3)
	require.InDelta(t, 0.1, float64(n[1])/20000, 0.01)
	require.InDelta(t, 0.1, float64(n[-1])/20000, 0.01)
}

func stats(y []float32) (mean, std float64) {
	var s, q float64
	for _, v := range y {
		s, q = s+float64(v), q+float64(v)*float64(v)
	}
	mean = s / float64(len(y))
	return mean, math.Sqrt(q/float64(len(y)) - mean*mean)
}

func BenchmarkOperators(b *testing.B) {
	for _, n := range []int{64, 256, 512} {
		for name, a := range map[string]Linear{
			"sr4":    must(NewSR(n, n, 3, 4)),
			"gauss":  must(NewBlur(n, n, 3, must(Gaussian(61, 3)))),
			"motion": must(NewBlur(n, n, 3, must(MotionKernel(61, 0.5, 1)))),
		} {
			x, y := make([]float32, a.In().Len()), make([]float32, a.Out().Len())
			b.Run(fmt.Sprint(name, n, "/apply"), func(b *testing.B) {
				for b.Loop() {
					a.Apply(y, x)
				}
			})
			b.Run(fmt.Sprint(name, n, "/adjoint"), func(b *testing.B) {
				for b.Loop() {
					a.Adjoint(x, y)
				}
			})
		}
	}
}

// TestKernelWidth: a Gaussian's is its deviation, that of a straight line of n pixels, over both axes, (n^2-1)/24.
func TestKernelWidth(t *testing.T) {
	for _, std := range []float64{0.8, 2, 5} {
		k, err := Gaussian(81, std)
		require.NoError(t, err)
		require.InDelta(t, std, k.Width(), 0.01)
	}
	line := &Kernel{Size: 9, W: make([]float64, 81)}
	for i := range 9 {
		line.W[4*9+i] = 2 // what they sum to does not matter
	}
	require.InDelta(t, math.Sqrt(80.0/24), line.Width(), 1e-9)
}
