package optable

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"psld/asm"
	"psld/autograd"
	"psld/tensor"
	"psld/tensor/cpu"
)

// notOps are the methods of a graph that compute nothing.
var notOps = []string{"Backward", "Block", "Const", "Detach", "Device", "Input", "Recording", "Release", "Trace"}

func TestEveryOpHasCases(t *testing.T) {
	has, names := map[string]bool{}, map[string]bool{}
	for _, c := range append(Check(), Bench()...) {
		if names[c.Name] {
			t.Errorf("two cases are named %s", c.Name)
		}
		names[c.Name] = true
	}
	for _, c := range Check() {
		has[c.Op] = true
	}
	typ := reflect.TypeFor[*autograd.Graph]()
	for i := range typ.NumMethod() {
		name := typ.Method(i).Name
		if !has[name] && !slices.Contains(notOps, name) {
			t.Errorf("autograd.Graph.%s has no case in the op table", name)
		}
		delete(has, name)
	}
	for name := range has {
		t.Errorf("cases for %s, which is no method of autograd.Graph", name)
	}
}

// onEveryTier runs the check cases on every tier of this machine.
func onEveryTier(t *testing.T, f func(t *testing.T, tier asm.Tier, c *Case)) {
	for _, tier := range asm.Available() {
		t.Run(tier.String(), func(t *testing.T) {
			defer asm.Use(asm.Use(tier))
			for _, c := range Check() {
				t.Run(c.Name, func(t *testing.T) { f(t, tier, &c) })
			}
		})
	}
}

func norm(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v * v
	}
	return math.Sqrt(s)
}

func dot[A, B float32 | float64](a []A, b []B) float64 {
	s := 0.0
	for i, v := range a {
		s += float64(v) * float64(b[i])
	}
	return s
}

// truth is what the reference says about a case: its value, a random cotangent,
// and for random directions of each argument the derivative of <y, cot>.
type truth struct {
	y          Array
	cot        *tensor.Tensor
	directions [][][]float64 // [argument][direction][element]
	slopes     [][]float64
}

var truths = map[string]*truth{} // the same for all tiers

func truthOf(c *Case) *truth {
	if t := truths[c.Name]; t != nil {
		return t
	}
	r := rand.New(rand.NewPCG(7, uint64(len(c.Name))))
	x := make([]Array, len(c.Args))
	for i, in := range c.Inputs() {
		x[i] = FromTensor(in)
	}
	t := &truth{y: c.Reference(x)}
	t.cot = tensor.New(t.y.Shape...)
	for i := range t.cot.Data {
		t.cot.Data[i] = float32(r.NormFloat64())
	}
	const h = 1e-5 // the reference is float64: errors of h^2 and 1e-16/h
	for i := range x {
		var dirs [][]float64
		var slopes []float64
		for range 2 {
			d := make([]float64, len(x[i].Data))
			for j := range d {
				d[j] = r.NormFloat64()
			}
			side := func(step float64) float64 {
				moved := slices.Clone(x)
				moved[i] = NewArray(x[i].Shape...)
				for j, v := range x[i].Data {
					moved[i].Data[j] = v + step*d[j]
				}
				return dot(c.Reference(moved).Data, t.cot.Data)
			}
			dirs, slopes = append(dirs, d), append(slopes, (side(h)-side(-h))/(2*h))
		}
		t.directions, t.slopes = append(t.directions, dirs), append(t.slopes, slopes)
	}
	truths[c.Name] = t
	return t
}

