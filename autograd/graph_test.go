package autograd

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/tensor"
	"psld/tensor/cpu"
)

func random(seed uint64, shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	r := rand.New(rand.NewPCG(seed, 3))
	for i := range t.Data {
		t.Data[i] = float32(r.NormFloat64())
	}
	return t
}

func scalar(v float32) *tensor.Tensor { return tensor.From([]float32{v}, 1) }

// param is a parameter that trains.
func param(t *tensor.Tensor) *Value {
	p := NewParam(t)
	p.RequireGrad(true)
	return p
}

// net is a small network with everything that blocks of the real ones have.
type net struct {
	conv, bias, gamma, beta, q, out *Value
}

func newNet(train bool) *net {
	n := &net{NewParam(random(1, 8, 8, 3, 3)), NewParam(random(2, 8)), NewParam(random(3, 8)),
		NewParam(random(4, 8)), NewParam(random(5, 24, 8)), NewParam(random(6, 8, 8))}
	for _, p := range n.params() {
		p.RequireGrad(train)
	}
	return n
}

func (n *net) params() []*Value { return []*Value{n.conv, n.bias, n.gamma, n.beta, n.q, n.out} }

func (n *net) block(g *Graph, in []*Value) *Value {
	x, emb := in[0], in[1]
	h := g.Conv2d(g.GroupNormSiLU(x, n.gamma, n.beta, 2, 1e-5), n.conv, n.bias, tensor.SameConv(3))
	h = g.AddChannels(h, emb)
	tokens := g.Reshape(h, h.T.Dim(0), h.T.Dim(1)*h.T.Dim(2), h.T.Dim(3))
	qkv := g.Linear(tokens, n.q, nil)
	a := g.Attention(g.Slice(qkv, 0, 8), g.Slice(qkv, 8, 16), g.Slice(qkv, 16, 24), 2, false)
	a = g.Linear(a, n.out, nil)
	return g.Add(g.Reshape(a, x.T.Shape...), x)
}

// run does three blocks on x and returns the value and the gradients of x, of the
// embedding, and of the parameters that train.
func (n *net) run(g *Graph) [][]float32 {
	x, emb := g.Input(random(10, 2, 6, 5, 8)), g.Input(random(11, 2, 8))
	h := x
	for range 3 {
		h = g.Block(n.block, h, emb)
	}
	loss := g.SumSquares(h)
	out := [][]float32{append([]float32{}, loss.T.Data...)}
	if g.Recording() {
		g.Backward(loss, nil)
		for _, v := range append([]*Value{x, emb}, n.params()...) {
			if v.Grad() != nil {
				out = append(out, append([]float32{}, v.Grad().Data...))
				if v.param {
					v.ZeroGrad()
				}
			}
		}
	}
	return out
}

func live() int64 { return cpu.Memory().Live() }

func TestCheckpointGivesTheSameBits(t *testing.T) {
	for _, train := range []bool{false, true} {
		n := newNet(train)
		peak := map[bool]int64{}
		var want [][]float32
		for _, checkpoint := range []bool{false, true} {
			before := live()
			cpu.Memory().ResetPeak()
			g := NewGraph(cpu.F32)
			g.Checkpoint = checkpoint
			got := n.run(g)
			peak[checkpoint] = cpu.Memory().Peak() - before
			g.Release()
			require.Len(t, got, map[bool]int{false: 3, true: 9}[train])
			if want == nil {
				want = got
			}
			require.Equal(t, want, got, "checkpoint %v", checkpoint)
			if !train {
				require.Equal(t, before, live(), "Release returns everything")
			}
		}
		require.Less(t, peak[true], peak[false])
		// Parameters keep their gradients over Release; a second pass takes nothing more.
		before := live()
		g := NewGraph(cpu.F32)
		n.run(g)
		g.Release()
		require.Equal(t, before, live())
	}
}

