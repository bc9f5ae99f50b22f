package bench

import (
	"fmt"
	"math"
	"sync"

	"psld/asm"
	"psld/tensor"
	"psld/tensor/cpu"
)

// mapped is an operation each element of whose result is a formula of few inputs.
type mapped struct {
	run  func(d tensor.Device)
	got  func(i int) float32
	want func(i int) float64
}

// elementwise is a problem of such operations with n elements in their results.
func elementwise(shape string, n int, ops []op, setup func(r *random) []mapped) problem {
	return problem{shape, ops, func(r *random) (jobs []job) {
		for _, m := range setup(r) {
			jobs = append(jobs, job{m.run, func(d tensor.Device, s *sample) {
				m.run(d)
				for range samples {
					i := r.IntN(n)
					s.add(0, m.got(i), m.want(i))
				}
			}})
		}
		return jobs
	}}
}

// at reads an element when it is called.
func at(t *tensor.Tensor) func(i int) float32 { return func(i int) float32 { return t.Data[i] } }

// forwardOp and gradOp count flop operations and 4-byte words for each of n elements. With float32 the limit is
// memory.
func forwardOp(name string, n int, flop, words float64) op {
	return op{name: name, group: groupElementwise + forward, flop: flop * float64(n), bytes: 4 * words * float64(n)}
}

func gradOp(name string, n int, flop, words float64) op {
	o := forwardOp(name+"Grad", n, flop, words)
	o.group = groupElementwise + backward
	return o
}

// unary is a function of every element of x[rows,c].
func unary(name string, f tensor.Func, rows, c int) problem {
	n := rows * c
	formula := map[tensor.Func]func(float64) float64{tensor.SiLU: silu, tensor.GELU: gelu, tensor.Exp: math.Exp}[f]
	slope := map[tensor.Func]func(float64) float64{tensor.SiLU: siluGrad, tensor.GELU: geluGrad, tensor.Exp: math.Exp}[f]
	ops := []op{forwardOp(name, n, 10, 2), gradOp(name, n, 14, 3)}
	return elementwise(fmt.Sprintf("%dx%d", rows, c), n, ops, func(r *random) []mapped {
		x, dy, y, dx := r.tensor(0, 6, rows, c), r.tensor(0, 1, rows, c), tensor.New(rows, c), tensor.New(rows, c)
		return []mapped{
			{func(d tensor.Device) { d.Unary(f, y, x) }, at(y), func(i int) float64 { return formula(float64(x.Data[i])) }},
			{func(d tensor.Device) { d.UnaryGrad(f, dx, dy, x) }, at(dx),
				func(i int) float64 { return float64(dy.Data[i]) * slope(float64(x.Data[i])) }},
		}
	})
}

// geglu is x[rows,c] * gelu(gate[rows,c]), both halves of one tensor; its gradient is 2c wide.
func geglu(rows, c int) problem {
	n := rows * c
	ops := []op{forwardOp("GEGLU", n, 12, 3), gradOp("GEGLU", n, 24, 5)}
	return elementwise(fmt.Sprintf("%dx%d", rows, c), n, ops, func(r *random) []mapped {
		x, dy, y, dx := r.tensor(0, 4, rows, 2*c), r.tensor(0, 1, rows, c), tensor.New(rows, c), tensor.New(rows, 2*c)
		halves := func(i int) (v, gate float64) {
			at := i/c*2*c + i%c
			return float64(x.Data[at]), float64(x.Data[at+c])
		}
		return []mapped{
			{func(d tensor.Device) { d.GEGLU(y, x) }, at(y), func(i int) float64 {
				v, gate := halves(i)
				return v * gelu(gate)
			}},
			// Checked: the gradient to the value for even i, to the gate for odd i.
			{func(d tensor.Device) { d.GEGLUGrad(dx, dy, x) },
				func(i int) float32 { return dx.Data[i/c*2*c+i%c+i%2*c] }, func(i int) float64 {
					v, gate := halves(i)
					if i%2 == 0 {
						return float64(dy.Data[i]) * gelu(gate)
					}
					return float64(dy.Data[i]) * v * geluGrad(gate)
				}},
		}
	})
}

// add is a residual connection, and a plain copy of a tensor of that size beside it.
func add(rows, c int) problem {
	n := rows * c
	ops := []op{forwardOp("Add", n, 1, 3), forwardOp("Copy", n, 0, 2)}
	return elementwise(fmt.Sprintf("%dx%d", rows, c), n, ops, func(r *random) []mapped {
		a, b, y, z := r.tensor(0, 1, rows, c), r.tensor(0, 1, rows, c), tensor.New(rows, c), tensor.New(rows, c)
		return []mapped{
			{func(d tensor.Device) { d.Add(y, a, b) }, at(y),
				func(i int) float64 { return float64(a.Data[i]) + float64(b.Data[i]) }},
			{func(d tensor.Device) { d.CopyCols(z, 0, a, 0, c) }, at(z), func(i int) float64 { return float64(a.Data[i]) }},
		}
	})
}

