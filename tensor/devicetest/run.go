package devicetest

import (
	"math"
	"math/rand/v2"
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
	t.Run("AdamW", func(t *testing.T) {
		defer skipMissing(t)
		adamW(t, dev, max(1e-6, products))
	})
	RunCases(t, dev, products, func(*Case) bool { return true })
}

// RunCases runs those of the cases that keep takes, for a device whose factors of products have the given relative
// error.
func RunCases(t *testing.T, dev tensor.Device, products float64, keep func(c *Case) bool) {
	for _, c := range Check() {
		if !keep(&c) {
			continue
		}
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

// skipMissing, deferred, skips the test where the device said that it does not implement something. A device that has
// failed fails the test, and leaves the others to say whether it goes on.
func skipMissing(t *testing.T) {
	switch r := recover().(type) {
	case nil:
	case tensor.NotImplemented:
		t.Skip(r.Error())
	case *tensor.Stopped:
		t.Error(r)
	case *tensor.OutOfMemory:
		t.Error(r)
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

// adamW takes steps with a weight in the device's memory: all that is kept is that of the formulas in float64, and a
// product, which may have a relative error, sees the weight as it is.
func adamW(t *testing.T, dev tensor.Device, products float64) {
	const n = 1<<14 + 37
	r := rand.New(rand.NewPCG(1, 2))
	want := [5][]float64{} // w, m, v, average, g
	var have [5]*tensor.Tensor
	for i := range want {
		data := make([]float32, n)
		want[i] = make([]float64, n)
		for k := range data {
			if data[k] = float32(r.NormFloat64()); i == 2 {
				data[k] = data[k] * data[k]
			}
			want[i][k] = float64(data[k])
		}
		have[i] = dev.Get(1, n, 1, 1) // the shape of a convolution's weight
		defer dev.Put(have[i])
		dev.Upload(have[i], data)
	}
	x, y := tensor.New(1, 1, 1, n), dev.Get(1, 1, 1, 1)
	defer dev.Put(y)
	for k := range x.Data {
		x.Data[k] = float32(r.NormFloat64())
	}
	for step := 1; step <= 3; step++ {
		p := tensor.AdamW{Rate: 0.02, Beta1: 0.9, Beta2: 0.99, Eps: 1e-3, Decay: 0.1 * float32(step-1), Mix: 0.25,
			Correct1: float32(1 - math.Pow(0.9, float64(step))), Correct2: float32(1 - math.Pow(0.99, float64(step)))}
		dev.AdamW(have[0], have[1], have[2], have[3], have[4], p)
		b1, b2 := float64(p.Beta1), float64(p.Beta2)
		var sum, size [4]float64 // of products with w and with the average
		for k, g := range want[4] {
			m, v := b1*want[1][k]+(1-b1)*g, b2*want[2][k]+(1-b2)*g*g
			w := want[0][k]
			w -= float64(p.Rate) * (m/float64(p.Correct1)/(math.Sqrt(v/float64(p.Correct2))+float64(p.Eps)) +
				float64(p.Decay)*w)
			want[0][k], want[1][k], want[2][k] = w, m, v
			want[3][k] += float64(p.Mix) * (w - want[3][k])
			for _, i := range []int{0, 3} {
				v := want[i][k] * float64(x.Data[k])
				sum[i], size[i] = sum[i]+v, size[i]+v*v
			}
		}
		for _, i := range []int{0, 3} {
			dev.Conv2d(y, x, have[i], nil, tensor.SameConv(1), tensor.Epilogue{})
			if got := float64(dev.Host(y)[0]); !(math.Abs(got-sum[i]) <= 10*products*math.Sqrt(size[i])) {
				t.Errorf("a product with tensor %d of step %d is %g, want %g", i, step, got, sum[i])
			}
		}
	}
	for i, name := range []string{"w", "m", "v", "average", "g"} {
		diff := make([]float64, n)
		for k, v := range dev.Host(have[i]) {
			diff[k] = float64(v) - want[i][k]
		}
		if e := norm(diff) / norm(want[i]); !(e <= 1e-6) {
			t.Errorf("%s after three steps: relative error %.2g", name, e)
		}
	}
	dev.Upload(have[0], make([]float32, n))
	dev.Conv2d(y, x, have[0], nil, tensor.SameConv(1), tensor.Epilogue{})
	if got := dev.Host(y)[0]; got != 0 {
		t.Errorf("a product with a weight that was uploaded is %g, want 0", got)
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