func TestNoGradBlockFreesItsInside(t *testing.T) {
	n := newNet(false)
	before := live()
	g := NoGrad(cpu.F32)
	defer g.Release()
	x, emb := g.Const(random(10, 2, 6, 5, 8)), g.Const(random(11, 2, 8))
	h := x
	sizes := map[int64]bool{}
	for range 4 {
		was := live()
		h = g.Block(n.block, h, emb)
		sizes[live()-was] = true
	}
	require.Len(t, sizes, 1)
	require.True(t, sizes[4*512], "only the result of a block stays: %v", sizes) // 2*6*5*8 floats, rounded up
	require.Equal(t, before+4*4*512, live())
	// A block that makes a view of something it made, or that returns its input.
	v := g.Block(func(g *Graph, in []*Value) *Value { return g.Reshape(g.Scale(in[0], 2), 480) }, h)
	require.Equal(t, 2*h.T.Data[7], v.T.Data[7])
	same := g.Block(func(g *Graph, in []*Value) *Value { return in[0] }, h)
	require.Same(t, &h.T.Data[0], &same.T.Data[0])
	g.Release()
	require.Equal(t, before, live())
}

func TestNoGradGivesTheSameBits(t *testing.T) {
	n := newNet(false)
	g, h := NewGraph(cpu.F32), NoGrad(cpu.F32)
	defer g.Release()
	defer h.Release()
	require.Equal(t, n.run(g)[0], n.run(h)[0])
	y := h.Add(h.Input(scalar(1)), h.Input(scalar(2)))
	require.Panics(t, func() { h.Backward(y, nil) })
}

// TestFrozenWeightsCostNothing: no gradient, and no memory for one.
func TestFrozenWeightsCostNothing(t *testing.T) {
	big := NewParam(random(1, 512, 512)) // 1 MiB: its gradient would be seen
	g := NewGraph(cpu.F32)
	defer g.Release()
	x := g.Input(random(2, 1, 512))
	y := g.Linear(x, big, nil)
	cpu.Memory().ResetPeak()
	before := live()
	g.Backward(y, nil)
	require.Nil(t, big.Grad())
	require.Less(t, cpu.Memory().Peak()-before, int64(2<<20)) // the product takes a transposed copy for its time
	require.NotNil(t, x.Grad())
	// And nothing at all goes on the tape when nothing wants a gradient.
	z := g.Linear(g.Const(random(2, 1, 512)), big, nil)
	require.Empty(t, g.tape)
	require.Panics(t, func() { g.Backward(z, nil) })
}

func TestOnlyTheBiasTrains(t *testing.T) {
	w, b := NewParam(random(1, 3, 2)), param(random(2, 3))
	g := NewGraph(cpu.F32)
	defer g.Release()
	g.Backward(g.Linear(g.Const(random(3, 5, 2)), w, b), nil)
	require.Nil(t, w.Grad())
	require.NotNil(t, b.Grad())
	require.Equal(t, []float32{5, 5, 5}, b.Grad().Data)
	kernel := NewParam(random(1, 3, 2, 3, 3))
	b = param(random(2, 3))
	g.Backward(g.Conv2d(g.Const(random(3, 1, 4, 4, 2)), kernel, b, tensor.SameConv(3)), nil)
	require.NotNil(t, b.Grad())
	require.Equal(t, []float32{16, 16, 16}, b.Grad().Data)
}

