package operator

import (
	"context"
	"fmt"
	"math"
	"math/cmplx"
	"slices"
	"sync"

	"gonum.org/v1/gonum/dsp/fourier"

	"psld/internal/parallel"
	"psld/tensor"
)

// NewCircularBlur returns a blur of h x w pictures with c channels whose borders wrap around, followed by taking every
// stride-th pixel of both axes, from the upper left one on: a correlation (the kernel is not flipped), computed by the
// fast Fourier transform in float64. stride 1 is a blur; 2, 4 and 8 are the down-sampling of the DPIR and DiffPIR
// papers. The kernel may be larger than the picture. stride must divide both sides.
func NewCircularBlur(h, w, c int, k *Kernel, stride int) (Linear, error) {
	if err := checkShape(Shape{h, w, c}); err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	if stride < 1 || h%stride != 0 || w%stride != 0 {
		return nil, fmt.Errorf("operator: stride %d must be at least 1 and divide both sides of the %dx%d picture",
			stride, w, h)
	}
	b := &circular{in: Shape{h, w, c}, out: Shape{h / stride, w / stride, c}, stride: stride,
		kernel: Kernel{k.Size, slices.Clone(k.W)},
		fft:    newFFT2(h, w), small: newFFT2(h/stride, w/stride), transfer: make([]complex128, h*w)}
	for i, v := range k.W {
		y, x := wrap(k.Size/2-i/k.Size, h), wrap(k.Size/2-i%k.Size, w)
		b.transfer[y*w+x] += complex(v, 0)
	}
	b.fft.forward(b.transfer)
	b.gram = make([]float64, b.out.H*b.out.W)
	for i, t := range b.transfer { // frequencies that sampling folds onto one another
		at := i/w%b.out.H*b.out.W + i%w%b.out.W
		b.gram[at] += (real(t)*real(t) + imag(t)*imag(t)) / float64(stride*stride)
	}
	return b, nil
}

// wrap folds index j into [0,n) by going around.
func wrap(j, n int) int { return (j%n + n) % n }

// circular is a circular correlation and then sampling.
type circular struct {
	in, out    Shape
	stride     int
	fft, small *fft2        // of the picture and of the measurement
	transfer   []complex128 // [H][W] of the picture, the spectrum of the correlation
	gram       []float64    // [H][W] of the measurement, the spectrum of A A'
	kernel     Kernel
	chains     chains
}

func (b *circular) In() Shape  { return b.in }
func (b *circular) Out() Shape { return b.out }

func (b *circular) Apply(dst, x []float32) {
	check(dst, x, b.out, b.in)
	for ch := 0; ch < b.in.C; ch += 2 {
		store(dst, b.out.C, ch, b.apply(load(x, b.in.C, ch)))
	}
}

func (b *circular) Adjoint(dst, y []float32) {
	check(dst, y, b.in, b.out)
	for ch := 0; ch < b.in.C; ch += 2 {
		store(dst, b.in.C, ch, b.adjoint(load(y, b.out.C, ch)))
	}
}

// Prox implements Proximal: with sampling, A A' is a circular convolution of the measurement whose spectrum is the
// mean of the |transfer|^2 that sampling folds onto one another.
func (b *circular) Prox(_ context.Context, dst, z, y []float32, rho float64) error {
	checkProx(b, dst, z, y, rho)
	for ch := 0; ch < b.in.C; ch += 2 {
		r, az := load(y, b.out.C, ch), b.apply(load(z, b.in.C, ch))
		for i, v := range az {
			r[i] -= v
		}
		b.small.forward(r)
		for i, g := range b.gram {
			r[i] /= complex(g+rho, 0)
		}
		b.small.inverse(r)
		x := b.adjoint(r)
		for i, v := range load(z, b.in.C, ch) {
			x[i] += v
		}
		store(dst, b.in.C, ch, x)
	}
	return nil
}