// TestForwardAndGradient compares the value with the reference, and the gradients
// for all inputs and weights with finite differences of the reference.
func TestForwardAndGradient(t *testing.T) {
	onEveryTier(t, func(t *testing.T, tier asm.Tier, c *Case) {
		want := truthOf(c)
		g := autograd.NewGraph(cpu.F32)
		defer g.Release()
		inputs := c.Inputs()
		x := c.Values(g, inputs, true)
		y := c.Run(g, x)
		if !slices.Equal(y.T.Shape, want.y.Shape) {
			t.Fatalf("shape %v, want %v", y.T.Shape, want.y.Shape)
		}
		diff := make([]float64, len(want.y.Data))
		for i, v := range y.T.Data {
			diff[i] = float64(v) - want.y.Data[i]
		}
		if e := norm(diff) / norm(want.y.Data); !(e <= 5e-6) && norm(diff) > 1e-6 {
			t.Fatalf("value: relative error %.2g", e)
		}
		for i, v := range c.Inputs() {
			if !slices.Equal(v.Data, inputs[i].Data) {
				t.Fatalf("argument %d was written to", i)
			}
		}
		g.Backward(y, want.cot)
		for i := range x {
			grad := FromTensor(x[i].Grad()).Data
			for j, d := range want.directions[i] {
				got, slope := dot(grad, d), want.slopes[i][j]
				// The size that <grad, d> has for a random d.
				size := norm(grad) * norm(d) / math.Sqrt(float64(len(d)))
				if e := math.Abs(got - slope); !(e <= 1e-5*size+2e-6) {
					t.Fatalf("gradient of argument %d: slope %.8g, finite difference %.8g, size %.3g", i, got, slope, size)
				}
			}
		}
	})
}

// TestAdjoint checks <A x, y> = <x, A'y> with both sides by the engine, for every
// argument in which an operation is linear. A is the operation less its value at zero.
func TestAdjoint(t *testing.T) {
	onEveryTier(t, func(t *testing.T, tier asm.Tier, c *Case) {
		cot := truthOf(c).cot
		for _, i := range c.Linear {
			g := autograd.NewGraph(cpu.F32)
			defer g.Release()
			in := c.Inputs()
			x := c.Values(g, in, true)
			y := c.Run(g, x)
			zero := c.Inputs()
			clear(zero[i].Data)
			y0 := c.Run(g, c.Values(g, zero, false))
			ax := make([]float64, y.T.Len())
			for j := range ax {
				ax[j] = float64(y.T.Data[j]) - float64(y0.T.Data[j])
			}
			g.Backward(y, cot)
			left, right := dot(ax, cot.Data), dot(in[i].Data, x[i].Grad().Data)
			size := norm(ax) * norm(FromTensor(cot).Data) / math.Sqrt(float64(len(ax)))
			if !(math.Abs(left-right) <= 5e-6*max(size, math.Abs(left))) {
				t.Fatalf("argument %d: <Ax,y> = %.8g, <x,A'y> = %.8g, size %.3g", i, left, right, size)
			}
		}
	})
}

// BenchmarkOps times the forward pass, and the backward pass for inputs and for
// inputs and weights, of the bench cases. GFLOP/s counts a gradient of a product
// as much work as the product.
func BenchmarkOps(b *testing.B) {
	for _, c := range Bench() {
		in := c.Inputs()
		report := func(b *testing.B, times float64) {
			b.ReportMetric(times*c.Flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		}
		b.Run(c.Name+"/forward", func(b *testing.B) {
			g := autograd.NoGrad(cpu.F32)
			x := c.Values(g, in, false)
			c.Run(g, x) // packs the weights
			for b.Loop() {
				c.Run(g, x)
				g.Release()
			}
			report(b, 1)
		})
		// Attention makes its scores again, and has four products in place of two.
		times := map[string]float64{"Attention": 2.5}[c.Op]
		if times == 0 {
			times = 1
		}
		backward := func(train bool, times float64) func(b *testing.B) {
			return func(b *testing.B) {
				g := autograd.NewGraph(cpu.F32)
				x := c.Values(g, in, train)
				g.Backward(c.Run(g, x), nil) // packs the weights
				g.Release()
				for b.Loop() {
					b.StopTimer()
					y := c.Run(g, x)
					b.StartTimer()
					g.Backward(y, nil)
					b.StopTimer()
					g.Release()
					b.StartTimer()
				}
				report(b, times)
			}
		}
		b.Run(c.Name+"/gradInput", backward(false, times))
		if strings.HasPrefix(c.Name, "Conv2d") || strings.HasPrefix(c.Name, "Linear") {
			b.Run(c.Name+"/gradAll", backward(true, 2))
		}
	}
}

func Example() {
	for _, c := range Bench()[:1] {
		fmt.Printf("%s: %.1f GFLOP\n", c.Name, c.Flops/1e9)
	}
	// Output: Conv2d/1x64x64_4_320_k3x3s1p1111/sd15-unet-in: 0.1 GFLOP
}