func TestUsedTwice(t *testing.T) {
	for name, c := range map[string]struct {
		f    func(g *Graph, x *Value) *Value
		want float32 // derivative at 3
	}{
		"x+x":          {func(g *Graph, x *Value) *Value { return g.Add(x, x) }, 2},
		"x-x":          {func(g *Graph, x *Value) *Value { return g.Sub(x, x) }, 0},
		"x*x":          {func(g *Graph, x *Value) *Value { return g.Mul(x, x) }, 6},
		"x*x*x":        {func(g *Graph, x *Value) *Value { return g.Mul(g.Mul(x, x), x) }, 27},
		"(2x)*(2x)+x":  {func(g *Graph, x *Value) *Value { y := g.Scale(x, 2); return g.Add(g.Mul(y, y), x) }, 25},
		"views":        {func(g *Graph, x *Value) *Value { return g.Add(g.Reshape(x, 1, 1), g.Reshape(x, 1, 1)) }, 2},
		"view of view": {func(g *Graph, x *Value) *Value { return g.Reshape(g.Reshape(g.Scale(x, 5), 1, 1, 1), 1) }, 5},
		"itself":       {func(g *Graph, x *Value) *Value { return x }, 1},
		"concat":       {func(g *Graph, x *Value) *Value { return g.Sum(g.Concat(x, x)) }, 2},
		"repeat once":  {func(g *Graph, x *Value) *Value { return g.Add(g.Repeat(x, 1), x) }, 2},
		"attention": {func(g *Graph, x *Value) *Value {
			y := g.Reshape(x, 1, 1, 1)
			return g.Attention(y, y, y, 1, false)
		}, 1},
		"block, twice": {func(g *Graph, x *Value) *Value {
			return g.Block(func(g *Graph, in []*Value) *Value { return g.Mul(in[0], in[1]) }, x, x)
		}, 6},
		"block in block": {func(g *Graph, x *Value) *Value {
			square := func(g *Graph, in []*Value) *Value { return g.Mul(in[0], in[0]) }
			return g.Block(func(g *Graph, in []*Value) *Value { return g.Block(square, g.Block(square, in[0])) }, x)
		}, 108},
		"block of nil and view": {func(g *Graph, x *Value) *Value {
			return g.Block(func(g *Graph, in []*Value) *Value { return g.Reshape(in[0], 1, 1) }, x, nil)
		}, 1},
		"block without its input": {func(g *Graph, x *Value) *Value {
			one := g.Block(func(g *Graph, in []*Value) *Value { return g.Const(scalar(7)) }, x)
			return g.Add(x, one)
		}, 1},
		// A value that is the result of Backward and also goes on to something else.
		"also an input": {func(g *Graph, x *Value) *Value { y := g.Mul(x, x); g.Exp(y); return y }, 6},
	} {
		for _, checkpoint := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				before := live()
				g := NewGraph(cpu.F32)
				g.Checkpoint = checkpoint
				x := g.Input(scalar(3))
				g.Backward(c.f(g, x), nil)
				require.InDelta(t, c.want, x.Grad().Data[0], 1e-5)
				g.Release()
				require.Equal(t, before, live())
			})
		}
	}
}

func TestGradientsAddUp(t *testing.T) {
	p := param(scalar(2))
	for i := range 3 { // over graphs, for parameters
		g := NewGraph(cpu.F32)
		g.Backward(g.Mul(p, p), nil)
		require.Equal(t, float32(4*(i+1)), p.Grad().Data[0])
		g.Release()
	}
	p.ZeroGrad()
	require.Equal(t, float32(0), p.Grad().Data[0])
	// Twice over one graph, by two values made one after the other.
	g := NewGraph(cpu.F32)
	defer g.Release()
	x := g.Input(scalar(3))
	g.Backward(g.Scale(x, 2), nil)
	g.Backward(g.Scale(x, 5), nil)
	require.Equal(t, float32(7), x.Grad().Data[0])
}

func TestTapeIsUsedUp(t *testing.T) {
	g := NewGraph(cpu.F32)
	defer g.Release()
	x := g.Input(scalar(3))
	y := g.Scale(x, 2)
	g.Backward(y, nil)
	require.Panics(t, func() { g.Backward(y, nil) }, "a second time would give no gradient at all")
	require.Panics(t, func() { g.Backward(g.Scale(y, 3), nil) }, "y cannot hand a gradient on any more")
}

func TestSeed(t *testing.T) {
	g := NewGraph(cpu.F32)
	defer g.Release()
	x := g.Input(random(1, 3))
	seed := tensor.From([]float32{1, 10, 100}, 3)
	g.Backward(g.Scale(x, 2), seed)
	require.Equal(t, []float32{2, 20, 200}, x.Grad().Data)
	require.Equal(t, []float32{1, 10, 100}, seed.Data, "the seed is not written to")
	require.Panics(t, func() { g.Backward(g.Scale(x, 2), scalar(1)) })
}