// apply is A of two channels, the second one as the imaginary part: [H][W] of the picture to that of the measurement.
// It overwrites x.
func (b *circular) apply(x []complex128) []complex128 {
	b.fft.forward(x)
	for i, t := range b.transfer {
		x[i] *= t
	}
	b.fft.inverse(x)
	if b.stride == 1 {
		return x
	}
	y := make([]complex128, b.out.H*b.out.W)
	for i := range y {
		y[i] = x[(i/b.out.W*b.in.W+i%b.out.W)*b.stride]
	}
	return y
}

// adjoint is A' of two channels. It may overwrite y.
func (b *circular) adjoint(y []complex128) []complex128 {
	x := y
	if b.stride > 1 {
		x = make([]complex128, b.in.H*b.in.W)
		for i, v := range y {
			x[(i/b.out.W*b.in.W+i%b.out.W)*b.stride] = v
		}
	}
	b.fft.forward(x)
	for i, t := range b.transfer {
		x[i] *= cmplx.Conj(t)
	}
	b.fft.inverse(x)
	return x
}

// direct is A and A' as sparse matrices: those of two passes for a kernel of rank one.
func (b *circular) direct() (forward, adjoint []*tensor.Sparse) {
	k, r := &b.kernel, b.kernel.Size/2
	if col, row, ok := k.factors(); ok {
		axis := func(n int, line []float64) table {
			return newTable(n/b.stride, n, func(i int) (idx []int, w []float64) {
				for d, v := range line {
					idx, w = append(idx, wrap(i*b.stride+d-r, n)), append(w, v)
				}
				return idx, w
			})
		}
		s := newSeparable(b.in.C, axis(b.in.H, col), axis(b.in.W, row))
		return s.forward, s.adjoint
	}
	// Offsets that differ by the picture's sides fall together; of those take the nearest.
	sum := map[[2]int]float64{}
	var order [][2]int
	for i, v := range k.W {
		at := [2]int{wrap(i/k.Size-r, b.in.H), wrap(i%k.Size-r, b.in.W)}
		if _, there := sum[at]; !there && v != 0 {
			order = append(order, at)
		}
		if v != 0 {
			sum[at] += v
		}
	}
	near := func(j, n int) int {
		if j > n/2 {
			return j - n
		}
		return j
	}
	var taps []tap
	for _, at := range order {
		taps = append(taps, tap{near(at[0], b.in.H), near(at[1], b.in.W), float32(sum[at])})
	}
	return correlation(b.in, taps, b.stride, wrap)
}

// load takes channel ch as real and the next one, where there is one, as imaginary part.
func load(x []float32, c, ch int) []complex128 {
	r := make([]complex128, len(x)/c)
	for i := range r {
		var im float32
		if ch+1 < c {
			im = x[i*c+ch+1]
		}
		r[i] = complex(float64(x[i*c+ch]), float64(im))
	}
	return r
}

// store is the inverse of load.
func store(dst []float32, c, ch int, x []complex128) {
	for i, v := range x {
		dst[i*c+ch] = float32(real(v))
		if ch+1 < c {
			dst[i*c+ch+1] = float32(imag(v))
		}
	}
}

// SVD implements Decomposed for blurs without sampling: the singular vectors are real Fourier waves, those of U turned
// by the phase of the transfer function, and the singular values its size.
func (b *circular) SVD() *SVD {
	if b.stride > 1 {
		return nil
	}
	phase, s := make([]complex128, len(b.transfer)), make([]float32, b.in.Len())
	for i, t := range b.transfer {
		r := cmplx.Abs(t)
		if phase[i] = 1; r > 0 {
			phase[i] = t / complex(r, 0)
		}
		for ch := range b.in.C {
			s[i*b.in.C+ch] = float32(r)
		}
	}
	return &SVD{U: &waves{b.in, b.fft, phase}, V: &waves{b.in, b.fft, nil}, S: s}
}

// waves is the orthogonal map from coefficients of real Fourier waves to pictures. The coefficient at frequency k
// holds the real part, that at -k the imaginary part of one pair of conjugate frequencies.
type waves struct {
	shape Shape
	fft   *fft2
	phase []complex128 // turns each frequency; nil for none
}

