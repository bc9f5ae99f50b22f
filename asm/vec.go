package asm

//go:generate go run gen/vec.go gen/vec_table.go gen/constants.go gen/loops.go
//go:generate go run gen/vec_arm64.go gen/constants.go gen/loops.go

// vecKernels is one tier's element-wise, row and reduction kernels. The
// exported functions below check lengths and call them; a kernel may rely on
// what they check. Slices come first, scalars after, so that the assembly has
// one argument layout. In the row kernels the length of the per-column vectors
// is the row length c.
type vecKernels struct {
	add, sub, mul                      func(dst, a, b []float32)
	axpy, scale, lerp                  func(dst, x []float32, t float32)
	dot                                func(a, b []float32) float64 // at most block elements
	sum, sumSq                         func(x []float32) float64    // at most block elements
	zeroTimes                          func(x []float32) float64
	exp, silu                          func(dst, x []float32)
	gelu, quickGELU, tanh, abs, relu   func(dst, x []float32)
	clamp                              func(dst, x []float32, lo, hi float32)
	siluGrad, geluGrad, quickGELUGrad  func(dst, x, dy []float32)
	expGrad, tanhGrad                  func(dst, x, dy []float32)
	absGrad, reluGrad                  func(dst, x, dy []float32)
	clampGrad                          func(dst, x, dy []float32, lo, hi float32)
	scaleShiftRows, scaleShiftSiLURows func(dst, x, scale, shift []float32)
	siluGradRows                       func(dst, x, dy, scale, shift []float32)
	linearRows                         func(dst, u, v, a, b, d []float32)
	addRows                            func(dst, x, v []float32)
	mulRows                            func(dst, scale []float32)
	colSum                             func(sum, x []float32)
	colMoments                         func(s1, s2, mean, x []float32)
	colSum2                            func(s1, s2, mean, dy, x []float32)
	softmaxRows                        func(dst, x, tmp []float32, c int)
	softmaxGradRows                    func(dst, dy, y []float32, c int)
	layerNormRows                      func(dst, stats, x, gamma, beta []float32, c int, eps, invC float32)
	layerNormGradRows                  func(dst, dy, x, stats, gamma []float32, c int, invC float32)
	layerNormGammaRows                 func(dst, dy, x, stats []float32, c int)
	gegluRows                          func(dst, x, gate []float32, c int)
	gegluGradRows                      func(dx, dgate, dy, x, gate []float32, c int)
	f16ToF32, bf16ToF32                func(dst []float32, src []uint16) // a multiple of 16 elements
	i8ToF32                            func(dst []float32, src []int8)   // a multiple of 16 elements
	f32ToF16, f32ToBF16                func(dst []uint16, src []float32) // a multiple of 16 elements
	adamW                              func(p, m, v, g []float32, lr, b1, nb1, b2, nb2, eps, wd, ic1, ic2 float32)
}

// vec is the tier in use; see use.
var vec *vecKernels

// block is how many elements a reduction adds in float32 lanes before the
// partial sum goes into a float64. It bounds the error of Sum, SumSq and Dot
// by about block/32 roundings of the sum of absolute values of one block.
const block = 2048

func same(name string, n int, lens ...int) {
	for _, l := range lens {
		if l != n {
			panic("asm: " + name + ": slices of different length")
		}
	}
}

// rowsOf checks that n elements are whole rows of c, and that every per-column
// vector has c elements.
func rowsOf(name string, n, c int, lens ...int) {
	if c < 1 || n%c != 0 {
		panic("asm: " + name + ": data is not whole rows of c elements")
	}
	for _, l := range lens {
		if l != c {
			panic("asm: " + name + ": per-column vector is not c long")
		}
	}
}

// In all element-wise and row functions dst may be the same slice as an input;
// partly overlapping slices are not allowed. Lengths must be equal; a mistake
// panics. Infinities and NaNs go through as the formula says unless noted.
//
// Results of 65536 elements and more in one call are stored past the caches where that
// is possible: for tensors larger than those, give large parts, else small ones.

