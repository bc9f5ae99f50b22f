package asm

import (
	"math"

	"github.com/x448/float16"
)

// The plain-Go kernels. Functions of math work in float64 and round once, so
// they are also the reference that the assembly is tested against.

var genericVec = vecKernels{
	add: func(dst, a, b []float32) {
		for i := range dst {
			dst[i] = a[i] + b[i]
		}
	},
	sub: func(dst, a, b []float32) {
		for i := range dst {
			dst[i] = a[i] - b[i]
		}
	},
	mul: func(dst, a, b []float32) {
		for i := range dst {
			dst[i] = a[i] * b[i]
		}
	},
	axpy: func(dst, x []float32, alpha float32) {
		for i := range dst {
			dst[i] += alpha * x[i]
		}
	},
	scale: func(dst, x []float32, alpha float32) {
		for i := range dst {
			dst[i] = alpha * x[i]
		}
	},
	lerp: func(dst, x []float32, t float32) {
		for i := range dst {
			dst[i] += t * (x[i] - dst[i])
		}
	},

	dot: func(a, b []float32) (s float64) {
		for i := range a {
			s += float64(a[i]) * float64(b[i])
		}
		return s
	},
	sum: func(x []float32) (s float64) {
		for _, v := range x {
			s += float64(v)
		}
		return s
	},
	sumSq: func(x []float32) (s float64) {
		for _, v := range x {
			s += float64(v) * float64(v)
		}
		return s
	},
	zeroTimes: func(x []float32) float64 {
		var s float32
		for _, v := range x {
			s += 0 * v
		}
		return float64(s)
	},

	exp:           each(math.Exp),
	silu:          each(silu),
	gelu:          each(gelu),
	quickGELU:     each(func(x float64) float64 { return silu(quickK*x) / quickK }),
	siluGrad:      eachGrad(siluGrad),
	geluGrad:      eachGrad(geluGrad),
	quickGELUGrad: eachGrad(func(x float64) float64 { return siluGrad(quickK * x) }),
	expGrad:       eachGrad(math.Exp),
	tanh:          each(math.Tanh),
	tanhGrad: eachGrad(func(x float64) float64 {
		e := math.Exp(-2 * math.Abs(x))
		return 4 * e / ((1 + e) * (1 + e))
	}),
	abs:  each(math.Abs),
	relu: each(func(x float64) float64 { return max(x, 0) }),
	absGrad: func(dst, x, dy []float32) {
		for i, v := range x {
			switch {
			case v > 0:
				dst[i] = dy[i]
			case v < 0:
				dst[i] = -dy[i]
			default:
				dst[i] = 0
			}
		}
	},
	reluGrad: func(dst, x, dy []float32) {
		for i, v := range x {
			if v > 0 {
				dst[i] = dy[i]
			} else {
				dst[i] = 0
			}
		}
	},
	clamp: func(dst, x []float32, lo, hi float32) {
		for i, v := range x {
			dst[i] = min(max(v, lo), hi)
		}
	},
	clampGrad: func(dst, x, dy []float32, lo, hi float32) {
		for i, v := range x {
			if lo <= v && v <= hi {
				dst[i] = dy[i]
			} else {
				dst[i] = 0
			}
		}
	},

	scaleShiftRows: func(dst, x, scale, shift []float32) {
		for o, c := 0, len(scale); o < len(x); o += c {
			for j := range scale {
				dst[o+j] = x[o+j]*scale[j] + shift[j]
			}
		}
	},
	scaleShiftSiLURows: func(dst, x, scale, shift []float32) {
		for o, c := 0, len(scale); o < len(x); o += c {
			for j := range scale {
				dst[o+j] = float32(silu(float64(x[o+j]*scale[j] + shift[j])))
			}
		}
	},
	siluGradRows: func(dst, x, dy, scale, shift []float32) {
		for o, c := 0, len(scale); o < len(x); o += c {
			for j := range scale {
				dst[o+j] = dy[o+j] * float32(siluGrad(float64(x[o+j]*scale[j]+shift[j])))
			}
		}
	},
	linearRows: func(dst, u, v, a, b, d []float32) {
		for o, c := 0, len(a); o < len(u); o += c {
			for j := range a {
				dst[o+j] = a[j]*u[o+j] + b[j]*v[o+j] + d[j]
			}
		}
	},
	mulRows: func(dst, scale []float32) {
		for i := range dst {
			dst[i] *= scale[i%len(scale)]
		}
	},
	addRows: func(dst, x, v []float32) {
		for o, c := 0, len(v); o < len(x); o += c {
			for j := range v {
				dst[o+j] = x[o+j] + v[j]
			}
		}
	},

	colSum: func(sum, x []float32) {
		for o, c := 0, len(sum); o < len(x); o += c {
			for j := range sum {
				sum[j] += x[o+j]
			}
		}
	},
	colMoments: func(s1, s2, mean, x []float32) {
		for o, c := 0, len(s1); o < len(x); o += c {
			for j := range s1 {
				d := x[o+j] - mean[j]
				s1[j] += d
				s2[j] += d * d
			}
		}
	},
	colSum2: func(s1, s2, mean, dy, x []float32) {
		for o, c := 0, len(s1); o < len(x); o += c {
			for j := range s1 {
				s1[j] += dy[o+j]
				s2[j] += dy[o+j] * (x[o+j] - mean[j])
			}
		}
	},

	softmaxRows: func(dst, x, _ []float32, c int) {
		for ; len(x) > 0; dst, x = dst[c:], x[c:] {
			top, sum := math.Inf(-1), 0.0
			for _, v := range x[:c] {
				if float64(v) > top { // a NaN is passed over here, and met below
					top = float64(v)
				}
			}
			for _, v := range x[:c] {
				sum += math.Exp(float64(v) - top)
			}
			for j, v := range x[:c] {
				dst[j] = float32(math.Exp(float64(v)-top) / sum)
			}
		}
	},
	softmaxGradRows: func(dst, dy, y []float32, c int) {
		for ; len(y) > 0; dst, dy, y = dst[c:], dy[c:], y[c:] {
			dot := 0.0
			for j, v := range y[:c] {
				dot += float64(v) * float64(dy[j])
			}
			for j, v := range y[:c] {
				dst[j] = float32(float64(v) * (float64(dy[j]) - dot))
			}
		}
	},
	layerNormRows: func(dst, stats, x, gamma, beta []float32, c int, eps, _ float32) {
		for ; len(x) > 0; dst, x, stats = dst[c:], x[c:], stats[2:] {
			mean, variance := 0.0, 0.0
			for _, v := range x[:c] {
				mean += float64(v) / float64(c)
			}
			for _, v := range x[:c] {
				variance += (float64(v) - mean) * (float64(v) - mean) / float64(c)
			}
			rstd := 1 / math.Sqrt(variance+float64(eps))
			stats[0], stats[1] = float32(mean), float32(rstd)
			for j, v := range x[:c] {
				dst[j] = float32((float64(v)-mean)*rstd*float64(gamma[j]) + float64(beta[j]))
			}
		}
	},
	layerNormGradRows: func(dst, dy, x, stats, gamma []float32, c int, _ float32) {
		for ; len(x) > 0; dst, dy, x, stats = dst[c:], dy[c:], x[c:], stats[2:] {
			mean, rstd := float64(stats[0]), float64(stats[1])
			a, b := 0.0, 0.0
			for j, v := range x[:c] {
				g := float64(dy[j]) * float64(gamma[j])
				a += g / float64(c)
				b += g * (float64(v) - mean) * rstd / float64(c)
			}
			for j, v := range x[:c] {
				dst[j] = float32(rstd * (float64(dy[j])*float64(gamma[j]) - a - (float64(v)-mean)*rstd*b))
			}
		}
	},
	layerNormGammaRows: func(dst, dy, x, stats []float32, c int) {
		for i := range dst {
			dst[i] = dy[i] * ((x[i] - stats[i/c*2]) * stats[i/c*2+1])
		}
	},
	gegluRows: func(dst, x, gate []float32, c int) {
		for i := range dst {
			at := i/c*2*c + i%c
			dst[i] = x[at] * float32(gelu(float64(gate[at])))
		}
	},
	gegluGradRows: func(dx, dgate, dy, x, gate []float32, c int) {
		for i, g := range dy {
			at := i/c*2*c + i%c
			v, t := x[at], float64(gate[at])
			dx[at] = g * float32(gelu(t))
			dgate[at] = g * v * float32(geluGrad(t))
		}
	},

	f16ToF32: f16ToF32, f32ToF16: f32ToF16,
	bf16ToF32: bf16ToF32, f32ToBF16: f32ToBF16, i8ToF32: i8ToF32,

	adamW: func(p, m, v, g []float32, lr, b1, nb1, b2, nb2, eps, wd, ic1, ic2 float32) {
		for i, g := range g {
			m[i] = b1*m[i] + nb1*g
			v[i] = b2*v[i] + nb2*g*g
			step := m[i] * ic1 / (float32(math.Sqrt(float64(v[i]*ic2))) + eps)
			p[i] -= lr * (step + wd*p[i])
		}
	},
}