// addChannels adds the time embedding [1,c] to every pixel.
func addChannels(pixels, c int) problem {
	n := pixels * c
	return elementwise(fmt.Sprintf("%dx%d", pixels, c), n, []op{forwardOp("AddChannels", n, 1, 2)},
		func(r *random) []mapped {
			x, e, y := r.tensor(0, 1, 1, pixels, c), r.tensor(0, 1, 1, c), tensor.New(1, pixels, c)
			return []mapped{{func(d tensor.Device) { d.AddChannels(y, x, e) }, at(y),
				func(i int) float64 { return float64(x.Data[i]) + float64(e.Data[i%c]) }}}
		})
}

// concat joins the columns of a skip connection: [pixels,a] and [pixels,b].
func concat(pixels, a, b int) problem {
	c := a + b
	n := pixels * c
	return elementwise(fmt.Sprintf("%dx%d+%d", pixels, a, b), n, []op{forwardOp("Concat", n, 0, 2)},
		func(r *random) []mapped {
			x, z, y := r.tensor(0, 1, pixels, a), r.tensor(0, 1, pixels, b), tensor.New(pixels, c)
			return []mapped{{func(d tensor.Device) {
				d.CopyCols(y, 0, x, 0, a)
				d.CopyCols(y, a, z, 0, b)
			}, at(y), func(i int) float64 {
				if col := i % c; col >= a {
					return float64(z.Data[i/c*b+col-a])
				}
				return float64(x.Data[i/c*a+i%c])
			}}}
		})
}

// conversions turn n numbers of 2 bytes into float32 and back; errors are against what
// the format holds exactly, so that to 2 bytes they are its rounding.
func conversions(n int) problem {
	convert := func(name string) op {
		return op{name: name, group: groupElementwise + forward, bytes: 6 * float64(n)}
	}
	ops := []op{convert("F32ToBF16"), convert("BF16ToF32"), convert("F32ToF16"), convert("F16ToF32")}
	return elementwise(fmt.Sprint(n), n, ops, func(r *random) []mapped {
		x, y := r.tensor(0, 1, n), tensor.New(n)
		bf, half := make([]uint16, n), make([]uint16, n)
		asm.F32ToBF16(bf, x.Data)
		asm.F32ToF16(half, x.Data)
		run := func(f func(lo, hi int)) func(tensor.Device) { return func(tensor.Device) { parallel(n, f) } }
		bfloat := func(i int) float32 { return math.Float32frombits(uint32(bf[i]) << 16) }
		binary16 := func(i int) float32 { // |x| is at most 1: a sign, 5 bits of exponent, 10 of fraction
			e, f := int(half[i]>>10&31), float64(half[i]&1023)/1024
			v := math.Ldexp(1+f, e-15)
			if e == 0 {
				v = math.Ldexp(f, -14)
			}
			if half[i]>>15 == 1 {
				v = -v
			}
			return float32(v)
		}
		exact := func(f func(i int) float32) func(i int) float64 { return func(i int) float64 { return float64(f(i)) } }
		return []mapped{
			{run(func(lo, hi int) { asm.F32ToBF16(bf[lo:hi], x.Data[lo:hi]) }), bfloat, exact(at(x))},
			{run(func(lo, hi int) { asm.BF16ToF32(y.Data[lo:hi], bf[lo:hi]) }), at(y), exact(bfloat)},
			{run(func(lo, hi int) { asm.F32ToF16(half[lo:hi], x.Data[lo:hi]) }), binary16, exact(at(x))},
			{run(func(lo, hi int) { asm.F16ToF32(y.Data[lo:hi], half[lo:hi]) }), at(y), exact(binary16)},
		}
	})
}

// parallel splits [0, n) evenly over cpu.Threads threads.
func parallel(n int, f func(lo, hi int)) {
	threads := cpu.Threads()
	var wg sync.WaitGroup
	for i := range threads {
		wg.Go(func() { f(i*n/threads, (i+1)*n/threads) })
	}
	wg.Wait()
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func silu(x float64) float64 { return x * sigmoid(x) }

func siluGrad(x float64) float64 { return sigmoid(x) * (1 + x*(1-sigmoid(x))) }

// gelu is x Phi(x), with the normal distribution's Phi.
func gelu(x float64) float64 { return x * math.Erfc(-x/math.Sqrt2) / 2 }

func geluGrad(x float64) float64 {
	return math.Erfc(-x/math.Sqrt2)/2 + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
}