// Add computes dst = a + b.
//
//	for i := range dst {
//		dst[i] = a[i] + b[i]
//	}
func Add(dst, a, b []float32) {
	same("Add", len(dst), len(a), len(b))
	vec.add(dst, a, b)
}

// Sub computes dst = a - b.
//
//	for i := range dst {
//		dst[i] = a[i] - b[i]
//	}
func Sub(dst, a, b []float32) {
	same("Sub", len(dst), len(a), len(b))
	vec.sub(dst, a, b)
}

// Mul computes dst = a * b.
//
//	for i := range dst {
//		dst[i] = a[i] * b[i]
//	}
func Mul(dst, a, b []float32) {
	same("Mul", len(dst), len(a), len(b))
	vec.mul(dst, a, b)
}

// Axpy computes dst += alpha*x (one rounding in the assembly tiers, two in the
// generic one).
//
//	for i := range dst {
//		dst[i] += alpha * x[i]
//	}
func Axpy(dst []float32, alpha float32, x []float32) {
	same("Axpy", len(dst), len(x))
	vec.axpy(dst, x, alpha)
}

// Scale computes dst = alpha*x.
//
//	for i := range dst {
//		dst[i] = alpha * x[i]
//	}
func Scale(dst []float32, alpha float32, x []float32) {
	same("Scale", len(dst), len(x))
	vec.scale(dst, x, alpha)
}

// Lerp moves dst towards x: dst += t*(x-dst). With t = 1-decay it is the step
// of an exponential moving average.
//
//	for i := range dst {
//		dst[i] += t * (x[i] - dst[i])
//	}
func Lerp(dst, x []float32, t float32) {
	same("Lerp", len(dst), len(x))
	vec.lerp(dst, x, t)
}

// Dot is the inner product of a and b, in a fixed order for one tier: blocks
// of 2048 in float32 lanes, blocks added in float64. Measured error is below
// 2e-7 of the sum of |a*b|.
//
//	s := 0.0
//	for i := range a {
//		s += a[i] * b[i]
//	}
//	return s
func Dot(a, b []float32) float64 {
	same("Dot", len(a), len(b))
	var s float64
	for len(a) > block {
		s += vec.dot(a[:block], b[:block])
		a, b = a[block:], b[block:]
	}
	return s + vec.dot(a, b)
}

// Sum adds x, in the order and with the error of [Dot].
//
//	s := 0.0
//	for i := range x {
//		s += x[i]
//	}
//	return s
func Sum(x []float32) float64 {
	var s float64
	for len(x) > block {
		s += vec.sum(x[:block])
		x = x[block:]
	}
	return s + vec.sum(x)
}

// SumSq adds the squares of x, in the order and with the error of [Dot].
//
//	s := 0.0
//	for i := range x {
//		s += x[i] * x[i]
//	}
//	return s
func SumSq(x []float32) float64 {
	var s float64
	for len(x) > block {
		s += vec.sumSq(x[:block])
		x = x[block:]
	}
	return s + vec.sumSq(x)
}

// HasNonFinite reports whether x holds a NaN or an infinity.
//
//	for _, v := range x {
//		if v-v != 0 {
//			return true
//		}
//	}
//	return false
func HasNonFinite(x []float32) bool {
	const step = 1 << 16 // stop early, yet rarely
	for len(x) > 0 {
		n := min(step, len(x))
		if vec.zeroTimes(x[:n]) != 0 { // 0*Inf and 0*NaN are NaN
			return true
		}
		x = x[n:]
	}
	return false
}

// Exp computes dst = e^x, within 1.1 ulp of the true value where that is a
// normal number (measured over [-87, 88.7]). Above 88.73 it is +Inf, below
// -104 it is 0; NaN stays.
//
//	for i := range dst {
//		dst[i] = exp(x[i])
//	}
func Exp(dst, x []float32) {
	same("Exp", len(dst), len(x))
	vec.exp(dst, x)
}