func TestReshapeSharesData(t *testing.T) {
	g := NewGraph(cpu.F32)
	defer g.Release()
	x := g.Input(random(1, 2, 6))
	v := g.Reshape(x, 3, 4)
	require.Same(t, &x.T.Data[0], &v.T.Data[0])
	require.Panics(t, func() { g.Reshape(x, 5) })
	// The gradient of a view and of its base are separate memory: both used later.
	y := g.Scale(x, 1)
	a, b := g.Reshape(y, 12), g.Reshape(y, 4, 3)
	g.Backward(g.Add(g.SumSquares(a), g.SumSquares(b)), nil)
	for i, d := range x.Grad().Data {
		require.InDelta(t, 4*x.T.Data[i], d, 1e-5)
	}
}

func TestDetachOutlivesRelease(t *testing.T) {
	before := live()
	g := NoGrad(cpu.F32)
	y := g.Scale(g.Input(scalar(3)), 2)
	view := g.Reshape(y, 1, 1)
	kept := g.Detach(view)
	g.Release()
	other := cpu.F32.Get(1)
	other.Data[0] = -1
	require.Equal(t, float32(6), kept.Data[0])
	cpu.F32.Put(other)
	cpu.F32.Put(kept)
	require.Equal(t, before, live())
}

func TestNormAtZero(t *testing.T) {
	g := NewGraph(cpu.F32)
	defer g.Release()
	x := g.Input(tensor.New(4))
	g.Backward(g.Norm2(x), nil)
	require.Equal(t, make([]float32, 4), x.Grad().Data)
}

func TestMistakesPanic(t *testing.T) {
	g := NewGraph(cpu.F32)
	defer g.Release()
	v := func(shape ...int) *Value { return g.Input(tensor.New(shape...)) }
	for name, f := range map[string]func(){
		"Conv2d channels":    func() { g.Conv2d(v(1, 4, 4, 3), v(5, 2, 3, 3), nil, tensor.SameConv(3)) },
		"Conv2d window":      func() { g.Conv2d(v(1, 4, 4, 3), v(5, 3, 1, 1), nil, tensor.SameConv(3)) },
		"Conv2d bias":        func() { g.Conv2d(v(1, 4, 4, 3), v(5, 3, 3, 3), v(6), tensor.SameConv(3)) },
		"Conv2d too small":   func() { g.Conv2d(v(1, 2, 2, 3), v(5, 3, 3, 3), nil, tensor.Conv{KH: 3, KW: 3, Stride: 1}) },
		"Linear":             func() { g.Linear(v(2, 3), v(5, 4), nil) },
		"Linear bias":        func() { g.Linear(v(2, 4), v(5, 4), v(4)) },
		"GroupNorm":          func() { g.GroupNorm(v(1, 2, 6), v(6), v(6), 4, 1e-5) },
		"LayerNorm":          func() { g.LayerNorm(v(1, 2, 6), v(5), v(6), 1e-5) },
		"Attention heads":    func() { g.Attention(v(1, 2, 6), v(1, 2, 6), v(1, 2, 6), 4, false) },
		"Attention batch":    func() { g.Attention(v(2, 2, 6), v(1, 2, 6), v(1, 2, 6), 2, false) },
		"Attention k and v":  func() { g.Attention(v(1, 2, 6), v(1, 2, 6), v(1, 3, 6), 2, false) },
		"GEGLU":              func() { g.GEGLU(v(2, 3)) },
		"Add":                func() { g.Add(v(2, 3), v(3, 2)) },
		"Mul":                func() { g.Mul(v(2, 3), v(3, 2)) },
		"AddChannels":        func() { g.AddChannels(v(2, 4, 3), v(1, 3)) },
		"Concat":             func() { g.Concat(v(2, 3), v(3, 3)) },
		"Slice":              func() { g.Slice(v(2, 3), 1, 4) },
		"Repeat":             func() { g.Repeat(v(2, 3), 2) },
		"Windows row":        func() { g.Windows(v(1, 4, 4, 1), 2, 2, [][2]int{{3, 0}}) },
		"Windows column":     func() { g.Windows(v(1, 4, 4, 1), 2, 2, [][2]int{{0, 3}}) },
		"Windows batch":      func() { g.Windows(v(2, 4, 4, 1), 2, 2, [][2]int{{0, 0}}) },
		"AddWindows row":     func() { g.AddWindows(v(1, 2, 2, 1), 4, 4, [][2]int{{3, 0}}) },
		"AddWindows column":  func() { g.AddWindows(v(1, 2, 2, 1), 4, 4, [][2]int{{0, 3}}) },
		"AddWindows offsets": func() { g.AddWindows(v(2, 2, 2, 1), 4, 4, [][2]int{{0, 0}}) },
		"Embedding ids":      func() { g.Embedding(v(4, 3), []int{1, 2}, 3) },
		"Embedding id high":  func() { g.Embedding(v(4, 3), []int{4}, 1) },
		"Embedding id low":   func() { g.Embedding(v(4, 3), []int{-1}, 1) },
	} {
		require.Panics(t, f, name)
	}
}

