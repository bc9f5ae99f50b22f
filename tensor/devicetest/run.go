package devicetest

import (
	"math"
	"slices"
	"strings"
	"testing"

	"psld/autograd"
	"psld/tensor"
)

// Run checks a device that computes in float32: the rules of its memory, and all operations, forward and backward.
// A case that it does not implement ([tensor.NotImplemented]) is skipped, with a message.
func Run(t *testing.T, dev tensor.Device) { RunRounded(t, dev, 0) }

// RunRounded is Run for a device that rounds the factors of products: these may have the given relative error, such as
// 3e-2 for bfloat16.
func RunRounded(t *testing.T, dev tensor.Device, products float64) {
	t.Run("memory", func(t *testing.T) { memory(t, dev) })
	for _, c := range Check() {
		t.Run(c.Name, func(t *testing.T) {
			defer skipMissing(t)
			tolerance := c.Tolerance
			if c.Product {
				tolerance = max(tolerance, products)
			}
			s := &subject{t, dev, &c, truthOf(&c), tolerance}
			s.trained()
			s.frozen()
			s.adjoint()
		})
	}
}

// skipMissing, deferred, skips the test where the device said that it does not implement something.
func skipMissing(t *testing.T) {
	switch r := recover().(type) {
	case nil:
	case tensor.NotImplemented:
		t.Skip(r.Error())
	default:
		panic(r)
	}
}

// subject is a case on a device.
type subject struct {
	*testing.T
	dev       tensor.Device
	c         *Case
	want      *truth
	tolerance float64
}

// value compares y with the reference.
func (s *subject) value(y *autograd.Value) {
	s.Helper()
	if !slices.Equal(y.T.Shape, s.want.y.Shape) {
		s.Fatalf("shape %v, want %v", y.T.Shape, s.want.y.Shape)
	}
	diff := make([]float64, len(s.want.y.Data))
	for i, v := range y.Host() {
		diff[i] = float64(v) - s.want.y.Data[i]
	}
	if e := norm(diff) / norm(s.want.y.Data); !(e <= s.tolerance) && norm(diff) > 1e-6 {
		s.Fatalf("value: relative error %.2g, %.2g is allowed", e, s.tolerance)
	}
}

// gradient compares the gradient of argument i with finite differences of the reference.
func (s *subject) gradient(i int, x *autograd.Value) {
	s.Helper()
	grad := make([]float64, x.T.Len())
	for k, v := range s.dev.Host(x.Grad()) {
		grad[k] = float64(v)
	}
	for j, d := range s.want.directions[i] {
		got, slope := dot(grad, d), s.want.slopes[i][j]
		// The size that <grad, d> has for a random d.
		size := norm(grad) * norm(d) / math.Sqrt(float64(len(d)))
		if e := math.Abs(got - slope); !(e <= 2*s.tolerance*size+2e-6) {
			s.Fatalf("gradient of argument %d: slope %.8g, finite difference %.8g, size %.3g", i, got, slope, size)
		}
	}
}

// trained takes the gradients of all arguments, which lie in host memory, and the value twice.
func (s *subject) trained() {
	g := autograd.NewGraph(s.dev)
	defer g.Release()
	inputs := s.c.Inputs()
	x := s.c.Values(g, inputs, true)
	y := s.c.Run(g, x)
	s.value(y)
	if again := s.c.Run(g, x); !slices.Equal(again.Host(), y.Host()) {
		s.Fatal("other bits the second time")
	}
	for i, v := range s.c.Inputs() {
		if !slices.Equal(v.Data, inputs[i].Data) {
			s.Fatalf("argument %d was written to", i)
		}
	}
	g.Backward(y, s.want.cot)
	for i := range x {
		s.gradient(i, x[i])
	}
}

// frozen takes the gradients to the inputs alone, in the device's memory, with weights packed and placed.
func (s *subject) frozen() {
	g := autograd.NewGraph(s.dev)
	defer g.Release()
	originals, inputs := s.c.Inputs(), s.c.moved(s.dev, s.c.Inputs())
	x := s.c.Values(g, inputs, false)
	y := s.c.Run(g, x)
	s.value(y)
	if slices.ContainsFunc(s.c.Args, func(a Arg) bool { return !a.Param }) {
		g.Backward(y, s.want.cot)
	}
	for i, a := range s.c.Args {
		if !a.Param {
			s.gradient(i, x[i])
			s.dev.Put(inputs[i])
			continue
		}
		for j, v := range s.dev.Host(inputs[i]) {
			if want := originals[i].Data[j]; math.Abs(float64(v-want)) > s.tolerance*math.Abs(float64(want)) {
				s.Fatalf("Host of argument %d, packed or placed: %g, want %g", i, v, want)
			}
		}
	}
}