// SiLU computes dst = x/(1+e^-x), within 3 ulp for x > -87. Below that, -Inf
// included, the value is about -1e-36 in the assembly tiers and 0 in the
// generic one.
//
//	for i := range dst {
//		dst[i] = x[i] / (1 + exp(-x[i]))
//	}
func SiLU(dst, x []float32) {
	same("SiLU", len(dst), len(x))
	vec.silu(dst, x)
}

// SiLUGrad computes dst = dy*silu'(x), silu' within 2.5e-7 absolute. silu'(±Inf)
// is 1 and about 0.
//
//	for i := range dst {
//		s := 1 / (1 + exp(-x[i]))
//		dst[i] = dy[i] * s * (1 + x[i]*(1-s))
//	}
func SiLUGrad(dst, x, dy []float32) {
	same("SiLUGrad", len(dst), len(x), len(dy))
	vec.siluGrad(dst, x, dy)
}

// GELU computes dst = x*Phi(x), Phi the normal distribution function: the exact
// form, not the one with tanh. Measured error is within 4 ulp for positive x,
// 16 ulp down to -5, and 1e-9 absolute beyond. GELU(-Inf) is about 0.
//
//	for i := range dst {
//		dst[i] = x[i] * (1 + erf(x[i]/sqrt2)) / 2
//	}
func GELU(dst, x []float32) {
	same("GELU", len(dst), len(x))
	vec.gelu(dst, x)
}

// GELUGrad computes dst = dy*(Phi(x)+x*phi(x)), the factor of dy within 2e-7.
// At ±Inf that is 1 and about 0.
//
//	for i := range dst {
//		phi := exp(-x[i]*x[i]/2) / sqrt(2*pi)
//		dst[i] = dy[i] * ((1+erf(x[i]/sqrt2))/2 + x[i]*phi)
//	}
func GELUGrad(dst, x, dy []float32) {
	same("GELUGrad", len(dst), len(x), len(dy))
	vec.geluGrad(dst, x, dy)
}

// quickK is the constant of QuickGELU.
const quickK = 1.702

// QuickGELU computes dst = x*sigmoid(1.702x), the activation of CLIP's ViT-B/L
// models, within 24 ulp on [-10, 10]; QuickGELU(-Inf) is about 0.
//
//	for i := range dst {
//		dst[i] = x[i] / (1 + exp(-1.702*x[i]))
//	}
func QuickGELU(dst, x []float32) {
	same("QuickGELU", len(dst), len(x))
	vec.quickGELU(dst, x)
}

// QuickGELUGrad computes dst = dy times the derivative of [QuickGELU] at x.
//
//	for i := range dst {
//		s := 1 / (1 + exp(-1.702*x[i]))
//		dst[i] = dy[i] * s * (1 + 1.702*x[i]*(1-s))
//	}
func QuickGELUGrad(dst, x, dy []float32) {
	same("QuickGELUGrad", len(dst), len(x), len(dy))
	vec.quickGELUGrad(dst, x, dy)
}

// ExpGrad computes dst = dy*e^x, the factor of dy as by [Exp].
//
//	for i := range dst {
//		dst[i] = dy[i] * exp(x[i])
//	}
func ExpGrad(dst, x, dy []float32) {
	same("ExpGrad", len(dst), len(x), len(dy))
	vec.expGrad(dst, x, dy)
}

// Tanh computes the hyperbolic tangent, within 3 ulp.
//
//	for i := range dst {
//		dst[i] = tanh(x[i])
//	}
func Tanh(dst, x []float32) {
	same("Tanh", len(dst), len(x))
	vec.tanh(dst, x)
}