func (v *waves) In() Shape  { return v.shape }
func (v *waves) Out() Shape { return v.shape }

// mirrored is the index of frequency -k.
func (v *waves) mirrored(k int) int {
	h, w := v.shape.H, v.shape.W
	return (h-k/w)%h*w + (w-k%w)%w
}

func (v *waves) Apply(dst, coef []float32) {
	check(dst, coef, v.shape, v.shape)
	c, x := v.shape.C, make([]complex128, v.shape.H*v.shape.W)
	scale := math.Sqrt(float64(len(x)))
	for ch := range c {
		for k := range x {
			switch m := v.mirrored(k); {
			case m == k:
				x[k] = complex(float64(coef[k*c+ch])*scale, 0)
			case k < m:
				x[k] = complex(float64(coef[k*c+ch]), float64(coef[m*c+ch])) * complex(scale/math.Sqrt2, 0)
				x[m] = cmplx.Conj(x[k])
			}
		}
		for k, p := range v.phase {
			x[k] *= p
		}
		v.fft.inverse(x)
		for i, t := range x {
			dst[i*c+ch] = float32(real(t))
		}
	}
}

func (v *waves) Adjoint(coef, x []float32) {
	check(coef, x, v.shape, v.shape)
	c, t := v.shape.C, make([]complex128, v.shape.H*v.shape.W)
	scale := 1 / math.Sqrt(float64(len(t)))
	for ch := range c {
		for i := range t {
			t[i] = complex(float64(x[i*c+ch])*scale, 0)
		}
		v.fft.forward(t)
		for k, p := range v.phase {
			t[k] *= cmplx.Conj(p)
		}
		for k, f := range t {
			switch m := v.mirrored(k); {
			case m == k:
				coef[k*c+ch] = float32(real(f))
			case k < m:
				coef[k*c+ch], coef[m*c+ch] = float32(math.Sqrt2*real(f)), float32(math.Sqrt2*imag(f))
			}
		}
	}
}

// fft2 is the discrete Fourier transform of h x w values.
type fft2 struct {
	h, w           int
	alongX, alongY sync.Pool // of *fourier.CmplxFFT, which holds memory of its own
}

func newFFT2(h, w int) *fft2 {
	f := &fft2{h: h, w: w}
	f.alongX.New = func() any { return fourier.NewCmplxFFT(w) }
	f.alongY.New = func() any { return fourier.NewCmplxFFT(h) }
	return f
}

func (f *fft2) forward(x []complex128) {
	f.transform(x, func(p *fourier.CmplxFFT, v []complex128) { p.Coefficients(v, v) })
}

// inverse includes the division by h*w.
func (f *fft2) inverse(x []complex128) {
	f.transform(x, func(p *fourier.CmplxFFT, v []complex128) { p.Sequence(v, v) })
	scale := complex(1/float64(f.h*f.w), 0)
	for i := range x {
		x[i] *= scale
	}
}

func (f *fft2) transform(x []complex128, line func(p *fourier.CmplxFFT, v []complex128)) {
	work := 8 * len(x)
	parallel.Rows(f.h, work, func(r int) {
		p := f.alongX.Get().(*fourier.CmplxFFT)
		line(p, x[r*f.w:(r+1)*f.w])
		f.alongX.Put(p)
	})
	const block = 8 // columns at a time: neighbours share lines of the cache
	parallel.Rows((f.w+block-1)/block, work, func(b int) {
		p, v := f.alongY.Get().(*fourier.CmplxFFT), make([]complex128, block*f.h)
		from, n := b*block, min(block, f.w-b*block)
		for r := range f.h {
			for j, t := range x[r*f.w+from : r*f.w+from+n] {
				v[j*f.h+r] = t
			}
		}
		for j := range n {
			line(p, v[j*f.h:(j+1)*f.h])
		}
		for r := range f.h {
			for j := range n {
				x[r*f.w+from+j] = v[j*f.h+r]
			}
		}
		f.alongY.Put(p)
	})
}