// adjoint checks <A x, y> = <x, A'y> with both sides by the device, for every
// argument in which the operation is linear. A is the operation less its value at zero.
func (s *subject) adjoint() {
	cot := s.want.cot
	for _, i := range s.c.Linear {
		g := autograd.NewGraph(s.dev)
		defer g.Release()
		in := s.c.Inputs()
		x := s.c.Values(g, in, true)
		y := s.c.Run(g, x)
		zero := s.c.Inputs()
		clear(zero[i].Data)
		y0 := s.c.Run(g, s.c.Values(g, zero, false))
		ax := make([]float64, y.T.Len())
		for j, v := range y.Host() {
			ax[j] = float64(v)
		}
		for j, v := range y0.Host() {
			ax[j] -= float64(v)
		}
		g.Backward(y, cot)
		left, right := dot(ax, cot.Data), dot(in[i].Data, s.dev.Host(x[i].Grad()))
		size := norm(ax) * norm(FromTensor(cot).Data) / math.Sqrt(float64(len(ax)))
		if !(math.Abs(left-right) <= s.tolerance*max(size, math.Abs(left))) {
			s.Fatalf("argument %d: <Ax,y> = %.8g, <x,A'y> = %.8g, size %.3g", i, left, right, size)
		}
	}
}

// memory checks the rules of tensors on a device.
func memory(t *testing.T, dev tensor.Device) {
	if dev.Name() == "" {
		t.Error("a device needs a name")
	}
	x := dev.Get(2, 3)
	data := []float32{1, -2, 3, 4, 5, 6}
	dev.Upload(x, data)
	view := x.Reshaped(3, 2)
	if view.Storage() != x.Storage() {
		t.Error("a view has another storage")
	}
	if !slices.Equal(dev.Host(view), data) {
		t.Errorf("a view has %v, want %v", dev.Host(view), data)
	}
	dev.Upload(view, []float32{6, 5, 4, 3, 2, 1})
	dev.Sync()
	if got := dev.Host(x); !slices.Equal(got, []float32{6, 5, 4, 3, 2, 1}) {
		t.Errorf("%v after a view was written", got)
	}
	host := tensor.From(slices.Clone(data), 2, 3)
	if !slices.Equal(dev.Host(host), data) {
		t.Error("Host of a tensor in host memory")
	}
	dev.Add(x, x, host)
	if got := dev.Host(x); !slices.Equal(got, []float32{7, 3, 7, 7, 7, 7}) {
		t.Errorf("a tensor in host memory, added: %v", got)
	}
	dev.Place(host)
	dev.Scale(x, 2, host)
	if got := dev.Host(x); !slices.Equal(got, []float32{2, -4, 6, 8, 10, 12}) || !slices.Equal(dev.Host(host), data) {
		t.Errorf("a tensor that was placed, doubled: %v", got)
	}
	dev.Put(view)
	dev.Put(tensor.New(3)) // not from Get: nothing happens
	// A weight that was changed by hand.
	in, w, y := tensor.From([]float32{1, 2}, 1, 1, 1, 2), tensor.From([]float32{3, 4}, 1, 2, 1, 1), dev.Get(1, 1, 1, 1)
	defer dev.Put(y)
	for _, want := range []float32{11, 13} {
		dev.Conv2d(y, in, w, nil, tensor.SameConv(1), tensor.Epilogue{})
		if got := dev.Host(y)[0]; got != want {
			t.Errorf("a product is %g, want %g", got, want)
		}
		w.Data[0] = 5
		w.Changed()
	}
}

// Benchmark times the forward pass, and the backward pass for inputs and for
// inputs and weights, of the cases of [Bench]. GFLOP/s counts a gradient of a product
// as much work as the product.
func Benchmark(b *testing.B, dev tensor.Device) {
	for _, c := range Bench() {
		in := c.Inputs()
		report := func(b *testing.B, times float64) {
			b.ReportMetric(times*c.Flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		}
		b.Run(c.Name+"/forward", func(b *testing.B) {
			g := autograd.NoGrad(dev)
			x := c.Values(g, in, false)
			c.Run(g, x) // packs the weights
			dev.Sync()
			for b.Loop() {
				c.Run(g, x)
				dev.Sync()
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
				g := autograd.NewGraph(dev)
				x := c.Values(g, in, train)
				g.Backward(c.Run(g, x), nil) // packs the weights
				g.Release()
				for b.Loop() {
					b.StopTimer()
					y := c.Run(g, x)
					dev.Sync()
					b.StartTimer()
					g.Backward(y, nil)
					dev.Sync()
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