// TanhGrad computes dst = dy*(1-tanh(x)^2), the factor of dy within 2.5e-7.
//
//	for i := range dst {
//		dst[i] = dy[i] * (1 - tanh(x[i])*tanh(x[i]))
//	}
func TanhGrad(dst, x, dy []float32) {
	same("TanhGrad", len(dst), len(x), len(dy))
	vec.tanhGrad(dst, x, dy)
}

// Abs computes dst = |x|.
//
//	for i := range dst {
//		dst[i] = abs(x[i])
//	}
func Abs(dst, x []float32) {
	same("Abs", len(dst), len(x))
	vec.abs(dst, x)
}

// AbsGrad computes dst = dy where x > 0, -dy where x < 0, else 0.
//
//	for i := range dst {
//		dst[i] = dy[i] * sign(x[i]) // 0 at 0
//	}
func AbsGrad(dst, x, dy []float32) {
	same("AbsGrad", len(dst), len(x), len(dy))
	vec.absGrad(dst, x, dy)
}

// ReLU computes dst = max(x, 0).
//
//	for i := range dst {
//		dst[i] = max(x[i], 0)
//	}
func ReLU(dst, x []float32) {
	same("ReLU", len(dst), len(x))
	vec.relu(dst, x)
}

// ReLUGrad computes dst = dy where x > 0, else 0.
//
//	for i := range dst {
//		dst[i] = 0
//		if x[i] > 0 {
//			dst[i] = dy[i]
//		}
//	}
func ReLUGrad(dst, x, dy []float32) {
	same("ReLUGrad", len(dst), len(x), len(dy))
	vec.reluGrad(dst, x, dy)
}

// Clamp computes dst = min(max(x, lo), hi).
//
//	for i := range dst {
//		dst[i] = min(max(x[i], lo), hi)
//	}
func Clamp(dst, x []float32, lo, hi float32) {
	same("Clamp", len(dst), len(x))
	vec.clamp(dst, x, lo, hi)
}

// ClampGrad computes dst = dy where lo <= x <= hi, else 0.
//
//	for i := range dst {
//		dst[i] = 0
//		if lo <= x[i] && x[i] <= hi {
//			dst[i] = dy[i]
//		}
//	}
func ClampGrad(dst, x, dy []float32, lo, hi float32) {
	same("ClampGrad", len(dst), len(x), len(dy))
	vec.clampGrad(dst, x, dy, lo, hi)
}

// ScaleShiftRows computes dst = x*scale[j] + shift[j] on x[rows][c], j the
// column.
//
//	for i := range dst {
//		j := i % c
//		dst[i] = x[i]*scale[j] + shift[j]
//	}
func ScaleShiftRows(dst, x, scale, shift []float32, c int) {
	same("ScaleShiftRows", len(dst), len(x))
	rowsOf("ScaleShiftRows", len(x), c, len(scale), len(shift))
	vec.scaleShiftRows(dst, x, scale, shift)
}

// ScaleShiftSiLURows computes dst = silu(x*scale[j] + shift[j]) on x[rows][c].
//
//	for i := range dst {
//		j := i % c
//		dst[i] = silu(x[i]*scale[j] + shift[j])
//	}
func ScaleShiftSiLURows(dst, x, scale, shift []float32, c int) {
	same("ScaleShiftSiLURows", len(dst), len(x))
	rowsOf("ScaleShiftSiLURows", len(x), c, len(scale), len(shift))
	vec.scaleShiftSiLURows(dst, x, scale, shift)
}

// SiLUGradRows computes dst = dy*silu'(x*scale[j] + shift[j]) on x[rows][c].
//
//	for i := range dst {
//		j := i % c
//		dst[i] = dy[i] * siluGrad(x[i]*scale[j]+shift[j])
//	}
func SiLUGradRows(dst, x, scale, shift, dy []float32, c int) {
	same("SiLUGradRows", len(dst), len(x), len(dy))
	rowsOf("SiLUGradRows", len(x), c, len(scale), len(shift))
	vec.siluGradRows(dst, x, dy, scale, shift)
}