// each makes an element-wise kernel of a function of float64.
func each(f func(float64) float64) func(dst, x []float32) {
	return func(dst, x []float32) {
		for i, v := range x {
			dst[i] = float32(f(float64(v)))
		}
	}
}

// eachGrad makes the kernel dst = dy*f(x).
func eachGrad(f func(float64) float64) func(dst, x, dy []float32) {
	return func(dst, x, dy []float32) {
		for i, v := range x {
			dst[i] = dy[i] * float32(f(float64(v)))
		}
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// The limits keep Inf*0 out of the functions below: beyond them the result is
// that of the limit to float32 precision.

func silu(x float64) float64 {
	x = math.Max(x, -200)
	return x / (1 + math.Exp(-x))
}

func siluGrad(x float64) float64 {
	x = math.Max(-200, math.Min(x, 200))
	s := sigmoid(x)
	return s * (1 + x*sigmoid(-x))
}

func gelu(x float64) float64 {
	x = math.Max(x, -40)
	return x * 0.5 * math.Erfc(-x/math.Sqrt2)
}

func geluGrad(x float64) float64 {
	x = math.Max(-40, math.Min(x, 40))
	return 0.5*math.Erfc(-x/math.Sqrt2) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
}

func f16ToF32(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = float16.Frombits(h).Float32()
	}
}

func f32ToF16(dst []uint16, src []float32) {
	for i, f := range src {
		dst[i] = float16.Fromfloat32(f).Bits()
	}
}

func bf16ToF32(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = math.Float32frombits(uint32(h) << 16)
	}
}

func i8ToF32(dst []float32, src []int8) {
	for i, v := range src {
		dst[i] = float32(v)
	}
}

func f32ToBF16(dst []uint16, src []float32) {
	for i, f := range src {
		u := math.Float32bits(f)
		if f != f {
			dst[i] = uint16(u>>16) | 0x40 // quiet, and never rounded to Inf
		} else {
			dst[i] = uint16((u + 0x7fff + u>>16&1) >> 16)
		}
	}
}