// TestGraphsSideBySide is for the race detector too: graphs share frozen parameters.
func TestGraphsSideBySide(t *testing.T) {
	n := newNet(false)
	results := make([][][]float32, 3)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			for range 2 {
				g := NewGraph(cpu.F32)
				g.Checkpoint = i == 1
				results[i] = n.run(g)
				g.Release()
			}
		})
	}
	wg.Wait()
	require.Equal(t, results[0], results[1])
	require.Equal(t, results[0], results[2])
}

func TestSteadyStateAllocatesLittle(t *testing.T) {
	conv := NewParam(random(1, 32, 32, 3, 3))
	x := random(2, 1, 32, 32, 32) // 128 KiB an activation
	m := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			g := NoGrad(cpu.F32)
			h := g.Const(x)
			for range 4 {
				h = g.SiLU(g.Conv2d(h, conv, nil, tensor.SameConv(3)))
			}
			g.Release()
		}
	})
	if m.N > 10 {
		require.Less(t, m.AllocedBytesPerOp(), int64(64<<10), "eight activations are a MiB")
	}
}

func TestTrace(t *testing.T) {
	g := NoGrad(cpu.F32)
	defer g.Release()
	g.Trace("nobody listens", nil)
	var seen []string
	g.OnTrace = func(name string, v *Value) { seen = append(seen, name) }
	g.Block(func(g *Graph, in []*Value) *Value { g.Trace("inside", in[0]); return g.Scale(in[0], 2) }, g.Const(scalar(1)))
	g.Trace("after", nil)
	require.Equal(t, []string{"inside", "after"}, seen)
}

func TestNotANumberGoesThrough(t *testing.T) {
	n := newNet(false)
	bad := random(10, 1, 4, 4, 8)
	bad.Data[5] = float32(math.NaN())
	g := NoGrad(cpu.F32)
	defer g.Release()
	y := g.Block(n.block, g.Const(bad), g.Const(random(11, 1, 8)))
	require.True(t, math.IsNaN(g.Sum(y).Item()))
}

// poisoned is a device whose memory turns into NaNs as soon as it is given back.
type poisoned struct{ tensor.Device }

func (d poisoned) Put(t *tensor.Tensor) {
	for i := range t.Data {
		t.Data[i] = float32(math.NaN())
	}
	d.Device.Put(t)
}