// LinearRows computes dst = a[j]*u + b[j]*v + d[j] on u, v[rows][c].
//
//	for i := range dst {
//		j := i % c
//		dst[i] = a[j]*u[i] + b[j]*v[i] + d[j]
//	}
func LinearRows(dst, u, a, v, b, d []float32, c int) {
	same("LinearRows", len(dst), len(u), len(v))
	rowsOf("LinearRows", len(u), c, len(a), len(b), len(d))
	vec.linearRows(dst, u, v, a, b, d)
}

// MulRows multiplies the rows of dst[rows][c] by scale, which is c long.
//
//	for i := range dst {
//		j := i % c
//		dst[i] *= scale[j]
//	}
func MulRows(dst, scale []float32) {
	rowsOf("MulRows", len(dst), len(scale))
	vec.mulRows(dst, scale)
}

// AddRows computes dst = x + v[j] on x[rows][c].
//
//	for i := range dst {
//		j := i % c
//		dst[i] = x[i] + v[j]
//	}
func AddRows(dst, x, v []float32, c int) {
	same("AddRows", len(dst), len(x))
	rowsOf("AddRows", len(x), c, len(v))
	vec.addRows(dst, x, v)
}

// GEGLURows computes dst[rows][c] = x[:,:c] * gelu(x[:,c:]) of x[rows][2c], with the error of [GELU].
//
//	for i := range dst {
//		k := i/c*2*c + i%c
//		dst[i] = x[k] * gelu(x[k+c])
//	}
func GEGLURows(dst, x []float32, c int) {
	rowsOf("GEGLURows", len(dst), c)
	same("GEGLURows", 2*len(dst), len(x))
	if len(dst) > 0 {
		vec.gegluRows(dst, x, x[c:], c)
	}
}

// GEGLUGradRows computes the gradient dx[rows][2c] of [GEGLURows] from dy[rows][c], with the
// errors of [GELU] and [GELUGrad].
//
//	for i := range dy {
//		k := i/c*2*c + i%c
//		dx[k] = dy[i] * gelu(x[k+c])
//		dx[k+c] = dy[i] * x[k] * geluGrad(x[k+c])
//	}
func GEGLUGradRows(dx, dy, x []float32, c int) {
	rowsOf("GEGLUGradRows", len(dy), c)
	same("GEGLUGradRows", 2*len(dy), len(x), len(dx))
	if len(dy) > 0 {
		vec.gegluGradRows(dx, dx[c:], dy, x, x[c:], c)
	}
}

// Functions that normalise rows add c numbers up in 16 float32 lanes or more.

// SoftmaxRows computes dst = e^x over its sum, for each row of x[rows][c]. tmp has c elements and is
// overwritten. Measured error: 3 ulp and c/16 roundings of the sum. A NaN or +Inf makes
// its row NaN.
//
//	for r := 0; r < len(x); r += c {
//		top, sum := max(x[r:r+c]...), 0
//		for i := r; i < r+c; i++ {
//			tmp[i-r] = exp(x[i] - top)
//			sum += tmp[i-r]
//		}
//		for i := r; i < r+c; i++ {
//			dst[i] = tmp[i-r] / sum
//		}
//	}
func SoftmaxRows(dst, x, tmp []float32, c int) {
	same("SoftmaxRows", len(dst), len(x))
	rowsOf("SoftmaxRows", len(x), c, len(tmp))
	vec.softmaxRows(dst, x, tmp, c)
}

// SoftmaxGradRows computes dst = y*(dy - <y, dy>) for each row of y, dy[rows][c].
//
//	for r := 0; r < len(y); r += c {
//		inner := dot(y[r:r+c], dy[r:r+c])
//		for i := r; i < r+c; i++ {
//			dst[i] = y[i] * (dy[i] - inner)
//		}
//	}
func SoftmaxGradRows(dst, dy, y []float32, c int) {
	same("SoftmaxGradRows", len(dst), len(dy), len(y))
	rowsOf("SoftmaxGradRows", len(y), c)
	vec.softmaxGradRows(dst, dy, y, c)
}

// LayerNormRows computes dst = (x-mean)*rstd*gamma[j] + beta[j] with each row's own mean and
// rstd = 1/sqrt(variance+eps), which are stored in stats[rows][2]. The variance is that of deviations from a
// mean rounded to float32, corrected for the rounding: a large mean does no harm.
//
//	for r := 0; r < len(x); r += c {
//		mean := sum(x[r:r+c]) / c
//		rstd := 1 / sqrt(sumOfSquares(x[r:r+c]-mean)/c+eps)
//		stats[2*r/c], stats[2*r/c+1] = mean, rstd
//		for i := r; i < r+c; i++ {
//			dst[i] = (x[i]-mean)*rstd*gamma[i-r] + beta[i-r]
//		}
//	}
func LayerNormRows(dst, stats, x, gamma, beta []float32, c int, eps float32) {
	same("LayerNormRows", len(dst), len(x))
	rowsOf("LayerNormRows", len(x), c, len(gamma), len(beta))
	same("LayerNormRows", 2*(len(x)/c), len(stats))
	vec.layerNormRows(dst, stats, x, gamma, beta, c, eps, 1/float32(c))
}

// LayerNormGradRows computes the gradient to x of [LayerNormRows] from dy[rows][c] and the stats that it stored.
//
//	for r := 0; r < len(x); r += c {
//		mean, rstd, s1, s2 := stats[2*r/c], stats[2*r/c+1], 0, 0
//		for i := r; i < r+c; i++ {
//			s1 += dy[i] * gamma[i-r] / c
//			s2 += dy[i] * gamma[i-r] * (x[i] - mean) * rstd / c
//		}
//		for i := r; i < r+c; i++ {
//			dst[i] = rstd * (dy[i]*gamma[i-r] - s1 - (x[i]-mean)*rstd*s2)
//		}
//	}
func LayerNormGradRows(dst, dy, x, stats, gamma []float32, c int) {
	same("LayerNormGradRows", len(dst), len(dy), len(x))
	rowsOf("LayerNormGradRows", len(x), c, len(gamma))
	same("LayerNormGradRows", 2*(len(x)/c), len(stats))
	vec.layerNormGradRows(dst, dy, x, stats, gamma, c, 1/float32(c))
}

// LayerNormGammaRows computes dst = dy*(x-mean)*rstd, whose column sums are the gradient to gamma.
//
//	for r := 0; r < len(x); r += c {
//		mean, rstd := stats[2*r/c], stats[2*r/c+1]
//		for i := r; i < r+c; i++ {
//			dst[i] = dy[i] * (x[i] - mean) * rstd
//		}
//	}
func LayerNormGammaRows(dst, dy, x, stats []float32, c int) {
	same("LayerNormGammaRows", len(dst), len(dy), len(x))
	rowsOf("LayerNormGammaRows", len(x), c)
	same("LayerNormGammaRows", 2*(len(x)/c), len(stats))
	vec.layerNormGammaRows(dst, dy, x, stats, c)
}

// The column sums add in float32, row by row: keep the rows of one call few
// (some hundreds) and add the results in float64.

// ColSum computes sum[j] += the sum of column j of x[rows][c].
//
//	for i := range x {
//		j := i % c
//		sum[j] += x[i]
//	}
func ColSum(sum, x []float32, c int) {
	rowsOf("ColSum", len(x), c, len(sum))
	vec.colSum(sum, x)
}