// TestKeepsWhatGradientsRead: a block, and Backward of a frugal graph, give back memory early. Nobody may read it
// after.
func TestKeepsWhatGradientsRead(t *testing.T) {
	gamma, beta, square := NewParam(random(1, 8)), NewParam(random(2, 8)), NewParam(random(3, 8, 8))
	ops := map[string]func(g *Graph, x *Value) *Value{
		"SiLU": (*Graph).SiLU, "GELU": (*Graph).GELU, "QuickGELU": (*Graph).QuickGELU, "Exp": (*Graph).Exp,
		"Abs":  (*Graph).Abs,
		"ReLU": (*Graph).ReLU, "Tanh": (*Graph).Tanh, "Softmax": (*Graph).Softmax,
		"GEGLU": func(g *Graph, x *Value) *Value { y := g.GEGLU(x); return g.Concat(y, y) },
		"Sub":   func(g *Graph, x *Value) *Value { return g.Sub(g.Scale(x, 3), x) },
		"Mul":   func(g *Graph, x *Value) *Value { return g.Mul(g.Scale(x, 3), x) },
		"Clamp": func(g *Graph, x *Value) *Value { return g.Clamp(x, -1, 1) },
		"Epilogue ReLU": func(g *Graph, x *Value) *Value {
			return g.LinearEpilogue(x, square, nil, Epilogue{Scale: 2, Add: g.Scale(x, 3), Func: tensor.ReLU})
		},
		"Epilogue SiLU": func(g *Graph, x *Value) *Value {
			return g.LinearEpilogue(x, square, beta, Epilogue{Add: x, Func: tensor.SiLU})
		},
		"Epilogue GEGLU": func(g *Graph, x *Value) *Value {
			y := g.LinearEpilogue(x, square, beta, Epilogue{GEGLU: true})
			return g.Concat(y, y)
		},
		"AddChannels": func(g *Graph, x *Value) *Value {
			return g.AddChannels(x, g.Reshape(g.Slice(g.Reshape(x, 1, 240), 0, 8), 1, 8))
		},
		"Repeat":    func(g *Graph, x *Value) *Value { return g.Windows(x, 6, 5, [][2]int{{0, 0}}) },
		"Norm2":     func(g *Graph, x *Value) *Value { return g.Reshape(g.Repeat(g.Norm2(x), 240), 1, 6, 5, 8) },
		"GroupNorm": func(g *Graph, x *Value) *Value { return g.GroupNorm(x, gamma, beta, 2, 1e-5) },
		"LayerNorm": func(g *Graph, x *Value) *Value { return g.LayerNorm(x, gamma, beta, 1e-5) },
		"Attention": func(g *Graph, x *Value) *Value {
			r := g.Reshape(x, 1, 30, 8)
			return g.Reshape(g.Attention(r, g.Scale(r, 2), g.SiLU(r), 2, false), 1, 6, 5, 8)
		},
	}
	for _, train := range []bool{false, true} {
		n := newNet(train)
		ops["net"] = func(g *Graph, x *Value) *Value { return n.block(g, []*Value{x, g.Const(random(11, 1, 8))}) }
		for name, op := range ops {
			var want []float32
			for _, dev := range []tensor.Device{cpu.F32, poisoned{cpu.F32}} {
				for _, checkpoint := range []bool{false, true} {
					g := NewGraph(dev)
					g.Frugal, g.Checkpoint = dev != cpu.F32, checkpoint
					x := g.Input(random(10, 1, 6, 5, 8))
					before := live()
					y := g.Block(func(g *Graph, in []*Value) *Value {
						h := g.Scale(in[0], 0.5)
						h = g.Block(func(g *Graph, in []*Value) *Value { return op(g, g.Scale(in[0], 2)) }, h)
						return op(g, g.Scale(h, 0.25))
					}, op(g, x))
					g.Backward(g.SumSquares(y), nil)
					got := append([]float32{}, x.Grad().Data...)
					if want == nil {
						want = got
					}
					require.Equal(t, want, got, "%s, checkpoint %v", name, checkpoint)
					if g.Frugal && !train {
						require.LessOrEqual(t, live()-before, int64(8*1024), "%s: the gradient of x and small statistics", name)
					}
					g.Release()
				}
			}
			for _, p := range n.params() {
				p.ZeroGrad()
			}
		}
	}
}

// TestWatch: fn is called once, between the gradients behind and before it, and changes no number.
func TestWatch(t *testing.T) {
	var order []string
	run := func(watch bool) []float32 {
		g := NewGraph(cpu.F32)
		defer g.Release()
		g.Frugal = true
		x := g.Input(random(10, 3, 4))
		g.OnOp = func(op Op) {
			if op.Gradient && watch {
				order = append(order, op.Name)
			}
		}
		h := g.SiLU(x)
		if watch {
			h = g.Watch(h, func() { order = append(order, "fn") })
		}
		g.Backward(g.SumSquares(g.Exp(h)), nil)
		return append([]float32{}, x.Grad().Data...)
	}
	require.Equal(t, run(false), run(true))
	require.Equal(t, []string{"SumSquares", "Exp", "fn", "Watch", "SiLU"}, order)
	g := NoGrad(cpu.F32)
	x := g.Const(random(10, 3, 4))
	require.Same(t, x, g.Watch(x, nil), "nothing to watch")
}