// ColMoments computes s1[j] += sum of x-mean[j], s2[j] += sum of (x-mean[j])^2 over the rows of x[rows][c].
// With a mean that is near the true one, both moments follow from one reading of x.
//
//	for i := range x {
//		j := i % c
//		s1[j] += x[i] - mean[j]
//		s2[j] += (x[i] - mean[j]) * (x[i] - mean[j])
//	}
func ColMoments(s1, s2, x, mean []float32, c int) {
	rowsOf("ColMoments", len(x), c, len(s1), len(s2), len(mean))
	vec.colMoments(s1, s2, mean, x)
}

// ColSum2 computes s1[j] += sum of dy, s2[j] += sum of dy*(x-mean[j]) over the
// rows of dy, x[rows][c]: the two sums that a norm's gradient needs.
//
//	for i := range x {
//		j := i % c
//		s1[j] += dy[i]
//		s2[j] += dy[i] * (x[i] - mean[j])
//	}
func ColSum2(s1, s2, dy, x, mean []float32, c int) {
	same("ColSum2", len(x), len(dy))
	rowsOf("ColSum2", len(x), c, len(s1), len(s2), len(mean))
	vec.colSum2(s1, s2, mean, dy, x)
}

// convert runs kernel on whole groups of 16 and generic on the rest.
func convert[D, S any](name string, dst []D, src []S, kernel, generic func([]D, []S)) {
	same(name, len(dst), len(src))
	n := len(dst) &^ 15
	kernel(dst[:n], src[:n])
	generic(dst[n:], src[n:])
}

// F16ToF32 widens IEEE half floats; exact.
//
//	for i := range dst {
//		dst[i] = float16ToFloat32(src[i])
//	}
func F16ToF32(dst []float32, src []uint16) {
	convert("F16ToF32", dst, src, vec.f16ToF32, f16ToF32)
}

// F32ToF16 rounds to half floats, to nearest even; beyond 65504 (rounded) it
// is infinity, NaNs stay NaNs (quiet).
//
//	for i := range dst {
//		dst[i] = float32ToFloat16(src[i]) // to nearest even
//	}
func F32ToF16(dst []uint16, src []float32) {
	convert("F32ToF16", dst, src, vec.f32ToF16, f32ToF16)
}

// BF16ToF32 widens bfloat16; exact.
//
//	for i := range dst {
//		dst[i] = math.Float32frombits(uint32(src[i]) << 16)
//	}
func BF16ToF32(dst []float32, src []uint16) {
	convert("BF16ToF32", dst, src, vec.bf16ToF32, bf16ToF32)
}

// I8ToF32 widens integers; exact.
//
//	for i := range dst {
//		dst[i] = float32(src[i])
//	}
func I8ToF32(dst []float32, src []int8) {
	convert("I8ToF32", dst, src, vec.i8ToF32, i8ToF32)
}

// F32ToBF16 rounds to bfloat16, to nearest even; NaNs stay NaNs (quiet).
//
//	for i := range dst {
//		dst[i] = uint16(roundToEven(math.Float32bits(src[i]) / 65536))
//	}
func F32ToBF16(dst []uint16, src []float32) {
	convert("F32ToBF16", dst, src, vec.f32ToBF16, f32ToBF16)
}

// AdamW does one step of Adam with decoupled weight decay on parameters p with
// moments m, v and gradient g:
//
//	m = beta1*m + (1-beta1)*g
//	v = beta2*v + (1-beta2)*g*g
//	p -= lr*((m/c1)/(sqrt(v/c2)+eps) + wd*p)
//
// c1 = 1-beta1^t and c2 = 1-beta2^t are the bias corrections of step t = 1, 2, ...
func AdamW(p, m, v, g []float32, lr, beta1, beta2, eps, wd, c1, c2 float32) {
	same("AdamW", len(p), len(m), len(v), len(g))
	// 1-beta is exact in float32 for beta >= 1/2; the reciprocals save two
	// divisions an element.
	vec.adamW(p, m, v, g, lr, beta1, 1-beta1, beta2, 1-beta2, eps, wd, 1/c1, 1/c2)
}
